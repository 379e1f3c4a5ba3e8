//! The check of complete lists after demotions: two processes that demote different admins at once may leave none.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{Role, User, UserId, UserPatch};
use retry_backoff::Backoff;

use super::OtherAdmins;
use crate::account::Notice;
use crate::account::users::Users;
use crate::random::Random;
use crate::rebase::rebase;
use crate::time::Moment;

/// A complete list that began within this time of a demotion is checked.
const CHECKED_FOR: Duration = Duration::from_mins(10);
/// After the check had to make users admin again no admin is demoted for this long, give or take a half: two operators
/// that undid each other's demotion must not repeat it together.
const STOPPED_FOR: Duration = Duration::from_hours(1);
/// The occurrence that stops demotions until a restart.
const OCCURRENCES_MAX: u32 = 2;

/// What the check after demotions asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Restore {
    /// Nothing.
    Idle,
    /// Nothing before that time.
    At(Moment),
    /// A user is to be made admin again.
    User(Repair),
}

/// Makes one user admin again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repair {
    /// The user.
    pub user: UserId,
    /// The user as last seen; none where an object no longer declares it.
    pub before: Option<Arc<User>>,
    /// What is sent.
    pub patch: UserPatch,
    /// 1 for the first try.
    pub attempt: u32,
}

/// Demotions that complete lists are checked for, and what a failed check led to.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(in super::super) struct Checks {
    /// The oldest first.
    demoted: Vec<Demoted>,
    /// A list that begins then or later is due: one at once, and one a settle window after the last answer.
    at_once: Option<Moment>,
    settled: Option<Moment>,
    /// Users are to be made admin again.
    pub(in super::super) is_restoring: bool,
    rounds: u32,
    retry_at: Option<Moment>,
    occurrences: u32,
    stopped_until: Option<Moment>,
    /// Jitter.
    random: Random,
}

/// A demotion that was answered, or given up.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Demoted {
    user: UserId,
    pub(super) was_counted: bool,
    ended_at: Moment,
    /// In this round it was tried to make the user admin again.
    is_tried: bool,
}

