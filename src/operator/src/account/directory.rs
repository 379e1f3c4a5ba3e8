//! The account as last seen, shared by passes and the reader: the directory of the core behind a lock, whose signals are
//! carried out after every call.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::Error;
use fireworks_api::text;
use fireworks_api::wire::{User, UserId, UserPatch};
use fireworks_core::account::directory::{
    Directory as Known, Entries, Notice, Signals, UpdateInFlight,
};
use fireworks_core::account::{Class, Failure, Mask, OtherAdmins, View};
use fireworks_core::time::Moment;
use tokio::sync::{Notify, mpsc};

use crate::clock;
use crate::locked::Locked;
use crate::metrics::labels::Held;

pub use fireworks_core::account::directory::{Agenda, Listing, MAX_USERS, Repair, Restore, Times};

/// The account as last seen. Shared by passes and the reader.
pub struct Directory {
    known: Locked<Known>,
    changes: mpsc::UnboundedSender<UserId>,
    wake: Notify,
    restore: Notify,
}

/// One change under way. Dropped unresolved (deadline, shutdown), its effect counts as unknown.
#[must_use]
pub struct Flight<'a> {
    directory: &'a Directory,
    sent_at: Moment,
    /// None once it is resolved.
    update: Option<UpdateInFlight>,
}

impl Directory {
    /// Returns an empty directory, and the stream of users whose objects must be requeued.
    #[must_use]
    pub fn new(times: Times) -> (Self, mpsc::UnboundedReceiver<UserId>) {
        let (changes, stream) = mpsc::unbounded_channel();
        let directory = Self {
            known: Locked::new(Known::new(times, fastrand::u64(..))),
            changes,
            wake: Notify::new(),
            restore: Notify::new(),
        };
        (directory, stream)
    }

    /// Calls the directory of the core, and carries out what it signals after the lock is released.
    fn with<T>(&self, call: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock();
        let result = call(&mut known);
        let Signals {
            requeue,
            wake_reader,
            wake_restore,
            notices,
        } = known.take_signals();
        drop(known);
        notices.into_iter().for_each(log);
        if wake_reader {
            self.wake.notify_one();
        }
        if wake_restore {
            self.restore.notify_one();
        }
        self.requeue(requeue);
        result
    }

    /// Requeues the objects that declare these users.
    pub fn requeue(&self, users: Vec<UserId>) {
        for user in users {
            // A closed stream means that the process is ending.
            let _ = self.changes.send(user);
        }
    }

    /// Waits until what is to be read may have changed.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Waits until a user may have to be made admin again.
    pub async fn restore_woken(&self) {
        self.restore.notified().await;
    }

    /// Records that a change leaves now. While it is under way no other admin is demoted.
    pub fn depart(&self, user: &UserId, patch: &UserPatch, now: Moment) -> Flight<'_> {
        let update = self.with(|known| known.begin_update(user, patch, now));
        Flight {
            directory: self,
            sent_at: now,
            update: Some(update),
        }
    }

    /// Returns the number of entries that are kept, by what they are about.
    #[must_use]
    pub fn held(&self) -> [(Held, usize); 5] {
        let Entries {
            users,
            declared_users,
            missing_users,
            unclear_changes,
            wanted_reads,
        } = self.with(|known| known.held());
        [
            (Held::User, users),
            (Held::DeclaredUser, declared_users),
            (Held::MissingUser, missing_users),
            (Held::UnclearChange, unclear_changes),
            (Held::WantedRead, wanted_reads),
        ]
    }
}

/// The methods of the core's directory.
impl Directory {
    /// Returns what is known of the user.
    #[must_use]
    pub fn view(&self, user: &UserId, now: Moment) -> View {
        self.with(|known| known.view(user, now))
    }

    /// Requests a read of the user, begun at `not_before` or later. Returns whether none was requested yet.
    pub fn want(&self, user: &UserId, class: Class, not_before: Moment) -> bool {
        self.with(|known| known.want(user, class, not_before))
    }

    /// Requests one complete list, whose end requeues `user`.
    pub fn want_list(&self, user: &UserId, class: Class) {
        self.with(|known| known.want_list(user, class));
    }

    /// Returns whether a read of the user is requested.
    #[must_use]
    pub fn is_wanted(&self, user: &UserId) -> bool {
        self.with(|known| known.is_wanted(user))
    }

    /// Records whether an object that may make calls declares the user.
    pub fn set_interest(&self, user: &UserId, interested: bool) {
        self.with(|known| known.set_interest(user, interested));
    }

    /// Records whether objects declare the user of which none may make calls.
    pub fn set_suspended(&self, user: &UserId, is_suspended: bool) {
        self.with(|known| known.set_suspended(user, is_suspended));
    }

    /// Sets the number of users beyond which a list has failed.
    pub fn limit_users(&self, max_users: usize) {
        self.with(|known| known.limit_users(max_users));
    }

    /// Returns the number of users beyond which a list has failed.
    #[must_use]
    pub fn max_users(&self) -> usize {
        self.with(|known| known.max_users())
    }

    /// Records that all objects are known: reading may begin.
    pub fn open(&self) {
        self.with(Known::open);
    }

    /// Returns what to read now; what it names counts as under way.
    #[must_use]
    pub fn agenda(&self, now: Moment) -> Agenda {
        self.with(|known| known.agenda(now))
    }

    /// Records the number of users that the first page named. Returns whether the list is worth going on with.
    #[must_use]
    pub fn learn_total(&self, total: Option<u64>, is_last_page: bool, now: Moment) -> bool {
        self.with(|known| known.learn_total(total, is_last_page, now))
    }

