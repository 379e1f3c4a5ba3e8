//! What the rate limiter allows. The clock is a number that each test moves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;

use super::bucket::{BURST, PAUSE_DEFAULT, PAUSE_MAX, WINDOW};
use super::rate::CALL_A_MINUTE;
use super::*;

mod figures;
mod properties;
mod suspension;

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

/// The limiter with a clock, and what it granted.
struct Driver {
    limiter: Limiter,
    now: Moment,
    /// Users with a grant that no test has taken note of.
    granted: VecDeque<UserId>,
    permits: BTreeMap<CallId, Permit>,
}

impl Driver {
    fn new(per_minute: u32) -> Self {
        let now = Moment::from_micros(1 << 40);
        Self {
            limiter: Limiter::new(per_minute, now),
            now,
            granted: VecDeque::new(),
            permits: BTreeMap::new(),
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    /// Grants what can be granted now; returns when the next grant may be.
    fn grant_all(&mut self) -> Option<Moment> {
        loop {
            match self.limiter.next_grant(self.now) {
                Next::Change(user) => self.granted.push_back(user),
                Next::Call(call, permit) => {
                    self.permits.insert(call, permit);
                }
                Next::WakeAt(at) => {
                    assert!(at.is_none_or(|at| at > self.now), "{at:?}");
                    return at;
                }
            }
        }
    }

    /// Lets the time pass until a change is granted.
    fn next_granted(&mut self) -> UserId {
        loop {
            let wake_at = self.grant_all();
            if let Some(granted) = self.granted.pop_front() {
                return granted;
            }
            self.now = wake_at.expect("a change waits");
        }
    }

    fn try_take(&mut self, name: &str, flow: &str, class: Class) -> Result<Permit, Waiting> {
        self.limiter.try_take(&user(name), flow, class, self.now)
    }

    /// Whether the change of that user gets a permit, which is put back.
    fn may_take(&mut self, name: &str) -> bool {
        let taken = self.try_take(name, "a", Class::SpecChange);
        taken.map(|permit| self.limiter.put_back(permit)).is_ok()
    }

    fn spend_permit(&mut self, permit: Permit) -> bool {
        let is_spent = self.limiter.spend(&permit, self.now);
        if !is_spent {
            self.limiter.put_back(permit);
        }
        is_spent
    }

    /// Whether the change of that user leaves now.
    fn spend(&mut self, name: &str) -> bool {
        let taken = self.try_take(name, "a", Class::SpecChange);
        taken.is_ok_and(|permit| self.spend_permit(permit))
    }

    #[allow(clippy::cast_precision_loss, reason = "seven digits are enough")]
    fn rate(&self) -> f64 {
        self.limiter.bucket.rate.at(self.now) as f64 / CALL_A_MINUTE as f64
    }
}

#[test]
fn requests_per_minute_bound_every_window_of_sixty_seconds() {
    let mut driver = Driver::new(100);
    let begin = driver.now;
    let mut sent = Vec::new();
    for number in 0..400 {
        let name = format!("u{number}");
        if !driver.spend(&name) {
            let granted = driver.next_granted();
            assert_eq!(granted, user(&name));
            assert!(driver.spend(&name));
        }
        sent.push(driver.now);
    }
    for (index, first) in sent.iter().enumerate() {
        let within = sent[index..]
            .iter()
            .filter(|at| **at - *first < WINDOW)
            .count();
        assert!(within <= 100, "{within} calls within 60 s");
    }
    assert!(
        driver.now - begin < Duration::from_mins(4),
        "the limit is used"
    );
}

#[test]
fn nothing_leaves_inside_a_pause_not_even_with_a_permit_taken_before() {
    let mut driver = Driver::new(300);
    let outstanding = driver.try_take("a", "a", Class::SpecChange).ok().unwrap();
    driver
        .limiter
        .pause(Some(Duration::from_secs(2)), driver.now);
    assert!(!driver.spend_permit(outstanding));
    let refused = driver.try_take("a", "a", Class::SpecChange).err().unwrap();
    assert_eq!(refused.blocked_by, BlockedBy::Paused);
    driver.advance(Duration::from_millis(2300));
    assert!(driver.spend("a"));
}

#[test]
fn a_long_pause_is_clamped() {
    let mut driver = Driver::new(300);
    driver
        .limiter
        .pause(Some(Duration::from_secs(1_000_000_000)), driver.now);
    driver.advance(PAUSE_MAX + Duration::from_secs(1));
    assert!(driver.spend("a"));
}

#[test]
fn a_spec_change_goes_before_a_sweep_that_waited_longer() {
    let mut driver = Driver::new(60);
    for number in 0..60 {
        assert!(driver.spend(&format!("u{number}")));
    }
    assert!(driver.try_take("sweep", "a", Class::Sweep).is_err());
    assert!(driver.try_take("edit", "a", Class::SpecChange).is_err());
    assert_eq!(driver.next_granted(), user("edit"));
    assert_eq!(driver.next_granted(), user("sweep"));
}

/// Returns a limiter of 6,000 calls a minute without tokens, and with that many waiters of that class.
fn fast_and_busy(waiting: usize, class: Class) -> Driver {
    let mut driver = Driver::new(6_000);
    for number in 0..BURST {
        assert!(driver.spend(&format!("burst{number}")));
    }
    for number in 0..waiting {
        let name = format!("u{number}");
        assert!(driver.try_take(&name, "a", class).is_err());
    }
    driver
}

#[test]
fn waiters_at_a_high_rate_are_granted_in_batches_without_delay() {
    let mut driver = fast_and_busy(300, Class::SpecChange);
    let begun = driver.now;
    let mut times = Vec::new();
    for _ in 0..300 {
        let granted = driver.next_granted();
        assert!(driver.spend(granted.as_str()));
        times.push(driver.now);
    }
    let took = driver.now - begun;
    assert!(took <= Duration::from_millis(3_250), "{took:?}");
    times.dedup();
    assert!(times.len() <= 35, "woken {} times", times.len());
}

#[test]
fn new_flow_or_class_at_a_high_rate_gets_the_next_token() {
    for busy in [Class::DriftRepair, Class::SpecChange] {
        let mut driver = fast_and_busy(300, busy);
        // The bucket is empty right after several were granted together.
        for _ in 0..2 {
            let granted = driver.next_granted();
            assert!(driver.spend(granted.as_str()));
            while let Some(granted) = driver.granted.pop_front() {
                assert!(driver.spend(granted.as_str()));
            }
        }
        let asked = driver.now;
        let taken = driver.try_take("edit", "elsewhere", Class::SpecChange);
        assert!(taken.is_err());
        assert_eq!(driver.next_granted(), user("edit"));
        let waited = driver.now - asked;
        assert!(waited <= Duration::from_millis(12), "{waited:?}");
    }
}

#[test]
fn unauthenticated_key_allows_one_probe_a_minute_and_a_new_key_everything() {
    let mut driver = Driver::new(300);
    driver.limiter.key_refused(1, 1, driver.now);
    assert!(!driver.spend("a"));
    driver.limiter.key_refused(1, 2, driver.now);
    driver.limiter.key_changed(2);
    assert!(driver.spend("a"));
    driver.limiter.key_refused(1, 2, driver.now);
    assert!(
        driver.spend("b"),
        "a late 401 of an old key does not concern the new one"
    );
}

#[test]
fn a_key_that_is_taken_again_ends_the_hold_and_a_late_success_of_an_older_one_does_not() {
    let mut driver = Driver::new(300);
    driver.limiter.key_refused(2, 2, driver.now);
    driver.limiter.key_accepted(1);
    assert!(!driver.spend("a"));
    driver.limiter.key_accepted(2);
    assert!(driver.spend("a"));
}

#[test]
fn probes_of_a_refused_key_are_a_minute_apart() {
    let mut driver = Driver::new(300);
    let begin = driver.now;
    driver.limiter.key_refused(1, 1, begin);
    for name in ["a", "b", "c"] {
        assert!(driver.try_take(name, "a", Class::SpecChange).is_err());
    }
    for minute in 1..=3 {
        let granted = driver.next_granted();
        let now = driver.now;
        assert!(now - begin >= PROBE_EVERY * minute);
        assert!(driver.spend(granted.as_str()), "the probe may leave");
        driver.limiter.key_refused(1, 1, now);
    }
}

#[test]
fn a_released_grant_goes_to_the_next() {
    let mut driver = Driver::new(60);
    for number in 0..60 {
        assert!(driver.spend(&format!("u{number}")));
    }
    assert!(driver.try_take("a", "a", Class::SpecChange).is_err());
    assert!(driver.try_take("b", "a", Class::SpecChange).is_err());
    assert_eq!(driver.next_granted(), user("a"));
    let granted_at = driver.now;
    driver.limiter.cancel(&user("a"));
    assert_eq!(driver.next_granted(), user("b"));
    assert!(driver.now - granted_at < Duration::from_secs(10));
}

/// Sends all calls that are allowed within a minute, and returns their number.
fn calls_in_a_minute(driver: &mut Driver) -> usize {
    let end = driver.now + WINDOW;
    let mut calls = 0;
    while driver.now < end {
        calls += usize::from(driver.spend("greedy"));
        driver.advance(Duration::from_millis(50));
    }
    calls
}

#[test]
fn throttling_halves_the_rate_which_recovers_without_a_burst() {
    let mut driver = Driver::new(300);
    let _ = calls_in_a_minute(&mut driver);
    driver
        .limiter
        .throttled(Some(Duration::from_secs(1)), driver.now);
    driver.advance(Duration::from_millis(1100));
    // The rate gains at most five per cent of the limit a minute.
    let halved = calls_in_a_minute(&mut driver);
    assert!((140..=175).contains(&halved), "{halved} calls after a 429");
    for _ in 0..6 {
        let before = driver.rate();
        let calls = calls_in_a_minute(&mut driver);
        let after = driver.rate();
        assert!(after <= before + 31.0, "{before} to {after}");
        assert!(calls <= 300);
    }
    assert!(driver.rate() > 299.0);
}

#[test]
fn throttling_at_once_counts_once_and_endless_throttling_leaves_the_slowest_rate() {
    let mut driver = Driver::new(300);
    for _ in 0..16 {
        driver.limiter.throttled(Some(Duration::ZERO), driver.now);
    }
    assert!((driver.rate() - 150.0).abs() < 1.0);
    for _ in 0..20 {
        driver.advance(Duration::from_secs(6));
        driver.limiter.throttled(Some(Duration::ZERO), driver.now);
    }
    let slowest = driver.rate();
    assert!((6.0..8.0).contains(&slowest), "{slowest} calls a minute");
    // It has recovered after half an hour.
    driver.advance(Duration::from_mins(30));
    assert!(driver.rate() > 299.0);
}

#[test]
fn flow_with_thousands_of_waiters_costs_another_at_most_two_places() {
    let mut driver = Driver::new(60);
    while driver.spend("first") {}
    driver.limiter.cancel(&user("first"));
    for number in 0..5_000 {
        let name = format!("busy-{number}");
        let place = driver.try_take(&name, "busy", Class::SpecChange);
        assert!(place.is_err());
    }
    let lone = driver.try_take("lone", "quiet", Class::SpecChange);
    assert!(lone.is_err());
    let first = driver.next_granted();
    let second = driver.next_granted();
    assert!(
        [&first, &second].contains(&&user("lone")),
        "{first} and {second} were granted first"
    );
}

#[test]
fn waiting_changes_are_counted_and_cancelled_ones_are_not() {
    let mut driver = Driver::new(60);
    while driver.spend("first") {}
    driver.limiter.cancel(&user("first"));
    // Each is queued, and cancelled.
    for number in 0..500 {
        let name = format!("u{number}");
        assert!(driver.try_take(&name, "a", Class::Sweep).is_err());
        driver.limiter.cancel(&user(&name));
    }
    for name in ["x", "y"] {
        assert!(driver.try_take(name, "a", Class::DriftRepair).is_err());
    }
    assert_eq!(driver.limiter.waiting(), [0, 0, 2, 0, 0]);
}

#[test]
fn a_changed_key_ends_the_hold_of_the_refused_one() {
    let mut driver = Driver::new(60);
    driver.limiter.key_refused(1, 1, driver.now);
    assert!(!driver.spend("alice"));
    driver.limiter.cancel(&user("alice"));
    driver.limiter.key_changed(1);
    assert!(!driver.spend("alice"), "it is the same key");
    driver.limiter.cancel(&user("alice"));
    driver.limiter.key_changed(2);
    assert!(driver.spend("alice"));
}

/// While the key is refused there is one probe a minute: one that was not sent does not count.
#[test]
fn a_probe_that_was_not_sent_is_due_again_at_once() {
    let mut driver = Driver::new(300);
    driver.limiter.key_refused(1, 1, driver.now);
    assert!(driver.try_take("a", "a", Class::SpecChange).is_err());
    let began = driver.now;
    let granted = driver.next_granted();
    assert!(driver.now - began >= PROBE_EVERY);
    assert!(driver.may_take(granted.as_str()));
    let again = driver.try_take("b", "b", Class::SpecChange);
    assert!(again.is_ok_and(|permit| driver.spend_permit(permit)));
    let third = driver.try_take("c", "c", Class::SpecChange);
    assert!(third.is_err(), "that one was sent");
}

/// Nor does one whose grant expired or was cancelled.
#[test]
fn a_granted_probe_that_is_not_used_is_due_again() {
    for released in [true, false] {
        let mut driver = Driver::new(300);
        driver.limiter.key_refused(1, 1, driver.now);
        assert!(!driver.may_take("a"));
        let granted = driver.next_granted();
        if released {
            driver.limiter.cancel(&granted);
        } else {
            driver.advance(GRANT_LIFETIME + Duration::from_secs(1));
            driver.grant_all();
        }
        assert!(driver.may_take("b"), "released: {released}");
    }
}

#[test]
fn grants_are_withdrawn_when_the_key_is_refused() {
    let mut driver = Driver::new(60);
    driver
        .limiter
        .pause(Some(Duration::from_secs(1)), driver.now);
    let waiting = driver
        .limiter
        .try_take(&user("a"), "ns", Class::SpecChange, driver.now);
    assert_eq!(waiting.err().unwrap().blocked_by, BlockedBy::Paused);
    assert_eq!(driver.next_granted(), user("a"));
    driver.limiter.key_refused(1, 1, driver.now);
    let refused = driver
        .limiter
        .try_take(&user("a"), "ns", Class::SpecChange, driver.now);
    assert_eq!(refused.err().unwrap().blocked_by, BlockedBy::KeyRefused);
    driver.advance(PROBE_EVERY);
    let probe = driver
        .limiter
        .try_take(&user("a"), "ns", Class::SpecChange, driver.now);
    assert!(
        driver.limiter.spend(&probe.unwrap(), driver.now),
        "the probe of the minute"
    );
}

#[test]
fn permit_given_before_the_key_was_refused_is_not_spent() {
    let mut driver = Driver::new(60);
    let permit = driver
        .limiter
        .try_take(&user("a"), "ns", Class::SpecChange, driver.now)
        .unwrap();
    driver.limiter.key_refused(1, 1, driver.now);
    assert!(!driver.limiter.spend(&permit, driver.now));
    driver.limiter.put_back(permit);
    driver.limiter.key_changed(2);
    let permit = driver
        .limiter
        .try_take(&user("a"), "ns", Class::SpecChange, driver.now);
    assert!(driver.limiter.spend(&permit.unwrap(), driver.now));
}