impl Checks {
    /// Returns the check of an account in which no user was demoted.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            ..Self::default()
        }
    }

    /// Records a demotion that was answered, or whose effect is unknown: lists are checked from now on.
    pub(super) fn demoted(
        &mut self,
        user: &UserId,
        was_counted: bool,
        now: Moment,
        settle: Duration,
    ) {
        self.forget_old(now);
        self.demoted.retain(|one| one.user != *user);
        self.demoted.push(Demoted {
            user: user.clone(),
            was_counted,
            ended_at: now,
            is_tried: false,
        });
        if self.settled.is_none() {
            self.at_once = Some(now);
        }
        self.settled = Some(now + settle);
    }

    /// Forgets the demotion of a user that was made admin again on purpose.
    pub(super) fn promoted(&mut self, user: &UserId) {
        if !self.is_restoring {
            self.demoted.retain(|one| one.user != *user);
        }
    }

    /// Returns the users that were demoted, the oldest demotion first.
    pub(super) fn demoted_users(&self) -> impl Iterator<Item = &UserId> {
        self.demoted.iter().map(|one| &one.user)
    }

    /// Returns the demotions that a list begun at that time is checked for; without a list, or while users are made admin
    /// again, all.
    pub(super) fn concerned(&self, listed: Option<Moment>) -> impl Iterator<Item = &Demoted> {
        let began = listed.filter(|_| !self.is_restoring);
        self.demoted.iter().filter(move |one| {
            began.is_none_or(|began| one.ended_at <= began && began <= one.ended_at + CHECKED_FOR)
        })
    }

    /// Returns the users that it was tried to make admin again in this round; with `counted` only those that counted.
    pub(super) fn restored(&self, counted: bool) -> impl Iterator<Item = &UserId> {
        let tried = self.demoted.iter().filter(|one| one.is_tried);
        let restored = tried.filter(move |one| one.was_counted || !counted);
        restored.map(|one| &one.user)
    }

    /// Returns [`OtherAdmins::Stopped`] while demotions are stopped.
    pub(super) fn stopped(&self, now: Moment) -> Option<OtherAdmins> {
        if self.occurrences >= OCCURRENCES_MAX {
            return Some(OtherAdmins::Stopped(None));
        }
        let until = self.stopped_until.filter(|until| now < *until)?;
        Some(OtherAdmins::Stopped(Some(until)))
    }

    /// Returns when the next list for the check is due.
    pub(in super::super) fn list_due_at(&self) -> Option<Moment> {
        self.at_once.into_iter().chain(self.settled).min()
    }

    /// Records that a complete list began at that time.
    pub(super) fn listed(&mut self, began: Moment) {
        self.at_once.take_if(|due| *due <= began);
        if self.settled.take_if(|due| *due <= began).is_some() {
            self.at_once = None;
        }
    }

    /// Begins to make users admin again. Returns what the log must show, where that has not begun before.
    pub(super) fn fail(&mut self, now: Moment) -> Option<Notice> {
        if self.is_restoring {
            return None;
        }
        self.is_restoring = true;
        self.rounds = 0;
        self.retry_at = None;
        self.occurrences = self.occurrences.saturating_add(1);
        self.stopped_until = Some(now + self.random.spread(STOPPED_FOR, 50, 150));
        Some(Notice::NoAdminLeft {
            demoted: self.demoted.len(),
        })
    }

    /// Records that the account has an admin again.
    pub(super) fn end_restoring(&mut self) {
        self.is_restoring = false;
        self.begin_round();
    }

    fn begin_round(&mut self) {
        for one in &mut self.demoted {
            one.is_tried = false;
        }
    }

    /// Returns which user has to be made admin again: that of the newest demotion that was not tried in this round. After a round
    /// without success the next one waits.
    pub(in super::super) fn next_restore(&mut self, users: &Users, now: Moment) -> Restore {
        if !self.is_restoring || self.demoted.is_empty() {
            return Restore::Idle;
        }
        if let Some(at) = self.retry_at.filter(|at| now < *at) {
            return Restore::At(at);
        }
        if let Some(next) = self.demoted.iter().rev().find(|one| !one.is_tried) {
            let before = users.get(&next.user).map(|record| record.user.clone());
            return Restore::User(self.repair(next.user.clone(), before));
        }
        self.begin_round();
        let at = now + Backoff::default().delay(self.rounds, self.random.fraction());
        self.rounds = self.rounds.saturating_add(1);
        self.retry_at = Some(at);
        Restore::At(at)
    }

    /// Returns what makes that user admin again, which was last seen as `before`.
    fn repair(&self, user: UserId, before: Option<Arc<User>>) -> Repair {
        let leaves_custom = before.as_ref().is_none_or(|user| user.role == Role::Custom);
        let patch = UserPatch {
            role: Role::Admin,
            permission_preset: leaves_custom.then(|| "".into()),
            display_name: None,
        };
        Repair {
            user,
            before,
            patch,
            attempt: self.rounds.saturating_add(1),
        }
    }

    /// Records that it was tried to make the user admin again. A user that is gone is not tried again.
    pub(super) fn restore_tried(&mut self, user: &UserId, is_gone: bool) {
        for one in self.demoted.iter_mut().filter(|one| one.user == *user) {
            one.is_tried = true;
        }
        self.demoted.retain(|one| one.user != *user || !is_gone);
    }

    /// Forgets demotions that no list is checked for any more; none while users are made admin again.
    pub(super) fn forget_old(&mut self, now: Moment) {
        if !self.is_restoring {
            self.demoted.retain(|one| now <= one.ended_at + CHECKED_FOR);
        }
    }
}

// How often a restoring was tried does not matter.
rebase! { Checks {
    rebased: demoted, at_once, settled, retry_at, stopped_until;
    fixed: rounds = 0, occurrences = OCCURRENCES_MAX.min(*occurrences), random = Random::default();
    kept: is_restoring;
} }

rebase! { Demoted {
    rebased: ended_at;
    kept: user, was_counted, is_tried;
} }
