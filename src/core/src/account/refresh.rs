//! What is to be read, and when: the requested reads, the sweeps, how the last list and single reads ended, and which of
//! listing and reading one by one costs fewer calls.

mod listing;
mod reads;
mod requested;
mod schedule;
mod timetable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::Kind;
use fireworks_api::wire::UserId;
use retry_backoff::Backoff;

use super::freshness::AgeLimits;
use super::users::Users;
use super::{Class, Failure};
use crate::random::Random;
use crate::rebase::rebase;
use crate::rules::Rules;
use crate::time::Moment;
use requested::Requested;
use timetable::Timetable;

pub use listing::Listing;
pub(super) use reads::CompleteList;
pub(super) use schedule::Needs;
pub use schedule::Schedule;

/// Users on one page of a list.
const PAGE_SIZE: u64 = 200;

/// The reads of one account: what is requested, those in progress, and how the last ones ended.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Refresh {
    pub(super) rules: Rules,
    /// The shortest time between two sweeps.
    sweep_interval: Duration,
    pub(super) requested: Requested,
    /// Why the last sweep failed, or a read that would have failed for any user.
    pub(super) last_failure: Option<Arc<Failure>>,
    /// Jitter.
    random: Random,
    /// All objects are known. Before, the choice between reading one by one and listing would be made on half the facts.
    pub(super) is_open: bool,
    listing_since: Option<Moment>,
    /// The users that are being read one by one, and whether for the sweep.
    getting: BTreeMap<UserId, bool>,
    /// The users that the sweep is still to read one by one.
    pub(super) to_sweep: BTreeSet<UserId>,
    /// The number of complete lists so far.
    pub(super) lists: u64,
    /// Number of the last list that was begun.
    walks: u32,
    /// The last complete list.
    pub(super) last_list: Option<CompleteList>,
    /// The last list did not fail: a single read that finds no user is evidence.
    pub(super) last_list_succeeded: bool,
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
    timetable: Timetable,
    sweep_has_failed: bool,
}

impl Refresh {
    /// Returns the reads of an account of which nothing was read yet.
    pub(super) fn new(sweep_interval: Duration, seed: u64) -> Self {
        Self {
            sweep_interval,
            random: Random::new(seed),
            ..Self::default()
        }
    }

    /// Returns how old observations may be, at the sweep period as it is now.
    pub(super) fn limits(&self, users: &Users) -> AgeLimits {
        AgeLimits::of(self.period(users), self.sweeps_list(users.managed.len()))
    }

    /// Requests a read of that user, begun at `not_before` or later. Returns whether none was requested yet.
    pub(super) fn request(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        self.raise_priority(class, not_before);
        self.requested.request(user, class, not_before)
    }

    /// Returns why the requested read of the user, or the last sweep, failed.
    pub(super) fn failure(&self, user: &UserId) -> Option<Arc<Failure>> {
        let own = self.requested.failure(user);
        own.or_else(|| self.last_failure.clone())
    }

    /// Ends every wait that a failure began: what made reads fail may be over, such as a refused key.
    pub(super) fn retry_now(&mut self, now: Moment) {
        self.list_retry_at = None;
        if self.timetable.failures > 0 {
            self.timetable.due = Some(now);
        }
        self.requested.retry_now();
    }

    /// Returns whether a read whose turn has come is needed still, which is not in progress any more otherwise. `is_wanted`:
    /// an object declares the user, or a decision depends on it.
    pub(super) fn is_still_needed(&mut self, user: &UserId, is_wanted: bool) -> bool {
        let is_swept = self.getting.get(user) == Some(&true);
        let is_needed = is_wanted && (is_swept || self.requested.contains(user));
        if !is_needed {
            self.getting.remove(user);
        }
        is_needed
    }

    /// Records that the read was not sent after all: it is due as before.
    pub(super) fn put_back(&mut self, user: &UserId) {
        if self.getting.remove(user) == Some(true) {
            self.to_sweep.insert(user.clone());
        }
    }
}

rebase! { Refresh {
    rebased: requested, last_list;
    fixed: random = Random::default(), listing_since = None, getting = BTreeMap::new(), to_sweep = BTreeSet::new(), lists = 2,
        walks = 0, list_failures = 0, gets_succeed = false, gets_failed = 0, list_retry_at = None, list_urgency = None,
        pages_learned_at = None, timetable = Timetable::default(), sweep_has_failed = false;
    kept: rules, sweep_interval, last_failure, is_open, last_list_succeeded, last_list_was_empty, last_list_was_malformed, list_wanted,
        list_waiters, pages;
} }

