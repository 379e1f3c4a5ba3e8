//! Which object owns which remote user. An index over the objects as watched: the oldest Manage
//! object owns its user; Observe objects neither claim nor conflict.
//!
//! Pure: the controller feeds it watch events, passes ask it. No client, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use fireworks_api::wire::UserRef;
use jiff::Timestamp;

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
    /// When the object was created; the oldest owns.
    pub created: Timestamp,
    /// Its UID; the lower owns among equally old ones.
    pub uid: Arc<str>,
    /// It wants to manage the user, suspended or not.
    pub claims: bool,
    /// It may make calls: neither suspended nor undecodable.
    pub reads: bool,
}

/// Who owns a user, as seen from one object.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Ownership {
    /// This object, or none is needed since it only observes.
    Mine,
    /// That other object.
    Of(ObjectKey),
}

/// What a change of the index means for others.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Effect {
    /// Objects whose ownership may have changed: they want another look.
    pub requeue: Vec<ObjectKey>,
    /// Users in which some object is now interested (`true`), or none any more (`false`).
    pub managed: Vec<(UserRef, bool)>,
    /// Users that objects declare of which none may make calls (`true`), or no longer (`false`).
    pub suspended: Vec<(UserRef, bool)>,
    /// The UID of the object that was there under that key and is no more.
    pub removed: Option<Arc<str>>,
}

/// The index.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Claims {
    claims: BTreeMap<ObjectKey, Claim>,
    /// Who speaks of the user, the oldest first.
    users: BTreeMap<UserRef, Vec<ObjectKey>>,
}

impl Claims {
    /// The object is there, or changed. `None`: it is gone, or is being deleted.
    pub fn set(&mut self, key: &ObjectKey, claim: Option<Claim>) -> Effect {
        if self.claims.get(key) == claim.as_ref() {
            return Effect::default();
        }
        let mut effect = Effect::default();
        let users =
            [self.claims.get(key), claim.as_ref()].map(|one| one.map(|one| one.user.clone()));
        let before = users
            .each_ref()
            .map(|user| self.is_suspended(user.as_ref()));
        if let Some(old) = self.claims.get(key).cloned() {
            let owner = self.owner(&old.user);
            self.remove(key, &old.user);
            let stays = claim.as_ref().is_some_and(|new| new.uid == old.uid);
            effect.removed = (!stays).then(|| old.uid.clone());
            effect
                .requeue
                .extend(self.newly_owned(&old.user, owner.as_ref(), key));
            if !self.is_read(&old.user) {
                effect.managed.push((old.user.clone(), false));
            }
        }
        if let Some(claim) = claim {
            let owner = self.owner(&claim.user);
            let (user, reads) = (claim.user.clone(), claim.reads);
            self.insert(key, claim);
            effect
                .requeue
                .extend(self.newly_owned(&user, owner.as_ref(), key));
            if reads {
                effect.managed.retain(|(other, _)| *other != user);
                effect.managed.push((user, true));
            }
        }
        for (user, before) in users.into_iter().zip(before) {
            let after = self.is_suspended(user.as_ref());
            effect
                .suspended
                .extend(user.filter(|_| after != before).map(|user| (user, after)));
        }
        effect
    }

    /// Who owns the user, as seen from an object that manages it.
    #[must_use]
    pub fn ownership(&self, key: &ObjectKey, user: &UserRef) -> Ownership {
        match self.owner(user) {
            Some(owner) if owner != *key => Ownership::Of(owner),
            _ => Ownership::Mine,
        }
    }

    /// Whether the index holds that very object.
    #[must_use]
    pub fn holds(&self, key: &ObjectKey, uid: &str) -> bool {
        self.claims.get(key).is_some_and(|claim| *claim.uid == *uid)
    }

    /// Every object that speaks of the user.
    #[must_use]
    pub fn objects(&self, user: &UserRef) -> Vec<ObjectKey> {
        self.users.get(user).cloned().unwrap_or_default()
    }

    /// Every object of the index.
    #[must_use]
    pub fn all(&self) -> Vec<ObjectKey> {
        self.claims.keys().cloned().collect()
    }

    /// How many objects the index holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Claims {
    fn owner(&self, user: &UserRef) -> Option<ObjectKey> {
        let claims = |key: &&ObjectKey| self.claims.get(*key).is_some_and(|claim| claim.claims);
        self.users.get(user)?.iter().find(claims).cloned()
    }

    fn is_read(&self, user: &UserRef) -> bool {
        let reads = |key: &ObjectKey| self.claims.get(key).is_some_and(|claim| claim.reads);
        self.users
            .get(user)
            .is_some_and(|keys| keys.iter().any(reads))
    }

    /// Objects declare the user, and none of them may make calls.
    fn is_suspended(&self, user: Option<&UserRef>) -> bool {
        user.is_some_and(|user| self.users.contains_key(user) && !self.is_read(user))
    }

