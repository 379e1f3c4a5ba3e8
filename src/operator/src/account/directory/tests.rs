//! What the wrapper adds to the directory of the core: signals are carried out, and a change that is cut off is lost.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use builders::user;
use fireworks_api::wire::Role;
use futures::FutureExt as _;

use super::*;

const SETTLE: Duration = Duration::from_secs(30);

fn alice() -> UserId {
    "alice".parse().unwrap()
}

fn directory() -> (Directory, mpsc::UnboundedReceiver<UserId>) {
    let (directory, changes) = Directory::new(Times {
        settle_window: SETTLE,
        sweep_interval: Duration::from_mins(1),
    });
    directory.set_interest(&alice(), true);
    directory.open();
    (directory, changes)
}

fn patch() -> UserPatch {
    UserPatch {
        role: Role::User,
        permission_preset: None,
        display_name: None,
    }
}

#[test]
fn a_change_that_was_cut_off_counts_as_lost() {
    let (directory, _changes) = directory();
    let now = clock::now();
    drop(directory.depart(&alice(), &patch(), now));
    let settles_at = directory.view(&alice(), now).settles_at;
    assert!(settles_at.unwrap() >= now + SETTLE);
}

#[test]
fn resolved_change_is_not_lost_when_dropped() {
    let (directory, _changes) = directory();
    let now = clock::now();
    let flight = directory.depart(&alice(), &patch(), now);
    assert_eq!(flight.sent_at(), now);
    let _ = flight.answered(user("alice", Role::User), now);
    assert_eq!(directory.view(&alice(), now).settles_at, None);
}

#[test]
fn signals_requeue_and_wake() {
    let (directory, mut changes) = directory();
    assert_eq!(directory.woken().now_or_never(), Some(()));
    assert_eq!(directory.woken().now_or_never(), None);
    let now = clock::now();
    directory.fold_user(user("alice", Role::User), now);
    assert_eq!(changes.try_recv().ok(), Some(alice()));
    assert!(changes.try_recv().is_err());
    directory.want(&alice(), Class::Sweep, now);
    assert_eq!(directory.woken().now_or_never(), Some(()));
    assert_eq!(directory.restore_woken().now_or_never(), None);
}
