//! The monotonic time of decisions.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point of the monotonic time, in whole microseconds since some moment before the process began. The program converts the
/// clock's readings once; everything that decides takes the time as a parameter.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Moment(u64);

impl Moment {
    /// Returns the moment that many microseconds after the beginning.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the beginning.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this moment; zero if that is not earlier.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The latest moment that can be named where the sum is later. Parts of a microsecond are rounded up: a timer that is set
    /// to the sum never fires before the duration is over.
    fn add(self, duration: Duration) -> Self {
        let micros = duration.as_nanos().div_ceil(1_000);
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// The beginning where the difference is earlier.
    fn sub(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_and_difference_stay_within_what_can_be_named() {
        let moment = Moment::from_micros(5);
        assert_eq!(moment + Duration::MAX, Moment::from_micros(u64::MAX));
        assert_eq!(moment - Duration::from_secs(1), Moment::default());
        assert_eq!(Moment::default() - moment, Duration::ZERO);
    }

    #[test]
    fn part_of_a_microsecond_counts_as_a_whole_one() {
        let moment = Moment::default() + Duration::from_nanos(1);
        assert_eq!(moment.as_micros(), 1);
    }
}
