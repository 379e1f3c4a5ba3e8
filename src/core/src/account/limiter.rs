//! The rate limiter of one account: every call needs a [`Permit`] from here.
//!
//! A token bucket bounded by a sliding window of 60 s, pauses that the server asks for, the hold after a refused key or a
//! suspended account, and the queue of the calls that wait. A change never blocks: it gets a permit, or a place in the queue
//! from which [`Limiter::next_grant`] grants it one. Knows no HTTP.

mod bucket;
mod canonical;
mod fair_queue;
mod priorities;
mod probe;
mod rate;
pub mod suspension;
mod turn;
mod waiters;

use std::collections::BTreeMap;
use std::time::Duration;

use fireworks_api::wire::UserId;

use crate::time::Moment;
use bucket::Bucket;
use fair_queue::Waiter;
use priorities::Priorities;
use probe::{Probe, Refusal};
use suspension::{Name, Suspension};
use turn::Turn;
use waiters::Waiters;

/// A grant that is not used within this time goes back.
const GRANT_LIFETIME: Duration = Duration::from_secs(10);
/// While the key is refused, or the account suspended, one call in this time probes whether it still is.
const PROBE_EVERY: Duration = Duration::from_mins(1);

/// The priority of a call, the highest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// A change that the operator owes the account whatever objects declare.
    Owed,
    /// The spec of an object changed.
    SpecChange,
    /// The remote user drifted from its spec.
    DriftRepair,
    /// A user seems to be absent.
    AbsenceCheck,
    /// The periodic read of all users.
    Sweep,
}

const CLASSES: usize = 5;

/// Why no permit was given.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BlockedBy {
    /// The rate is used up, or others are served first.
    Budget,
    /// The server asked for a pause.
    Paused,
    /// The API key was refused; one probe a minute is sent.
    KeyRefused,
    /// The account is suspended; one probe a minute is sent.
    AccountSuspended,
}

/// The change has a place in the queue, and is requeued with a grant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Waiting {
    /// When it began to wait.
    pub since: Moment,
    /// What it waits for.
    pub blocked_by: BlockedBy,
}

/// A call of the account itself that waits for a permit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(u64);

/// The right to send one call. Either [`Limiter::spend`] or [`Limiter::put_back`] ends it; one that is lost takes its share of
/// the rate with it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use = "an unspent permit has to be put back"]
pub struct Permit {
    probe: Option<Probe>,
}

/// What [`Limiter::next_grant`] did, or waits for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub enum Next {
    /// The change of that user was granted: its objects are to be requeued. [`Limiter::try_take`] returns the permit.
    Change(UserId),
    /// That call has a permit.
    Call(CallId, Permit),
    /// Nothing can be granted before that time, or before another call of a method.
    WakeAt(Option<Moment>),
}

/// A permit that was granted to a user and not taken yet.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Grant {
    expires: Moment,
    probe: Option<Probe>,
}

/// The rate limiter of one account.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Limiter {
    bucket: Bucket,
    waiters: Waiters,
    priorities: Priorities,
    refusal: Option<Refusal>,
    suspension: Option<Suspension>,
    granted: BTreeMap<UserId, Grant>,
    /// Permits that are neither spent nor put back.
    outstanding: usize,
}

impl Limiter {
    /// Returns a limiter of `per_minute` calls in any 60 s.
    #[must_use]
    pub fn new(per_minute: u32, now: Moment) -> Self {
        Self {
            bucket: Bucket::new(per_minute, now),
            waiters: Waiters::default(),
            priorities: Priorities::default(),
            refusal: None,
            suspension: None,
            granted: BTreeMap::new(),
            outstanding: 0,
        }
    }

