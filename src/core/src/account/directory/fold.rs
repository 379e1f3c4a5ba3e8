//! How reads are applied to the directory: rows of a list, single reads, failures.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{Role, User, UserId};
use fireworks_crd::rules::{Rule, kept};
use retry_backoff::Backoff;

use super::absence::Evidence;
use super::{Directory, Listing, Record, Want};
use crate::account::{Class, Failure};
use crate::time::Moment;

/// Between two reads that are to tell whether a field was cleared, however short the settle window.
const SUSPECT_PAUSE: Duration = Duration::from_secs(5);

/// Evidence that contradicts the remote's own `updateTime` is believed after this long: the remote
/// may have been restored from a backup.
const CONTRADICTION_OUTLIVED: Duration = Duration::from_mins(10);

impl Directory {
    /// Folds one page of a list in.
    pub fn fold_page(&mut self, listing: &mut Listing, users: Vec<User>, sent_at: Moment) {
        let mut look = Vec::new();
        if listing.number == 0 {
            let number = self.reads.begin_walk();
            listing.begin(number, &mut self.random);
        }
        listing.begin_page();
        for user in users {
            self.unlisted.remove(&user.id);
            let is_new = self.saw_row(user, listing.number, sent_at, &mut look);
            listing.count_row(is_new);
        }
        self.requeue(look);
    }

    /// The list is complete: what it did not show may be gone.
    pub fn finish_list(&mut self, listing: &Listing, now: Moment) {
        let mut look = Vec::new();
        let number = self.reads.finished(listing, now);
        self.last_failure = None;
        self.forget_unlisted_strangers(listing);
        if listing.malformed == 0 {
            self.settle_absences(listing, number, &mut look);
        }
        self.after_list(listing, number, now);
        look.extend(self.reads.take_list_waiters());
        look.extend(self.check_admins(listing, now));
        if self.checks.is_restoring() {
            self.signals.wake_restore = true;
        }
        self.requeue(look);
    }

    /// The list stopped early on purpose: reading one by one is cheaper.
    pub fn stop_list(&mut self, listing: &Listing, now: Moment) {
        self.reads.succeeded();
        // Users that it contained need no read of their own in this sweep.
        let is_rest = |id: &&UserId| self.listed_in(id) != listing.number;
        let rest = self.interest.iter().filter(is_rest).cloned().collect();
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
        let mut look = self.fail_due_wants(&failure, now);
        look.extend(self.reads.take_list_waiters());
        look.extend(self.announce_stale(now));
        self.requeue(look);
    }

    /// A single read came back with the user.
    pub fn fold_user(&mut self, user: User, sent_at: Moment) {
        let mut look = Vec::new();
        let id = user.id.clone();
        if self.missing.remove(&id).is_some() && self.reads.lists_completely() {
            self.unlisted.insert(id.clone());
        }
        let were_failing = self.reads.is_without_lists_and_reads();
        let _ = self.reads.read_ended(&id, true);
        if were_failing {
            // The next sweep comes at its own rate: its failures have ended.
            self.schedule_sweep(sent_at);
        }
        self.last_failure = None;
        self.canary_read(&user, sent_at);
        self.saw(user, sent_at, &mut look);
        self.requeue(look);
    }

    /// A single read failed, or said that there is no such user.
    pub fn fail_user(&mut self, user: &UserId, error: &Error, sent_at: Moment, now: Moment) {
        let absent = *error.kind() == Kind::NotFound && self.reads.last_list_succeeded();
        if self.reads.read_ended(user, absent) {
            self.schedule_sweep(now);
        }
        let mut look = Vec::new();
        if absent {
            self.confirm_absence(user, Evidence::Read, sent_at, &mut look);
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
            look.extend(self.fail_want(user, &failure, now));
            // Another user may be the canary meanwhile.
            look.extend(self.canary_leaves(user));
            look.extend(self.announce_stale(now));
        }
        self.requeue(look);
    }
}

