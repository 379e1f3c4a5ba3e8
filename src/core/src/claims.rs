//! Which object holds which remote user. An index over the objects as watched, with the possession of each user: it is read
//! from status once, when an epoch begins, and kept in memory after that. At most one object holds a user; ids are compared
//! without regard to case. Objects that observe neither claim nor conflict.
//!
//! Pure: the controller feeds it watch events, reconciliations ask it. No client, no clock.

mod canonical;
mod possession;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fireworks_api::wire::UserRef;
use fireworks_crd::ClaimStatus;
use jiff::Timestamp;

use crate::rules::Rules;
use crate::time::Moment;
use possession::Claimed;
pub(crate) use possession::takes_released;
pub use possession::{Ownership, Possession, RELEASED_FOR, Released};

/// Namespace and name of an object. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What one object has to do with its remote user.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Claim {
    /// The remote user.
    pub user: UserRef,
    /// When the object was created. Of several claims the oldest is first.
    pub created: Timestamp,
    /// Its UID; the lower is first among equally old ones.
    pub uid: Arc<str>,
    /// It wants to manage the user, suspended or not.
    pub claims: bool,
    /// It may make calls: neither suspended nor undecodable.
    pub reads: bool,
    /// An annotation accepts an inherited claim on the user.
    pub accepts: bool,
}

/// What the status of an object records of its claim when an epoch begins.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Recorded {
    /// Nothing.
    #[default]
    Nothing,
    /// It held the user.
    Held,
    /// It held the user, and was not to change an admin or a custom user.
    Inherited,
    /// Another object held the user.
    Waiting,
    /// A version that did not record claims reported a reason that only the holder of the user has.
    HolderByReason,
    /// A version that did not record claims reported that another object managed the user.
    WaitingByReason,
}

/// What a change of the index means for others.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Effect {
    /// Objects whose claim may have changed: they must be requeued.
    pub requeue: Vec<ObjectKey>,
    /// Users in which some object is now interested (`true`), or none any more (`false`).
    pub managed: Vec<(UserRef, bool)>,
    /// Users that objects declare of which none may make calls (`true`), or no longer (`false`).
    pub suspended: Vec<(UserRef, bool)>,
    /// The UID of the object that was there under that key and is no more.
    pub removed: Option<Arc<str>>,
    /// The object has begun to claim a user that another object holds.
    pub contended: Option<Contended>,
}

/// An object holds a user that another one has begun to claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contended {
    /// The UID of the holder.
    pub holder: Arc<str>,
    /// The other object.
    pub contender: Contender,
}

/// An object that claims a user which another one holds, as seen from the holder.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Contender {
    /// An object of the same namespace.
    Near(ObjectKey),
    /// One of another namespace, which is not named.
    Elsewhere,
}

/// The index.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Claims {
    by_object: BTreeMap<ObjectKey, Claim>,
    /// What objects declare a user, the oldest first, and which of them holds it. The ids are folded to lower case.
    users: BTreeMap<UserRef, Claimed>,
    /// What the status of the objects recorded, until the epoch begins.
    recorded: BTreeMap<ObjectKey, Recorded>,
    /// When this epoch began. Before that no object holds a user.
    epoch: Option<Moment>,
    /// The objects of every watched namespace are known.
    is_complete: bool,
    /// Users that were released, in the order in which that is over.
    released: VecDeque<(Moment, UserRef)>,
    rules: Rules,
}

