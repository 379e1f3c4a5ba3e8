//! How fast calls may leave: the configured rate until the server answers 429, then half of it, back to
//! the last pace that was good, and after a while beyond it. Pure: every time is a parameter.

use std::time::Duration;

use fireworks_core::time::Moment;

/// No pace is slower, however often the server complains: calls a minute.
const SLOWEST: f64 = 6.0;
/// Several complaints within this time are one: their calls had left before the first was heard.
const ONE_COMPLAINT: Duration = Duration::from_secs(5);
/// A pace reached this long after the last complaint is a good one, to be gone back to.
const PROVEN_AFTER: Duration = Duration::from_mins(1);
/// What is left of a pace that the server complained of: that much of it counts as good.
const GOOD_SHARE: f64 = 0.8;
/// Up to the last good pace the rate gains this share of the limit a minute, beyond it half of that.
const GAIN: f64 = 0.1;
/// After a complaint the good pace is kept for so long, twice as long after each further one, and at the
/// longest: a server that stays slow is asked for more, and complains, no more often than that.
const KEPT_FOR: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(5));

/// The pace of calls, in calls a minute.
#[derive(Debug)]
pub(super) struct Pace {
    limit: f64,
    rate: f64,
    good: f64,
    as_of: Moment,
    heard: Option<Moment>,
    /// The same, or when the pause after it ended.
    complained: Option<Moment>,
    kept_for: Duration,
}

impl Pace {
    /// As fast as the limit allows.
    pub(super) fn new(per_minute: u32, now: Moment) -> Self {
        let limit = f64::from(per_minute);
        Self {
            limit,
            rate: limit,
            good: limit,
            as_of: now,
            heard: None,
            complained: None,
            kept_for: Duration::ZERO,
        }
    }

    /// Calls a minute, now.
    pub(super) fn rate(&mut self, now: Moment) -> f64 {
        self.recover(now);
        self.rate
    }

    /// The share of the limit that is in use, 0..1.
    pub(super) fn share(&mut self, now: Moment) -> f64 {
        self.rate(now) / self.limit
    }

    /// The server said that calls come too fast.
    pub(super) fn complain(&mut self, now: Moment) {
        self.recover(now);
        let is_known = self.heard.is_some_and(|at| now < at + ONE_COMPLAINT)
            || self.complained.is_some_and(|until| now < until);
        if is_known {
            return;
        }
        let quiet = self.complained.map(|at| now.saturating_duration_since(at));
        let slowest = SLOWEST.min(self.limit);
        let proven = quiet.is_none_or(|quiet| quiet >= PROVEN_AFTER);
        let share = self.rate * GOOD_SHARE;
        let was_beyond = self.rate > self.good * 1.01;
        self.good = match (proven, was_beyond) {
            // It was too much to ask for more than was good, or than what was asked for a minute ago.
            (true, true) => self
                .good
                .max(share.min(self.rate - self.limit * GAIN / 2.0)),
            (true, false) => share.max(slowest),
            // Where it does not stop complaining, what counted as good counts for half with each time.
            (false, _) => share.max(self.good / 2.0).max(slowest),
        };
        self.rate = (self.rate / 2.0).max(slowest);
        let (first, longest) = KEPT_FOR;
        let is_old = quiet.is_none_or(|quiet| quiet > longest * 2);
        self.kept_for = if is_old {
            first
        } else {
            (self.kept_for * 2).min(longest)
        };
        self.heard = Some(now);
        self.complained = Some(now);
    }

    /// No time passes for the pace until then: while nothing may leave, nothing proves it.
    pub(super) fn rest_until(&mut self, until: Moment) {
        self.as_of = self.as_of.max(until);
        self.complained = self.complained.map(|at| at.max(until));
    }

    fn recover(&mut self, now: Moment) {
        let minutes = |time: Duration| time.as_secs_f64() / 60.0;
        let gone = now.saturating_duration_since(self.as_of);
        if gone.is_zero() {
            return;
        }
        let gain = self.limit * GAIN;
        let missing = (self.good - self.rate).max(0.0);
        let known = missing.min(gain * minutes(gone));
        self.rate += known;
        // Beyond the good pace only the time counts after it was reached and has been kept.
        let reached = self.as_of + Duration::from_secs_f64(missing / gain * 60.0);
        let kept_until = self.complained.map(|at| at + self.kept_for);
        let from = kept_until.map_or(reached, |until| until.max(reached));
        let beyond = minutes(now.saturating_duration_since(from));
        self.rate = (self.rate + gain / 2.0 * beyond).min(self.limit);
        self.as_of = now;
    }
}
