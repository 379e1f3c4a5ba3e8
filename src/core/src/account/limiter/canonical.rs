//! The canonical form of a limiter, for a search of states: what holds calls back, and which changes wait in which order.

use super::priorities::Priorities;
use super::waiters::{Place, Waiters};
use super::{Grant, Limiter, Permit};
use crate::rebase::{Rebase, rebase};
use crate::time::Moment;

impl Limiter {
    /// Gives every time the place that `place` returns for it. What was due before `now` counts as due at `now`.
    ///
    /// # Caveats
    /// Leaves out the rate, which is as at the beginning, and the calls of the account itself that wait: a limiter in use loses
    /// both.
    pub fn rebase(&mut self, now: Moment, mut place: impl FnMut(Moment) -> Moment) {
        let mut place = |at: Moment| place(at.max(now));
        self.bucket.rebase(now, &mut place);
        Rebase::rebase(self, &mut place);
    }
}

rebase! { Limiter {
    rebased: waiters, refusal, suspension, granted;
    fixed: priorities = Priorities::default();
    kept: bucket, outstanding;
} }

rebase! { Grant {
    rebased: expires, probe;
} }

/// Changes that wait are numbered from the beginning, and begin to wait at the beginning of time.
impl Rebase for Waiters {
    fn rebase(&mut self, _: &mut impl FnMut(Moment) -> Moment) {
        let mut places: Vec<_> = std::mem::take(self).present.places.into_iter().collect();
        places.sort_by_key(|(_, place)| (place.since, place.number));
        for (user, place) in places {
            let Place {
                class,
                flow,
                number,
                since: _,
            } = place;
            let is_suspended = number == super::waiters::OUT_OF_QUEUE;
            self.enqueue(&user, &flow, class, is_suspended, Moment::default());
        }
    }
}

rebase! { Permit {
    rebased: probe;
} }
