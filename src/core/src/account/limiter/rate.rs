//! The AIMD rate: the configured limit until the server answers 429, then half of it. It recovers additively to the last proven
//! rate, and after a hold beyond that.

use std::time::Duration;

use crate::time::Moment;

/// One call a minute, in units of a rate. So fine that a rate recovers by a whole number of units in each microsecond: how
/// often it is computed makes no difference.
pub(super) const CALL_A_MINUTE: u64 = 60_000_000 * BEYOND_SHARE;
/// Beyond the proven rate, the rate gains one part in this number of the limit a minute.
const BEYOND_SHARE: u64 = 20;
/// Up to the proven rate, the gain is this multiple of the gain beyond it.
const RECOVERY: u64 = 2;
/// The lowest rate after any number of 429s: calls a minute.
const SLOWEST: u64 = 6;
/// 429s within this time count once: their calls were sent before the first answer arrived.
const SAME_BURST: Duration = Duration::from_secs(5);
/// A rate in use for this long without a 429 is proven.
const PROVEN_AFTER: Duration = Duration::from_mins(1);
/// The hold of the proven rate after a 429. It doubles with each further one, up to the second value, which bounds how often a
/// server that stays slow is asked for more.
const HOLD: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(5));

/// The rate of calls. Rates are in units, see [`CALL_A_MINUTE`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Rate {
    /// Calls a minute.
    limit: u32,
    current: u64,
    proven: u64,
    as_of: Moment,
    /// When the last 429 arrived.
    throttled: Option<Moment>,
    /// The same, or the end of the pause that followed.
    resumed: Option<Moment>,
    hold: Duration,
}

impl Rate {
    /// Returns a rate at its limit.
    pub(super) fn new(per_minute: u32, now: Moment) -> Self {
        let limit = units(per_minute);
        Self {
            limit: per_minute,
            current: limit,
            proven: limit,
            as_of: now,
            throttled: None,
            resumed: None,
            hold: Duration::ZERO,
        }
    }

    /// Returns the rate at `now`, in units.
    pub(super) fn at(&self, now: Moment) -> u64 {
        let mut recovered = self.clone();
        recovered.recover(now);
        recovered.current
    }

    /// Returns the rate at `now`, in calls a minute.
    pub(super) fn rounded_at(&self, now: Moment) -> u32 {
        let rounded = (self.at(now) + CALL_A_MINUTE / 2) / CALL_A_MINUTE;
        u32::try_from(rounded).unwrap_or(u32::MAX)
    }

    /// Halves the rate after a 429.
    pub(super) fn throttle(&mut self, now: Moment) {
        self.recover(now);
        let is_known = self.throttled.is_some_and(|at| now < at + SAME_BURST)
            || self.resumed.is_some_and(|until| now < until);
        if is_known {
            return;
        }
        let since = self.resumed.map(|at| now - at);
        self.proven = self.proven_after(since);
        self.current = (self.current / 2).max(self.slowest());
        let (first, longest) = HOLD;
        let is_first = since.is_none_or(|since| since > longest * 2);
        self.hold = if is_first {
            first
        } else {
            (self.hold * 2).min(longest)
        };
        self.throttled = Some(now);
        self.resumed = Some(now);
    }

    /// Returns the rate that counts as proven after a 429 at the current rate, that long after the last one.
    fn proven_after(&self, since: Option<Duration>) -> u64 {
        let was_proven = since.is_none_or(|since| since >= PROVEN_AFTER);
        let was_beyond = self.current > self.proven + self.proven / 100;
        let reduced = self.current - self.current / 5;
        match (was_proven, was_beyond) {
            // Either the step beyond the proven rate was too much, or what was gained in the last minute.
            (true, true) => {
                let gained = units(self.limit) / BEYOND_SHARE;
                self.proven
                    .max(reduced.min(self.current.saturating_sub(gained)))
            }
            (true, false) => reduced.max(self.slowest()),
            // 429s that do not end: each halves what counts as proven.
            (false, _) => reduced.max(self.proven / 2).max(self.slowest()),
        }
    }

    /// Stops the recovery until then: while no call leaves, no rate is proven.
    pub(super) fn rest(&mut self, now: Moment, until: Moment) {
        self.recover(now);
        self.as_of = self.as_of.max(until);
        self.resumed = self.resumed.map(|at| at.max(until));
    }

    fn recover(&mut self, now: Moment) {
        let elapsed = now - self.as_of;
        if elapsed.is_zero() {
            return;
        }
        let gain_beyond = u64::from(self.limit).max(1);
        let gain = gain_beyond * RECOVERY;
        let missing = self.proven.saturating_sub(self.current);
        self.current += missing.min(gain.saturating_mul(micros(elapsed)));
        // Beyond the proven rate, only the time after it was reached and the hold ended counts.
        let reached = self.as_of + Duration::from_micros(missing.div_ceil(gain));
        let retry_from = self.resumed.map(|at| at + self.hold);
        let from = retry_from.map_or(reached, |until| until.max(reached));
        let gained = gain_beyond.saturating_mul(micros(now - from));
        self.current = self.current.saturating_add(gained).min(units(self.limit));
        self.as_of = now;
    }

    fn slowest(&self) -> u64 {
        (SLOWEST * CALL_A_MINUTE).min(units(self.limit))
    }
}

fn units(calls_a_minute: u32) -> u64 {
    u64::from(calls_a_minute) * CALL_A_MINUTE
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Reading the rate, for a metric for example, changes no later one.
        #[test]
        fn recovery_is_the_same_however_often_it_is_computed(
            limit in 1..100_000_u32,
            throttled in prop::collection::vec(1..600_000_000_u64, 1..6),
            steps in prop::collection::vec(1..90_000_000_u64, 1..40),
        ) {
            let mut now = Moment::from_micros(1 << 40);
            let mut rate = Rate::new(limit, now);
            for after in throttled {
                now += Duration::from_micros(after);
                rate.throttle(now);
            }
            let mut stepwise = rate.clone();
            for step in steps {
                now += Duration::from_micros(step);
                stepwise.recover(now);
                prop_assert_eq!(stepwise.current, rate.at(now));
            }
        }
    }
}