impl Claims {
    /// Returns an index that decides by these rules.
    #[must_use]
    pub fn with_rules(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Records what status shows of the claim of an object that is known before the epoch begins.
    pub fn record(&mut self, key: &ObjectKey, recorded: Recorded) {
        if recorded != Recorded::Nothing {
            self.recorded.insert(key.clone(), recorded);
        }
    }

    /// Records that the object is there, or has changed. `None`: it is gone, or is being deleted.
    pub fn set(&mut self, key: &ObjectKey, claim: Option<Claim>, now: Moment) -> Effect {
        self.end_releases(now);
        let recorded = self.recorded_late(key);
        if self.by_object.get(key) == claim.as_ref() {
            return Effect::default();
        }
        let mut effect = Effect::default();
        let users =
            [self.by_object.get(key), claim.as_ref()].map(|one| one.map(|one| one.user.clone()));
        let before = users
            .each_ref()
            .map(|user| self.is_suspended(user.as_ref()));
        let old = self.by_object.get(key).cloned();
        if let Some(old) = &old {
            let stays = claim.as_ref().is_some_and(|new| new.uid == old.uid);
            effect.removed = (!stays).then(|| old.uid.clone());
            let keeps = claim
                .as_ref()
                .is_some_and(|new| stays && new.claims && new.user == old.user);
            self.remove(key, &old.user);
            if !keeps && self.give_up(key, &old.user, now) {
                effect.requeue.extend(self.ranked(&old.user));
            }
            if !self.is_read(&old.user) {
                effect.managed.push((old.user.clone(), false));
            }
        }
        if let Some(claim) = claim {
            let (user, reads) = (claim.user.clone(), claim.reads);
            let claimed_before = recorded != Recorded::Nothing
                || old.is_some_and(|old| old.claims && old.uid == claim.uid);
            self.insert(key, claim);
            effect
                .requeue
                .extend(self.acquire(key, &user, recorded, now));
            effect.contended = self.contended_by(key, &user).filter(|_| !claimed_before);
            if reads {
                effect.managed.retain(|(other, _)| *other != user);
                effect.managed.push((user, true));
            }
        }
        effect.requeue.retain(|other| other != key);
        for (user, before) in users.into_iter().zip(before) {
            let after = self.is_suspended(user.as_ref());
            effect
                .suspended
                .extend(user.filter(|_| after != before).map(|user| (user, after)));
        }
        effect
    }

    /// Returns whether the index holds that very object.
    #[must_use]
    pub fn holds(&self, key: &ObjectKey, uid: &str) -> bool {
        self.by_object
            .get(key)
            .is_some_and(|claim| *claim.uid == *uid)
    }

    /// Returns what status has to record of the claim of the object. An object that has released its user keeps the trace of
    /// that for as long as the user is kept for its namespace: an epoch that begins meanwhile needs it.
    #[must_use]
    pub fn status(&self, key: &ObjectKey) -> Option<ClaimStatus> {
        let claim = self.by_object.get(key)?;
        let claimed = self.claimed(&claim.user)?;
        let holder = claimed.holder.as_ref();
        let released = claimed.released.as_ref();
        if let Some(holder) = holder.filter(|holder| holder.key == *key) {
            return Some(holder.possession.into());
        }
        if let Some(released) = released.filter(|released| released.holder.as_ref() == Some(key)) {
            return Some(released.possession.into());
        }
        let waits = claim.claims && (holder.is_some() || released.is_some());
        waits.then_some(ClaimStatus::Waiting)
    }

    /// Returns whether other objects claim the user that this one holds.
    #[must_use]
    pub fn is_contended(&self, user: &UserRef) -> bool {
        let claimed = self.claimed(user);
        claimed.is_some_and(|claimed| {
            let claiming = claimed.objects.iter().filter(|key| self.claims(key));
            claiming.take(2).count() > 1
        })
    }

    /// Returns the objects to be requeued when something happens to the user: those that observe it, and those that claim
    /// it, as far as their rank makes them matter.
    #[must_use]
    pub fn objects(&self, user: &UserRef) -> Vec<ObjectKey> {
        let declares = |key: &&ObjectKey| self.declares(key, user);
        let Some(claimed) = self.claimed(user) else {
            return Vec::new();
        };
        if let [only] = &claimed.objects[..] {
            return Some(only).filter(declares).cloned().into_iter().collect();
        }
        let observes = |key: &&ObjectKey| !self.claims(key);
        let observing = claimed.objects.iter().filter(observes);
        let observing = observing.filter(declares).cloned();
        let mut objects = self.ranked(user);
        objects.retain(|key| declares(&key));
        objects.extend(observing);
        objects
    }

    /// Returns every object of the index.
    #[must_use]
    pub fn all(&self) -> Vec<ObjectKey> {
        self.by_object.keys().cloned().collect()
    }

    /// Returns the number of objects that the index holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_object.len()
    }

