//! A suspended account: which calls wait, which one asks, and in which order all go on.

use futures::FutureExt;

use super::*;

#[test]
fn account_suspended_holds_changes_back_and_lets_reads_go() {
    let now = clock::now();
    let (budget, mut granted) = Budget::new(6_000, now);
    let at = |seconds| now + Duration::from_secs(seconds);
    let take = |name: &str, at: Moment| {
        let taken = budget.try_take(&user(name), "ns", Class::SpecChange, at);
        taken.map(drop).map_err(|waiting| waiting.because)
    };
    assert_eq!(take("alice", now), Ok(()));
    budget.account_suspended(true, now);
    for (second, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
        assert_eq!(take(name, at(second)), Err(Because::AccountSuspended));
    }
    // Reads are served, and no change is.
    let mut read = Box::pin(budget.take(Class::Sweep));
    assert!(read.as_mut().now_or_never().is_none());
    let wake = budget.grant_all(at(4));
    assert!(read.now_or_never().is_some());
    assert_eq!(wake, Some(at(60)), "the probe");
    assert!(granted.try_recv().is_err());

    // One probe a minute, of the change that has waited longest.
    assert_eq!(take("carol", at(60)), Err(Because::AccountSuspended));
    budget.grant_all(at(60));
    assert_eq!(granted.try_recv().ok(), Some(user("alice")));
    assert!(granted.try_recv().is_err());
    assert_eq!(take("alice", at(61)), Ok(()));
    budget.account_suspended(true, at(61));
    assert_eq!(take("alice", at(61)), Err(Because::AccountSuspended));
    budget.grant_all(at(120));
    assert!(granted.try_recv().is_err());
    budget.grant_all(at(121));
    assert_eq!(granted.try_recv().ok(), Some(user("bob")));

    // A read proves nothing about changes; a change does, and all that wait go on in their order.
    assert!(!budget.account_serves(false));
    assert_eq!(take("carol", at(122)), Err(Because::AccountSuspended));
    assert!(budget.account_serves(true));
    budget.grant_all(at(122));
    let order: Vec<_> = std::iter::from_fn(|| granted.try_recv().ok()).collect();
    assert_eq!(order, [user("carol"), user("alice")]);
}

#[test]
fn account_suspended_gives_turns_to_changes_that_still_need_a_read() {
    let now = clock::now();
    let (budget, mut granted) = Budget::new(6_000, now);
    let at = |seconds| now + Duration::from_secs(seconds);
    let turn =
        |name: &str, at: Moment| budget.await_turn(&user(name), "ns", Class::DriftRepair, at);
    budget.account_suspended(true, now);
    assert!(!turn("alice", at(1)));
    assert!(!turn("bob", at(2)));
    // The oldest change is next, whichever asks first after the minute.
    assert!(!turn("bob", at(60)));
    budget.grant_all(at(60));
    assert_eq!(granted.try_recv().ok(), Some(user("alice")));
    assert!(!turn("bob", at(60)));
    assert!(
        turn("alice", at(60)),
        "the turn lasts until the change leaves"
    );
    assert!(turn("alice", at(61)));
    assert!(
        budget
            .try_take(&user("alice"), "ns", Class::DriftRepair, at(62))
            .is_ok()
    );
    assert!(!turn("alice", at(62)));
}

#[test]
fn account_suspended_holds_reads_back_where_one_was_refused() {
    let now = clock::now();
    let (budget, mut granted) = Budget::new(6_000, now);
    let at = |seconds| now + Duration::from_secs(seconds);
    budget.account_suspended(false, now);
    assert!(budget.grant_all(now).is_some_and(|wake| wake == at(60)));
    let mut reads = [0, 1].map(|_| Box::pin(budget.take(Class::Sweep)));
    let mut served = || {
        let polled = reads
            .iter_mut()
            .map(|read| read.as_mut().now_or_never().is_some());
        polled.filter(|served| *served).count()
    };
    assert_eq!(served(), 0);
    budget.grant_all(at(1));
    assert_eq!(served(), 0);
    // The account itself can be read.
    let mut account = Box::pin(budget.take_for_account());
    assert!(account.as_mut().now_or_never().is_none());
    budget.grant_all(at(1));
    assert!(account.now_or_never().is_some());
    // No change waits: one read asks.
    budget.grant_all(at(60));
    assert_eq!(served(), 1);
    assert!(granted.try_recv().is_err());
    assert!(
        budget.account_serves(false),
        "a read ends what a read began"
    );
    budget.grant_all(at(61));
}
