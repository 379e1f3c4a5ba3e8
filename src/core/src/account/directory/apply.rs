//! How reads are applied to the directory: rows of a list, single reads, failures.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{Role, User, UserId};
use fireworks_crd::rules::{Rule, kept};
use retry_backoff::Backoff;

use super::absence::Evidence;
use super::{Directory, Listing, Record, RequestedRead};
use crate::account::{Class, Failure};
use crate::time::Moment;

/// Between two reads that are to show whether a field was cleared, however short the settle window.
const SUSPECT_PAUSE: Duration = Duration::from_secs(5);

/// Evidence that contradicts the remote's own `updateTime` is valid after this long: the remote
/// may have been restored from a backup.
const CONTRADICTION_OUTLIVED: Duration = Duration::from_mins(10);

impl Directory {
    /// Folds one page of a list in.
    pub fn apply_page(&mut self, listing: &mut Listing, users: Vec<User>, sent_at: Moment) {
        let mut affected = Vec::new();
        if listing.number == 0 {
            let number = self.reads.begin_walk();
            listing.begin(number, &mut self.random);
        }
        listing.begin_page();
        for user in users {
            self.omitted.remove(&user.id);
            let is_new = self.observe_row(user, listing.number, sent_at, &mut affected);
            listing.count_row(is_new);
        }
        self.requeue(affected);
    }

    /// The list is complete: what it did not show may be gone.
    pub fn finish_list(&mut self, listing: &Listing, now: Moment) {
        let mut affected = Vec::new();
        let number = self.reads.finished(listing, now);
        self.last_failure = None;
        self.forget_omitted(listing);
        if listing.malformed == 0 {
            self.settle_absences(listing, number, &mut affected);
        }
        self.after_list(listing, number, now);
        affected.extend(self.reads.take_list_waiters());
        affected.extend(self.check_admins(listing, now));
        if self.checks.is_restoring() {
            self.signals.refresh = true;
        }
        self.requeue(affected);
    }

    /// The list stopped early on purpose: reading one by one is cheaper.
    pub fn stop_list(&mut self, listing: &Listing, now: Moment) {
        self.reads.succeeded();
        // Users that it contained need no read of their own in this sweep.
        let is_rest = |id: &&UserId| self.listed_in(id) != listing.number;
        let rest = self.managed.iter().filter(is_rest).cloned().collect();
        self.reads.sweep_rest(rest);
        self.last_failure = None;
        self.schedule_sweep(now);
    }

    /// The list failed: nothing is concluded from the pages it had.
    pub fn fail_list(&mut self, failure: Failure, now: Moment) {
        let failure = Arc::new(failure);
        self.sweep_without_lists(now);
        self.schedule_sweep(now);
        self.last_failure = Some(failure.clone());
        let mut affected = self.fail_due_reads(&failure, now);
        affected.extend(self.reads.take_list_waiters());
        affected.extend(self.announce_stale(now));
        self.requeue(affected);
    }

    /// A single read came back with the user.
    pub fn apply_read(&mut self, user: User, sent_at: Moment) {
        let mut affected = Vec::new();
        let id = user.id.clone();
        if self.missing.remove(&id).is_some() && self.reads.lists_completely() {
            self.omitted.insert(id.clone());
        }
        let were_failing = self.reads.is_without_lists_and_reads();
        let _ = self.reads.read_ended(&id, true);
        if were_failing {
            // The next sweep comes at its own rate: its failures have ended.
            self.schedule_sweep(sent_at);
        }
        self.last_failure = None;
        self.canary_read(&user, sent_at);
        self.observe_user(user, sent_at, &mut affected);
        self.requeue(affected);
    }

    /// A single read failed, or said that there is no such user.
    pub fn apply_failed_read(
        &mut self,
        user: &UserId,
        error: &Error,
        sent_at: Moment,
        now: Moment,
    ) {
        let absent = *error.kind() == Kind::NotFound && self.reads.last_list_succeeded();
        if self.reads.read_ended(user, absent) {
            self.schedule_sweep(now);
        }
        let mut affected = Vec::new();
        if absent {
            self.confirm_absence(user, Evidence::Read, sent_at, &mut affected);
        } else {
            let mut failure = Failure::from(error);
            let is_account = |last: &Arc<Failure>| last.kind == Kind::NotFound;
            if failure.kind == Kind::NotFound && !self.last_failure.as_ref().is_some_and(is_account)
            {
                // Only a list can find that the account is not there.
                failure.kind = Kind::Transient;
            }
            let failure = Arc::new(failure);
            if failure.concerns_all() {
                self.last_failure = Some(failure.clone());
            }
            affected.extend(self.fail_read(user, &failure, now));
            // Another user may be the canary meanwhile.
            affected.extend(self.canary_given_up(user));
            affected.extend(self.announce_stale(now));
        }
        self.requeue(affected);
    }
}

impl RequestedRead {
    /// Records the failure. Returns whether its kind is new.
    fn fails(&mut self, failure: &Arc<Failure>) -> bool {
        let before = self.failure.replace(failure.clone());
        before.is_none_or(|before| before.kind != failure.kind)
    }
}

