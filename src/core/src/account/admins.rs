//! The last admin is never demoted: which users count as admins, whether a demotion may leave, which changes wait for that,
//! and the check after demotions, which makes users admin again where another process demoted the rest meanwhile.

mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fireworks_api::wire::{Role, State as UserState, Status, User, UserId, UserPatch};

use super::Notice;
use super::absence::Absence;
use super::refresh::CompleteList;
use super::updates::Updates;
use super::users::{Record, Users};
use crate::rebase::rebase;
use crate::rules::Rules;
use crate::time::Moment;
pub(super) use checks::Checks;

pub use checks::{Repair, Restore};

/// How many other users of the account are admins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OtherAdmins {
    /// That many of the kind that the demotion needs, as last completely listed plus our own answers.
    Known(usize),
    /// Fewer of that kind than the demotion needs, which is that many.
    TooFew(usize),
    /// The last complete list is too old.
    NotListed,
    /// The demotion of another admin is under way: ask again when it has ended.
    Busy,
    /// There are others, but a demotion that a former process sent may still take effect: only a list
    /// begun at that time or later shows which are left.
    Unsettled(Moment),
    /// The check after demotions failed: no admin is demoted until then, or, with `None`, until a restart.
    Stopped(Option<Moment>),
}

/// Whether a user is an admin.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct AdminRole {
    /// It is an admin that stays one.
    pub(super) is_admin: bool,
    /// It counts as an admin: a person with nothing in the way of signing in.
    pub(super) is_counted: bool,
}

impl AdminRole {
    /// Returns whether that user is an admin.
    pub(super) fn of(user: &User) -> Self {
        let is_admin = user.role == Role::Admin && user.state != UserState::Deleting;
        Self {
            is_admin,
            is_counted: is_admin
                && matches!(user.state, UserState::Ready | UserState::Unspecified)
                && user.status.as_ref().is_none_or(Status::is_ok)
                && !user.service_account,
        }
    }

    /// Returns whether it is of the kind that a demotion needs.
    fn is_of_kind(self, counted: bool) -> bool {
        self.is_admin && (!counted || self.is_counted)
    }
}

/// What admins are counted by.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) users: &'a Users,
    pub(super) absence: &'a Absence,
    pub(super) updates: &'a Updates,
    /// The last complete one.
    pub(super) list: Option<CompleteList>,
}

impl<'a> Known<'a> {
    /// Returns the admins that the last complete list showed or a read showed since; with `counted` only those that count.
    fn admins(self, counted: bool) -> impl Iterator<Item = &'a UserId> {
        let Self {
            users,
            absence,
            updates,
            list,
        } = self;
        // A user that was not on the last list may be gone, also where malformed rows keep absence from being concluded.
        let is_listed = move |id: &UserId, record: &Record| {
            list.is_some_and(|list| list.shows_users_seen_at(record.seen_at))
                || absence.is_omitted(id)
        };
        let declared = users.records().filter(move |(id, record)| {
            is_listed(id, record) && AdminRole::of(&record.user).is_of_kind(counted)
        });
        // A complete list drops those that it did not show.
        let others = users.undeclared();
        let others = others.filter(move |(_, role)| role.is_of_kind(counted));
        let all = declared.map(|(id, _)| id).chain(others.map(|(id, _)| id));
        all.filter(move |id| !absence.is_missing(id) && !updates.may_demote(id))
    }
}

/// The guard of the last admin.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Admins {
    pub(super) rules: Rules,
    /// The number of counted admins that demotions leave.
    minimum: usize,
    /// Demotions in flight, and whether the user counted as an admin.
    in_flight: BTreeMap<UserId, bool>,
    /// Users whose demotion waits: for another admin, or for another demotion to end.
    waiting: BTreeSet<UserId>,
    pub(super) checks: Checks,
}

impl Admins {
    /// Returns the guard of an account of which nothing is known, which keeps that many counted admins.
    pub(super) fn new(min_admins: usize, seed: u64) -> Self {
        Self {
            rules: Rules::default(),
            minimum: min_admins,
            in_flight: BTreeMap::new(),
            waiting: BTreeSet::new(),
            checks: Checks::new(seed),
        }
    }

    /// Returns how many admins would remain if `user` were none, by a list begun at `settled_from` or later: before that,
    /// changes of a former process may still take effect. For a user that counts only those that count are counted, else
    /// all. Where there are too few, or another demotion is under way, the user is requeued when that may have changed.
    /// `list_counts_for`: how old the list may be.
    pub(super) fn other_admins(
        &mut self,
        user: &UserId,
        known: Known<'_>,
        list_counts_for: Duration,
        settled_from: Moment,
        now: Moment,
    ) -> OtherAdmins {
        if let Some(stopped) = self.checks.stopped(now) {
            return stopped;
        }
        if self.in_flight.keys().any(|other| other != user) {
            self.waiting.insert(user.clone());
            return OtherAdmins::Busy;
        }
        let list = known.list.filter(|list| list.age(now) <= list_counts_for);
        let Some(list) = list else {
            return OtherAdmins::NotListed;
        };
        let is_counted = was_counted(user, known.users);
        let admins = known.admins(is_counted);
        let others = admins.filter(|other| *other != user).count();
        let needed = (self.rules.other_admins_needed)(is_counted, self.minimum);
        if others < needed {
            self.waiting.insert(user.clone());
            return OtherAdmins::TooFew(needed);
        }
        if !(self.rules.shows_former_demotions)(list.began, settled_from) {
            return OtherAdmins::Unsettled(settled_from);
        }
        OtherAdmins::Known(others)
    }

