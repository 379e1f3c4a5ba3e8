//! What to read next: the sweep, the requested reads, and which of listing and reading one by one costs fewer calls.

use std::time::Duration;

use fireworks_api::wire::UserId;

use super::Refresh;
use super::reads::LIST_PATIENCE;
use crate::account::Class;
use crate::account::absence::Absence;
use crate::account::canary::Canary;
use crate::account::users::Users;
use crate::time::Moment;

/// The number of pages is learned again after this long, even where lists are not used.
const PAGES_RELEARNED_AFTER: Duration = Duration::from_hours(1);

/// What to read now, and when to ask again.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Schedule {
    /// Read the whole list (it may stop after one page), with that urgency.
    pub list: Option<Class>,
    /// The list under way is that urgent now.
    pub urgency: Option<Class>,
    /// Read these users one by one.
    pub reads: Vec<(UserId, Class)>,
    /// Ask again at that time, or when woken.
    pub wake_at: Option<Moment>,
    /// A sweep begins that reads users one by one: it shows no user that no object declares.
    pub is_sweep_begun: bool,
}

/// What reads are needed for.
#[derive(Clone, Copy)]
pub(in super::super) struct Needs<'a> {
    /// The users that objects declare.
    pub(in super::super) users: &'a Users,
    /// The users that are missed.
    pub(in super::super) absence: &'a Absence,
    /// The user that is to show whether a field was cleared.
    pub(in super::super) canary: &'a Canary,
    /// When the check after demotions needs a list.
    pub(in super::super) check_at: Option<Moment>,
}

impl Needs<'_> {
    fn is_check_due(&self, now: Moment) -> bool {
        self.check_at.is_some_and(|at| at <= now)
    }

    /// Returns the number of users that objects declare.
    fn users(&self) -> usize {
        self.users.managed.len()
    }
}

impl Refresh {
    /// Returns what to read now; what it names counts as in progress.
    pub(in super::super) fn next_reads(&mut self, needs: Needs<'_>, now: Moment) -> Schedule {
        if !self.is_open {
            return Schedule::default();
        }
        let check_at = needs.check_at;
        if needs.users() == 0 && !needs.is_check_due(now) {
            return Schedule {
                wake_at: check_at,
                ..Schedule::default()
            };
        }
        if let Some(patient_until) = self.is_listing_until(now) {
            // The list answers them all; thousands come by here while it is under way.
            return Schedule {
                wake_at: Some(patient_until),
                urgency: self.list_urgency,
                ..Schedule::default()
            };
        }
        let (users, canary) = (needs.users, needs.canary);
        self.requested
            .retain(|user| users.is_managed(user) || canary.suspects(user));
        let learned_at = self.pages_learned_at;
        if learned_at.is_some_and(|at| now >= at + PAGES_RELEARNED_AFTER) {
            self.pages = None;
        }
        let mut schedule = self.pick_reads(needs, now);
        schedule.urgency = self.list_urgency;
        schedule.wake_at = self.wake_at(check_at, now);
        schedule
    }

    fn pick_reads(&mut self, needs: Needs<'_>, now: Moment) -> Schedule {
        let mut due = self
            .requested
            .due(now, |user| self.getting.contains_key(user));
        let is_asked_for = !due.is_empty();
        let (pages, is_of_use) = (self.pages(), self.are_lists_of_use());
        let in_progress = self.getting.keys();
        let is_dear = needs
            .absence
            .costs_more_than_a_list(&mut due, pages, is_of_use, in_progress);
        let mut schedule = Schedule::default();
        if self.should_list(needs, is_asked_for, is_dear, now) {
            let asked = due.iter().map(|(_, class)| *class);
            let checks = needs.is_check_due(now).then_some(Class::SpecChange);
            let urgency = asked.chain(self.list_wanted).chain(checks).min();
            schedule.list = Some(urgency.unwrap_or(Class::Sweep));
            self.list_urgency = schedule.list;
            self.listing_since = Some(now);
        } else if self.listing_since.is_none() && (self.pages.is_some() || self.list_has_failed()) {
            schedule.is_sweep_begun = self.begin_sweep_one_by_one(needs, now);
            // An outage costs the list's tries, not those of each user which it would show.
            let is_dear = self.pages.is_none() || self.sweeps_list(needs.users());
            let awaits_list = self.list_failures > 0 && is_dear;
            let due = if awaits_list { pending(due) } else { due };
            schedule.reads = self.pick(due, needs.users);
        } else if self.list_is_late(now) {
            // Without a good list a 404 proves nothing, and sweeping one by one may be dear.
            schedule.reads = self.pick(pending(due), needs.users);
        }
        schedule
    }

    /// Returns whether to list. That costs a call for each page, reading one by one a call for each user. At equal cost a sweep
    /// lists, which shows all users; a check of few users reads them, which also shows those that lists omit.
    fn should_list(
        &self,
        needs: Needs<'_>,
        is_asked_for: bool,
        is_dear: bool,
        now: Moment,
    ) -> bool {
        let held_back = self.list_retry_at.is_some_and(|at| now < at);
        if self.listing_since.is_some() || held_back {
            return false;
        }
        if needs.is_check_due(now) {
            return true;
        }
        let sweep_due = self.timetable.is_due(now);
        match self.pages.map(|pages| pages as usize) {
            None => sweep_due || is_asked_for || self.list_wanted.is_some(),
            Some(pages) => {
                self.list_wanted.is_some() || (sweep_due && needs.users() >= pages) || is_dear
            }
        }
    }

    /// Begins a sweep that reads users one by one, where one is due and that costs fewer calls than a list. Returns whether it
    /// has begun.
    fn begin_sweep_one_by_one(&mut self, needs: Needs<'_>, now: Moment) -> bool {
        let pages = self.pages;
        let is_cheaper = pages.is_some_and(|pages| needs.users() < pages as usize);
        let begins = is_cheaper && self.timetable.is_due(now);
        if begins {
            self.sweep_rest(needs.users.managed.clone());
            self.schedule_sweep(needs.users, now);
        }
        begins
    }

    fn wake_at(&self, check_at: Option<Moment>, now: Moment) -> Option<Moment> {
        let is_in_progress = |user: &UserId| self.getting.contains_key(user);
        let late = self.listing_since.map(|since| since + LIST_PATIENCE);
        let sweep = self.timetable.due.filter(|_| self.listing_since.is_none());
        self.requested
            .due_times(is_in_progress)
            .chain(late)
            .chain(self.list_retry_at)
            .chain(check_at)
            .chain(sweep)
            .filter(|at| *at > now)
            .min()
    }
}

/// Returns the reads of users that have something pending, and do not only wait to be seen again.
fn pending(mut due: Vec<(UserId, Class)>) -> Vec<(UserId, Class)> {
    due.retain(|(_, class)| *class <= Class::DriftRepair);
    due
}
