//! What the budget allows, on a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn spend(budget: &Budget, name: &str) -> bool {
    let now = clock::now();
    budget
        .try_take(&user(name), Class::SpecChange, now)
        .is_ok_and(|permit| permit.spend(now))
}

#[tokio::test(start_paused = true)]
async fn no_window_of_sixty_seconds_sees_more_than_the_limit() {
    let (budget, mut grants) = Budget::new(100, clock::now());
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    let begin = clock::now();
    let mut sent = Vec::new();
    for number in 0..400 {
        let name = format!("u{number}");
        if !spend(&budget, &name) {
            let granted = grants.recv().await.unwrap();
            assert_eq!(granted, user(&name));
            assert!(spend(&budget, &name));
        }
        sent.push(clock::now());
    }
    for (index, first) in sent.iter().enumerate() {
        let within = sent[index..]
            .iter()
            .filter(|at| **at - *first < WINDOW)
            .count();
        assert!(within <= 100, "{within} calls within 60 s");
    }
    assert!(
        clock::now() - begin < Duration::from_mins(4),
        "the limit is used"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_inside_a_pause_not_even_with_a_permit_taken_before() {
    let (budget, _grants) = Budget::new(300, clock::now());
    let now = clock::now();
    let held = budget
        .try_take(&user("a"), Class::SpecChange, now)
        .ok()
        .unwrap();
    budget.pause(Some(Duration::from_secs(2)), now);
    assert!(!held.spend(now));
    let refused = budget
        .try_take(&user("a"), Class::SpecChange, now)
        .err()
        .unwrap();
    assert_eq!(refused.because, Because::Paused);
    tokio::time::advance(Duration::from_millis(2300)).await;
    assert!(spend(&budget, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_is_clamped() {
    let (budget, _grants) = Budget::new(300, clock::now());
    budget.pause(Some(Duration::from_secs(1_000_000_000)), clock::now());
    tokio::time::advance(PAUSE_MAX + Duration::from_secs(1)).await;
    assert!(spend(&budget, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_spec_change_goes_before_a_sweep_that_waited_longer() {
    let (budget, mut grants) = Budget::new(60, clock::now());
    for number in 0..60 {
        assert!(spend(&budget, &format!("u{number}")));
    }
    let late = clock::now();
    assert!(budget.try_take(&user("sweep"), Class::Sweep, late).is_err());
    assert!(
        budget
            .try_take(&user("edit"), Class::SpecChange, late)
            .is_err()
    );
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    assert_eq!(grants.recv().await.unwrap(), user("edit"));
    assert_eq!(grants.recv().await.unwrap(), user("sweep"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_allows_one_probe_a_minute_and_a_new_key_everything() {
    let (budget, _grants) = Budget::new(300, clock::now());
    budget.key_refused(1, 1, clock::now());
    assert!(!spend(&budget, "a"));
    budget.key_refused(1, 2, clock::now());
    budget.key_changed(2);
    assert!(spend(&budget, "a"));
    budget.key_refused(1, 2, clock::now());
    assert!(
        spend(&budget, "b"),
        "a late 401 of an old key says nothing of the new one"
    );
}

#[tokio::test(start_paused = true)]
async fn probes_of_a_refused_key_are_a_minute_apart() {
    let (budget, mut grants) = Budget::new(300, clock::now());
    let begin = clock::now();
    budget.key_refused(1, 1, begin);
    for name in ["a", "b", "c"] {
        assert!(
            budget
                .try_take(&user(name), Class::SpecChange, begin)
                .is_err()
        );
    }
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    for minute in 1..=3 {
        let granted = grants.recv().await.unwrap();
        let now = clock::now();
        assert!(now - begin >= PROBE_EVERY * minute);
        let probe = budget.try_take(&granted, Class::SpecChange, now);
        assert!(
            probe.is_ok_and(|permit| permit.spend(now)),
            "the probe may leave"
        );
        budget.key_refused(1, 1, now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_released_grant_goes_to_the_next() {
    let (budget, mut grants) = Budget::new(60, clock::now());
    for number in 0..60 {
        assert!(spend(&budget, &format!("u{number}")));
    }
    let now = clock::now();
    assert!(budget.try_take(&user("a"), Class::SpecChange, now).is_err());
    assert!(budget.try_take(&user("b"), Class::SpecChange, now).is_err());
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    assert_eq!(grants.recv().await.unwrap(), user("a"));
    let granted_at = clock::now();
    budget.release(&user("a"));
    assert_eq!(grants.recv().await.unwrap(), user("b"));
    assert!(clock::now() - granted_at < Duration::from_secs(10));
}
