//! What the reader should read next, and when: the sweep, the requested reads, and which of
//! listing and reading one by one costs fewer calls.

mod canonical;
mod one_by_one;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fireworks_api::wire::UserId;
use retry_backoff::Backoff;

use super::timetable::Timetable;
use super::{Directory, Listing};
use crate::account::Class;
use crate::random::Random;
use crate::time::Moment;

/// Users on one page of a list.
const PAGE_SIZE: u64 = 200;
/// The number of pages is learned anew after this long, even where lists are not used.
const PAGES_RELEARNED_AFTER: Duration = Duration::from_hours(1);
/// A list that takes longer no longer holds up objects that wait for more than the sweep.
const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// Single reads of a sweep that fail in a row, while lists fail too, after which the sweep ends.
const GETS_FAILED_MAX: u32 = 3;
/// Single reads under way at once.
const READS_AT_ONCE: usize = 4;

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
}

/// The reader's own state, kept beside the records it fills.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Reads {
    is_open: bool,
    listing_since: Option<Moment>,
    getting: BTreeMap<UserId, bool>,
    to_sweep: BTreeSet<UserId>,
    lists: u64,
    /// Number of the last list that was begun.
    walks: u32,
    /// When the last complete list began, and when it ended.
    complete: Option<[Moment; 2]>,
    last_list_succeeded: bool,
    last_list_was_empty: bool,
    last_list_was_malformed: bool,
    list_failures: u32,
    /// A single read succeeded since lists fail, and not several in a row have failed after it.
    gets_succeed: bool,
    /// Single reads of the sweep that failed in a row.
    gets_failed: u32,
    list_retry_at: Option<Moment>,
    list_wanted: Option<Class>,
    list_urgency: Option<Class>,
    list_waiters: BTreeSet<UserId>,
    pages: Option<u32>,
    pages_learned_at: Option<Moment>,
    pub(super) timetable: Timetable,
    sweep_has_failed: bool,
}

impl Directory {
    /// What to read now; what it names counts as under way.
    #[must_use]
    pub fn schedule(&mut self, now: Moment) -> Schedule {
        let mut schedule = self.next_reads(now);
        let affected = self.announce_stale_by_time(now, &mut schedule);
        self.requeue(affected);
        schedule
    }

    /// The first page contained the number of users. Whether the list is worth going on with.
    #[must_use]
    pub fn learn_total(&mut self, total: Option<u64>, is_last_page: bool, now: Moment) -> bool {
        let pages = match total {
            _ if is_last_page => Some(1),
            Some(total) => Some(
                u32::try_from(total.div_ceil(PAGE_SIZE))
                    .unwrap_or(u32::MAX)
                    .max(1),
            ),
            None => None,
        };
        self.reads.pages = pages;
        self.reads.pages_learned_at = Some(now);
        let managed = self.managed.len();
        let is_requested = self.reads.list_wanted.is_some() || self.checks.is_list_due(now);
        is_requested || pages.is_none_or(|pages| managed >= pages as usize)
    }

    /// What made reads fail may be over, such as a refused key: nothing has to wait any longer.
    pub fn retry_now(&mut self, now: Moment) {
        self.reads.list_retry_at = None;
        if self.reads.timetable.failures > 0 {
            self.reads.timetable.due = Some(now);
        }
        for request_read in self.requested_reads.values_mut() {
            request_read.retry_at = None;
        }
        self.signals.refresh = true;
    }

    /// The read has its turn. `false` if it is needed no longer: then it is under way no longer.
    pub fn is_still_needed(&mut self, user: &UserId) -> bool {
        let swept = self.reads.getting.get(user) == Some(&true);
        let of_interest = self.managed.contains(user) || self.canary.suspects(user);
        let needed = of_interest && (swept || self.requested_reads.contains_key(user));
        if !needed {
            self.reads.getting.remove(user);
        }
        needed
    }

    /// The read was not sent after all: it is due as before.
    pub fn put_back(&mut self, user: &UserId) {
        if self.reads.getting.remove(user) == Some(true) {
            self.reads.to_sweep.insert(user.clone());
        }
        self.signals.refresh = true;
    }
}

