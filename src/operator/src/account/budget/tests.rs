//! What the budget allows, on a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn spend(budget: &Budget, name: &str) -> bool {
    let now = clock::now();
    budget
        .try_take(&user(name), "a", Class::SpecChange, now)
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
        .try_take(&user("a"), "a", Class::SpecChange, now)
        .ok()
        .unwrap();
    budget.pause(Some(Duration::from_secs(2)), now);
    assert!(!held.spend(now));
    let refused = budget
        .try_take(&user("a"), "a", Class::SpecChange, now)
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
    assert!(
        budget
            .try_take(&user("sweep"), "a", Class::Sweep, late)
            .is_err()
    );
    assert!(
        budget
            .try_take(&user("edit"), "a", Class::SpecChange, late)
            .is_err()
    );
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    assert_eq!(grants.recv().await.unwrap(), user("edit"));
    assert_eq!(grants.recv().await.unwrap(), user("sweep"));
}

/// A budget of 6,000 a minute whose burst is over, and so many users that wait in that class.
fn fast_and_crowded(waiting: usize, class: Class) -> (Budget, mpsc::UnboundedReceiver<UserId>) {
    let (budget, grants) = Budget::new(6_000, clock::now());
    for number in 0..BURST {
        assert!(spend(&budget, &format!("burst{number}")));
    }
    for number in 0..waiting {
        let name = user(&format!("u{number}"));
        assert!(budget.try_take(&name, "a", class, clock::now()).is_err());
    }
    let runner = budget.clone();
    tokio::spawn(async move { runner.run().await });
    (budget, grants)
}