    /// Returns a permit for a change of `user`, or gives it a place in the queue. Within a class, flows are served
    /// round-robin: a flow is what must not wait for all waiters of another, such as a namespace.
    ///
    /// # Errors
    /// [`Waiting`] if there is no permit now; [`Next::Change`] reports a later one.
    pub fn try_take(
        &mut self,
        user: &UserId,
        flow: &str,
        class: Class,
        now: Moment,
    ) -> Result<Permit, Waiting> {
        let blocked = self.blocked(now);
        let is_paused = matches!(blocked, Some((BlockedBy::Paused, _)));
        // While the key is refused, the grant is the probe: it is valid although all others wait.
        if !is_paused && let Some(grant) = self.granted.remove(user) {
            return Ok(self.permit(grant.probe));
        }
        let is_suspended = self.suspension.is_some();
        let is_next = if is_suspended {
            self.may_probe(user, now)
        } else {
            self.is_next(user, class)
        };
        if blocked.is_none() && is_next && self.take_token(now) {
            self.waiters.cancel(user);
            self.served(class as usize);
            let probe = self.take_probe(true, now);
            return Ok(self.permit(probe));
        }
        let since = self
            .waiters
            .enqueue(user, &flow.into(), class, is_suspended, now);
        let blocked_by = match blocked {
            Some((blocked_by, _)) => blocked_by,
            None if is_suspended => BlockedBy::AccountSuspended,
            None => BlockedBy::Budget,
        };
        Err(Waiting { since, blocked_by })
    }

    /// Returns, while the account is suspended, whether the change of `user` is the probe. If not, it gets a place among
    /// those that may become it.
    #[must_use]
    pub fn wait_for_turn(&mut self, user: &UserId, flow: &str, class: Class, now: Moment) -> bool {
        let is_granted = self.granted.contains_key(user);
        if !is_granted {
            let is_suspended = self.suspension.is_some();
            self.waiters
                .enqueue(user, &flow.into(), class, is_suspended, now);
        }
        is_granted
    }

    /// Queues a call of the account itself. [`Next::Call`] hands on its permit.
    pub fn enqueue_call(&mut self, class: Class) -> CallId {
        self.waiters.enqueue_call(class)
    }

    /// Queues a read of the account itself, which is served before all other calls, also while it is suspended.
    pub fn enqueue_account_read(&mut self) -> CallId {
        self.waiters.enqueue_account_read()
    }

    /// Cancels a queued call. Nothing happens if it has its permit.
    pub fn cancel_call(&mut self, call: CallId) {
        self.waiters.cancel_call(call);
    }

    /// Cancels the queued change of a user, and its grant, which may now be granted to another.
    pub fn cancel(&mut self, user: &UserId) {
        self.waiters.cancel(user);
        if let Some(grant) = self.granted.remove(user) {
            self.put_grant_back(grant);
        }
    }

    /// Grants one call that waits, if one can be granted. To be called until it returns [`Next::WakeAt`], then at that time
    /// and after each other method.
    pub fn next_grant(&mut self, now: Moment) -> Next {
        self.expire_grants(now);
        let Some((class, turn)) = self.next_turn(now) else {
            return Next::WakeAt(self.next_expiry(now));
        };
        if let Some((_, until)) = self.blocked(now) {
            return Next::WakeAt(Some(until));
        }
        if !self.take_token(now) {
            let useful = self.waiters.useful(class);
            let token = self.bucket.next_at(useful, self.reserved(), now);
            let expiry = self.next_expiry(now);
            return Next::WakeAt(Some(expiry.map_or(token, |at| token.min(at))));
        }
        let waiter = match turn {
            Turn::Account => self.waiters.pop_account_read().map(Waiter::Call),
            Turn::Probe(user) => Some(Waiter::Change(user, 0)),
            Turn::Queue => self.waiters.pop(class),
        };
        let Some(waiter) = waiter else {
            self.bucket.put_back();
            return Next::WakeAt(self.next_expiry(now));
        };
        self.served(class);
        let probe = self.take_probe(matches!(waiter, Waiter::Change(..)), now);
        match waiter {
            Waiter::Change(user, _) => {
                self.waiters.cancel(&user);
                let expires = now + GRANT_LIFETIME;
                self.granted.insert(user.clone(), Grant { expires, probe });
                Next::Change(user)
            }
            Waiter::Call(call) => Next::Call(call, self.permit(probe)),
        }
    }

