//! When a refused change is tried again: at each whole hour after the time at which Ready last changed, by the wall clock.
//! A restart neither sends anything nor begins the hour again. Pure.

use std::time::Duration;

use jiff::Timestamp;

const HOUR: i64 = 3_600;

/// One of the hours that are counted from a time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Hour {
    pub(super) from: Timestamp,
    number: i64,
}

impl Hour {
    /// Returns the hour in which `now` lies, counted from `from`.
    #[must_use]
    pub fn of(from: Timestamp, now: Timestamp) -> Self {
        let number = seconds(from, now).div_euclid(HOUR);
        Self { from, number }
    }

    /// Whether `now` lies in another hour, be it since the clock was set back.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        Self::of(self.from, now) != self
    }

    /// Returns the time to the next whole hour.
    #[must_use]
    pub fn left(self, now: Timestamp) -> Duration {
        let gone = seconds(self.from, now).rem_euclid(HOUR);
        Duration::from_secs(u64::try_from(HOUR - gone).unwrap_or_default())
    }
}

fn seconds(from: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(from.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_missed_hour_is_not_made_up() {
        let days_ago = at(-1_000_000);
        let hour = Hour::of(days_ago, at(0));
        assert!(!hour.is_over(at(0)), "however old it is");
        let left = hour.left(at(0));
        assert_eq!(left, Duration::from_secs(800));
        assert!(!hour.is_over(at(799)));
        assert!(hour.is_over(at(800)));
        assert!(hour.is_over(at(-10_000)), "a clock that was set back");
    }
}
