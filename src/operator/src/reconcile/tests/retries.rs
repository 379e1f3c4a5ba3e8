//! What is tried again, and after what time.

use super::*;

#[tokio::test]
async fn a_status_that_is_refused_is_written_with_back_off_until_one_is_accepted() {
    let mut world = World::new(vec![], nothing, vec![]).await;
    let fails = Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR);
    let takes = Router::new()
        .fallback(async || Json(json!({"metadata": {"name": "alice", "resourceVersion": "2"}})));
    let serve = |world: &mut World, server: &Router| {
        let kube = kube::Client::new(server.clone(), "ns");
        Arc::get_mut(&mut world.ctx).unwrap().kube = kube;
    };
    serve(&mut world, &fails);
    let mut longest = Duration::ZERO;
    for number in 0..30 {
        let next = world.look("user").await.unwrap();
        assert!(next <= KUBE_BACKOFF.ceiling(number));
        longest = longest.max(next);
    }
    assert!(longest > KUBE_BACKOFF.ceiling(0), "{longest:?}");
    serve(&mut world, &takes);
    assert_eq!(world.look("user").await, None);
    assert_eq!(not_taken(&world), 0, "it starts over");
    serve(&mut world, &fails);
    assert_eq!(world.look("user").await, None, "the status is written");
    assert_eq!(not_taken(&world), 0);
}

#[tokio::test]
async fn superseded_reads_after_a_start_back_off() {
    let world = World::new(vec![], nothing, vec![]).await;
    let shared = &world.ctx.shared;
    shared.change(|world| {
        let account = &mut world.account;
        account.set_managed(&alice(), true);
        account.apply_read(remote(Role::User, 5), clock::now());
        world.epoch = clock::now() - builders::SETTLE_WINDOW;
        world.objects.set_possibly_in_flight("u1");
    });
    let is_requested = || shared.read(|world| world.account.is_requested(&alice()));
    for asked in (1..=PROGRESS_READS).chain([PROGRESS_READS; 3]) {
        world.look("user").await;
        assert!(is_requested());
        let entry = shared.read(|world| world.objects.recall("u1", 1));
        assert_eq!(entry.progress, asked);
        // A replica that lags behind what is known.
        let at = clock::now() + Duration::from_secs(1 << PROGRESS_READS.min(asked));
        shared.change(|world| {
            let account = &mut world.account;
            account.apply_read(remote(Role::User, 1), at);
        });
        assert!(!is_requested());
    }
}

/// Returns how often, in a row, the API server did not accept a status before.
fn not_taken(world: &World) -> u32 {
    let shared = &world.ctx.shared;
    shared.change(|world| world.objects.not_taken("u1", 1))
}
