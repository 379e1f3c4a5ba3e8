//! Possession: which object holds a user, how, and who comes next. An epoch begins with what status records; after that only
//! what happens to the objects moves it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::UserRef;

use super::{Claim, Claims, ObjectKey, Recorded};
use crate::rules::Predicates;
use crate::time::Moment;

/// For this time after an object released a user, or an epoch began in which no holder is known, only objects of the
/// former holder's namespace may claim it.
pub const RELEASED_FOR: Duration = Duration::from_mins(1);

/// Of the claims on one user that many matter: the others are requeued by their own events only.
const RANKED: usize = 10;

/// How an object holds a user.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Possession {
    /// Without limits.
    Held,
    /// Taken over from another namespace: an admin or a custom user is not changed before a person accepts the claim.
    Inherited,
}

/// Who holds a user, as seen from one object.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Ownership {
    /// This object, in that way; or it only observes.
    Mine(Possession),
    /// Another object. It is named only where it is of the same namespace.
    Of(Option<ObjectKey>),
    /// None: until then objects of the former holder's namespace come first.
    Released(Moment),
}

/// The objects that declare one user, and which of them holds it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Claimed {
    /// The oldest first.
    pub(super) objects: Vec<ObjectKey>,
    pub(super) holder: Option<Holder>,
    pub(super) released: Option<Box<Released>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Holder {
    pub(super) key: ObjectKey,
    pub(super) possession: Possession,
    /// Status recorded it when the epoch began.
    is_recorded: bool,
}

/// A user that no object holds, for some time.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Released {
    /// The former holder, where it is known.
    pub(super) holder: Option<ObjectKey>,
    pub(super) possession: Possession,
    pub(super) until: Moment,
}

/// What is the same of all claims on a user when an epoch begins.
struct Epoch {
    /// Until then a user that no object holds is kept for its former holder.
    until: Moment,
    /// Also an object that waited, or is suspended, may hold the user.
    may_waiting_hold: bool,
}

/// One claim when an epoch begins.
struct Claimant<'a> {
    key: &'a ObjectKey,
    claim: &'a Claim,
    recorded: Recorded,
}

impl Claims {
    /// Begins an epoch: from what status records it follows which objects hold their users. `is_complete`: the objects of every
    /// watched namespace are known; until they are no waiting claim takes a user.
    pub fn begin(&mut self, now: Moment, is_complete: bool) {
        self.epoch = Some(now);
        self.is_complete = is_complete;
        let recorded = std::mem::take(&mut self.recorded);
        let until = now + RELEASED_FOR;
        for (user, claimed) in &mut self.users {
            let all = claimed.objects.iter().filter_map(|key| {
                Some(Claimant {
                    key,
                    claim: self.by_object.get(key)?,
                    recorded: recorded.get(key).copied().unwrap_or_default(),
                })
            });
            let (claimants, others): (Vec<_>, Vec<_>) = all.partition(|one| one.claim.claims);
            let is_known = claimants
                .iter()
                .any(|one| one.recorded == Recorded::Waiting);
            let epoch = Epoch {
                until,
                // A version that recorded no claims left the user to the oldest object.
                may_waiting_hold: is_complete && !is_known,
            };
            let first = first_holder(&claimants, &others, &epoch, &self.rules);
            (claimed.holder, claimed.released) = first;
            if claimed.released.is_some() {
                self.released.push_back((until, user.clone()));
            }
        }
    }

