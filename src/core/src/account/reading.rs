//! What to read next, as all owners need it.

use std::time::Duration;

use fireworks_api::wire::UserId;

use super::freshness::AgeLimits;
use super::refresh::{Needs, Schedule};
use super::{Account, Class};
use crate::time::Moment;

impl Account {
    /// Lets reading begin: all objects are known.
    pub fn open(&mut self) {
        self.refresh.is_open = true;
        self.requests.refresh();
    }

    /// Requests a read of that user, begun at `not_before` or later. Returns whether none was requested yet.
    pub fn request_read(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        self.requests.refresh();
        self.refresh.request(user, class, not_before)
    }

    /// Requests one complete list with that priority, for what single reads cannot show. Its end requeues `user`.
    pub fn request_list(&mut self, user: &UserId, class: Class) {
        self.refresh.request_list(user, class);
        self.requests.refresh();
    }

    /// Requests the read of the user that comes before its change, which is to be the canary. It is not while another user's
    /// change is prepared, or while the read of this user failed and waits.
    pub fn request_canary_read(&mut self, user: &UserId, now: Moment) {
        if !self.refresh.requested.is_backing_off(user, now) {
            self.canary.prepare(user, now);
        }
        self.request_read(user, Class::SpecChange, now);
    }

    /// Records that no change of that user is pending any more: another one may be the canary.
    pub fn give_up_canary(&mut self, user: &UserId) {
        let affected = self.canary.give_up(user);
        self.requeue(affected);
    }

    /// Records that a user which matched its spec does so no longer: sweeps come sooner for some minutes.
    pub fn drift_found(&mut self, now: Moment) {
        self.refresh.drift_found(&self.users, now);
        self.requests.refresh();
    }

    /// Lets nothing wait any longer because a read failed: its cause may be over, such as a refused key.
    pub fn retry_now(&mut self, now: Moment) {
        self.refresh.retry_now(now);
        self.requests.refresh();
    }

    /// Returns what to read now; what it names counts as in progress.
    #[must_use]
    pub fn schedule(&mut self, now: Moment) -> Schedule {
        let needs = Needs {
            users: &self.users,
            absence: &self.absence,
            canary: &self.canary,
            check_at: self.admins.checks.list_due_at(),
        };
        let mut schedule = self.refresh.next_reads(needs, now);
        if schedule.is_sweep_begun {
            self.forget_undeclared(now);
        }
        let limits = self.age_limits();
        let (stale, check_at) = self.users.check_stale(limits, now);
        self.requeue(stale);
        let unread_at = self.check_unread(limits, now);
        let checks = check_at.into_iter().chain(unread_at);
        schedule.wake_at = schedule.wake_at.into_iter().chain(checks).min();
        schedule
    }

    /// Requeues users that were never read, once, when that has lasted for as long as makes a read stale. Returns when to check
    /// again.
    fn check_unread(&mut self, limits: AgeLimits, now: Moment) -> Option<Moment> {
        let due = self.unread_since? + limits.stale_after + Duration::from_secs(1);
        if now < due {
            return Some(due);
        }
        self.unread_since = None;
        let unseen = self.unseen();
        self.requeue(unseen);
        None
    }

    /// Returns whether the first page, which contained that number of users, makes the list worth going on with.
    #[must_use]
    pub fn learn_total(&mut self, total: Option<u64>, is_last_page: bool, now: Moment) -> bool {
        let check_at = self.admins.checks.list_due_at();
        let is_check_due = check_at.is_some_and(|at| at <= now);
        self.refresh
            .learn_total(total, is_last_page, is_check_due, &self.users, now)
    }

    /// Returns whether a read whose turn has come is needed still; it is not in progress any more otherwise.
    pub(super) fn is_still_needed(&mut self, user: &UserId) -> bool {
        let is_wanted = self.users.is_managed(user) || self.canary.suspects(user);
        self.refresh.is_still_needed(user, is_wanted)
    }

    /// Records that the read was not sent after all: it is due as before.
    pub(super) fn put_back(&mut self, user: &UserId) {
        self.refresh.put_back(user);
        self.requests.refresh();
    }

    /// Records that it was tried to make the user admin again. A user that is gone is not tried again.
    pub(super) fn restore_tried(&mut self, user: &UserId, is_gone: bool) {
        let (admins, known) = self.admins();
        admins.restore_tried(user, is_gone, known);
    }

    /// Returns how old observations may be, at the sweep period as it is now.
    pub(super) fn age_limits(&self) -> AgeLimits {
        self.refresh.limits(&self.users)
    }
}