impl Directory {
    fn next_reads(&mut self, now: Moment) -> Schedule {
        if !self.reads.is_open {
            return Schedule::default();
        }
        let check_at = self.checks.list_due_at();
        if self.managed.is_empty() && check_at.is_none_or(|at| at > now) {
            return Schedule {
                wake_at: check_at,
                ..Schedule::default()
            };
        }
        if let Some(patient_until) = self.reads.is_listing_until(now) {
            // The list answers them all; thousands come by here while it is under way.
            return Schedule {
                wake_at: Some(patient_until),
                urgency: self.reads.list_urgency,
                ..Schedule::default()
            };
        }
        let (managed, canary) = (&self.managed, &self.canary);
        self.requested_reads
            .retain(|id, _| managed.contains(id) || canary.suspects(id));
        if self
            .reads
            .pages_learned_at
            .is_some_and(|at| now >= at + PAGES_RELEARNED_AFTER)
        {
            self.reads.pages = None;
        }
        let mut due = self.due_reads(now);
        let is_asked_for = !due.is_empty();
        let is_dear = self.costs_more_than_a_list(&mut due);
        let mut schedule = Schedule::default();
        if self.should_list(is_asked_for, is_dear, now) {
            let asked = due.iter().map(|(_, class)| *class);
            let checks = self.checks.is_list_due(now).then_some(Class::SpecChange);
            let urgency = asked.chain(self.reads.list_wanted).chain(checks).min();
            schedule.list = Some(urgency.unwrap_or(Class::Sweep));
            self.reads.list_urgency = schedule.list;
            self.reads.listing_since = Some(now);
        } else if self.reads.listing_since.is_none()
            && (self.reads.pages.is_some() || self.reads.list_has_failed())
        {
            self.begin_sweep_one_by_one(now);
            // An outage costs the list's tries, not those of each user which it would show.
            let is_dear = self.reads.pages.is_none() || self.reads.sweeps_list(self.managed.len());
            let awaits_list = self.reads.is_failing() && is_dear;
            let due = if awaits_list { pending(due) } else { due };
            schedule.reads = self.pick_reads(due);
        } else if self.reads.list_is_late(now) {
            // Without a good list a 404 proves nothing, and sweeping one by one may be dear.
            schedule.reads = self.pick_reads(pending(due));
        }
        schedule.urgency = self.reads.list_urgency;
        schedule.wake_at = self.wake_at(now);
        schedule
    }

    fn due_reads(&self, now: Moment) -> Vec<(UserId, Class)> {
        let due = self.requested_reads.iter().filter(|(id, request_read)| {
            request_read.not_before <= now
                && request_read.retry_at.is_none_or(|at| at <= now)
                && !self.reads.getting.contains_key(*id)
        });
        let mut due: Vec<_> = due
            .map(|(id, request_read)| (id.clone(), request_read.class))
            .collect();
        due.sort_by_key(|(_, class)| *class);
        due
    }

    /// Listing costs `pages` calls, reading one by one a call a user. At equal cost a sweep lists,
    /// which shows everybody; a check of few users reads them, which also shows those that lists omit.
    fn should_list(&self, is_asked_for: bool, is_dear: bool, now: Moment) -> bool {
        let reads = &self.reads;
        let held_back = reads.list_retry_at.is_some_and(|at| now < at);
        if reads.listing_since.is_some() || held_back {
            return false;
        }
        if self.checks.is_list_due(now) {
            return true;
        }
        let sweep_due = reads.timetable.is_due(now);
        match reads.pages.map(|pages| pages as usize) {
            None => sweep_due || is_asked_for || reads.list_wanted.is_some(),
            Some(pages) => {
                reads.list_wanted.is_some() || (sweep_due && self.managed.len() >= pages) || is_dear
            }
        }
    }

