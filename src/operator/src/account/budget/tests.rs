//! How permits reach what waits for them, on a paused clock. What is granted when is tested where it is decided.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;

use super::*;

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn take(budget: &Budget, name: &str) -> Result<Permit, Waiting> {
    let now = clock::now();
    budget.try_take(&user(name), "ns", Class::SpecChange, now)
}

/// Returns a limiter of 60 calls a minute whose burst is over. The window has room again after a minute.
fn empty() -> (Budget, mpsc::UnboundedReceiver<UserId>) {
    let (budget, grants) = Budget::new(60, clock::now());
    for number in 0..60 {
        let permit = take(&budget, &format!("u{number}")).unwrap_or_else(|_| panic!("{number}"));
        assert!(permit.spend(clock::now()));
    }
    (budget, grants)
}

fn run(budget: &Budget) -> tokio::task::JoinHandle<()> {
    let budget = budget.clone();
    tokio::spawn(async move { budget.run().await })
}

#[tokio::test(start_paused = true)]
async fn granted_change_comes_out_of_the_stream() {
    let (budget, mut grants) = empty();
    let _run = run(&budget);
    let begun = clock::now();
    assert!(take(&budget, "alice").is_err());
    assert_eq!(grants.recv().await, Some(user("alice")));
    assert!(clock::now() - begun >= Duration::from_mins(1));
    assert!(take(&budget, "alice").is_ok_and(|permit| permit.spend(clock::now())));
}

#[tokio::test(start_paused = true)]
async fn released_grant_wakes_the_next() {
    let (budget, mut grants) = empty();
    let _run = run(&budget);
    // One token; the next comes a second later.
    let at = clock::now() + Duration::from_mins(1);
    assert!(take(&budget, "alice").is_err());
    assert!(take(&budget, "bob").is_err());
    assert_eq!(grants.recv().await, Some(user("alice")));
    assert!(clock::now() >= at);
    budget.release(&user("alice"));
    assert_eq!(grants.recv().await, Some(user("bob")));
    assert!(clock::now() < at + Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn dropped_permit_goes_back_and_spent_one_does_not() {
    let (budget, _grants) = Budget::new(1, clock::now());
    drop(take(&budget, "alice"));
    let permit = take(&budget, "alice").ok().unwrap();
    budget.pause(Some(Duration::from_secs(1)), clock::now());
    assert!(!permit.spend(clock::now()), "a pause began");
    tokio::time::advance(Duration::from_mins(2)).await;
    let permit = take(&budget, "alice").ok().unwrap();
    assert!(permit.spend(clock::now()));
    assert!(take(&budget, "alice").is_err());
}

#[tokio::test(start_paused = true)]
async fn call_waits_in_place_and_a_dropped_one_is_cancelled() {
    let (budget, _grants) = Budget::new(1, clock::now());
    let mut calls = [0, 1].map(|_| Box::pin(budget.take(Class::Sweep)));
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }
    assert_eq!(budget.lock().calls.len(), 2);
    let [first, second] = calls;
    drop(first);
    assert_eq!(budget.lock().calls.len(), 1);
    budget.grant_all(clock::now());
    assert!(second.now_or_never().is_some());
    assert_eq!(budget.lock().calls.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn permit_of_a_call_that_is_dropped_meanwhile_goes_back() {
    let (budget, _grants) = Budget::new(1, clock::now());
    let mut call = Box::pin(budget.take_for_account());
    assert!(call.as_mut().now_or_never().is_none());
    budget.grant_all(clock::now());
    assert!(take(&budget, "alice").is_err(), "the call has the token");
    drop(call);
    budget.release(&user("alice"));
    assert!(take(&budget, "alice").is_ok());
}

#[tokio::test(start_paused = true)]
async fn account_suspended_wakes_once_and_requeues_changes_when_named() {
    let (budget, mut grants) = Budget::new(60, clock::now());
    budget.account_suspended(true, clock::now());
    budget.account_suspended(true, clock::now());
    assert!(budget.suspension_began().now_or_never().is_some());
    assert!(budget.suspension_began().now_or_never().is_none());
    assert!(take(&budget, "alice").is_err());
    budget.suspension_named(Some("UNPAID".to_owned()));
    assert_eq!(grants.try_recv().ok(), Some(user("alice")));
    let name = budget.suspension().and_then(Name::known);
    assert_eq!(name.as_deref(), Some("UNPAID"));
    assert!(budget.account_serves(true));
    assert_eq!(budget.suspension(), None);
}

/// A key that is accepted again, or changed, ends the hold at once.
#[tokio::test(start_paused = true)]
async fn end_of_a_refusal_wakes_what_waits() {
    for is_new in [true, false] {
        let (budget, mut grants) = Budget::new(60, clock::now());
        let _run = run(&budget);
        let begun = clock::now();
        budget.key_refused(1, 1, begun);
        assert!(take(&budget, "alice").is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(grants.try_recv().is_err());
        if is_new {
            budget.key_changed(2);
        } else {
            budget.key_accepted(1);
        }
        assert_eq!(grants.recv().await, Some(user("alice")));
        assert!(clock::now() - begun < Duration::from_secs(2));
    }
}