/// How reads end.
impl Refresh {
    /// Records a page of a list, whose first one gets it a number.
    pub(super) fn begin_page(&mut self, listing: &mut Listing) {
        if listing.number == 0 {
            self.walks = self.walks.checked_add(1).unwrap_or(1);
            listing.begin(self.walks, &mut self.random);
        }
        listing.begin_page();
    }

    /// Records that the first page contained the number of users. Returns whether the list is worth going on with;
    /// `is_check_due`: the check after demotions needs it.
    pub(super) fn learn_total(
        &mut self,
        total: Option<u64>,
        is_last_page: bool,
        is_check_due: bool,
        users: &Users,
        now: Moment,
    ) -> bool {
        let pages_of = |total: u64| u32::try_from(total.div_ceil(PAGE_SIZE)).unwrap_or(u32::MAX);
        let pages = if is_last_page {
            Some(1)
        } else {
            total.map(|total| pages_of(total).max(1))
        };
        self.pages = pages;
        self.pages_learned_at = Some(now);
        let is_requested = self.list_wanted.is_some() || is_check_due;
        is_requested || pages.is_none_or(|pages| users.managed.len() >= pages as usize)
    }

    /// Records that a list is complete: the next sweep's period begins. Returns the number of complete lists.
    pub(super) fn list_finished(&mut self, listing: &Listing, users: &Users, now: Moment) -> u64 {
        self.lists += 1;
        self.last_list = Some(CompleteList {
            began: listing.began,
            ended: now,
        });
        self.pages = Some(listing.pages.max(1));
        self.list_wanted = None;
        self.last_list_was_empty = listing.users == 0;
        self.last_list_was_malformed = listing.malformed > 0;
        self.list_succeeded();
        self.schedule_sweep(users, now);
        self.lists
    }

    /// Records that the list stopped early on purpose: reading one by one the rest of the users is cheaper.
    pub(super) fn list_stopped(&mut self, rest: BTreeSet<UserId>, users: &Users, now: Moment) {
        self.list_succeeded();
        self.sweep_rest(rest);
        self.schedule_sweep(users, now);
    }

    /// Records that the list failed. Where that goes on, the users that its pages did not show are read one by one. Returns the
    /// users whose objects must be requeued.
    pub(super) fn list_failed(
        &mut self,
        failure: Failure,
        users: &Users,
        now: Moment,
    ) -> Vec<UserId> {
        let failure = Arc::new(failure);
        let since = self.listing_since.take();
        self.list_urgency = None;
        self.last_list_succeeded = false;
        self.list_failures = self.list_failures.saturating_add(1);
        self.gets_succeed &= self.list_failures > 1;
        if !self.gets_succeed {
            self.timetable.failures = self.timetable.failures.saturating_add(1);
        }
        let delay = Backoff::default().delay(self.list_failures, self.random.fraction());
        self.list_retry_at = Some(now + delay);
        if self.list_has_failed() {
            self.sweep_rest(users.unseen_since(since).cloned().collect());
        }
        self.schedule_sweep(users, now);
        self.last_failure = Some(failure.clone());
        let hold = self.list_retry_until();
        let mut affected = self.requested.list_failed(&failure, hold, now);
        affected.extend(self.take_list_waiters());
        affected
    }

    /// Takes the users whose objects wait for a list.
    pub(super) fn take_list_waiters(&mut self) -> Vec<UserId> {
        let waiters = std::mem::take(&mut self.list_waiters);
        waiters.into_iter().collect()
    }

    /// Records that a single read showed its user.
    pub(super) fn read_succeeded(&mut self, user: &UserId, users: &Users, sent_at: Moment) {
        let were_failing = self.is_without_lists_and_reads();
        let _ = self.end_read(user, true);
        if were_failing {
            // The next sweep comes at its own rate: its failures have ended.
            self.schedule_sweep(users, sent_at);
        }
        self.last_failure = None;
    }

    /// Records that a single read failed, or found that there is no such user.
    pub(super) fn read_ended(
        &mut self,
        user: &UserId,
        is_absent: bool,
        users: &Users,
        now: Moment,
    ) {
        if self.end_read(user, is_absent) {
            self.schedule_sweep(users, now);
        }
    }

    /// Records why a single read failed: it backs off. Returns the user if the kind of failure is new.
    pub(super) fn read_failed(
        &mut self,
        user: &UserId,
        mut failure: Failure,
        now: Moment,
    ) -> Option<UserId> {
        let is_account = |last: &Arc<Failure>| last.kind == Kind::NotFound;
        if failure.kind == Kind::NotFound && !self.last_failure.as_ref().is_some_and(is_account) {
            // Only a list can find that the account is not there.
            failure.kind = Kind::Transient;
        }
        let failure = Arc::new(failure);
        if failure.concerns_all() {
            self.last_failure = Some(failure.clone());
        }
        self.requested
            .read_failed(user, &failure, now, &mut self.random)
    }
}