    /// Due reads first, then the sweep's, as many as may be under way.
    fn pick_reads(&mut self, due: Vec<(UserId, Class)>) -> Vec<(UserId, Class)> {
        let free = READS_AT_ONCE.saturating_sub(self.reads.getting.len());
        // Where lists fail one read of the sweep at a time has to show that single reads succeed.
        let swept = self.reads.getting.values().filter(|swept| **swept).count();
        let may_sweep = if self.reads.is_without_lists_and_reads() {
            1usize.saturating_sub(swept)
        } else {
            free
        };
        let mut picked: Vec<_> = due.into_iter().take(free).collect();
        for (id, _) in &picked {
            let swept = self.reads.to_sweep.remove(id);
            self.reads.getting.insert(id.clone(), swept);
        }
        let most = free.min(picked.len() + may_sweep);
        while picked.len() < most {
            let Some(id) = self.reads.to_sweep.iter().next().cloned() else {
                break;
            };
            self.reads.to_sweep.remove(&id);
            if self.managed.contains(&id) && !self.reads.getting.contains_key(&id) {
                self.reads.getting.insert(id.clone(), true);
                picked.push((id, Class::Sweep));
            }
        }
        picked
    }

    fn wake_at(&self, now: Moment) -> Option<Moment> {
        let reads = &self.reads;
        let requested_reads = self
            .requested_reads
            .iter()
            .filter(|(id, _)| !reads.getting.contains_key(*id));
        let requested_reads = requested_reads.map(|(_, request_read)| {
            request_read.retry_at.map_or(request_read.not_before, |at| {
                at.max(request_read.not_before)
            })
        });
        let late = reads.listing_since.map(|since| since + LIST_PATIENCE);
        let sweep = reads
            .timetable
            .due
            .filter(|_| reads.listing_since.is_none());
        requested_reads
            .chain(late)
            .chain(reads.list_retry_at)
            .chain(self.checks.list_due_at())
            .chain(sweep)
            .filter(|at| *at > now)
            .min()
    }
}

/// Who has something pending, and does not only wait to be seen again.
fn pending(mut due: Vec<(UserId, Class)>) -> Vec<(UserId, Class)> {
    due.retain(|(_, class)| *class <= Class::DriftRepair);
    due
}

impl Reads {
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    pub(super) fn request_list(&mut self, user: &UserId, class: Class) {
        let asked = self.list_wanted.map_or(class, |asked| asked.min(class));
        self.list_wanted = Some(asked);
        self.list_urgency = self.list_urgency.map(|now| now.min(class));
        self.list_waiters.insert(user.clone());
    }

    /// An object waits for the list that is under way, unless a read is of use only later.
    pub(super) fn raise_priority(&mut self, class: Class, not_before: Moment) {
        let useful = self
            .listing_since
            .is_some_and(|since| not_before <= since + LIST_PATIENCE);
        if let Some(urgency) = self.list_urgency.as_mut().filter(|_| useful) {
            *urgency = class.min(*urgency);
        }
    }