    /// Returns whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Claims {
    /// What status recorded of an object that becomes known after the epoch began.
    fn recorded_late(&mut self, key: &ObjectKey) -> Recorded {
        if self.epoch.is_none() {
            return Recorded::Nothing;
        }
        self.recorded.remove(key).unwrap_or_default()
    }

    /// The objects that declare the user, whatever the case of its id.
    fn claimed(&self, user: &UserRef) -> Option<&Claimed> {
        self.users.get(&(self.rules.claimed_user)(user))
    }

    /// The object wants to manage its user.
    fn claims(&self, key: &ObjectKey) -> bool {
        self.by_object.get(key).is_some_and(|claim| claim.claims)
    }

    /// The object claims a user that another one holds.
    fn contended_by(&self, key: &ObjectKey, user: &UserRef) -> Option<Contended> {
        let holder = &self.claimed(user)?.holder.as_ref()?.key;
        if holder == key || !self.claims(key) {
            return None;
        }
        let is_near = holder.namespace == key.namespace;
        Some(Contended {
            holder: self.by_object.get(holder)?.uid.clone(),
            contender: if is_near {
                Contender::Near(key.clone())
            } else {
                Contender::Elsewhere
            },
        })
    }

    /// The object declares that very user.
    fn declares(&self, key: &ObjectKey, user: &UserRef) -> bool {
        self.by_object
            .get(key)
            .is_some_and(|claim| claim.user == *user)
    }

    fn is_read(&self, user: &UserRef) -> bool {
        let reads = |key: &ObjectKey| {
            let claim = self.by_object.get(key);
            claim.is_some_and(|claim| claim.reads && claim.user == *user)
        };
        let claimed = self.claimed(user);
        claimed.is_some_and(|claimed| claimed.objects.iter().any(reads))
    }

    /// Objects declare the user, and none of them may make calls.
    fn is_suspended(&self, user: Option<&UserRef>) -> bool {
        let is_declared = |user: &UserRef| {
            let claimed = self.claimed(user);
            claimed.is_some_and(|one| one.objects.iter().any(|key| self.declares(key, user)))
        };
        user.is_some_and(|user| !self.is_read(user) && is_declared(user))
    }

    fn insert(&mut self, key: &ObjectKey, claim: Claim) {
        let age = |key: &ObjectKey| {
            let claim = self.by_object.get(key);
            claim.map(|claim| (claim.created, &*claim.uid))
        };
        let own = Some((claim.created, &*claim.uid));
        let claimed = self.users.entry((self.rules.claimed_user)(&claim.user));
        let objects = &mut claimed.or_default().objects;
        // Most users are declared by one object.
        if objects.is_empty() {
            objects.reserve_exact(1);
        }
        let older = objects.partition_point(|other| age(other) < own);
        objects.insert(older, key.clone());
        self.by_object.insert(key.clone(), claim);
    }

    fn remove(&mut self, key: &ObjectKey, user: &UserRef) {
        self.by_object.remove(key);
        if let Some(claimed) = self.users.get_mut(&(self.rules.claimed_user)(user)) {
            claimed.objects.retain(|other| other != key);
        }
        self.drop_unused(user);
    }

    /// A user that nothing is known of any more is not kept.
    fn drop_unused(&mut self, user: &UserRef) {
        let user = (self.rules.claimed_user)(user);
        let is_unused = |claimed: &Claimed| {
            let Claimed {
                objects,
                holder,
                released,
            } = claimed;
            objects.is_empty() && holder.is_none() && released.is_none()
        };
        if self.users.get(&user).is_some_and(is_unused) {
            self.users.remove(&user);
        }
    }
}

impl From<Possession> for ClaimStatus {
    fn from(possession: Possession) -> Self {
        match possession {
            Possession::Held => Self::Held,
            Possession::Inherited => Self::Inherited,
        }
    }
}

#[cfg(test)]
mod tests;
