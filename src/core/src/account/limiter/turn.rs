//! What is served next, and what stops it.

use fireworks_api::wire::UserId;

use super::fair_queue::Waiter;
use super::probe::Probe;
use super::{BlockedBy, Class, Grant, Limiter, Permit};
use crate::time::Moment;

/// What is served next.
pub(super) enum Turn {
    /// A read of the account itself.
    Account,
    /// The change of that user, which probes whether the account is served again.
    Probe(UserId),
    /// The first waiter of the class.
    Queue,
}

impl Limiter {
    /// Returns what stops every call at `now`, and until when.
    pub(super) fn blocked(&self, now: Moment) -> Option<(BlockedBy, Moment)> {
        let pause = self.bucket.paused_until(now);
        let probe = self.refusal.as_ref().map(|refusal| refusal.next_probe);
        pause
            .map(|until| (BlockedBy::Paused, until))
            .or_else(|| Some((BlockedBy::KeyRefused, probe.filter(|at| now < *at)?)))
    }

    /// Returns what is served next, and in which class it counts.
    pub(super) fn next_turn(&mut self, now: Moment) -> Option<(usize, Turn)> {
        if self.waiters.has_account_read() {
            return Some((Class::SpecChange as usize, Turn::Account));
        }
        if let Some(suspension) = &self.suspension {
            let is_due = suspension.is_probe_due(now);
            if let Some((user, class)) = self.waiters.oldest().filter(|_| is_due) {
                return Some((class as usize, Turn::Probe(user.clone())));
            }
            if suspension.holds_reads() && !is_due {
                return None;
            }
        }
        let waiting = self.waiters.waiting();
        let class = self.priorities.next(waiting)?;
        Some((class, Turn::Queue))
    }

    /// Whether a change of that user, were it to wait in that class, is the next to be served.
    pub(super) fn is_next(&mut self, user: &UserId, class: Class) -> bool {
        let mut waiting = self.waiters.waiting();
        if let Some(own) = waiting.get_mut(class as usize) {
            *own = true;
        }
        let is_own = |first: &Waiter| matches!(first, Waiter::Change(other, _) if other == user);
        let first = self.waiters.first(class as usize);
        first.is_none_or(is_own) && self.priorities.next(waiting) == Some(class as usize)
    }

    /// Whether a change of that user may probe the suspended account now: none has waited longer.
    pub(super) fn may_probe(&self, user: &UserId, now: Moment) -> bool {
        let suspension = self.suspension.as_ref();
        suspension.is_some_and(|suspension| suspension.is_probe_due(now))
            && self
                .waiters
                .oldest()
                .is_none_or(|(oldest, _)| oldest == user)
    }

    /// Records that a call of that class has a token.
    pub(super) fn served(&mut self, class: usize) {
        let waiting = self.waiters.waiting();
        self.priorities.served(class, waiting);
    }

    pub(super) fn take_token(&mut self, now: Moment) -> bool {
        let reserved = self.reserved();
        self.bucket.take(reserved, now)
    }

    /// Returns the number of tokens that are taken and not spent.
    pub(super) fn reserved(&self) -> usize {
        self.granted.len() + self.outstanding
    }

    pub(super) const fn permit(&mut self, probe: Option<Probe>) -> Permit {
        self.outstanding += 1;
        Permit { probe }
    }

    pub(super) fn take_probe(&mut self, is_change: bool, now: Moment) -> Option<Probe> {
        let (refusal, suspension) = (self.refusal.as_mut(), self.suspension.as_mut());
        Probe::take(refusal, suspension, is_change, now)
    }

    pub(super) fn put_probe_back(&mut self, probe: Option<Probe>) {
        if let Some(probe) = probe {
            probe.put_back(self.refusal.as_mut(), self.suspension.as_mut());
        }
    }

    pub(super) fn put_grant_back(&mut self, grant: Grant) {
        self.bucket.put_back();
        self.put_probe_back(grant.probe);
    }

    pub(super) fn expire_grants(&mut self, now: Moment) {
        let expired = self
            .granted
            .extract_if(.., |_, grant| grant.expires <= now)
            .map(|(_, grant)| grant);
        for grant in expired.collect::<Vec<_>>() {
            self.put_grant_back(grant);
        }
    }

    /// Returns when the next grant expires or the next probe of the suspended account is due.
    pub(super) fn next_expiry(&self, now: Moment) -> Option<Moment> {
        let suspension = self.suspension.as_ref();
        let probe = suspension.filter(|suspension| {
            suspension.holds_reads() || !self.waiters.present.places.is_empty()
        });
        let probe_at = probe.map(|suspension| suspension.next_probe);
        let expiries = self.granted.values().map(|grant| grant.expires);
        expiries.chain(probe_at.filter(|at| *at > now)).min()
    }
}
