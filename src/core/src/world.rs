//! What all reconciliations share: everything that the process holds in memory and that decisions read or change.

use std::collections::BTreeMap;
use std::time::Duration;

use fireworks_api::wire::{AccountId, UserRef};
use jiff::Timestamp;

use crate::account::{self, Account, Notice};
use crate::claims::{Claims, Contended, Effect, ObjectKey};
use crate::grants::Grants;
use crate::random::Random;
use crate::time::Moment;
use crate::user::object::CachedUser;
use crate::user::pending_reports::PendingReports;
use crate::user::state::{ObjectState, ObjectStates};

/// When a step is made, by both clocks, and with which API key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Now {
    /// The monotonic time, for durations.
    pub at: Moment,
    /// The wall-clock time, for what people and APIs read.
    pub time: Timestamp,
    /// The version of the API key in use.
    pub key_version: u64,
}

/// What decisions are configured by.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Settings {
    /// Every object observes.
    pub observe_only: bool,
    /// The time within which a change whose outcome is unknown may still take effect.
    pub settle_window: Duration,
    /// The shortest time between two sweeps.
    pub sweep_interval: Duration,
    /// The most requests in any 60 s.
    pub requests_per_minute: u32,
    /// The number of users beyond which a list has failed.
    pub max_users: usize,
    /// The limits of what objects may grant and take away.
    pub grants: Grants,
}

/// What all reconciliations share.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct World {
    /// The configured account.
    pub account: Account,
    /// Further accounts. They share nothing with the configured one.
    pub others: BTreeMap<AccountId, Account>,
    /// Which object owns which user.
    pub claims: Claims,
    /// What is kept of single objects beside their status.
    pub objects: ObjectStates,
    /// When waits are reported.
    pub pending: PendingReports,
    /// Jitter.
    pub random: Random,
    /// Settings.
    pub settings: Settings,
    /// The time at which this epoch began: what a former process sent may take effect after it.
    pub epoch: Moment,
    /// A former process may have sent changes before the epoch.
    pub may_have_former: bool,
}

/// What has to happen outside since the signals were last taken.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Signals {
    /// Users whose objects must be requeued, in that order; one may occur more than once.
    pub requeue: Vec<UserRef>,
    /// The same of users whose change was granted a permit: where no object declares the user any more, the permit is released.
    pub granted: Vec<UserRef>,
    /// An outage of Fireworks has ended: pending objects need not wait for their back-off.
    pub outage_ended: bool,
    /// What the log and the metrics must show, in that order.
    pub notices: Vec<Notice>,
}

impl World {
    /// Returns the world at the beginning of an epoch, with that account: nothing is known yet. `seed` determines all jitter.
    #[must_use]
    pub fn new(account: AccountId, settings: Settings, now: Moment, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            account: Account::new(account, &settings, now, random.draw()),
            others: BTreeMap::new(),
            claims: Claims::default(),
            objects: ObjectStates::default(),
            pending: PendingReports::default(),
            random,
            settings,
            epoch: now,
            may_have_former: true,
        }
    }

    /// Begins a new epoch with these objects, all of the configured account: nothing else is known any more. `had_former`: another
    /// process may have sent changes before. Where none is known of, a status of one of the objects shows it.
    pub fn begin_epoch<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a CachedUser> + Clone,
        had_former: bool,
        now: Moment,
    ) {
        let (account, settings) = (self.account.id.clone(), self.settings.clone());
        let (seed, rules) = (self.random.draw(), self.account.rules);
        *self = Self::new(account.clone(), settings, now, seed);
        self.account = self.account.clone().with_rules(rules);
        self.claims = Claims::with_rules(rules);
        let is_reported = objects.clone().any(|object| object.reported.is_some());
        self.may_have_former = (rules.presumes_former)(had_former, is_reported);
        for object in objects {
            self.object_found(object);
            // All objects are reconciled in a new epoch.
            let _ = self.object_changed(&account, object, now);
        }
    }

    /// Returns the account of that id, where it is served.
    #[must_use]
    pub fn account_of(&mut self, id: &AccountId) -> Option<&mut Account> {
        if *id == self.account.id {
            return Some(&mut self.account);
        }
        self.others.get_mut(id)
    }

    /// Takes the signals of all accounts. Whatever changes the world has to take and obey them afterwards.
    #[must_use]
    pub fn take_signals(&mut self) -> Signals {
        let mut signals = Signals::default();
        for account in std::iter::once(&mut self.account).chain(self.others.values_mut()) {
            let account::Signals {
                requeue,
                granted,
                outage_ended,
                notices,
            } = account.take_signals();
            let of_account = |user| UserRef {
                account: account.id.clone(),
                user,
            };
            signals.requeue.extend(requeue.into_iter().map(of_account));
            signals.granted.extend(granted.into_iter().map(of_account));
            signals.outage_ended |= outage_ended;
            signals.notices.extend(notices);
        }
        signals
    }

    /// Records that the object, which belongs to that account, was created or changed. Returns the objects that must be requeued
    /// beside it.
    pub fn object_changed(
        &mut self,
        account: &AccountId,
        object: &CachedUser,
        now: Moment,
    ) -> Vec<ObjectKey> {
        self.record_claim(object, false);
        let claim = object.claim(account, self.settings.observe_only);
        let effect = self.claims.set(&object.key, claim, now);
        self.follow_claims(effect)
    }

    /// The object is gone. Returns the objects that must be requeued.
    pub fn object_removed(&mut self, object: &CachedUser, now: Moment) -> Vec<ObjectKey> {
        let effect = self.claims.set(&object.key, None, now);
        let requeue = self.follow_claims(effect);
        self.objects.forget(&object.uid);
        requeue
    }

    /// The object was there when the epoch began: a former process may have left a change of its user in flight, has recorded
    /// who holds the user, and has seen what was requested by annotation. Must be followed by [`Self::object_changed`].
    pub fn object_found(&mut self, object: &CachedUser) {
        if object.is_being_deleted {
            return;
        }
        self.record_claim(object, true);
        let presumes_former = self.account.rules.presumes_former;
        self.may_have_former = presumes_former(self.may_have_former, object.reported.is_some());
        if self.may_have_former && !object.is_ready() {
            self.objects.set_possibly_in_flight(&object.uid);
        }
        if let Some(requested) = object.requested_at {
            let (uid, generation) = (&object.uid, object.generation);
            let record = |entry: &mut ObjectState| entry.requested_at = Some(requested);
            self.objects.update(uid, generation, record);
        }
    }

    /// Records what status shows of the claim, where that is read.
    fn record_claim(&mut self, object: &CachedUser, is_found: bool) {
        if (self.account.rules.reads_claim)(is_found) {
            self.claims.record(&object.key, object.recorded_claim());
        }
    }

    fn follow_claims(&mut self, effect: Effect) -> Vec<ObjectKey> {
        let Effect {
            requeue,
            managed,
            suspended,
            removed,
            contended,
        } = effect;
        if let Some(Contended { holder, contender }) = contended {
            self.objects.contender_appeared(&holder, contender);
        }
        if let Some(uid) = removed {
            self.objects.forget(&uid);
        }
        for (UserRef { account, user }, is_suspended) in suspended {
            if let Some(account) = self.account_of(&account) {
                account.set_suspended(&user, is_suspended);
            }
        }
        for (UserRef { account, user }, is_managed) in managed {
            let Some(account) = self.account_of(&account) else {
                continue;
            };
            account.set_managed(&user, is_managed);
            if !is_managed {
                account.denials.forget(&user);
                account.limiter.cancel(&user);
            }
        }
        requeue
    }
}

#[cfg(test)]
mod tests;
