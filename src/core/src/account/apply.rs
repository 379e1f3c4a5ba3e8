//! What the answers to reads mean: pages of a list, single reads, failures.

mod updates;

use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{User, UserId};

use super::absence::{Conclusion, Evidence};
use super::admins::Admins;
use super::canary::Canary;
use super::refresh::Listing;
use super::updates::Updates;
use super::{Account, Class, Failure};
use crate::time::Moment;

/// Between two reads that are to show whether a field was cleared, however short the settle window.
const SUSPECT_PAUSE: Duration = Duration::from_secs(5);

impl Account {
    /// Applies one page of a list.
    pub fn apply_page(&mut self, listing: &mut Listing, users: Vec<User>, sent_at: Moment) {
        let mut affected = Vec::new();
        self.refresh.begin_page(listing);
        for user in users {
            self.absence.user_listed(&user.id);
            let is_new = self.apply_row(user, listing.number, sent_at, &mut affected);
            listing.count_row(is_new);
        }
        self.requeue(affected);
    }

    /// Applies the end of a complete list: what it did not show may be gone.
    pub fn finish_list(&mut self, listing: &Listing, now: Moment) {
        let mut affected = Vec::new();
        let number = self.refresh.list_finished(listing, &self.users, now);
        self.forget_omitted(listing);
        if listing.malformed == 0 {
            self.conclude_absences(listing, number, &mut affected);
        }
        self.sweep_hidden(listing, number);
        affected.extend(self.refresh.take_list_waiters());
        let (admins, known) = self.admins();
        let (demoted, notice) = admins.list_finished(listing.began, known, now);
        affected.extend(demoted);
        self.signals.notices.extend(notice);
        if self.admins.checks.is_restoring {
            self.requests.refresh();
        }
        self.requeue(affected);
    }

    /// Applies that the list stopped early on purpose: reading one by one is cheaper.
    pub fn stop_list(&mut self, listing: &Listing, now: Moment) {
        // Users that it contained need no read of their own in this sweep.
        let rest = self.users.not_listed_in(listing.number).cloned().collect();
        self.refresh.list_stopped(rest, &self.users, now);
    }

    /// Applies that the list failed: nothing is concluded from the pages it had.
    pub fn fail_list(&mut self, failure: Failure, now: Moment) {
        let affected = self.refresh.list_failed(failure, &self.users, now);
        self.requeue(affected);
        self.requeue_stale(now);
    }

    /// Applies a single read that shows its user.
    pub fn apply_read(&mut self, user: User, sent_at: Moment) {
        let mut affected = Vec::new();
        let is_listed = self.refresh.last_list.is_some();
        self.absence.user_read(&user.id, is_listed);
        self.refresh.read_succeeded(&user.id, &self.users, sent_at);
        self.canary.user_read(&user, sent_at);
        self.observe(user, sent_at, &mut affected);
        self.requeue(affected);
    }

    /// Applies a single read that failed, or found that there is no such user.
    pub fn apply_failed_read(
        &mut self,
        user: &UserId,
        error: &Error,
        sent_at: Moment,
        now: Moment,
    ) {
        let is_absent = *error.kind() == Kind::NotFound && self.refresh.last_list_succeeded;
        self.refresh.read_ended(user, is_absent, &self.users, now);
        if is_absent {
            let mut affected = Vec::new();
            self.confirm_absence(user, Evidence::Read, sent_at, &mut affected);
            return self.requeue(affected);
        }
        let failure = Failure::from(error);
        let failed = self.refresh.read_failed(user, failure, now);
        self.requeue(failed);
        // Another user may be the canary meanwhile.
        let affected = self.canary.give_up(user);
        self.requeue(affected);
        self.requeue_stale(now);
    }
}

/// Observations of users.
impl Account {
    /// Applies one row of the list of that number. Returns whether the list shows the user for the first time.
    fn apply_row(
        &mut self,
        user: User,
        number: u32,
        sent_at: Moment,
        affected: &mut Vec<UserId>,
    ) -> bool {
        if self.users.has_record(&user.id) || self.updates.is_unconfirmed(&user.id) {
            let id = user.id.clone();
            self.observe(user, sent_at, affected);
            return self.users.mark_listed(&id, number);
        }
        let before = self.users.undeclared_role(&user.id);
        let (role, is_new) = self.users.observe_undeclared(user, number);
        affected.extend(self.admins.undeclared_observed(before, role));
        is_new
    }