    pub(super) fn take_list_waiters(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.list_waiters).into_iter().collect()
    }

    pub(super) fn calls_per_sweep(&self, users: usize) -> u32 {
        let users = u32::try_from(users).unwrap_or(u32::MAX);
        if self.list_has_failed() && self.gets_succeed {
            return users.max(1);
        }
        users.min(self.pages.unwrap_or(1))
    }

    /// Whether the last complete list showed no user. An account is never empty: the owner of the key is one of its users.
    pub(super) fn last_list_was_empty(&self) -> bool {
        self.last_list_was_empty
    }

    /// Whether rows of the last complete list were malformed.
    pub(super) fn last_list_was_malformed(&self) -> bool {
        self.last_list_was_malformed
    }

    /// The users whose single read is under way.
    pub(super) fn getting(&self) -> impl Iterator<Item = &UserId> {
        self.getting.keys()
    }

    pub(super) fn pages(&self) -> usize {
        self.pages.map_or(1, |pages| pages as usize)
    }

    /// Whether listing, not reading one by one, is what a sweep of so many users is made of.
    pub(super) fn sweeps_list(&self, users: usize) -> bool {
        self.pages.is_some_and(|pages| users >= pages as usize)
    }

    pub(super) fn sweep_also(&mut self, users: BTreeSet<UserId>) {
        self.to_sweep = users;
    }

    /// Number of complete lists so far.
    pub(super) fn lists(&self) -> u64 {
        self.lists
    }

    pub(super) fn last_list_succeeded(&self) -> bool {
        self.last_list_succeeded
    }

    /// Whether lists are what sweeps are made of.
    pub(super) fn lists_completely(&self) -> bool {
        self.complete.is_some()
    }

    /// Counted from its end: however long a list took, it is valid for a while.
    pub(super) fn listed_within(&self, age: Duration, now: Moment) -> bool {
        self.complete
            .is_some_and(|[_, ended]| now.saturating_duration_since(ended) <= age)
    }

    pub(super) fn listed_since(&self, at: Moment) -> bool {
        self.complete.is_some_and(|[began, _]| began >= at)
    }

    /// Whether who was seen then was on the last complete list, or was seen after it began.
    pub(super) fn lists_users_seen_at(&self, at: Moment) -> bool {
        self.complete.is_some_and(|[began, _]| at >= began)
    }

    /// A list is under way and not late: until when it is waited for.
    fn is_listing_until(&self, now: Moment) -> Option<Moment> {
        let since = self.listing_since.filter(|_| !self.list_is_late(now))?;
        Some(since + LIST_PATIENCE)
    }

    fn list_is_late(&self, now: Moment) -> bool {
        let slow = self
            .listing_since
            .is_some_and(|since| now >= since + LIST_PATIENCE);
        slow || self.list_has_failed()
    }

    /// The last list failed.
    fn is_failing(&self) -> bool {
        self.list_failures > 0
    }

    /// The list failed so often that objects with something pending go on without it.
    fn list_has_failed(&self) -> bool {
        self.list_failures >= 2
    }

    /// Lists fail again and again, and no single read has succeeded since.
    pub(super) fn is_without_lists_and_reads(&self) -> bool {
        self.list_has_failed() && !self.gets_succeed
    }

    /// Until when objects wait for the list after it failed.
    pub(super) fn list_retry_until(&self) -> Option<Moment> {
        self.list_retry_at.filter(|_| !self.list_has_failed())
    }

    pub(super) fn finished(&mut self, listing: &Listing, now: Moment) -> u64 {
        self.lists += 1;
        self.complete = Some([listing.began, now]);
        self.pages = Some(listing.pages().max(1));
        self.list_wanted = None;
        self.last_list_was_empty = listing.users() == 0;
        self.last_list_was_malformed = listing.malformed > 0;
        self.succeeded();
        self.lists
    }

    pub(super) fn succeeded(&mut self) {
        self.listing_since = None;
        self.list_urgency = None;
        self.last_list_succeeded = true;
        self.list_failures = 0;
        self.list_retry_at = None;
        self.timetable.failures = 0;
    }

    pub(super) fn failed(&mut self, now: Moment, random: &mut Random) {
        self.listing_since = None;
        self.list_urgency = None;
        self.last_list_succeeded = false;
        self.list_failures = self.list_failures.saturating_add(1);
        self.gets_succeed &= self.list_failures > 1;
        if !self.gets_succeed {
            self.timetable.failures = self.timetable.failures.saturating_add(1);
        }
        self.list_retry_at =
            Some(now + Backoff::default().delay(self.list_failures, random.fraction()));
    }

    /// These users need a read of their own in this sweep.
    pub(super) fn sweep_rest(&mut self, users: BTreeSet<UserId>) {
        self.to_sweep = users;
        self.sweep_has_failed = false;
    }

    /// A list begins; its number.
    pub(super) fn begin_walk(&mut self) -> u32 {
        self.walks = self.walks.checked_add(1).unwrap_or(1);
        self.walks
    }

    /// A single read ended. `true` if it was the sweep's first failure: the sweep backs off.
    pub(super) fn read_ended(&mut self, user: &UserId, succeeded: bool) -> bool {
        let swept = self.getting.remove(user).unwrap_or(false);
        if succeeded {
            self.timetable.failures = 0;
            (self.gets_succeed, self.gets_failed) = (true, 0);
            return false;
        }
        self.gets_failed += u32::from(swept);
        if self.list_has_failed() && self.gets_failed >= GETS_FAILED_MAX {
            // Nothing is read any more: the next try is the list's.
            (self.gets_succeed, self.gets_failed) = (false, 0);
            self.to_sweep.clear();
        }
        let first = swept && !self.sweep_has_failed;
        if first {
            self.sweep_has_failed = true;
            self.timetable.failures = self.timetable.failures.saturating_add(1);
        }
        first
    }
}
