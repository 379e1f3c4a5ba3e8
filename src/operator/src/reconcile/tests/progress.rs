//! What the liveness probe knows of a reconciliation.

use std::pin::pin;

use futures::poll;
use operator_runtime::progress::GRACE;

use super::*;

/// Whatever it waits for: the grace period begins when it and its report are past their deadlines, a minute each.
#[tokio::test]
async fn reconciliation_is_watched_from_its_beginning_to_its_end() {
    let world = World::new(vec![remote(Role::Contributor, 1)], nothing, vec![1]).await;
    let progress = world.ctx.progress.clone();
    let begun = operator_runtime::clock::now();
    let overdue = begun + Duration::from_mins(2) + GRACE;
    let later = overdue + Duration::from_secs(1);
    assert_eq!(progress.is_stuck(later), None);
    let mut running = pin!(world.pass("contributor"));
    assert!(poll!(running.as_mut()).is_pending());
    assert_eq!(progress.is_stuck(overdue), None);
    let complaint = progress.is_stuck(later).unwrap();
    assert!(
        complaint.contains("work with a deadline of 120 s"),
        "{complaint}"
    );
    running.await.unwrap();
    assert_eq!(progress.is_stuck(later), None);
}
