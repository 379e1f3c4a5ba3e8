//! How many admins the account has, and which users count as one.

use tokio::time::Instant;

use super::super::wire::{Role, State as UserState, Status, User, UserId, UserPatch};
use super::{Directory, Record, State};
use crate::rules::{Rule, kept};

/// How many other users of the account are admins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OtherAdmins {
    /// So many, as last completely listed plus our own answers.
    Known(usize),
    /// The last complete list is too old to tell.
    Unlisted,
    /// The demotion of another admin is under way: ask again when it has ended.
    Busy,
    /// There are others, but a demotion that a former process sent may still take effect: only a list
    /// begun at that time or later tells who is left.
    Unsettled(Instant),
}

/// Returns whether the user is an admin that stays one.
pub(super) fn is_admin(user: &User) -> bool {
    user.role == Role::Admin && user.state != UserState::Deleting
}

/// Returns whether the user counts as an admin: a person with nothing in the way of signing in.
pub(super) fn is_counted(user: &User) -> bool {
    is_admin(user)
        && matches!(user.state, UserState::Ready | UserState::Unspecified)
        && user.status.as_ref().is_none_or(Status::is_ok)
        && !user.service_account
}

impl Directory {
    /// How many admins would remain if `user` were none, by a list begun at `settled_from` or later:
    /// before that, changes of a former process may still take effect. Where there are none, or another
    /// demotion is under way, the user comes out of the changes' stream when that may have changed.
    #[must_use]
    pub fn other_admins(&self, user: &UserId, settled_from: Instant, now: Instant) -> OtherAdmins {
        let mut state = self.lock();
        if state.demoting.iter().any(|other| other != user) {
            state.waiting_for_admins.insert(user.clone());
            return OtherAdmins::Busy;
        }
        if !state.reads.listed_within(state.admins_known_for(), now) {
            return OtherAdmins::Unlisted;
        }
        let counted = state.was_counted(user);
        let others = state.admins(counted).filter(|other| *other != user).count();
        if others == 0 {
            state.waiting_for_admins.insert(user.clone());
        } else if !state.reads.listed_since(settled_from) && kept(Rule::FormerDemotionsAreWaitedOut)
        {
            return OtherAdmins::Unsettled(settled_from);
        }
        OtherAdmins::Known(others)
    }
}

impl State {
    /// Returns the admins that the last complete list showed or a read showed since; with `counted` only those that count.
    fn admins(&self, counted: bool) -> impl Iterator<Item = &UserId> {
        let may_be_demoted = |id: &UserId| {
            let loses = |patch: &UserPatch| patch.role != Role::Admin;
            self.ambiguities
                .get(id)
                .is_some_and(|one| one.patches.iter().any(loses))
                && kept(Rule::LostDemotionsCount)
        };
        // Who was not on the last list may be gone, also where malformed rows keep absence from being concluded.
        let is_listed = |id: &UserId, record: &Record| {
            self.reads.lists_who_was_seen(record.seen_at) || self.unlisted.contains(id)
        };
        let declared = self.records.iter().filter(move |(id, record)| {
            is_listed(id, record)
                && is_admin(&record.user)
                && (!counted || is_counted(&record.user))
        });
        // A complete list drops those that it did not show.
        let others = self.undeclared.iter();
        let others = others.filter(move |(_, one)| one.is_admin && (!counted || one.is_counted));
        let all = declared.map(|(id, _)| id).chain(others.map(|(id, _)| id));
        all.filter(move |id| !self.missing.contains_key(*id) && !may_be_demoted(id))
    }

    /// Returns whether the user counts as an admin; an unknown one may.
    fn was_counted(&self, user: &UserId) -> bool {
        let record = self.records.get(user);
        record.is_none_or(|record| is_counted(&record.user))
    }
}