#[tokio::test(start_paused = true)]
async fn a_crowd_with_a_fast_pace_goes_a_few_at_a_time_and_no_slower() {
    let begun = clock::now();
    let (budget, mut grants) = fast_and_crowded(300, Class::SpecChange);
    let mut times = Vec::new();
    for _ in 0..300 {
        let granted = grants.recv().await.unwrap();
        assert!(spend(&budget, granted.as_str()));
        times.push(clock::now());
    }
    let took = clock::now() - begun;
    assert!(took <= Duration::from_millis(3_250), "{took:?}");
    times.dedup();
    assert!(times.len() <= 35, "woken {} times", times.len());
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_before_a_crowd_with_a_fast_pace_has_the_very_next_token() {
    for crowd in [Class::DriftRepair, Class::SpecChange] {
        let (budget, mut grants) = fast_and_crowded(300, crowd);
        // Right after some have gone together the bucket is empty.
        for _ in 0..2 {
            let granted = grants.recv().await.unwrap();
            assert!(spend(&budget, granted.as_str()));
            while let Ok(granted) = grants.try_recv() {
                assert!(spend(&budget, granted.as_str()));
            }
        }
        let asked = clock::now();
        let edit = user("edit");
        let taken = budget.try_take(&edit, "elsewhere", Class::SpecChange, asked);
        assert!(taken.is_err());
        assert_eq!(grants.recv().await.unwrap(), edit);
        let waited = clock::now() - asked;
        assert!(waited <= Duration::from_millis(12), "{waited:?}");
    }
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
async fn a_key_that_is_taken_again_ends_the_hold_and_a_late_success_of_an_older_one_does_not() {
    let (budget, _grants) = Budget::new(300, clock::now());
    budget.key_refused(2, 2, clock::now());
    budget.key_accepted(1);
    assert!(!spend(&budget, "a"));
    budget.key_accepted(2);
    assert!(spend(&budget, "a"));
}

#[tokio::test(start_paused = true)]
async fn probes_of_a_refused_key_are_a_minute_apart() {
    let (budget, mut grants) = Budget::new(300, clock::now());
    let begin = clock::now();
    budget.key_refused(1, 1, begin);
    for name in ["a", "b", "c"] {
        assert!(
            budget
                .try_take(&user(name), "a", Class::SpecChange, begin)
                .is_err()
        );
    }
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    for minute in 1..=3 {
        let granted = grants.recv().await.unwrap();
        let now = clock::now();
        assert!(now - begin >= PROBE_EVERY * minute);
        let probe = budget.try_take(&granted, "a", Class::SpecChange, now);
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
    assert!(
        budget
            .try_take(&user("a"), "a", Class::SpecChange, now)
            .is_err()
    );
    assert!(
        budget
            .try_take(&user("b"), "a", Class::SpecChange, now)
            .is_err()
    );
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    assert_eq!(grants.recv().await.unwrap(), user("a"));
    let granted_at = clock::now();
    budget.release(&user("a"));
    assert_eq!(grants.recv().await.unwrap(), user("b"));
    assert!(clock::now() - granted_at < Duration::from_secs(10));
}

/// Takes what the budget gives within a minute, and says how many calls that were.
async fn calls_in_a_minute(budget: &Budget) -> usize {
    let end = clock::now() + WINDOW;
    let mut calls = 0;
    while clock::now() < end {
        calls += usize::from(spend(budget, "greedy"));
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn a_429_halves_the_pace_and_silence_brings_it_back_without_a_burst() {
    let (budget, _grants) = Budget::new(300, clock::now());
    let _ = calls_in_a_minute(&budget).await;
    budget.throttled(Some(Duration::from_secs(1)), clock::now());
    tokio::time::advance(Duration::from_millis(1100)).await;
    // Five per cent of the limit a minute is what it gains at most.
    let halved = calls_in_a_minute(&budget).await;
    assert!((140..=175).contains(&halved), "{halved} calls after a 429");
    for _ in 0..6 {
        let before = budget.rate(clock::now());
        let calls = calls_in_a_minute(&budget).await;
        let after = budget.rate(clock::now());
        assert!(after <= before + 31.0, "{before} to {after}");
        assert!(calls <= 300);
    }
    assert!(budget.rate(clock::now()) > 299.0);
}

#[tokio::test(start_paused = true)]
async fn many_429s_at_once_are_one_and_an_endless_row_of_them_leaves_the_slowest_pace() {
    let (budget, _grants) = Budget::new(300, clock::now());
    for _ in 0..16 {
        budget.throttled(Some(Duration::ZERO), clock::now());
    }
    assert!((budget.rate(clock::now()) - 150.0).abs() < 1.0);
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(6)).await;
        budget.throttled(Some(Duration::ZERO), clock::now());
    }
    let slowest = budget.rate(clock::now());
    assert!((6.0..8.0).contains(&slowest), "{slowest} calls a minute");
    // Half an hour later all is as it was.
    tokio::time::advance(Duration::from_mins(30)).await;
    assert!(budget.rate(clock::now()) > 299.0);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_in_one_lane_costs_another_no_more_than_two_places() {
    let (budget, mut grants) = Budget::new(60, clock::now());
    while spend(&budget, "first") {}
    budget.release(&user("first"));
    let now = clock::now();
    let crowd = (0..5_000).map(|number| format!("crowd-{number}"));
    for name in crowd {
        let place = budget.try_take(&user(&name), "busy", Class::SpecChange, now);
        assert!(place.is_err());
    }
    let lone = budget.try_take(&user("lone"), "quiet", Class::SpecChange, now);
    assert!(lone.is_err());
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    let first = grants.recv().await.unwrap();
    let second = grants.recv().await.unwrap();
    assert!(
        [&first, &second].contains(&&user("lone")),
        "{first} and {second} went before"
    );
}

#[tokio::test(start_paused = true)]
async fn the_waiting_are_counted_and_those_who_leave_are_forgotten() {
    let (budget, _grants) = Budget::new(60, clock::now());
    while spend(&budget, "first") {}
    budget.release(&user("first"));
    let now = clock::now();
    // Each comes, and leaves again.
    for number in 0..500 {
        let name = user(&format!("u{number}"));
        assert!(budget.try_take(&name, "a", Class::Sweep, now).is_err());
        budget.release(&name);
    }
    for name in ["x", "y"] {
        assert!(
            budget
                .try_take(&user(name), "a", Class::DriftRepair, now)
                .is_err()
        );
    }
    assert_eq!(budget.waiting(), [0, 0, 2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_ends_the_hold_of_the_refused_one() {
    let (budget, _grants) = Budget::new(60, clock::now());
    budget.key_refused(1, 1, clock::now());
    assert!(!spend(&budget, "alice"));
    budget.release(&user("alice"));
    budget.key_changed(1);
    assert!(!spend(&budget, "alice"), "it is the same key");
    budget.release(&user("alice"));
    budget.key_changed(2);
    assert!(spend(&budget, "alice"));
}

mod figures;
mod properties;
mod suspension;

/// While the key is refused there is one probe a minute: one that was not sent is not used up.
#[tokio::test(start_paused = true)]
async fn a_probe_that_was_not_sent_is_due_again_at_once() {
    let (budget, mut grants) = Budget::new(300, clock::now());
    budget.key_refused(1, 1, clock::now());
    assert!(
        budget
            .try_take(&user("a"), "a", Class::SpecChange, clock::now())
            .is_err()
    );
    let runner = budget.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    let began = clock::now();
    let granted = grants.recv().await.unwrap();
    assert!(clock::now() - began >= PROBE_EVERY);
    let probe = budget.try_take(&granted, "a", Class::SpecChange, clock::now());
    drop(probe);
    let again = budget.try_take(&user("b"), "b", Class::SpecChange, clock::now());
    assert!(again.is_ok_and(|permit| permit.spend(clock::now())));
    let third = budget.try_take(&user("c"), "c", Class::SpecChange, clock::now());
    assert!(third.is_err(), "that one was sent");
}

/// Nor is one whose grant was never used, or is no longer wanted.
#[tokio::test(start_paused = true)]
async fn a_granted_probe_that_is_not_used_is_due_again() {
    for released in [true, false] {
        let (budget, mut grants) = Budget::new(300, clock::now());
        budget.key_refused(1, 1, clock::now());
        let take = |name: &str| budget.try_take(&user(name), "a", Class::SpecChange, clock::now());
        assert!(take("a").is_err());
        let runner = budget.clone();
        let run = tokio::spawn(async move { runner.run().await });
        let granted = grants.recv().await.unwrap();
        if released {
            budget.release(&granted);
        } else {
            tokio::time::sleep(GRANT_LIFETIME + Duration::from_secs(1)).await;
        }
        assert!(take("b").is_ok(), "released: {released}");
        run.abort();
    }
}
