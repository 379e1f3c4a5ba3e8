//! Updates of users: the one in flight, its answer, and what is remembered of it where the effect is unknown.

use std::sync::Arc;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{Role, User, UserId, UserPatch};
use fireworks_crd::rules::{Rule, kept};

use super::{Change, Directory, PATCHES_REMEMBERED, Record, UnconfirmedUpdate};
use crate::account::Class;
use crate::time::Moment;

/// One update in flight.
///
/// It must end by [`Directory::succeeded`], [`Directory::refused`] or [`Directory::outcome_unknown`]: until then no other admin
/// is demoted. An update that is cut off, by a deadline or at shutdown, has an unknown outcome.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub struct UpdateInFlight {
    /// The user.
    pub user: UserId,
    /// What was sent.
    pub patch: UserPatch,
    /// When it was sent.
    pub sent_at: Moment,
}

impl Directory {
    /// Records that an update is sent now. While it is in flight no other admin is demoted.
    pub fn begin_update(
        &mut self,
        user: &UserId,
        patch: &UserPatch,
        now: Moment,
    ) -> UpdateInFlight {
        self.canary_departs(user, patch);
        if patch.role != Role::Admin && self.was_admin(user) {
            let was_counted = self.was_counted(user);
            self.demoting.insert(user.clone(), was_counted);
        }
        UpdateInFlight {
            user: user.clone(),
            patch: patch.clone(),
            sent_at: now,
        }
    }

    /// Applies the answer to an update: the user as it is now, which is returned shared.
    pub fn succeeded(&mut self, update: UpdateInFlight, user: User, now: Moment) -> Arc<User> {
        let UpdateInFlight {
            user: id,
            patch,
            sent_at,
        } = update;
        let user = Arc::new(user);
        self.missing.remove(&id);
        self.last_failure = None;
        let ended = |one: &UnconfirmedUpdate| {
            let same = one.patches.iter().all(|lost| *lost == patch);
            same || !kept(Rule::OtherBodiesStayAmbiguous)
        };
        if self.unconfirmed.get(&id).is_some_and(ended) {
            // A late duplicate of the same body changes nothing.
            self.unconfirmed.remove(&id);
        }
        let mut affected = self.demotion_ended(&id, Some(now));
        if patch.role == Role::Admin {
            self.promoted(&id);
        }
        if self.canary_succeeded(&user, &mut affected) {
            self.add_request(&id, Class::SpecChange, now);
        }
        self.record_answer(id, &user, sent_at, now, &mut affected);
        if user.role == Role::Admin {
            affected.extend(std::mem::take(&mut self.waiting_for_admins));
        }
        self.signals.refresh = true;
        self.requeue(affected);
        user
    }

    /// Records that an update was refused, or never left: nothing changed.
    pub fn refused(&mut self, update: UpdateInFlight, error: &Error) {
        let UpdateInFlight { user, .. } = update;
        if *error.kind() == Kind::NotFound {
            self.suspect(&user);
        }
        let mut affected = self.demotion_ended(&user, None);
        self.canary_failed(&user, &mut affected);
        self.requeue(affected);
    }

    /// Records that it is not known whether an update took effect.
    pub fn outcome_unknown(&mut self, update: UpdateInFlight, now: Moment) {
        let UpdateInFlight { user, patch, .. } = update;
        if kept(Rule::UnconfirmedUpdatesAreRecorded) {
            self.record_unconfirmed(user.clone(), &patch, now);
        }
        let mut affected = self.demotion_ended(&user, Some(now));
        self.canary_failed(&user, &mut affected);
        self.signals.refresh = true;
        self.requeue(affected);
    }

    /// Records the user as the answer to an update sent at that time shows it.
    fn record_answer(
        &mut self,
        id: UserId,
        user: &Arc<User>,
        sent_at: Moment,
        now: Moment,
        affected: &mut Vec<UserId>,
    ) {
        let before = self.records.get(&id);
        // Of two changes under way the older may be answered last: newer wins here, too.
        let is_newer = |known: &Record| {
            let newer = known.user.update_time > user.update_time && user.update_time.is_some();
            newer && known.sent_at > sent_at
        };
        if before.is_some_and(is_newer) {
            return;
        }
        let record = Record {
            user: user.clone(),
            sent_at,
            seen_at: before.map_or(sent_at, |known| known.seen_at.max(sent_at)),
            change: Some(Box::new(Change {
                sent_at,
                succeeded_at: now,
            })),
            listed: self.listed_in(&id),
            announced_stale: false,
        };
        self.undeclared.remove(&id);
        let before = self.records.insert(id.clone(), record);
        if before.is_none_or(|before| before.user != *user) {
            // Of other objects that declare the user, no later read would requeue them.
            affected.push(id);
        }
    }

    /// Records a change whose answer is missing, until a read shows what it did.
    fn record_unconfirmed(&mut self, user: UserId, patch: &UserPatch, now: Moment) {
        let one = self.unconfirmed.entry(user).or_insert(UnconfirmedUpdate {
            given_up: now,
            patches: Vec::new(),
        });
        one.given_up = now;
        if !one.patches.contains(patch) && one.patches.len() < PATCHES_REMEMBERED {
            one.patches.push(patch.clone());
        }
    }

    /// The PATCH of a user has ended. `effective_at`: it took effect, or may have, by then.
    fn demotion_ended(&mut self, user: &UserId, effective_at: Option<Moment>) -> Vec<UserId> {
        let demoted = self.demoting.remove(user).zip(effective_at);
        if let Some((was_counted, at)) = demoted {
            self.demoted(user, was_counted, at);
        }
        if self.demoting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting_for_admins);
            waiting.into_iter().collect()
        } else {
            Vec::new()
        }
    }
}
