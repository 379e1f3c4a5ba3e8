//! Lists and single reads: those in progress, and how the last ones ended.

use std::collections::BTreeSet;
use std::time::Duration;

use fireworks_api::wire::UserId;

use super::Refresh;
use crate::account::Class;
use crate::account::users::Users;
use crate::rebase::rebase;
use crate::time::Moment;

/// A list that takes longer no longer holds up objects that wait for more than the sweep.
pub(super) const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// Single reads of a sweep that fail in a row, while lists fail too, after which the sweep ends.
const GETS_FAILED_MAX: u32 = 3;
/// Single reads under way at once.
const READS_AT_ONCE: usize = 4;

/// When a complete list was made.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in super::super) struct CompleteList {
    /// When it began.
    pub(in super::super) began: Moment,
    pub(super) ended: Moment,
}

impl CompleteList {
    /// Returns its age. Counted from its end: however long a list took, it is valid for a while.
    pub(in super::super) fn age(self, now: Moment) -> Duration {
        now.saturating_duration_since(self.ended)
    }

    /// Returns whether a user that was seen then was on the list, or was seen after it began.
    pub(in super::super) fn shows_users_seen_at(self, at: Moment) -> bool {
        at >= self.began
    }
}

rebase! { CompleteList {
    rebased: began, ended;
} }

impl Refresh {
    /// Requests one complete list with that priority. Its end requeues `user`.
    pub(in super::super) fn request_list(&mut self, user: &UserId, class: Class) {
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

    pub(super) fn calls_per_sweep(&self, users: usize) -> u32 {
        let users = u32::try_from(users).unwrap_or(u32::MAX);
        if self.list_has_failed() && self.gets_succeed {
            return users.max(1);
        }
        users.min(self.pages.unwrap_or(1))
    }

    /// Returns whether a list may show what is to be known. One that showed no user is of no use: an account is never empty,
    /// since the owner of the key is one of its users. One with malformed rows would leave the same users to be read after it.
    pub(super) fn are_lists_of_use(&self) -> bool {
        !self.last_list_was_empty && !self.last_list_was_malformed
    }

    /// Returns the number of pages of the account, as far as known.
    pub(in super::super) fn pages(&self) -> usize {
        self.pages.map_or(1, |pages| pages as usize)
    }

    /// Returns whether a sweep of that number of users is a list, not single reads.
    pub(super) fn sweeps_list(&self, users: usize) -> bool {
        self.pages.is_some_and(|pages| users >= pages as usize)
    }

    /// A list is under way and not late: until when it is waited for.
    pub(super) fn is_listing_until(&self, now: Moment) -> Option<Moment> {
        let since = self.listing_since.filter(|_| !self.list_is_late(now))?;
        Some(since + LIST_PATIENCE)
    }

    pub(super) fn list_is_late(&self, now: Moment) -> bool {
        let slow = self
            .listing_since
            .is_some_and(|since| now >= since + LIST_PATIENCE);
        slow || self.list_has_failed()
    }

    /// The list failed so often that objects with something pending go on without it.
    pub(super) fn list_has_failed(&self) -> bool {
        (self.rules.are_lists_given_up)(self.list_failures)
    }

    /// Lists fail again and again, and no single read has succeeded since.
    pub(super) fn is_without_lists_and_reads(&self) -> bool {
        self.list_has_failed() && !self.gets_succeed
    }

    /// Returns until when objects wait for the list after it failed.
    pub(super) fn list_retry_until(&self) -> Option<Moment> {
        self.list_retry_at.filter(|_| !self.list_has_failed())
    }

    /// Records that a list ended without a failure.
    pub(super) fn list_succeeded(&mut self) {
        self.last_failure = None;
        self.listing_since = None;
        self.list_urgency = None;
        self.last_list_succeeded = true;
        self.list_failures = 0;
        self.list_retry_at = None;
        self.timetable.failures = 0;
    }

    /// These users need a read of their own in this sweep.
    pub(super) fn sweep_rest(&mut self, users: BTreeSet<UserId>) {
        self.to_sweep = users;
        self.sweep_has_failed = false;
    }

    /// A single read ended. `true` if it was the sweep's first failure: the sweep backs off.
    pub(super) fn end_read(&mut self, user: &UserId, succeeded: bool) -> bool {
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

    /// Returns the reads to begin: due reads first, then the sweep's, as many as may be under way. Where more reads are due than
    /// that, one of those under way is the sweep's, with the priority of the others: it gets its share of the permits too.
    pub(super) fn pick(
        &mut self,
        due: Vec<(UserId, Class)>,
        users: &Users,
    ) -> Vec<(UserId, Class)> {
        let free = READS_AT_ONCE.saturating_sub(self.getting.len());
        // Where lists fail one read of the sweep at a time has to show that single reads succeed.
        let swept = self.getting.values().filter(|swept| **swept).count();
        let may_sweep = if self.is_without_lists_and_reads() {
            1usize.saturating_sub(swept)
        } else {
            free
        };
        let sweeps = self.sweeps_for(due.get(..free), swept, users);
        let for_due = free.saturating_sub(usize::from(sweeps.is_some()));
        let mut picked: Vec<_> = due.into_iter().take(for_due).collect();
        let most = free.min(picked.len() + may_sweep);
        for (id, _) in &picked {
            let swept = self.to_sweep.remove(id);
            self.getting.insert(id.clone(), swept);
        }
        if let Some((id, class)) = sweeps.filter(|_| picked.len() < most) {
            self.to_sweep.remove(&id);
            self.getting.insert(id.clone(), true);
            picked.push((id, class));
        }
        while picked.len() < most {
            let Some(id) = self.to_sweep.pop_first() else {
                break;
            };
            if users.is_managed(&id) && !self.getting.contains_key(&id) {
                self.getting.insert(id.clone(), true);
                picked.push((id, Class::Sweep));
            }
        }
        picked
    }

    /// Returns the read of the sweep that takes the place of the last of `due`, with its class, where these are as many as may
    /// begin now and none under way is the sweep's.
    fn sweeps_for(
        &self,
        due: Option<&[(UserId, Class)]>,
        swept: usize,
        users: &Users,
    ) -> Option<(UserId, Class)> {
        let due = due.filter(|_| swept == 0)?;
        let (_, class) = due.last()?;
        if due.iter().any(|(id, _)| self.to_sweep.contains(id)) {
            return None;
        }
        let is_swept_only = |id: &&UserId| {
            users.is_managed(id) && !self.getting.contains_key(*id) && !self.requested.contains(id)
        };
        let id = self.to_sweep.iter().find(is_swept_only)?;
        Some((id.clone(), *class))
    }
}