impl Directory {
    /// Folds one row of the list of that number in. Returns whether the list shows the user for the first time.
    fn observe_row(
        &mut self,
        user: User,
        number: u32,
        sent_at: Moment,
        affected: &mut Vec<UserId>,
    ) -> bool {
        if !self.has_record(&user.id) {
            return self.observe_undeclared(user, number, affected);
        }
        let id = user.id.clone();
        self.observe_user(user, sent_at, affected);
        let listed = self.records.get_mut(&id).map(|record| &mut record.listed);
        listed.is_none_or(|listed| std::mem::replace(listed, number) != number)
    }

    /// Folds one sighting in and collects the user if its objects want another look.
    fn observe_user(&mut self, user: User, sent_at: Moment, affected: &mut Vec<UserId>) {
        let id = user.id.clone();
        let was_missing = self.missing.remove(&id).is_some();
        let settle = self.times.settle_window;
        let mut changed = was_missing;
        let mut believed = None;
        let mut counts_again = false;
        let listed = self.listed_in(&id);
        match self.records.get_mut(&id) {
            None => {
                let record = Record {
                    user: Arc::new(user),
                    sent_at,
                    seen_at: sent_at,
                    change: None,
                    listed,
                    announced_stale: false,
                };
                self.records.insert(id.clone(), record);
                self.undeclared.remove(&id);
                changed = true;
            }
            Some(record) => {
                let counts = |at: Moment| self.reads.lists_users_seen_at(at);
                counts_again = !counts(record.seen_at) && counts(sent_at);
                record.seen_at = record.seen_at.max(sent_at);
                changed |= std::mem::take(&mut record.announced_stale);
                if supersedes(record, &user, sent_at, settle) {
                    believed = record
                        .change
                        .as_ref()
                        .is_none_or(|change| sent_at > change.sent_at)
                        .then(|| user.clone());
                    changed |= *record.user != user;
                    record.sent_at = record.sent_at.max(sent_at);
                    if *record.user != user {
                        record.user = Arc::new(user);
                    }
                }
            }
        }
        if let Some(seen) = believed {
            self.canary_seen(&seen, sent_at, affected);
        }
        let is_admin = |record: &Record| record.user.role == Role::Admin;
        if (changed || counts_again) && self.records.get(&id).is_some_and(is_admin) {
            affected.extend(std::mem::take(&mut self.waiting_for_admins));
        }
        if self.unconfirmed.get(&id).is_some_and(|one| {
            sent_at >= one.given_up + settle || !kept(Rule::SettleWindowsAreWaitedOut)
        }) {
            self.unconfirmed.remove(&id);
            changed = true;
        }
        let is_news = changed && self.managed.contains(&id) && kept(Rule::NewsAreAnnounced);
        let is_answer = self.satisfy(&id, sent_at);
        if self.canary.suspects(&id) {
            // The read did not supersede what is known: a later one has to show it.
            self.add_request(&id, Class::SpecChange, sent_at + settle.max(SUSPECT_PAUSE));
        }
        if is_answer || is_news {
            affected.push(id);
        }
    }

    /// Ends the want that a read sent at that time satisfies.
    pub(super) fn satisfy(&mut self, id: &UserId, sent_at: Moment) -> bool {
        let done = self
            .requested_reads
            .get(id)
            .is_some_and(|request_read| sent_at >= request_read.not_before);
        if done {
            self.requested_reads.remove(id);
        }
        done
    }

    /// The list that would have served them failed. A user without a read of its own waits
    /// as long as the list does, and no longer once reading one by one is the way out.
    fn fail_due_reads(&mut self, failure: &Arc<Failure>, now: Moment) -> Vec<UserId> {
        let hold = self.reads.list_retry_until();
        let mut affected = Vec::new();
        for (id, request_read) in &mut self.requested_reads {
            if request_read.not_before > now {
                continue;
            }
            if request_read.attempts == 0 {
                request_read.retry_at = hold;
            }
            if request_read.fails(failure) {
                affected.push(id.clone());
            }
        }
        affected
    }

    /// Its own read failed: it backs off, and the user is handed on if the kind of failure is new.
    fn fail_read(&mut self, id: &UserId, failure: &Arc<Failure>, now: Moment) -> Option<UserId> {
        let request_read = self.requested_reads.get_mut(id)?;
        request_read.attempts = request_read.attempts.saturating_add(1);
        request_read.retry_at =
            Some(now + Backoff::default().delay(request_read.attempts, self.random.fraction()));
        request_read.fails(failure).then(|| id.clone())
    }
}

/// Whether the newly seen user replaces the record: by `updateTime` where both have it, else by when
/// the request was sent.
fn supersedes(record: &Record, new: &User, sent_at: Moment, settle: Duration) -> bool {
    let outlived = sent_at.saturating_duration_since(record.sent_at) > CONTRADICTION_OUTLIVED;
    match (record.user.update_time, new.update_time) {
        (Some(old), Some(new)) if old != new => new > old || outlived || !kept(Rule::NewerWins),
        (Some(_), Some(_)) => sent_at >= record.sent_at || !kept(Rule::NewerWins),
        _ => {
            // Replica lag: without times a read cannot contradict our own fresh change.
            let contradicts = *record.user != *new;
            let lag = record
                .change
                .as_ref()
                .is_some_and(|change| sent_at < change.succeeded_at + settle);
            (sent_at >= record.sent_at || !kept(Rule::NewerWins))
                && !(lag && contradicts && kept(Rule::ReplicasLag))
        }
    }
}
