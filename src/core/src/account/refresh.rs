//! What is to be read, and when: the requested reads, the sweeps, how the last list and single reads ended, and which of
//! listing and reading one by one costs fewer calls.

mod listing;
mod reads;
mod requested;
mod schedule;
mod timetable;

use std::collections::BTreeSet;
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
use crate::time::Moment;
use reads::Reads;
use requested::Requested;

pub use listing::Listing;
pub(super) use reads::CompleteList;
pub(super) use schedule::Needs;
pub use schedule::Schedule;

/// Users on one page of a list.
const PAGE_SIZE: u64 = 200;

/// The reads of one account.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Refresh {
    /// The shortest time between two sweeps.
    sweep_interval: Duration,
    requested: Requested,
    reads: Reads,
    /// Why the last sweep failed, or a read that would have failed for any user.
    last_failure: Option<Arc<Failure>>,
    /// Jitter.
    random: Random,
}

impl Refresh {
    /// Returns the reads of an account of which nothing was read yet.
    pub(super) fn new(sweep_interval: Duration, seed: u64) -> Self {
        Self {
            sweep_interval,
            requested: Requested::default(),
            reads: Reads::default(),
            last_failure: None,
            random: Random::new(seed),
        }
    }

    /// Lets reading begin. Before all objects are known, the choice between reading one by one and listing would be made on
    /// half the facts.
    pub(super) fn open(&mut self) {
        self.reads.is_open = true;
    }

    /// Returns how old observations may be, at the sweep period as it is now.
    pub(super) fn limits(&self, users: &Users) -> AgeLimits {
        AgeLimits::of(
            self.period(users),
            self.reads.sweeps_list(users.managed().len()),
        )
    }

    /// Returns the last complete list.
    pub(super) fn last_list(&self) -> Option<CompleteList> {
        self.reads.complete
    }

    /// Returns the number of complete lists so far.
    pub(super) fn lists(&self) -> u64 {
        self.reads.lists
    }

    /// Returns whether the last list did not fail: a single read that finds no user is evidence.
    pub(super) fn last_list_succeeded(&self) -> bool {
        self.reads.last_list_succeeded
    }

    /// Returns the number of pages of the account, as far as known.
    pub(super) fn pages(&self) -> usize {
        self.reads.pages()
    }

    /// Returns the number of requested reads that have not ended.
    pub(super) fn len(&self) -> usize {
        self.requested.len()
    }

    /// Requests a read of that user, begun at `not_before` or later. Returns whether none was requested yet.
    pub(super) fn request(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        self.reads.raise_priority(class, not_before);
        self.requested.request(user, class, not_before)
    }

    /// Requests one complete list with that priority. Its end requeues `user`.
    pub(super) fn request_list(&mut self, user: &UserId, class: Class) {
        self.reads.request_list(user, class);
    }

    /// Returns whether a read of that user is requested.
    pub(super) fn is_requested(&self, user: &UserId) -> bool {
        self.requested.contains(user)
    }

    /// Returns whether the requested read of the user has failed and waits.
    pub(super) fn is_backing_off(&self, user: &UserId, now: Moment) -> bool {
        self.requested.is_backing_off(user, now)
    }

    /// Returns why the requested read of the user, or the last sweep, failed.
    pub(super) fn failure(&self, user: &UserId) -> Option<Arc<Failure>> {
        let own = self.requested.failure(user);
        own.or_else(|| self.last_failure.clone())
    }

    /// Ends the requested read that one sent at that time satisfies. Returns whether there was such a one.
    pub(super) fn satisfy(&mut self, user: &UserId, sent_at: Moment) -> bool {
        self.requested.satisfy(user, sent_at)
    }

    /// Withdraws the request for a read of the user.
    pub(super) fn forget(&mut self, user: &UserId) {
        self.requested.remove(user);
    }

    /// Ends every wait that a failure began: what made reads fail may be over, such as a refused key.
    pub(super) fn retry_now(&mut self, now: Moment) {
        self.reads.list_retry_at = None;
        if self.reads.timetable.failures > 0 {
            self.reads.timetable.due = Some(now);
        }
        self.requested.retry_now();
    }

