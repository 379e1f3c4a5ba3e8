//! The changes that the API key may not make. A refusal holds until the key changes, until one object of the account has
//! probed and succeeded, or until any other change was accepted. Holds no I/O; every time is a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fireworks_api::wire::UserId;
use jiff::Timestamp;

use crate::rebase::rebase;
use crate::rules::Rules;
use crate::time::Moment;

/// The time between two probes. A change that was released and refused once more is not released sooner either: a key
/// that may make some changes and not others would send the refused ones again after each of the others.
const PROBE_EVERY: Duration = Duration::from_mins(10);
/// A probe that was asked for comes no sooner after the last one.
const PROBE_PAUSE: Duration = Duration::from_mins(1);
/// A probe that was not sent by then is left to another object.
const PROBE_WITHIN: Duration = Duration::from_mins(1);
/// Number of users refused after a demotion from which on the demotion counts as the cause.
const REFUSED_SINCE: usize = 2;

/// The last demotion that was carried out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Demotion {
    /// The former admin.
    pub user: UserId,
    /// When it was answered.
    pub at: Timestamp,
}

/// What is known of a change of one user.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Denial {
    /// The refusal of it stands.
    pub stands: bool,
    /// All changes of the account wait since that demotion.
    pub since: Option<Demotion>,
}

/// The refusals of one account.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Denials {
    pub(super) rules: Rules,
    key_version: u64,
    /// When the refused change was sent.
    refused: BTreeMap<UserId, Moment>,
    /// Released by another change, and not answered since.
    released: BTreeSet<UserId>,
    /// Refused once more after that: not released before that time.
    retry_from: BTreeMap<UserId, Moment>,
    accepted: Option<Moment>,
    probes: Probes,
    demotion: Option<(Demotion, Moment)>,
    refused_since: BTreeSet<UserId>,
}

#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Probes {
    next: Option<Moment>,
    last: Option<Moment>,
    /// Whose turn it is, and until when.
    turn: Option<(UserId, Moment)>,
    /// Who had its turn in this round.
    tried: BTreeSet<UserId>,
    requested: Option<UserId>,
    follows_start: bool,
}

impl Denials {
    /// Records that a change was accepted. Returns the users whose changes are released by that.
    #[must_use]
    pub fn accepted(
        &mut self,
        user: &UserId,
        key_version: u64,
        sent_at: Moment,
        now: Moment,
    ) -> Vec<UserId> {
        if !self.is_of(key_version) {
            return Vec::new();
        }
        self.forget(user);
        self.accepted = self.accepted.max(Some(sent_at));
        if self.demotion.as_ref().is_some_and(|(_, at)| sent_at > *at) {
            self.demotion = None;
            self.refused_since.clear();
        }
        let mut released: Vec<UserId> = self.refused.keys().cloned().collect();
        released.retain(|user| self.may_be_retried(user, now));
        released
    }

    /// Records that a change was refused with 403. Returns the users whose message changes by that.
    #[must_use]
    pub fn refused(
        &mut self,
        user: &UserId,
        key_version: u64,
        sent_at: Moment,
        now: Moment,
    ) -> Vec<UserId> {
        if !self.is_of(key_version) {
            return Vec::new();
        }
        // The key may make other changes since then, and still not this one.
        let accepted = self.accepted;
        let is_later = |at: Moment| accepted.is_some_and(|accepted| accepted > at);
        let before = self.refused.insert(user.clone(), sent_at);
        if before.is_some_and(is_later) || self.released.remove(user) {
            self.retry_from.insert(user.clone(), now + PROBE_EVERY);
        }
        self.probes.refused(user, now);
        if self.demotion.as_ref().is_some_and(|(_, at)| sent_at > *at)
            && self.refused_since.insert(user.clone())
            && self.refused_since.len() == REFUSED_SINCE
        {
            return self.refused_since.iter().cloned().collect();
        }
        Vec::new()
    }

    /// Records a refusal that a former process left in the status of an object. Its changes may take effect until
    /// `settled_from`; then one is tried.
    pub fn inherited(&mut self, user: &UserId, since: Moment, settled_from: Moment) {
        self.refused.entry(user.clone()).or_insert(since);
        if !std::mem::replace(&mut self.probes.follows_start, true) {
            let next = self.probes.next;
            self.probes.next = Some(next.map_or(settled_from, |next| next.min(settled_from)));
        }
    }

    /// Records that an admin was demoted by a change of ours.
    pub fn demoted(&mut self, user: &UserId, at: Timestamp, now: Moment) {
        let user = user.clone();
        self.demotion = Some((Demotion { user, at }, now));
        self.refused_since.clear();
    }

    /// A person asked for a read of the user: if its change is refused, it probes.
    pub fn request(&mut self, user: &UserId) {
        self.probes.requested = Some(user.clone());
    }