    /// Uses a permit up: the call leaves now. `false` if a pause began meanwhile, or the key was refused: the call must not
    /// leave, and the permit is to be put back.
    #[must_use]
    pub fn spend(&mut self, permit: &Permit, now: Moment) -> bool {
        let is_probe = permit.probe.as_ref().is_some_and(Probe::is_of_key);
        let is_spent = (is_probe || !self.is_key_refused()) && self.bucket.spend(now);
        if is_spent {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        is_spent
    }

    /// Puts an unspent permit back, and makes the probe that it was due again.
    pub fn put_back(&mut self, permit: Permit) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.bucket.put_back();
        self.put_probe_back(permit.probe);
    }

    /// Records a 429: a pause, and half of the rate after it.
    pub fn throttled(&mut self, wait: Option<Duration>, now: Moment) {
        self.bucket.throttle(wait, now);
    }

    /// Records that the server asked for a pause: no call leaves before it ends.
    pub fn pause(&mut self, wait: Option<Duration>, now: Moment) {
        self.bucket.pause(wait, now);
    }

    /// Returns whether the server asked for a pause that lasts.
    #[must_use]
    pub fn is_paused(&self, now: Moment) -> bool {
        self.bucket.paused_until(now).is_some()
    }

    /// Records that the server refused the key of that version. Nothing happens unless it is the current one. Grants are
    /// withdrawn: each would be one more call that is refused.
    pub fn key_refused(&mut self, key_version: u64, current: u64, now: Moment) {
        if key_version != current {
            return;
        }
        self.withdraw_grants();
        // After that: a grant that was a probe does not make the next one due before its minute is over.
        self.refusal = Some(Refusal {
            key_version,
            next_probe: now + PROBE_EVERY,
        });
    }

    /// Takes all grants back. Their users are being requeued, and wait again.
    fn withdraw_grants(&mut self) {
        for grant in std::mem::take(&mut self.granted).into_values() {
            self.put_grant_back(grant);
        }
    }

    /// Returns whether the server refused the key in use: calls wait for another key, or for a probe that is accepted.
    #[must_use]
    pub const fn is_key_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Records that the server accepted a key of that version. A late answer to an older key ends no refusal.
    pub fn key_accepted(&mut self, key_version: u64) {
        self.refusal
            .take_if(|refusal| key_version >= refusal.key_version);
    }

    /// Records that the key of that version is in use: the refusal of an older one does not concern it.
    pub fn key_changed(&mut self, version: u64) {
        self.refusal
            .take_if(|refusal| version > refusal.key_version);
    }

    /// Records that a change, or else a read, was refused because the account is suspended: changes wait from now on, and
    /// reads if one was refused. Returns whether the suspension begins with that.
    pub fn account_suspended(&mut self, is_change: bool, now: Moment) -> bool {
        let begins = self.suspension.is_none();
        self.suspension
            .get_or_insert(Suspension::new(now))
            .refused(is_change, now);
        if begins {
            self.waiters.suspend();
            // A granted call would be refused, too.
            self.withdraw_grants();
        }
        begins
    }

    /// Records that a change, or else a read, succeeded. Returns whether that ends a suspension.
    #[must_use]
    pub fn account_serves(&mut self, is_change: bool) -> bool {
        let ended = self
            .suspension
            .take_if(|suspension| suspension.succeeded(is_change))
            .is_some();
        if ended {
            self.waiters.resume();
        }
        ended
    }

    /// Records the state of the suspended account, or that it is unknown. Returns the users whose objects report it.
    #[must_use]
    pub fn suspension_named(&mut self, name: Option<String>) -> Vec<UserId> {
        let Some(suspension) = self.suspension.as_mut() else {
            return Vec::new();
        };
        suspension.name = name.map_or(Name::Unknown, |name| Name::Known(name.into()));
        self.waiters.present.places.keys().cloned().collect()
    }

    /// Returns the state of the suspended account; `None` where it is not suspended.
    #[must_use]
    pub fn suspension(&self) -> Option<Name> {
        self.suspension.as_ref().map(|one| one.name.clone())
    }

    /// Returns the number of changes that wait, in the order of the classes. Calls of the account itself are not counted.
    #[must_use]
    pub fn waiting(&self) -> [usize; CLASSES] {
        self.waiters.count()
    }

    /// Returns the rate at `now`, in calls a minute.
    #[must_use]
    pub fn rate(&self, now: Moment) -> u32 {
        self.bucket.rate.rounded_at(now)
    }
}

#[cfg(test)]
mod tests;
