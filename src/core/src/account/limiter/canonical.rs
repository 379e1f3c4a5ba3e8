//! The canonical form of a limiter, for a search of states: what holds calls back, and which changes wait in which order.

use super::bucket::Bucket;
use super::priorities::Priorities;
use super::probe::{Probe, Refusal};
use super::suspension::Suspension;
use super::waiters::{Place, Waiters};
use super::{Grant, Limiter, Permit};
use crate::time::Moment;

impl Limiter {
    /// Gives every time the place that `place` returns for it. What was due before `now` counts as due at `now`.
    ///
    /// # Caveats
    /// Leaves out the rate, which is as at the beginning, and the calls of the account itself that wait: a limiter in use loses
    /// both.
    pub fn rebase(&mut self, now: Moment, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            bucket,
            waiters,
            priorities,
            refusal,
            suspension,
            granted,
            outstanding: _,
        } = self;
        let mut place = |at: Moment| place(at.max(now));
        bucket.rebase(now, &mut place);
        waiters.rebase();
        *priorities = Priorities::default();
        if let Some(Refusal { next_probe, .. }) = refusal {
            *next_probe = place(*next_probe);
        }
        if let Some(Suspension { next_probe, .. }) = suspension {
            *next_probe = place(*next_probe);
        }
        for Grant { expires, probe } in granted.values_mut() {
            *expires = place(*expires);
            if let Some(probe) = probe {
                probe.rebase(&mut place);
            }
        }
    }
}

impl Bucket {
    fn rebase(&mut self, now: Moment, place: &mut impl FnMut(Moment) -> Moment) {
        let paused_until = self.paused_until(now).map(&mut *place);
        *self = Self::full(self.per_minute(), place(now), paused_until);
    }
}

impl Waiters {
    /// Changes that wait are numbered from the beginning, and begin to wait at the beginning of time.
    fn rebase(&mut self) {
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

impl Probe {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self { of_key, of_account } = self;
        *of_key = of_key.map(|(version, due)| (version, place(due)));
        *of_account = of_account.map(place);
    }
}

impl Permit {
    /// Gives the times of the permit their places.
    pub(crate) fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        if let Some(probe) = &mut self.probe {
            probe.rebase(place);
        }
    }
}