    /// Whether the refusal of a change of that user stands. One that does not because the user probes is to be sent soon.
    #[must_use]
    pub fn of(&mut self, user: &UserId, key_version: u64, now: Moment) -> Denial {
        if key_version > self.key_version {
            self.renew(key_version);
        }
        let since = self.cause();
        if since.is_some() {
            // It was not refused itself, and waits as if it had been.
            self.refused.entry(user.clone()).or_insert(now);
        }
        if !self.refused.contains_key(user) {
            return Denial::default();
        }
        if self.may_be_retried(user, now) {
            self.refused.remove(user);
            self.released.insert(user.clone());
            return Denial::default();
        }
        if self.probes.take_turn(user, &self.refused, now) {
            return Denial::default();
        }
        Denial {
            stands: true,
            since,
        }
    }

    /// Returns the time after which the objects of a refused user are requeued.
    #[must_use]
    pub fn next_try_after(&self, user: &UserId, now: Moment) -> Duration {
        let probes = &self.probes;
        let turn = probes.turn.as_ref().map(|(_, until)| *until);
        let next = probes.next.map(|next| {
            let own_turn_is_over = probes.tried.contains(user);
            next + if own_turn_is_over {
                PROBE_WITHIN
            } else {
                Duration::ZERO
            }
        });
        let requested = (probes.requested.as_ref() == Some(user))
            .then(|| probes.last.map_or(now, |last| last + PROBE_PAUSE));
        let probe = turn.or(next).into_iter().chain(requested).min();
        let released = self.refused.get(user).and_then(|at| {
            let is_later = self.accepted.is_some_and(|accepted| accepted > *at);
            self.retry_from.get(user).filter(|_| is_later).copied()
        });
        let at = probe.into_iter().chain(released).min();
        let left = at.map_or(PROBE_EVERY, |at| at.saturating_duration_since(now));
        left.max(Duration::from_secs(1))
    }

    /// Drops what is kept of a user, whose change was accepted or which no object declares any more.
    pub fn forget(&mut self, user: &UserId) {
        self.refused.remove(user);
        self.released.remove(user);
        self.retry_from.remove(user);
        self.refused_since.remove(user);
        self.probes.drop_user(user);
    }
}

impl Denials {
    /// Whether an answer to that key counts; the first one to a newer key ends what was refused to the older.
    fn is_of(&mut self, key_version: u64) -> bool {
        if key_version > self.key_version {
            self.renew(key_version);
        }
        key_version == self.key_version
    }

    fn renew(&mut self, key_version: u64) {
        // Before the first answer nothing was refused but to the key of a former process, which may be this one.
        if (self.rules.ends_with_key)(self.key_version) {
            *self = Self {
                rules: self.rules,
                demotion: self.demotion.take(),
                ..Self::default()
            };
            self.probes.follows_start = true;
        }
        self.key_version = key_version;
    }

    fn cause(&self) -> Option<Demotion> {
        let (demotion, _) = self.demotion.as_ref()?;
        (self.refused_since.len() >= REFUSED_SINCE).then(|| demotion.clone())
    }

    fn may_be_retried(&self, user: &UserId, now: Moment) -> bool {
        let is_later = |at: &Moment| self.accepted.is_some_and(|accepted| accepted > *at);
        self.refused.get(user).is_some_and(is_later)
            && self.retry_from.get(user).is_none_or(|until| *until <= now)
    }
}

impl Probes {
    fn refused(&mut self, user: &UserId, now: Moment) {
        if self.turn.take_if(|(whose, _)| whose == user).is_some() {
            self.requested.take_if(|requested| requested == user);
            self.tried.insert(user.clone());
            self.last = Some(now);
            self.next = Some(now + PROBE_EVERY);
        } else if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + PROBE_EVERY);
        }
    }

    /// Whether that user probes now. It keeps its turn until the change is answered, or not sent in time.
    fn take_turn(
        &mut self,
        user: &UserId,
        refused: &BTreeMap<UserId, Moment>,
        now: Moment,
    ) -> bool {
        if let Some((whose, until)) = &self.turn {
            if now < *until {
                return whose == user;
            }
            self.tried.insert(whose.clone());
            self.turn = None;
        }
        let is_due = |after: Duration| self.next.is_some_and(|next| next + after <= now);
        let is_requested = self.requested.as_ref() == Some(user)
            && self.last.is_none_or(|last| last + PROBE_PAUSE <= now);
        // Each in turn; those who had theirs come again when no other takes the chance.
        let round_is_over =
            || refused.keys().all(|one| self.tried.contains(one)) || is_due(PROBE_WITHIN);
        let is_next = is_due(Duration::ZERO) && (!self.tried.contains(user) || round_is_over());
        if !is_requested && !is_next {
            return false;
        }
        if self.tried.contains(user) {
            self.tried.clear();
        }
        self.turn = Some((user.clone(), now + PROBE_WITHIN));
        true
    }

    fn drop_user(&mut self, user: &UserId) {
        self.turn.take_if(|(whose, _)| whose == user);
        self.requested.take_if(|requested| requested == user);
        self.tried.remove(user);
    }
}

rebase! { Denials {
    rebased: refused, retry_from, accepted, probes, demotion;
    kept: rules, key_version, released, refused_since;
} }

rebase! { Probes {
    rebased: next, last, turn;
    kept: tried, requested, follows_start;
} }

#[cfg(test)]
mod tests;
