//! The limiter of pending statuses: when a wait is written to status. A wait that ends soon is not worth a write, and of
//! thousands that begin together not all may be written together: an edit whose turn has come would queue behind their
//! reconciliations and writes.

use std::time::Duration;

use crate::time::Moment;

/// A wait is reported when it lasts longer.
const AFTER: Duration = Duration::from_secs(5);
/// The time between two waits that are reported.
const APART: Duration = Duration::from_millis(10);
/// The number of waits that are reported at once, where the API server takes longer than that for each.
pub const AT_ONCE: u8 = 4;

/// The waits of all objects.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct PendingReports {
    last: Option<Moment>,
    in_progress: u8,
}

impl PendingReports {
    /// Returns when to report a wait that begins now, if it still lasts then: after 5 s, or after those that began before it.
    pub fn begin(&mut self, now: Moment) -> Moment {
        self.place(now + AFTER)
    }

    /// Returns when to try again where [`PendingReports::acquire`] failed: after all others, so that a slow API server does not
    /// make those that wait try more and more often.
    pub fn again(&mut self, now: Moment) -> Moment {
        self.place(now + APART)
    }

    fn place(&mut self, soonest: Moment) -> Moment {
        let at = self.last.map_or(soonest, |last| soonest.max(last + APART));
        self.last = Some(at);
        at
    }

    /// Takes one of the slots for reports. Returns `false` while all are taken.
    #[must_use]
    pub fn acquire(&mut self) -> bool {
        let is_free = self.in_progress < AT_ONCE;
        self.in_progress += u8::from(is_free);
        is_free
    }

    /// Gives a slot back.
    pub fn give_back(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttled_is_reported_after_five_seconds_and_of_five_thousand_one_by_one() {
        let (mut waits, now) = (PendingReports::default(), Moment::from_micros(1 << 40));
        assert_eq!(waits.begin(now), now + AFTER);
        let many: Vec<Moment> = (1..5_000).map(|_| waits.begin(now)).collect();
        assert!(many.windows(2).all(|two| two[1] - two[0] == APART));
        assert_eq!(many.last(), Some(&(now + AFTER + APART * 4_999)));
        assert_eq!(waits.again(now), now + AFTER + APART * 5_000);
        let later = now + Duration::from_mins(2);
        assert_eq!(waits.again(later), later + APART);
        assert_eq!(waits.begin(later), later + AFTER);
    }

    #[test]
    fn slots_are_taken_and_given_back() {
        let mut waits = PendingReports::default();
        let taken = (0..=AT_ONCE).filter(|_| waits.acquire()).count();
        assert_eq!(taken, usize::from(AT_ONCE));
        waits.give_back();
        assert!(waits.acquire() && !waits.acquire());
    }
}
