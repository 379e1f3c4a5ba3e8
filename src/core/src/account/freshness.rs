//! How old an observation may be: the one formula of what is stale, by the sweep period as it is now.

use std::time::Duration;

/// The least age from which an observation is stale, however short the sweep period.
const STALE_AFTER_MIN: Duration = Duration::from_mins(10);
/// How old the last complete list may be to count admins by it; where sweeps are lists, this much older than two of their
/// periods.
const LIST_SLACK: Duration = Duration::from_secs(30);

/// How old the knowledge of a user is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Freshness {
    /// Read within the last two sweeps.
    Fresh,
    /// Older, but still within what an object in sync may rely on.
    Aged,
    /// Nothing good was seen for max(10 min, 3 sweep periods).
    Stale,
}

/// The ages of observations at which something ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AgeLimits {
    /// Up to this age an observation of a user is fresh.
    fresh_for: Duration,
    /// Above this age it is stale: up to it an object in sync may rely on one.
    pub(super) stale_after: Duration,
    /// Up to this age admins are counted by a complete list, from its end on: however long it took, it is valid for a while.
    pub(super) list_counts_for: Duration,
}

impl AgeLimits {
    /// Returns the limits at that sweep period; `sweeps_list`: sweeps are lists.
    pub(super) fn of(period: Duration, sweeps_list: bool) -> Self {
        let list_periods = if sweeps_list { 2 } else { 0 };
        Self {
            fresh_for: period * 2,
            stale_after: STALE_AFTER_MIN.max(period * 3),
            list_counts_for: period * list_periods + LIST_SLACK,
        }
    }

    /// Returns whether an observation of that age is stale.
    pub(super) fn is_stale(self, age: Duration) -> bool {
        self.freshness(age) == Freshness::Stale
    }

    /// Returns how old an observation of that age is.
    pub(super) fn freshness(self, age: Duration) -> Freshness {
        if age <= self.fresh_for {
            Freshness::Fresh
        } else if age <= self.stale_after {
            Freshness::Aged
        } else {
            Freshness::Stale
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_mins(5);
    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn observations_age_by_the_sweep_interval_and_are_stale_after_ten_minutes_at_least() {
        let limits = AgeLimits::of(PERIOD, true);
        assert_eq!(limits.freshness(PERIOD * 2), Freshness::Fresh);
        assert_eq!(limits.freshness(PERIOD * 2 + MICROSECOND), Freshness::Aged);
        assert_eq!(limits.freshness(PERIOD * 3), Freshness::Aged);
        assert_eq!(limits.freshness(PERIOD * 3 + MICROSECOND), Freshness::Stale);
        let short = AgeLimits::of(Duration::from_mins(1), true);
        assert_eq!(short.freshness(STALE_AFTER_MIN), Freshness::Aged);
        assert_eq!(
            short.freshness(STALE_AFTER_MIN + MICROSECOND),
            Freshness::Stale
        );
    }

    #[test]
    fn list_counts_for_two_periods_only_where_sweeps_are_lists() {
        let by_lists = AgeLimits::of(PERIOD, true).list_counts_for;
        assert_eq!(by_lists, PERIOD * 2 + LIST_SLACK);
        assert_eq!(AgeLimits::of(PERIOD, false).list_counts_for, LIST_SLACK);
    }
}