    /// Returns how many admins count, as last listed, and whether demotions are stopped.
    pub(super) fn count(&self, known: Known<'_>, now: Moment) -> (usize, bool) {
        let are_demotions_stopped = self.checks.stopped(now).is_some();
        (known.admins(true).count(), are_demotions_stopped)
    }

    /// Returns whether a demotion of that user is in flight.
    pub(super) fn is_demoting(&self, user: &UserId) -> bool {
        self.in_flight.contains_key(user)
    }

    /// Records that an update is sent. While it is in flight, and may demote an admin, no other admin is demoted.
    pub(super) fn update_sent(&mut self, user: &UserId, patch: &UserPatch, users: &Users) {
        if patch.role != Role::Admin && was_admin(user, users) {
            let was_counted = was_counted(user, users);
            self.in_flight.insert(user.clone(), was_counted);
        }
    }

    /// Records that an update has ended. `effective_at`: it took effect, or may have, by then. Returns the users whose objects
    /// must be requeued.
    pub(super) fn update_ended(
        &mut self,
        user: &UserId,
        effective_at: Option<Moment>,
        settle: Duration,
    ) -> Vec<UserId> {
        let demoted = self.in_flight.remove(user).zip(effective_at);
        if let Some((was_counted, at)) = demoted {
            self.checks.demoted(user, was_counted, at, settle);
        }
        self.take_waiting_if(self.in_flight.is_empty())
    }

    /// Records that an update was answered with that user: it may have been made admin again on purpose. Returns the users
    /// whose objects must be requeued.
    pub(super) fn update_succeeded(
        &mut self,
        id: &UserId,
        patch: &UserPatch,
        user: &User,
    ) -> Vec<UserId> {
        if patch.role == Role::Admin {
            self.checks.promoted(id);
        }
        self.user_observed(user, true)
    }

    /// Records that a user was observed; `is_changed`: an admin may be one more than before. Returns the users whose objects
    /// must be requeued.
    pub(super) fn user_observed(&mut self, user: &User, is_changed: bool) -> Vec<UserId> {
        self.take_waiting_if(is_changed && user.role == Role::Admin)
    }

    /// Records that a list shows that role of an undeclared user, of which `before` was known. Returns the users whose objects
    /// must be requeued.
    pub(super) fn undeclared_observed(
        &mut self,
        before: Option<AdminRole>,
        role: AdminRole,
    ) -> Vec<UserId> {
        let before = before.unwrap_or_default();
        let is_new = role.is_admin && !before.is_admin;
        self.take_waiting_if(is_new || role.is_counted && !before.is_counted)
    }

    /// Forgets that the demotion of the user waits.
    pub(super) fn forget(&mut self, user: &UserId) {
        self.waiting.remove(user);
    }

    /// Takes the users whose demotion waits, where another admin or the end of another demotion may let it go on.
    fn take_waiting_if(&mut self, may_go_on: bool) -> Vec<UserId> {
        if !may_go_on {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}

rebase! { Admins {
    rebased: checks;
    kept: rules, minimum, in_flight, waiting;
} }

/// The check after demotions.
impl Admins {
    /// Records that it was tried to make the user admin again. A user that is gone is not tried again.
    pub(super) fn restore_tried(&mut self, user: &UserId, is_gone: bool, known: Known<'_>) {
        self.checks.restore_tried(user, is_gone);
        if self.checks.is_restoring && self.keeps_required_admins(None, known) {
            self.checks.end_restoring();
        }
    }

    /// Checks what a complete list shows that began at that time. Returns the users whose objects must be requeued, and what the
    /// log must show.
    pub(super) fn list_finished(
        &mut self,
        began: Moment,
        known: Known<'_>,
        now: Moment,
    ) -> (Vec<UserId>, Option<Notice>) {
        self.checks.listed(began);
        let is_checked = self.checks.concerned(Some(began)).next().is_some();
        if is_checked && !self.keeps_required_admins(Some(began), known) {
            let notice = self.checks.fail(now);
            let mut affected: Vec<UserId> = self.checks.demoted_users().cloned().collect();
            affected.extend(self.take_waiting_if(true));
            return (affected, notice);
        }
        if is_checked {
            self.checks.end_restoring();
        }
        self.checks.forget_old(now);
        (Vec::new(), None)
    }

    /// Returns whether the account has the admins that demotions must leave, those that a list begun at that time shows: the
    /// minimum of ones that count where one that counts was demoted, else one of any kind.
    fn keeps_required_admins(&self, listed: Option<Moment>, known: Known<'_>) -> bool {
        let counted = self.checks.concerned(listed).any(|one| one.was_counted);
        // One that was made admin again may still be UPDATING.
        let is_admin = |user: &UserId| role_of(user, known.users).is_some_and(|role| role.is_admin);
        let restored = self.checks.restored(counted).filter(|user| is_admin(user));
        let admins: BTreeSet<&UserId> = known.admins(counted).chain(restored).collect();
        let needed = (self.rules.other_admins_needed)(counted, self.minimum);
        (self.rules.are_admins_left)(admins.len(), needed)
    }
}

/// Returns whether the user counts as an admin; an unknown one may.
fn was_counted(user: &UserId, users: &Users) -> bool {
    role_of(user, users).is_none_or(|role| role.is_counted)
}

fn role_of(user: &UserId, users: &Users) -> Option<AdminRole> {
    let declared = users.get(user).map(|record| AdminRole::of(&record.user));
    declared.or_else(|| users.undeclared_role(user))
}

/// Returns whether the user has the role `admin`; an unknown one may.
fn was_admin(user: &UserId, users: &Users) -> bool {
    match users.get(user) {
        Some(record) => record.user.role == Role::Admin,
        None => users.undeclared_role(user).is_none_or(|role| role.is_admin),
    }
}