    fn insert(&mut self, key: &ObjectKey, claim: Claim) {
        let age = |key: &ObjectKey| {
            let claim = self.claims.get(key);
            claim.map(|claim| (claim.created, &*claim.uid))
        };
        let own = Some((claim.created, &*claim.uid));
        match self.users.get_mut(&claim.user) {
            Some(keys) => {
                let older = keys.partition_point(|other| age(other) < own);
                keys.insert(older, key.clone());
            }
            // Most users are spoken of by one object.
            None => {
                self.users.insert(claim.user.clone(), vec![key.clone()]);
            }
        }
        self.claims.insert(key.clone(), claim);
    }

    fn remove(&mut self, key: &ObjectKey, user: &UserRef) {
        self.claims.remove(key);
        if let Some(keys) = self.users.get_mut(user) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// Everybody else with that user, if its owner is no longer the one named.
    fn newly_owned(
        &self,
        user: &UserRef,
        before: Option<&ObjectKey>,
        but: &ObjectKey,
    ) -> Vec<ObjectKey> {
        if self.owner(user).as_ref() == before {
            return Vec::new();
        }
        let keys = self.users.get(user).into_iter().flatten();
        keys.filter(|key| *key != but).cloned().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            namespace: "ns".into(),
            name: name.into(),
        }
    }

    fn user(name: &str) -> UserRef {
        UserRef {
            account: "acme".parse().unwrap(),
            user: name.parse().unwrap(),
        }
    }

    fn claim(name: &str, created: i64, uid: &str) -> Claim {
        let created = Timestamp::from_second(created).unwrap();
        Claim {
            user: user(name),
            created,
            uid: uid.into(),
            claims: true,
            reads: true,
        }
    }

    #[test]
    fn the_oldest_object_owns_and_the_lower_uid_among_equals() {
        let mut claims = Claims::default();
        claims.set(&key("young"), Some(claim("alice", 20, "a")));
        claims.set(&key("old-b"), Some(claim("alice", 10, "b")));
        claims.set(&key("old-a"), Some(claim("alice", 10, "a")));
        assert_eq!(
            claims.ownership(&key("old-a"), &user("alice")),
            Ownership::Mine
        );
        let other = claims.ownership(&key("young"), &user("alice"));
        assert_eq!(other, Ownership::Of(key("old-a")));
    }

    #[test]
    fn when_the_owner_goes_the_others_are_asked_to_look() {
        let mut claims = Claims::default();
        claims.set(&key("owner"), Some(claim("alice", 10, "a")));
        assert_eq!(
            claims
                .set(&key("next"), Some(claim("alice", 20, "b")))
                .requeue,
            []
        );
        let effect = claims.set(&key("owner"), None);
        assert_eq!(effect.requeue, [key("next")]);
        assert_eq!(effect.managed, []);
        assert_eq!(
            claims.ownership(&key("next"), &user("alice")),
            Ownership::Mine
        );
    }

    #[test]
    fn an_older_object_that_appears_later_takes_over_and_is_requeued() {
        let mut claims = Claims::default();
        claims.set(&key("young"), Some(claim("alice", 20, "a")));
        assert_eq!(
            claims
                .set(&key("old"), Some(claim("alice", 10, "b")))
                .requeue,
            [key("young")]
        );
    }

    #[test]
    fn an_observer_neither_claims_nor_conflicts() {
        let mut claims = Claims::default();
        let observer = Claim {
            claims: false,
            ..claim("alice", 1, "a")
        };
        claims.set(&key("observer"), Some(observer));
        claims.set(&key("manager"), Some(claim("alice", 20, "b")));
        assert_eq!(
            claims.ownership(&key("manager"), &user("alice")),
            Ownership::Mine
        );
    }

    #[test]
    fn a_suspended_owner_keeps_its_claim_without_reads() {
        let mut claims = Claims::default();
        claims.set(&key("owner"), Some(claim("alice", 10, "a")));
        let suspended = Claim {
            reads: false,
            ..claim("alice", 10, "a")
        };
        let effect = claims.set(&key("owner"), Some(suspended));
        assert_eq!(effect.managed, [(user("alice"), false)]);
        claims.set(&key("next"), Some(claim("alice", 20, "b")));
        assert_eq!(
            claims.ownership(&key("next"), &user("alice")),
            Ownership::Of(key("owner"))
        );
    }

    #[test]
    fn an_unchanged_object_has_no_effect() {
        let mut claims = Claims::default();
        claims.set(&key("a"), Some(claim("alice", 10, "a")));
        assert_eq!(
            claims.set(&key("a"), Some(claim("alice", 10, "a"))),
            Effect::default()
        );
    }

    #[test]
    fn an_object_that_is_no_more_is_named_once() {
        let mut claims = Claims::default();
        let mut removed = |claim| claims.set(&key("a"), claim).removed;
        assert_eq!(removed(Some(claim("alice", 1, "1"))), None);
        let edited = Claim {
            reads: false,
            ..claim("alice", 1, "1")
        };
        assert_eq!(removed(Some(edited)), None);
        let again = claim("alice", 2, "2");
        assert_eq!(removed(Some(again)), Some("1".into()));
        assert_eq!(removed(None), Some("2".into()));
        assert_eq!(removed(None), None);
    }
}