    /// Records that the objects of every watched namespace are known. Until then no waiting claim takes a user.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Returns who holds the user, as seen from an object that declares it.
    #[must_use]
    pub fn ownership(&mut self, key: &ObjectKey, user: &UserRef, now: Moment) -> Ownership {
        self.end_releases(now);
        let claimed = self.claimed(user);
        if let Some(holder) = claimed.and_then(|claimed| claimed.holder.as_ref()) {
            if holder.key == *key {
                return Ownership::Mine(holder.possession);
            }
            let is_near = holder.key.namespace == key.namespace;
            return Ownership::Of(is_near.then(|| holder.key.clone()));
        }
        if !self.claims(key) {
            return Ownership::Mine(Possession::Held);
        }
        let released = claimed.and_then(|claimed| claimed.released.as_ref());
        // One that is over, and no object may take the user yet, is asked for again later.
        let until = released
            .map(|released| released.until)
            .filter(|until| *until > now);
        Ownership::Released(until.unwrap_or(now + RELEASED_FOR))
    }

    /// The claims that matter when something happens to the user: the holder, the one that takes over from it, and the oldest
    /// of each namespace, at most ten.
    pub(super) fn ranked(&self, user: &UserRef) -> Vec<ObjectKey> {
        let Some(claimed) = self.claimed(user) else {
            return Vec::new();
        };
        let holder = claimed.holder.as_ref().map(|holder| &holder.key);
        let released = claimed.released.as_ref();
        let namespace = holder
            .map(|key| &key.namespace)
            .or(released.and_then(|released| released.namespace()));
        let is_other = |key: &&ObjectKey| self.claims(key) && Some(*key) != holder;
        let others = || claimed.objects.iter().filter(is_other);
        let next = others().find(|key| Some(&key.namespace) == namespace);
        let mut ranked: Vec<_> = holder.into_iter().chain(next).cloned().collect();
        let mut namespaces: BTreeSet<&Arc<str>> = namespace.into_iter().collect();
        for key in others() {
            if ranked.len() >= RANKED {
                break;
            }
            if namespaces.insert(&key.namespace) {
                ranked.push(key.clone());
            }
        }
        ranked
    }

    /// The object no longer claims the user. Returns whether it held it: then the oldest claim of its namespace holds it, or
    /// no object for a while.
    pub(super) fn give_up(&mut self, key: &ObjectKey, user: &UserRef, now: Moment) -> bool {
        let user = (self.rules.claimed_user)(user);
        let Some(claimed) = self.users.get_mut(&user) else {
            return false;
        };
        let Some(holder) = claimed.holder.take_if(|holder| holder.key == *key) else {
            return false;
        };
        let namespace = &key.namespace;
        let next = claimed.objects.iter().find(|other| {
            let claim = self.by_object.get(*other);
            other.namespace == *namespace && claim.is_some_and(self.rules.may_acquire)
        });
        if let Some(next) = next {
            let accepts = self.by_object.get(next).is_some_and(|claim| claim.accepts);
            let possession = accepted(holder.possession, accepts);
            claimed.holder = Some(Holder::new(next.clone(), possession));
        } else {
            let until = now + RELEASED_FOR;
            let released = Released::by(key, holder.possession, until);
            claimed.released = Some(Box::new(released));
            self.released.push_back((until, user));
        }
        true
    }

    /// The object claims the user, or its claim has changed. Returns the objects to be requeued beside it.
    pub(super) fn acquire(
        &mut self,
        key: &ObjectKey,
        user: &UserRef,
        recorded: Recorded,
        now: Moment,
    ) -> Vec<ObjectKey> {
        let (Some(claim), Some(epoch)) = (self.by_object.get(key), self.epoch) else {
            return Vec::new();
        };
        let Some(claimed) = self.users.get_mut(&(self.rules.claimed_user)(user)) else {
            return Vec::new();
        };
        if !claim.claims {
            return Vec::new();
        }
        if let Some(holder) = &mut claimed.holder
            && holder.key == *key
        {
            holder.possession = accepted(holder.possession, claim.accepts);
            return Vec::new();
        }
        let possession = match (possession_of(recorded), &claimed.holder) {
            (Some(possession), _) => claimed.recorded_late(key, possession),
            // Its status has to record that it holds the user, now that another object claims it.
            (None, Some(holder)) => return vec![holder.key.clone()],
            (None, None) if is_waiting(recorded) => {
                if claimed.released.is_none() {
                    let until = (epoch + RELEASED_FOR).max(now);
                    claimed.released = Some(Box::new(Released::to_unknown(until)));
                    let user = (self.rules.claimed_user)(user);
                    self.released.push_back((until, user));
                }
                None
            }
            (None, None) if !(self.rules.may_acquire)(claim) => None,
            (None, None) => {
                (self.rules.takes_released)(claimed.released.as_deref(), &key.namespace)
            }
        };
        let Some(possession) = possession else {
            return Vec::new();
        };
        let mut holder = Holder::new(key.clone(), accepted(possession, claim.accepts));
        holder.is_recorded = possession_of(recorded).is_some();
        claimed.holder = Some(holder);
        claimed.released = None;
        self.ranked(user)
    }

