//! What all reconciliations share: everything that the process holds in memory and that decisions read or change.

use std::time::Duration;

use fireworks_api::wire::AccountId;
use jiff::Timestamp;

use crate::account::limiter::Limiter;
use crate::account::{Account, Times};
use crate::claims::{Claims, Effect, ObjectKey};
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
    /// The remote account.
    pub account: AccountId,
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
}

/// What all reconciliations share.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct World {
    /// The remote account.
    pub account: Account,
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
}

impl World {
    /// Returns the world at the beginning of an epoch: nothing is known yet. `seed` determines all jitter.
    #[must_use]
    pub fn new(settings: Settings, now: Moment, seed: u64) -> Self {
        let times = Times {
            settle_window: settings.settle_window,
            sweep_interval: settings.sweep_interval,
        };
        let mut random = Random::new(seed);
        let account_seed = random.draw();
        let limiter = Limiter::new(settings.requests_per_minute, now);
        Self {
            account: Account::new(
                settings.account.clone(),
                times,
                settings.max_users,
                limiter,
                account_seed,
            ),
            claims: Claims::default(),
            objects: ObjectStates::default(),
            pending: PendingReports::default(),
            random,
            settings,
            epoch: now,
        }
    }

    /// The object was created or changed. Returns the objects that must be requeued beside it.
    pub fn object_changed(&mut self, object: &CachedUser) -> Vec<ObjectKey> {
        let claim = object.claim(self.settings.observe_only);
        let effect = self.claims.set(object.key(), claim);
        self.follow_claims(effect)
    }

    /// The object is gone. Returns the objects that must be requeued.
    pub fn object_removed(&mut self, object: &CachedUser) -> Vec<ObjectKey> {
        let effect = self.claims.set(object.key(), None);
        let requeue = self.follow_claims(effect);
        self.objects.forget(object.uid());
        requeue
    }

    /// The object was there when the epoch began: a former process may have left a change of its user in flight, and has seen
    /// what was requested by annotation.
    pub fn object_found(&mut self, object: &CachedUser) {
        if object.is_being_deleted() {
            return;
        }
        if !object.is_ready() {
            self.objects.set_possibly_in_flight(object.uid());
        }
        if let Some(requested) = object.requested_at() {
            let (uid, generation) = (object.uid(), object.generation());
            let record = |entry: &mut ObjectState| entry.requested_at = Some(requested);
            self.objects.update(uid, generation, record);
        }
    }

    fn follow_claims(&mut self, effect: Effect) -> Vec<ObjectKey> {
        let Effect {
            requeue,
            managed,
            suspended,
            removed,
        } = effect;
        if let Some(uid) = removed {
            self.objects.forget(&uid);
        }
        let account = &mut self.account;
        for (user, is_suspended) in suspended {
            account.set_suspended(&user, is_suspended);
        }
        for (user, is_managed) in managed {
            account.set_managed(&user, is_managed);
            if !is_managed {
                account.denials.forget(&user);
                account.limiter.cancel(&user);
            }
        }
        requeue
    }

    /// Returns the time from which a read shows the outcome of everything that a former process sent.
    #[must_use]
    pub fn settled_from(&self) -> Moment {
        self.epoch + self.settings.settle_window
    }

    /// Returns the time from which an object in sync reports that no read of its user has succeeded, where none has. It moves
    /// with the sweep period.
    #[must_use]
    pub fn stale_from(&self) -> Moment {
        self.epoch + self.account.stale_after() + Duration::from_secs(1)
    }
}