    /// Applies an observation of a user, and collects it if its objects must be requeued.
    fn observe(&mut self, user: User, sent_at: Moment, affected: &mut Vec<UserId>) {
        let id = user.id.clone();
        let settle = self.settle_window;
        let was_missing = self.absence.forget(&id);
        let observed = self.users.observe(user, sent_at, settle);
        if observed.is_newest {
            let canary = &mut self.canary;
            let notice = canary.user_observed(&observed.user, sent_at, affected);
            self.signals.notices.extend(notice);
        }
        let mut is_changed = was_missing || observed.is_changed;
        let list = self.refresh.last_list;
        // An admin that the last complete list did not show counts again.
        let is_listed_again = list
            .zip(observed.seen_before)
            .is_some_and(|(list, before)| {
                !list.shows_users_seen_at(before) && list.shows_users_seen_at(sent_at)
            });
        let may_count = is_changed || is_listed_again;
        affected.extend(self.admins.user_observed(&observed.user, may_count));
        is_changed |= self.updates.user_observed(&id, sent_at, settle);
        let is_new = (self.rules.must_be_requeued)(is_changed, self.users.is_managed(&id));
        let is_answer = self.refresh.requested.satisfy(&id, sent_at);
        if self.canary.suspects(&id) {
            // The read did not supersede what is known: a later one has to show it.
            let not_before = sent_at + settle.max(SUSPECT_PAUSE);
            self.refresh.request(&id, Class::SpecChange, not_before);
        }
        if is_answer || is_new {
            affected.push(id);
        }
    }

    /// Requeues the users whose last read has become stale.
    fn requeue_stale(&mut self, now: Moment) {
        let limits = self.age_limits();
        let stale = self.users.take_stale(limits, now);
        self.requeue(stale);
    }
}

/// What a complete list means for users that it did not show.
impl Account {
    fn forget_omitted(&mut self, listing: &Listing) {
        let (updates, admins, canary) = (&self.updates, &self.admins, &self.canary);
        let is_pending = |user: &UserId| is_pending(updates, admins, canary, user);
        let settle = self.settle_window;
        self.users.forget_omitted(listing, settle, is_pending);
    }

    /// Forgets undeclared users where nothing is listed: no read shows them. What a list showed of them is kept for as long as
    /// admins are counted by it.
    pub(super) fn forget_undeclared(&mut self, now: Moment) {
        let limits = self.age_limits();
        let list = self.refresh.last_list;
        if list.is_some_and(|list| list.age(now) <= limits.list_counts_for) {
            return;
        }
        let (settle, users) = (self.settle_window, &mut self.users);
        self.updates
            .forget_unshown(now, settle, |user| users.is_managed(user));
        let (updates, admins, canary) = (&self.updates, &self.admins, &self.canary);
        users.forget_undeclared(settle, |user| is_pending(updates, admins, canary, user));
    }

    /// Applies a complete list without malformed rows: a managed user that was not in it is missed.
    fn conclude_absences(&mut self, listing: &Listing, number: u64, affected: &mut Vec<UserId>) {
        let (users, began) = (&self.users, listing.began);
        // Of a user that is gone, and that no object declares, no read shows anything.
        let is_shown = |user: &UserId| users.is_managed(user) || users.get(user).is_some();
        let settle = self.settle_window;
        self.updates.forget_unshown(began, settle, is_shown);
        self.absence.retain_omitted(&users.managed);
        let is_seen_since = |user: &UserId| {
            let record = users.get(user);
            record.is_some_and(|record| record.seen_at > began)
        };
        let unseen = users.not_listed_in(listing.number);
        let unseen = unseen.filter(|user| !is_seen_since(user)).cloned();
        let unseen: Vec<UserId> = unseen.collect();
        let is_empty = listing.users == 0;
        for (user, conclusion) in self.absence.conclude(unseen, number, is_empty) {
            match conclusion {
                Conclusion::Known => {
                    self.refresh.requested.satisfy(&user, began);
                }
                Conclusion::Confirmed => {
                    self.confirm_absence(&user, Evidence::Lists, began, affected);
                }
                Conclusion::Suspected => {
                    self.refresh.requested.satisfy(&user, began);
                    affected.push(user);
                }
            }
        }
    }

    /// Records that the user is gone, unless a change of ours was answered since.
    fn confirm_absence(
        &mut self,
        user: &UserId,
        evidence: Evidence,
        sent_at: Moment,
        affected: &mut Vec<UserId>,
    ) {
        let record = self.users.get(user);
        if record.is_some_and(|record| record.is_changed_after(sent_at)) {
            return;
        }
        self.users.remove(user);
        let is_new = self.absence.confirm(user, evidence, self.refresh.lists);
        if self.refresh.requested.satisfy(user, sent_at) || is_new {
            affected.push(user.clone());
        }
        if !self.users.is_managed(user) {
            self.absence.forget(user);
        }
        affected.extend(self.canary.user_removed(user));
    }

    /// Has users that lists cannot show read one by one after a complete list, those of its malformed rows among them.
    fn sweep_hidden(&mut self, listing: &Listing, number: u64) {
        let (users, absence) = (&self.users, &self.absence);
        let hidden = users.not_listed_in(listing.number);
        let hidden = hidden.filter(|user| !absence.is_missing(user));
        let hidden = hidden.take(listing.malformed);
        let pages = self.refresh.pages();
        let to_read = absence.to_read_after_list(&users.managed, number, pages);
        let to_read = to_read.chain(hidden).cloned().collect();
        self.refresh.to_sweep = to_read;
    }
}

/// Returns whether a decision that is not made yet depends on the user, whether or not an object declares it.
fn is_pending(updates: &Updates, admins: &Admins, canary: &Canary, user: &UserId) -> bool {
    updates.is_unconfirmed(user) || admins.is_demoting(user) || canary.concerns(user)
}