    /// Users that were released long enough ago go to the oldest claim, from whatever namespace.
    pub(super) fn end_releases(&mut self, now: Moment) {
        while let Some((until, user)) = self.released.front()
            && (self.rules.is_protection_over)(now, *until)
            && self.is_complete
        {
            let (until, user) = (*until, user.clone());
            self.released.pop_front();
            let Some(claimed) = self.users.get_mut(&user) else {
                continue;
            };
            // It was taken meanwhile, or taken and released again.
            if claimed.released.take_if(|one| one.until == until).is_none() {
                continue;
            }
            let claims = &self.by_object;
            let may_acquire =
                |key: &&ObjectKey| claims.get(*key).is_some_and(self.rules.may_acquire);
            claimed.holder = claimed.objects.iter().find(may_acquire).map(|key| {
                let accepts = claims.get(key).is_some_and(|claim| claim.accepts);
                Holder::new(key.clone(), accepted(Possession::Inherited, accepts))
            });
            self.drop_unused(&user);
        }
    }
}

impl Claimed {
    /// How the object holds the user, if it may: its status recorded that, and it is known only after the epoch began.
    fn recorded_late(&mut self, key: &ObjectKey, possession: Possession) -> Option<Possession> {
        let place = |key: &ObjectKey| self.objects.iter().position(|other| other == key);
        let Some(holder) = self.holder.as_mut().filter(|holder| holder.is_recorded) else {
            return Some(possession);
        };
        // Both were recorded: the oldest holds the user, and not without limits.
        if place(key) < place(&holder.key) {
            return Some(Possession::Inherited);
        }
        holder.possession = Possession::Inherited;
        None
    }
}

impl Released {
    /// That object held it in that way.
    fn by(holder: &ObjectKey, possession: Possession, until: Moment) -> Self {
        Self {
            holder: Some(holder.clone()),
            possession,
            until,
        }
    }

    /// Who held it is not known.
    fn to_unknown(until: Moment) -> Self {
        Self {
            holder: None,
            possession: Possession::Inherited,
            until,
        }
    }

    fn namespace(&self) -> Option<&Arc<str>> {
        self.holder.as_ref().map(|holder| &holder.namespace)
    }
}

impl Holder {
    fn new(key: ObjectKey, possession: Possession) -> Self {
        Self {
            key,
            possession,
            is_recorded: false,
        }
    }
}

/// Returns how an object of that namespace takes a user that no object holds, if it may: its claim is new, or has become one
/// that may acquire.
pub(crate) fn takes_released(
    released: Option<&Released>,
    namespace: &Arc<str>,
) -> Option<Possession> {
    match released {
        None => Some(Possession::Held),
        // Which object held it is not known, and others wait for it.
        Some(released) if released.holder.is_none() => Some(Possession::Inherited),
        Some(released) if released.namespace() == Some(namespace) => Some(released.possession),
        Some(_) => None,
    }
}

