//! How fast calls may leave: the configured rate until the server answers 429, then half of it, and
//! slowly back. Pure: every time is a parameter.

use std::time::Duration;

use tokio::time::Instant;

/// No pace is slower, however often the server complains: calls a minute.
const SLOWEST: f64 = 6.0;
/// Several complaints within this time are one: their calls had left before the first was heard.
const ONE_COMPLAINT: Duration = Duration::from_secs(5);
/// A pace reached this long after the last complaint is a good one, to be gone back to. With every
/// complaint before that, what counted as good counts for half.
const PROVEN_AFTER: Duration = Duration::from_mins(1);
/// Up to the last good pace the rate gains this share of the limit a minute, beyond it half of that.
const GAIN: f64 = 0.1;

/// The pace of calls, in calls a minute.
#[derive(Debug)]
pub(super) struct Pace {
    limit: f64,
    rate: f64,
    good: f64,
    as_of: Instant,
    complained: Option<Instant>,
}

impl Pace {
    /// As fast as the limit allows.
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let limit = f64::from(per_minute);
        Self {
            limit,
            rate: limit,
            good: limit,
            as_of: now,
            complained: None,
        }
    }

    /// Calls a minute, now.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        self.recover(now);
        self.rate
    }

    /// The share of the limit that is in use, 0..1.
    pub(super) fn share(&mut self, now: Instant) -> f64 {
        self.rate(now) / self.limit
    }

    /// The server said that calls come too fast.
    pub(super) fn complain(&mut self, now: Instant) {
        self.recover(now);
        let known = self
            .complained
            .is_some_and(|at| now.saturating_duration_since(at) < ONE_COMPLAINT);
        if !known {
            let proven = self
                .complained
                .is_none_or(|at| now.saturating_duration_since(at) >= PROVEN_AFTER);
            self.good = if proven {
                self.rate
            } else {
                self.rate.max(self.good / 2.0)
            };
            self.rate = (self.rate / 2.0).max(SLOWEST).min(self.limit);
            self.complained = Some(now);
        }
    }

    /// No time passes for the pace until then: while nothing may leave, nothing proves it.
    pub(super) fn rest_until(&mut self, until: Instant) {
        self.as_of = self.as_of.max(until);
        self.complained = self.complained.map(|at| at.max(until));
    }

    fn recover(&mut self, now: Instant) {
        let gone = now.saturating_duration_since(self.as_of);
        if gone.is_zero() {
            return;
        }
        self.as_of = now;
        let minutes = gone.as_secs_f64() / 60.0;
        let step = self.limit * GAIN * minutes;
        let known = (self.good - self.rate).clamp(0.0, step);
        self.rate = (self.rate + known + (step - known) / 2.0).min(self.limit);
    }
}