impl Want {
    /// Notes the failure. `true` if its kind is news.
    fn fails(&mut self, failure: &Arc<Failure>) -> bool {
        let before = self.failure.replace(failure.clone());
        before.is_none_or(|before| before.kind != failure.kind)
    }
}

impl Directory {
    /// Folds one row of the list of that number in. Returns whether the list shows the user for the first time.
    fn saw_row(
        &mut self,
        user: User,
        number: u32,
        sent_at: Moment,
        look: &mut Vec<UserId>,
    ) -> bool {
        if !self.is_kept_whole(&user.id) {
            return self.saw_undeclared(user, number, look);
        }
        let id = user.id.clone();
        self.saw(user, sent_at, look);
        let listed = self.records.get_mut(&id).map(|record| &mut record.listed);
        listed.is_none_or(|listed| std::mem::replace(listed, number) != number)
    }

    /// Folds one sighting in and collects the user if its objects want another look.
    fn saw(&mut self, user: User, sent_at: Moment, look: &mut Vec<UserId>) {
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
                let counts = |at: Moment| self.reads.lists_who_was_seen(at);
                counts_again = !counts(record.seen_at) && counts(sent_at);
                record.seen_at = record.seen_at.max(sent_at);
                changed |= std::mem::take(&mut record.announced_stale);
                if believes(record, &user, sent_at, settle) {
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
            self.canary_seen(&seen, sent_at, look);
        }
        let is_admin = |record: &Record| record.user.role == Role::Admin;
        if (changed || counts_again) && self.records.get(&id).is_some_and(is_admin) {
            look.extend(std::mem::take(&mut self.waiting_for_admins));
        }
        if self.ambiguities.get(&id).is_some_and(|one| {
            sent_at >= one.given_up + settle || !kept(Rule::SettleWindowsAreWaitedOut)
        }) {
            self.ambiguities.remove(&id);
            changed = true;
        }
        let is_news = changed && self.interest.contains(&id) && kept(Rule::NewsAreAnnounced);
        let is_answer = self.satisfy(&id, sent_at);
        if self.canary.suspects(&id) {
            // The read was not believed: one that is has to tell.
            self.request_read(&id, Class::SpecChange, sent_at + settle.max(SUSPECT_PAUSE));
        }
        if is_answer || is_news {
            look.push(id);
        }
    }

    /// Ends the want that a read sent at that time satisfies.
    pub(super) fn satisfy(&mut self, id: &UserId, sent_at: Moment) -> bool {
        let done = self
            .wants
            .get(id)
            .is_some_and(|want| sent_at >= want.not_before);
        if done {
            self.wants.remove(id);
        }
        done
    }

    /// The list that would have served them failed. Whoever was not tried by a read of its own waits
    /// as long as the list does, and no longer once reading one by one is the way out.
    fn fail_due_wants(&mut self, failure: &Arc<Failure>, now: Moment) -> Vec<UserId> {
        let hold = self.reads.held_back_until();
        let mut look = Vec::new();
        for (id, want) in &mut self.wants {
            if want.not_before > now {
                continue;
            }
            if want.attempts == 0 {
                want.retry_at = hold;
            }
            if want.fails(failure) {
                look.push(id.clone());
            }
        }
        look
    }

    /// Its own read failed: it backs off, and the user is handed on if the failure is news.
    fn fail_want(&mut self, id: &UserId, failure: &Arc<Failure>, now: Moment) -> Option<UserId> {
        let want = self.wants.get_mut(id)?;
        want.attempts = want.attempts.saturating_add(1);
        want.retry_at = Some(now + Backoff::default().delay(want.attempts, self.random.fraction()));
        want.fails(failure).then(|| id.clone())
    }
}

/// Whether the newly seen user replaces the record: by `updateTime` where both have it, else by when
/// the request was sent.
fn believes(record: &Record, new: &User, sent_at: Moment, settle: Duration) -> bool {
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
                .is_some_and(|change| sent_at < change.answered_at + settle);
            (sent_at >= record.sent_at || !kept(Rule::NewerWins))
                && !(lag && contradicts && kept(Rule::ReplicasLag))
        }
    }
}
