//! How long to wait before trying again: exponential with full jitter. Pure: the caller draws the random number. Knows nothing of what is retried; the caller counts the attempts and owns the timer.

use std::time::Duration;

/// No wait is shorter than this, whatever the jitter: a failing object must never become a hot loop.
pub const FLOOR: Duration = Duration::from_millis(100);

/// An exponential back-off with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first retry. Doubles with every attempt.
    pub base: Duration,
    /// No wait is longer than this, unless it is below [`FLOOR`].
    pub cap: Duration,
}

impl Default for Backoff {
    /// From 1 second to 5 minutes.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_mins(5),
        }
    }
}

impl Backoff {
    /// The longest wait the given attempt can draw; attempt 0 is the first retry.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap).max(FLOOR)
    }

    /// The wait before the given attempt, spread evenly between [`FLOOR`] and [`Backoff::ceiling`] by `random` in
    /// 0..1. Numbers outside that range count as its nearer end, anything that is no number as 1.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let ceiling = self.ceiling(attempt);
        let share = if random.is_nan() {
            1.0
        } else {
            random.clamp(0.0, 1.0)
        };
        // A product that no Duration can hold comes from a huge cap with a share of 1: the ceiling itself.
        let drawn = Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).unwrap_or(ceiling);
        drawn.clamp(FLOOR, ceiling)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_until_the_cap() {
        let backoff = Backoff::default();
        let seconds: Vec<u64> = (0..11).map(|n| backoff.ceiling(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.cap);
    }

    #[test]
    fn jitter_spans_the_whole_range() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(4, 0.0), FLOOR);
        assert_eq!(backoff.delay(4, 0.5), Duration::from_secs(8));
        assert_eq!(backoff.delay(4, 1.0), Duration::from_secs(16));
    }

    #[test]
    fn a_random_source_out_of_range_does_no_harm() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(3, f64::NAN), Duration::from_secs(8));
        assert_eq!(backoff.delay(3, f64::INFINITY), Duration::from_secs(8));
        assert_eq!(backoff.delay(3, -1.0), FLOOR);
    }

    #[test]
    fn a_zero_base_still_waits() {
        let backoff = Backoff {
            base: Duration::ZERO,
            cap: Duration::ZERO,
        };
        assert_eq!(backoff.delay(0, 1.0), FLOOR);
    }

    #[test]
    fn two_draws_differ() {
        let draws: std::collections::HashSet<_> = (0..32)
            .map(|_| Backoff::default().delay(8, fastrand::f64()))
            .collect();
        assert!(draws.len() > 1, "32 draws out of 256 s were all the same");
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds(
            attempt in any::<u32>(),
            random in any::<f64>(),
            base in any::<u64>(),
            cap in any::<u64>(),
        ) {
            let backoff = Backoff { base: Duration::from_secs(base), cap: Duration::from_secs(cap) };
            let delay = backoff.delay(attempt, random);
            prop_assert!(delay >= FLOOR);
            prop_assert!(delay <= backoff.ceiling(attempt));
            prop_assert!(delay <= backoff.cap.max(FLOOR));
        }

        #[test]
        fn a_later_attempt_never_waits_less_for_the_same_draw(attempt in 0_u32..64, random in 0.0_f64..1.0) {
            let backoff = Backoff::default();
            prop_assert!(backoff.delay(attempt + 1, random) >= backoff.delay(attempt, random));
        }
    }
}
