//! The reads of single users that are requested, until a read satisfies them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fireworks_api::wire::UserId;
use retry_backoff::Backoff;

use crate::account::{Class, Failure};
use crate::random::Random;
use crate::rebase::rebase;
use crate::time::Moment;

/// The requested reads, one per user.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(in super::super) struct Requested {
    reads: BTreeMap<UserId, RequestedRead>,
    /// The number of the last request.
    last: u64,
}

/// A requested read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct RequestedRead {
    /// The place among all requests: the oldest has the lowest.
    number: u64,
    class: Class,
    not_before: Moment,
    retry_at: Option<Moment>,
    attempts: u32,
    failure: Option<Arc<Failure>>,
}

impl RequestedRead {
    fn is_backing_off(&self, now: Moment) -> bool {
        self.retry_at.is_some_and(|at| now < at)
    }

    /// Records the failure. Returns whether its kind is new.
    fn fails(&mut self, failure: &Arc<Failure>) -> bool {
        let before = self.failure.replace(failure.clone());
        before.is_none_or(|before| before.kind != failure.kind)
    }
}

impl Requested {
    pub(in super::super) fn len(&self) -> usize {
        self.reads.len()
    }

    pub(in super::super) fn contains(&self, user: &UserId) -> bool {
        self.reads.contains_key(user)
    }

    pub(in super::super) fn remove(&mut self, user: &UserId) {
        self.reads.remove(user);
    }

    /// Withdraws the requests for other users than those.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&UserId) -> bool) {
        self.reads.retain(|user, _| is_wanted(user));
    }

    /// Requests a read. Returns whether none was requested yet.
    pub(super) fn request(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        let is_new = !self.reads.contains_key(user);
        self.last += u64::from(is_new);
        let number = self.last;
        let read = self.reads.entry(user.clone()).or_insert(RequestedRead {
            number,
            class,
            not_before,
            retry_at: None,
            attempts: 0,
            failure: None,
        });
        read.class = read.class.min(class);
        // The earlier of two reads comes first; an object that needs the later one requests it again.
        read.not_before = read.not_before.min(not_before);
        is_new
    }

    /// Returns whether the read of that user has failed and waits.
    pub(in super::super) fn is_backing_off(&self, user: &UserId, now: Moment) -> bool {
        let read = self.reads.get(user);
        read.is_some_and(|read| read.is_backing_off(now))
    }

    /// Returns why the read of that user failed.
    pub(super) fn failure(&self, user: &UserId) -> Option<Arc<Failure>> {
        self.reads.get(user)?.failure.clone()
    }

    /// Returns the reads that are due, the most urgent first and of those the oldest, without those that are in progress.
    pub(super) fn due(
        &self,
        now: Moment,
        is_in_progress: impl Fn(&UserId) -> bool,
    ) -> Vec<(UserId, Class)> {
        let is_due = |(user, read): &(&UserId, &RequestedRead)| {
            read.not_before <= now && !read.is_backing_off(now) && !is_in_progress(user)
        };
        let mut due: Vec<_> = self.reads.iter().filter(is_due).collect();
        due.sort_by_key(|(_, read)| (read.class, read.number));
        let due = due.into_iter();
        due.map(|(user, read)| (user.clone(), read.class)).collect()
    }

    /// Returns when each read is due that is not in progress.
    pub(super) fn due_times(
        &self,
        is_in_progress: impl Fn(&UserId) -> bool,
    ) -> impl Iterator<Item = Moment> {
        let reads = self.reads.iter();
        let waiting = reads.filter(move |(user, _)| !is_in_progress(user));
        waiting.map(|(_, read)| {
            let from = read.not_before;
            read.retry_at.map_or(from, |at| at.max(from))
        })
    }

    /// Lets every read that failed be due.
    pub(super) fn retry_now(&mut self) {
        for read in self.reads.values_mut() {
            read.retry_at = None;
        }
    }

    /// Ends the read that one sent at that time satisfies. Returns whether there was such a one.
    pub(in super::super) fn satisfy(&mut self, user: &UserId, sent_at: Moment) -> bool {
        let read = self.reads.get(user);
        let is_done = read.is_some_and(|read| sent_at >= read.not_before);
        if is_done {
            self.reads.remove(user);
        }
        is_done
    }

    /// Records that the list failed which would have served the reads that are due. A user without a read of its own waits as
    /// long as the list does, and no longer once reading one by one is the way out. Returns the users with a new kind of failure.
    pub(super) fn list_failed(
        &mut self,
        failure: &Arc<Failure>,
        hold: Option<Moment>,
        now: Moment,
    ) -> Vec<UserId> {
        let mut affected = Vec::new();
        for (user, read) in &mut self.reads {
            if read.not_before > now {
                continue;
            }
            if read.attempts == 0 {
                read.retry_at = hold;
            }
            if read.fails(failure) {
                affected.push(user.clone());
            }
        }
        affected
    }

    /// Records that the read of the user failed: it backs off. Returns the user if the kind of failure is new.
    pub(super) fn read_failed(
        &mut self,
        user: &UserId,
        failure: &Arc<Failure>,
        now: Moment,
        random: &mut Random,
    ) -> Option<UserId> {
        let read = self.reads.get_mut(user)?;
        read.attempts = read.attempts.saturating_add(1);
        let delay = Backoff::default().delay(read.attempts, random.fraction());
        read.retry_at = Some(now + delay);
        read.fails(failure).then(|| user.clone())
    }
}

rebase! { Requested {
    rebased: reads;
    fixed: last = 0;
} }

rebase! { RequestedRead {
    rebased: not_before;
    fixed: number = 0, retry_at = None, attempts = 0;
    kept: class, failure;
} }