    /// Records that what made reads fail may be over.
    pub fn retry_now(&self, now: Moment) {
        self.with(|known| known.retry_now(now));
    }

    /// Returns whether a read whose permit has come is still needed; if not, it is under way no longer.
    pub(in crate::account) fn is_still_needed(&self, user: &UserId) -> bool {
        self.with(|known| known.is_still_needed(user))
    }

    /// Records that a read was not sent after all: it is due as before.
    pub(in crate::account) fn put_back(&self, user: &UserId) {
        self.with(|known| known.put_back(user));
    }

    /// Applies one page of a list.
    pub fn fold_page(&self, listing: &mut Listing, users: Vec<User>, sent_at: Moment) {
        self.with(|known| known.fold_page(listing, users, sent_at));
    }

    /// Records that the list is complete: what it did not show may be gone.
    pub fn finish_list(&self, listing: &Listing, now: Moment) {
        self.with(|known| known.finish_list(listing, now));
    }

    /// Records that the list stopped early on purpose: reading one by one is cheaper.
    pub fn stop_list(&self, listing: &Listing, now: Moment) {
        self.with(|known| known.stop_list(listing, now));
    }

    /// Records that the list failed: nothing is concluded from the pages it had.
    pub fn fail_list(&self, failure: Failure, now: Moment) {
        self.with(|known| known.fail_list(failure, now));
    }

    /// Applies a single read that showed the user.
    pub fn fold_user(&self, user: User, sent_at: Moment) {
        self.with(|known| known.fold_user(user, sent_at));
    }

    /// Records that a single read failed, or that there is no such user.
    pub fn fail_user(&self, user: &UserId, error: &Error, sent_at: Moment, now: Moment) {
        self.with(|known| known.fail_user(user, error, sent_at, now));
    }

    /// Returns how many admins would remain if `user` were none.
    #[must_use]
    pub fn other_admins(&self, user: &UserId, settled_from: Moment, now: Moment) -> OtherAdmins {
        self.with(|known| known.other_admins(user, settled_from, now))
    }

    /// Returns which user has to be made admin again.
    #[must_use]
    pub fn next_restore(&self, now: Moment) -> Restore {
        self.with(|known| known.next_restore(now))
    }

    /// Records that it was tried to make the user admin again.
    pub fn restore_tried(&self, user: &UserId, is_gone: bool) {
        self.with(|known| known.restore_tried(user, is_gone));
    }

    /// Returns how many admins count, as last listed, and whether demotions are stopped.
    #[must_use]
    pub fn admins(&self, now: Moment) -> (usize, bool) {
        self.with(|known| known.admins(now))
    }

    /// Returns what the canary means for a change of the user.
    #[must_use]
    pub fn mask(&self, user: &UserId, names_display_name: bool, now: Moment) -> Mask {
        self.with(|known| known.mask(user, names_display_name, now))
    }

    /// Requests the read of the user before its change, which is to be the canary.
    pub fn want_canary(&self, user: &UserId, now: Moment) {
        self.with(|known| known.want_canary(user, now));
    }

    /// Records that no change of the user is pending any more: another one may be the canary.
    pub fn leave_canary(&self, user: &UserId) {
        self.with(|known| known.leave_canary(user));
    }

    /// Returns whether changes are stopped, or tried again one at a time.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.with(|known| known.is_stopped())
    }

    /// Records that a user that matched its spec does so no longer: for some minutes sweeps come sooner.
    pub fn drift_found(&self, now: Moment) {
        self.with(|known| known.drift_found(now));
    }

    /// Returns the declared users of which nothing is known.
    #[must_use]
    pub fn unseen(&self) -> Vec<UserId> {
        self.with(|known| known.unseen())
    }

    /// Returns the age from which an observation is stale.
    #[must_use]
    pub fn stale_after(&self) -> Duration {
        self.with(|known| known.stale_after())
    }
}

impl Flight<'_> {
    /// Returns when the request was sent.
    #[must_use]
    pub fn sent_at(&self) -> Moment {
        self.sent_at
    }

    /// Records the server's answer: the user as it is now.
    #[must_use]
    pub fn answered(mut self, user: User, now: Moment) -> Arc<User> {
        match self.update.take() {
            Some(update) => (self.directory).with(|known| known.succeeded(update, user, now)),
            None => Arc::new(user),
        }
    }

    /// Records that the server refused: nothing changed.
    pub fn refused(mut self, error: &Error) {
        if let Some(update) = self.update.take() {
            self.directory.with(|known| known.refused(update, error));
        }
    }

    /// Records that it is not known whether the change took effect.
    pub fn lost(mut self, now: Moment) {
        if let Some(update) = self.update.take() {
            (self.directory).with(|known| known.outcome_unknown(update, now));
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(update) = self.update.take() {
            (self.directory).with(|known| known.outcome_unknown(update, clock::now()));
        }
    }
}

fn log(notice: Notice) {
    let clean = |user: UserId| text::clean(user.as_str(), text::MESSAGE_MAX);
    match notice {
        Notice::AdminsLost { demoted } => tracing::error!(
            demoted,
            "demotions left the account without an admin, restoring the demoted users"
        ),
        Notice::FieldLostAgain { user } => tracing::error!(
            user = clean(user),
            "a second user lost a field that was not sent, stopping all changes of the account"
        ),
        Notice::FieldLost { user } => tracing::warn!(
            user = clean(user),
            "a user lost a field that was not sent, holding it and trying a second user"
        ),
    }
}

#[cfg(test)]
mod tests;
