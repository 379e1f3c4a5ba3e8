//! The admins of the account: which users count as one, whether a demotion may leave, and the check after demotions, which
//! makes users admin again where another process demoted the rest meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{Role, State as UserState, Status, User, UserId, UserPatch};
use fireworks_crd::rules::{Rule, kept};
use retry_backoff::Backoff;

use super::{Directory, Listing, Notice, Record};
use crate::account::OtherAdmins;
use crate::random::Random;
use crate::time::Moment;

/// The number of admins that an account keeps.
const MIN_ADMINS: usize = 1;
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
pub(super) struct Checks {
    /// The oldest first.
    demoted: Vec<Demoted>,
    /// A list that begins then or later is due: one at once, and one a settle window after the last answer.
    at_once: Option<Moment>,
    settled: Option<Moment>,
    /// Users are to be made admin again.
    is_restoring: bool,
    rounds: u32,
    retry_at: Option<Moment>,
    occurrences: u32,
    stopped_until: Option<Moment>,
}

/// A demotion that was answered, or given up.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Demoted {
    user: UserId,
    was_counted: bool,
    ended_at: Moment,
    /// In this round it was tried to make the user admin again.
    is_tried: bool,
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
    /// Returns how many admins would remain if `user` were none, by a list begun at `settled_from` or later: before that,
    /// changes of a former process may still take effect. For a user that counts only those that count are counted, else
    /// all. Where there are none, or another demotion is under way, the user comes out of the changes' stream when that
    /// may have changed.
    #[must_use]
    pub fn other_admins(
        &mut self,
        user: &UserId,
        settled_from: Moment,
        now: Moment,
    ) -> OtherAdmins {
        if let Some(until) = self.checks.stopped(now) {
            return OtherAdmins::Stopped(until);
        }
        if self.demoting.keys().any(|other| other != user) {
            self.waiting_for_admins.insert(user.clone());
            return OtherAdmins::Busy;
        }
        if !self.reads.listed_within(self.admins_known_for(), now) {
            return OtherAdmins::NotListed;
        }
        let counted = self.was_counted(user);
        let others = self
            .known_admins(counted)
            .filter(|other| *other != user)
            .count();
        if others < MIN_ADMINS {
            self.waiting_for_admins.insert(user.clone());
            return OtherAdmins::Known(0);
        }
        if !self.reads.listed_since(settled_from) && kept(Rule::FormerDemotionsAreWaitedOut) {
            return OtherAdmins::Unsettled(settled_from);
        }
        OtherAdmins::Known(others)
    }

    /// Returns which user has to be made admin again.
    #[must_use]
    pub fn next_restore(&mut self, now: Moment) -> Restore {
        let user = match self.checks.next_restore(now, &mut self.random) {
            Ok(user) => user,
            Err(restore) => return restore,
        };
        let before = self.records.get(&user).map(|record| record.user.clone());
        let leaves_custom = before.as_ref().is_none_or(|user| user.role == Role::Custom);
        let patch = UserPatch {
            role: Role::Admin,
            permission_preset: leaves_custom.then(|| "".into()),
            display_name: None,
        };
        Restore::User(Repair {
            user,
            before,
            patch,
            attempt: self.checks.rounds.saturating_add(1),
        })
    }

    /// Records that it was tried to make the user admin again. A user that is gone is not tried again.
    pub fn restore_tried(&mut self, user: &UserId, is_gone: bool) {
        let checks = &mut self.checks;
        for one in checks.demoted.iter_mut().filter(|one| one.user == *user) {
            one.is_tried = true;
        }
        checks.demoted.retain(|one| one.user != *user || !is_gone);
        if checks.is_restoring && self.keeps_required_admins(|_| true) {
            self.checks.end_restoring();
        }
    }

    /// Returns how many admins count, as last listed, and whether demotions are stopped.
    #[must_use]
    pub fn admins(&self, now: Moment) -> (usize, bool) {
        (
            self.known_admins(true).count(),
            self.checks.stopped(now).is_some(),
        )
    }
}