    /// Returns whether a read whose turn has come is needed still, which is not in progress any more otherwise. `is_wanted`:
    /// an object declares the user, or a decision depends on it.
    pub(super) fn is_still_needed(&mut self, user: &UserId, is_wanted: bool) -> bool {
        let is_swept = self.reads.getting.get(user) == Some(&true);
        let is_needed = is_wanted && (is_swept || self.requested.contains(user));
        if !is_needed {
            self.reads.getting.remove(user);
        }
        is_needed
    }

    /// Records that the read was not sent after all: it is due as before.
    pub(super) fn put_back(&mut self, user: &UserId) {
        if self.reads.getting.remove(user) == Some(true) {
            self.reads.to_sweep.insert(user.clone());
        }
    }

    /// Records that an answer of Fireworks has ended the failures.
    pub(super) fn recovered(&mut self) {
        self.last_failure = None;
    }
}

rebase! { Refresh {
    rebased: requested, reads;
    fixed: random = Random::new(0);
    kept: sweep_interval, last_failure;
} }

/// How reads end.
impl Refresh {
    /// Records a page of a list, whose first one gets it a number.
    pub(super) fn begin_page(&mut self, listing: &mut Listing) {
        if listing.number() == 0 {
            self.reads.walks = self.reads.walks.checked_add(1).unwrap_or(1);
            listing.begin(self.reads.walks, &mut self.random);
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
        self.reads.pages = pages;
        self.reads.pages_learned_at = Some(now);
        let is_requested = self.reads.list_wanted.is_some() || is_check_due;
        is_requested || pages.is_none_or(|pages| users.managed().len() >= pages as usize)
    }

    /// Records that a list is complete: the next sweep's period begins. Returns the number of complete lists.
    pub(super) fn list_finished(&mut self, listing: &Listing, users: &Users, now: Moment) -> u64 {
        let reads = &mut self.reads;
        reads.lists += 1;
        reads.complete = Some(CompleteList {
            began: listing.began(),
            ended: now,
        });
        reads.pages = Some(listing.pages().max(1));
        reads.list_wanted = None;
        reads.last_list_was_empty = listing.users() == 0;
        reads.last_list_was_malformed = listing.malformed() > 0;
        reads.succeeded();
        self.last_failure = None;
        self.schedule_sweep(users, now);
        self.reads.lists
    }

    /// Records that the list stopped early on purpose: reading one by one the rest of the users is cheaper.
    pub(super) fn list_stopped(&mut self, rest: BTreeSet<UserId>, users: &Users, now: Moment) {
        self.reads.succeeded();
        self.reads.sweep_rest(rest);
        self.last_failure = None;
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
        let reads = &mut self.reads;
        let since = reads.listing_since.take();
        reads.list_urgency = None;
        reads.last_list_succeeded = false;
        reads.list_failures = reads.list_failures.saturating_add(1);
        reads.gets_succeed &= reads.list_failures > 1;
        if !reads.gets_succeed {
            reads.timetable.failures = reads.timetable.failures.saturating_add(1);
        }
        let delay = Backoff::default().delay(reads.list_failures, self.random.fraction());
        reads.list_retry_at = Some(now + delay);
        if reads.list_has_failed() {
            reads.sweep_rest(users.unseen_since(since).cloned().collect());
        }
        self.schedule_sweep(users, now);
        self.last_failure = Some(failure.clone());
        let hold = self.reads.list_retry_until();
        let mut affected = self.requested.list_failed(&failure, hold, now);
        affected.extend(self.take_list_waiters());
        affected
    }

    /// Has these users read one by one after a complete list.
    pub(super) fn sweep_also(&mut self, users: BTreeSet<UserId>) {
        self.reads.to_sweep = users;
    }

    /// Takes the users whose objects wait for a list.
    pub(super) fn take_list_waiters(&mut self) -> Vec<UserId> {
        let waiters = std::mem::take(&mut self.reads.list_waiters);
        waiters.into_iter().collect()
    }

    /// Records that a single read showed its user.
    pub(super) fn read_succeeded(&mut self, user: &UserId, users: &Users, sent_at: Moment) {
        let were_failing = self.reads.is_without_lists_and_reads();
        let _ = self.reads.read_ended(user, true);
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
        if self.reads.read_ended(user, is_absent) {
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