/// Who holds the user when an epoch begins, or until when no object does.
fn first_holder(
    claimants: &[Claimant<'_>],
    others: &[Claimant<'_>],
    epoch: &Epoch,
    rules: &Predicates,
) -> (Option<Holder>, Option<Box<Released>>) {
    let is_held =
        |one: &&Claimant<'_>| matches!(one.recorded, Recorded::Held | Recorded::Inherited);
    let by_reason = |one: &&Claimant<'_>| one.recorded == Recorded::HolderByReason;
    let mut holding: Vec<_> = claimants.iter().filter(is_held).collect();
    if holding.is_empty() {
        holding = claimants.iter().filter(by_reason).collect();
    }
    match &holding[..] {
        [] => {}
        [only] => {
            let possession = possession_of(only.recorded).unwrap_or(Possession::Inherited);
            return (Some(only.holds(possession)), None);
        }
        [oldest, ..] => return (Some(oldest.holds(Possession::Inherited)), None),
    }
    // An object that held it stopped to claim it while no operator ran.
    let mut former = others.iter().filter(is_held);
    if let Some(last) = former.next() {
        let namespace = &last.key.namespace;
        // Of two namespaces one has held it before the other.
        if former.any(|one| one.key.namespace != *namespace) {
            return (None, Some(Box::new(Released::to_unknown(epoch.until))));
        }
        return successor_of(last, claimants, epoch, rules);
    }
    let may_hold = |one: &&Claimant<'_>| {
        let is_new = !is_waiting(one.recorded) && (rules.may_acquire)(one.claim);
        epoch.may_waiting_hold || is_new
    };
    let is_shared = claimants
        .iter()
        .any(|one| one.key.namespace != claimants[0].key.namespace);
    let possession = if is_shared {
        Possession::Inherited
    } else {
        Possession::Held
    };
    let holder = claimants.iter().find(may_hold);
    let holder = holder.map(|holder| holder.holds(possession));
    // Also an object that no longer claims it.
    let mut all = claimants.iter().chain(others);
    let is_waited_for = all.any(|one| is_waiting(one.recorded));
    let released =
        (holder.is_none() && is_waited_for).then(|| Box::new(Released::to_unknown(epoch.until)));
    (holder, released)
}

/// Who holds the user when an epoch begins and that object, which held it, no longer claims it.
fn successor_of(
    former: &Claimant<'_>,
    claimants: &[Claimant<'_>],
    epoch: &Epoch,
    rules: &Predicates,
) -> (Option<Holder>, Option<Box<Released>>) {
    let namespace = &former.key.namespace;
    // Long after that an object of another namespace may have acquired the user, and a crash have kept it from being recorded.
    let may_have_acquired =
        |one: &Claimant<'_>| one.key.namespace != *namespace && one.recorded == Recorded::Nothing;
    let possession = possession_of(former.recorded)
        .filter(|_| !claimants.iter().any(may_have_acquired))
        .unwrap_or(Possession::Inherited);
    let is_next =
        |one: &&Claimant<'_>| one.key.namespace == *namespace && (rules.may_acquire)(one.claim);
    if let Some(next) = claimants.iter().find(is_next) {
        return (Some(next.holds(possession)), None);
    }
    let released = Released::by(former.key, possession, epoch.until);
    (None, Some(Box::new(released)))
}

impl Claimant<'_> {
    fn holds(&self, possession: Possession) -> Holder {
        Holder {
            key: self.key.clone(),
            possession: accepted(possession, self.claim.accepts),
            is_recorded: possession_of(self.recorded).is_some(),
        }
    }
}

fn possession_of(recorded: Recorded) -> Option<Possession> {
    match recorded {
        Recorded::Held | Recorded::HolderByReason => Some(Possession::Held),
        Recorded::Inherited => Some(Possession::Inherited),
        Recorded::Nothing | Recorded::Waiting | Recorded::WaitingByReason => None,
    }
}

fn is_waiting(recorded: Recorded) -> bool {
    matches!(recorded, Recorded::Waiting | Recorded::WaitingByReason)
}

fn accepted(possession: Possession, accepts: bool) -> Possession {
    if accepts {
        Possession::Held
    } else {
        possession
    }
}
