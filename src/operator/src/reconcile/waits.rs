//! When a wait is told in status. One that ends soon is not worth a write, and of thousands that begin together not all may
//! be told together: an edit whose turn has come would stand behind their passes and writes. Time is a parameter; what is
//! told, and whether, is decided elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fireworks_core::time::Moment;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A wait is told in status when it lasts longer.
const AFTER: Duration = Duration::from_secs(5);
/// Between two waits that are told.
const APART: Duration = Duration::from_millis(10);
/// Waits told at once, where the API server takes longer than that for each.
pub const AT_ONCE: usize = 4;

/// The waits of all objects.
#[derive(Debug)]
pub struct Waits {
    last: Mutex<Option<Moment>>,
    turns: Semaphore,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl Waits {
    /// When to tell of a wait that begins now, if it still lasts then: after 5 s, or after those that began before it.
    pub fn begin(&self, now: Moment) -> Moment {
        self.place(now + AFTER)
    }

    /// When to try again, where there was no turn: behind all others, so that a slow API server does not make those who
    /// found none look for one more and more often.
    pub fn again(&self, now: Moment) -> Moment {
        self.place(now + APART)
    }

    fn place(&self, soonest: Moment) -> Moment {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let at = last.map_or(soonest, |last| soonest.max(last + APART));
        *last = Some(at);
        at
    }

    /// The right to tell now; none while too many others are being told.
    pub fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn one_wait_is_told_after_five_seconds_and_five_thousand_one_after_the_other() {
        let (waits, now) = (Waits::default(), clock::now());
        assert_eq!(waits.begin(now), now + AFTER);
        let crowd: Vec<Moment> = (1..5_000).map(|_| waits.begin(now)).collect();
        assert!(crowd.windows(2).all(|two| two[1] - two[0] == APART));
        assert_eq!(crowd.last(), Some(&(now + AFTER + APART * 4_999)));
        assert_eq!(waits.again(now), now + AFTER + APART * 5_000);
        let later = now + Duration::from_mins(2);
        assert_eq!(waits.again(later), later + APART);
        assert_eq!(waits.begin(later), later + AFTER);
    }
}