impl Directory {
    /// Returns the admins that the last complete list showed or a read showed since; with `counted` only those that count.
    fn known_admins(&self, counted: bool) -> impl Iterator<Item = &UserId> {
        let may_be_demoted = |id: &UserId| {
            let loses = |patch: &UserPatch| patch.role != Role::Admin;
            self.unconfirmed
                .get(id)
                .is_some_and(|one| one.patches.iter().any(loses))
                && kept(Rule::UnconfirmedDemotionsCount)
        };
        // Who was not on the last list may be gone, also where malformed rows keep absence from being concluded.
        let is_listed = |id: &UserId, record: &Record| {
            self.reads.lists_users_seen_at(record.seen_at) || self.omitted.contains(id)
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
    pub(super) fn was_counted(&self, user: &UserId) -> bool {
        match (self.records.get(user), self.undeclared.get(user)) {
            (Some(record), _) => is_counted(&record.user),
            (None, Some(other)) => other.is_counted,
            (None, None) => true,
        }
    }

    /// Returns whether the user has the role `admin`; an unknown one may.
    pub(super) fn was_admin(&self, user: &UserId) -> bool {
        match (self.records.get(user), self.undeclared.get(user)) {
            (Some(record), _) => record.user.role == Role::Admin,
            (None, Some(other)) => other.is_admin,
            (None, None) => true,
        }
    }

    /// Records a demotion that was answered, or whose effect is unknown: lists are checked from now on.
    pub(super) fn demoted(&mut self, user: &UserId, was_counted: bool, now: Moment) {
        let settle = self.times.settle_window;
        let checks = &mut self.checks;
        checks.forget_old(now);
        checks.demoted.retain(|one| one.user != *user);
        checks.demoted.push(Demoted {
            user: user.clone(),
            was_counted,
            ended_at: now,
            is_tried: false,
        });
        if checks.settled.is_none() {
            checks.at_once = Some(now);
        }
        checks.settled = Some(now + settle);
    }

    /// Forgets the demotion of a user that was made admin again on purpose.
    pub(super) fn promoted(&mut self, user: &UserId) {
        if !self.checks.is_restoring {
            self.checks.demoted.retain(|one| one.user != *user);
        }
    }

    /// Checks what a complete list shows. Returns the users whose objects must be requeued.
    pub(super) fn check_admins(&mut self, listing: &Listing, now: Moment) -> Vec<UserId> {
        let began = listing.began;
        self.checks.listed(began);
        let is_concerned =
            |one: &Demoted| one.ended_at <= began && began <= one.ended_at + CHECKED_FOR;
        let is_restoring = self.checks.is_restoring;
        let concerns = |one: &Demoted| is_restoring || is_concerned(one);
        let is_checked = self.checks.demoted.iter().any(concerns);
        if is_checked && !self.keeps_required_admins(concerns) {
            let notice = self.checks.fail(now, &mut self.random);
            self.signals.notices.extend(notice);
            let demoted = self.checks.demoted.iter().map(|one| one.user.clone());
            let waiting = std::mem::take(&mut self.waiting_for_admins);
            return demoted.chain(waiting).collect();
        }
        if is_checked {
            self.checks.end_restoring();
        }
        self.checks.forget_old(now);
        Vec::new()
    }

    /// Returns whether the account has the admins that demotions must leave: ones that count where one that counts was
    /// demoted, else of any kind.
    fn keeps_required_admins(&self, concerns: impl Fn(&Demoted) -> bool) -> bool {
        let mut concerned = self.checks.demoted.iter().filter(|one| concerns(one));
        let counted = concerned.any(|one| one.was_counted);
        // One that was made admin again may still be UPDATING.
        let is_restored = |one: &&Demoted| {
            let declared = self.records.get(&one.user);
            let other = self.undeclared.get(&one.user);
            let is_admin = declared.is_some_and(|record| is_admin(&record.user))
                || other.is_some_and(|other| other.is_admin);
            one.is_tried && is_admin
        };
        let tried = self.checks.demoted.iter().filter(is_restored);
        let restored = tried
            .filter(|one| one.was_counted || !counted)
            .map(|one| &one.user);
        let admins: BTreeSet<&UserId> = self.known_admins(counted).chain(restored).collect();
        admins.len() >= MIN_ADMINS
    }
}

impl Checks {
    /// Returns whether demotions are stopped, and until when; `Some(None)` is until a restart.
    #[expect(
        clippy::option_option,
        reason = "stopped without an end is not the same as not stopped"
    )]
    fn stopped(&self, now: Moment) -> Option<Option<Moment>> {
        if self.occurrences >= OCCURRENCES_MAX {
            return Some(None);
        }
        let until = self.stopped_until.filter(|until| now < *until)?;
        Some(Some(until))
    }

    /// Returns whether users have to be made admin again.
    pub(super) fn is_restoring(&self) -> bool {
        self.is_restoring
    }

    /// Returns whether a list is due for the check.
    pub(super) fn is_list_due(&self, now: Moment) -> bool {
        self.list_due_at().is_some_and(|at| at <= now)
    }

    /// Returns when the next list for the check is due.
    pub(super) fn list_due_at(&self) -> Option<Moment> {
        self.at_once.into_iter().chain(self.settled).min()
    }

    /// A complete list began at that time.
    fn listed(&mut self, began: Moment) {
        self.at_once.take_if(|due| *due <= began);
        if self.settled.take_if(|due| *due <= began).is_some() {
            self.at_once = None;
        }
    }

    /// Begins to make users admin again. Returns what the log must show, where that has not begun before.
    fn fail(&mut self, now: Moment, random: &mut Random) -> Option<Notice> {
        if self.is_restoring {
            return None;
        }
        self.is_restoring = true;
        self.rounds = 0;
        self.retry_at = None;
        self.occurrences = self.occurrences.saturating_add(1);
        self.stopped_until = Some(now + random.spread(STOPPED_FOR, 50, 150));
        Some(Notice::NoAdminLeft {
            demoted: self.demoted.len(),
        })
    }

    fn end_restoring(&mut self) {
        self.is_restoring = false;
        for one in &mut self.demoted {
            one.is_tried = false;
        }
    }

    /// The newest demotion that was not tried in this round; after a round without success the next one waits.
    fn next_restore(&mut self, now: Moment, random: &mut Random) -> Result<UserId, Restore> {
        if !self.is_restoring || self.demoted.is_empty() {
            return Err(Restore::Idle);
        }
        if let Some(at) = self.retry_at.filter(|at| now < *at) {
            return Err(Restore::At(at));
        }
        if let Some(next) = self.demoted.iter().rev().find(|one| !one.is_tried) {
            return Ok(next.user.clone());
        }
        for one in &mut self.demoted {
            one.is_tried = false;
        }
        let at = now + Backoff::default().delay(self.rounds, random.fraction());
        self.rounds = self.rounds.saturating_add(1);
        self.retry_at = Some(at);
        Err(Restore::At(at))
    }

    /// Nothing is forgotten while users are made admin again.
    fn forget_old(&mut self, now: Moment) {
        if !self.is_restoring {
            self.demoted.retain(|one| now <= one.ended_at + CHECKED_FOR);
        }
    }
}
