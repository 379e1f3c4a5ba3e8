//! How evidence is folded into the directory: rows of a list, single reads, answers to our own
//! changes, failures. Pure but for the lock: every time is a parameter.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{Role, User, UserId, UserPatch};
use fireworks_core::account::Failure;
use fireworks_core::time::Moment;
use fireworks_crd::rules::{Rule, kept};
use retry_backoff::Backoff;

use super::absence::Evidence;
use super::{Ambiguity, Change, Directory, Listing, PATCHES_REMEMBERED, Record, State, Want};
use crate::account::budget::Class;
use crate::clock;

/// Between two reads that are to tell whether a field was cleared, however short the settle window.
const SUSPECT_PAUSE: Duration = Duration::from_secs(5);

/// Evidence that contradicts the remote's own `updateTime` is believed after this long: the remote
/// may have been restored from a backup.
const CONTRADICTION_OUTLIVED: Duration = Duration::from_mins(10);

/// One change under way. Dropped unresolved (deadline, shutdown), its effect counts as unknown.
pub struct Flight<'a> {
    directory: &'a Directory,
    user: UserId,
    patch: UserPatch,
    sent_at: Moment,
    resolved: bool,
}

impl Directory {
    /// A change leaves now. While it is under way no other admin is demoted.
    #[must_use]
    pub fn depart(&self, user: &UserId, patch: &UserPatch, now: Moment) -> Flight<'_> {
        let mut state = self.lock();
        state.canary_departs(user, patch);
        if patch.role != Role::Admin && state.was_admin(user) {
            let was_counted = state.was_counted(user);
            state.demoting.insert(user.clone(), was_counted);
        }
        drop(state);
        Flight {
            directory: self,
            user: user.clone(),
            patch: patch.clone(),
            sent_at: now,
            resolved: false,
        }
    }

    /// Folds one page of a list in.
    pub fn fold_page(&self, listing: &mut Listing, users: Vec<User>, sent_at: Moment) {
        let mut state = self.lock();
        let mut look = Vec::new();
        if listing.number == 0 {
            listing.number = state.reads.begin_walk();
        }
        listing.begin_page();
        for user in users {
            state.unlisted.remove(&user.id);
            let is_new = state.saw_row(user, listing.number, sent_at, &mut look);
            listing.count_row(is_new);
        }
        drop(state);
        self.announce(look);
    }

    /// The list is complete: what it did not show may be gone.
    pub fn finish_list(&self, listing: &Listing, now: Moment) {
        let mut state = self.lock();
        let mut look = Vec::new();
        let number = state.reads.finished(listing, now);
        state.last_failure = None;
        state.forget_unlisted_strangers(listing);
        if listing.malformed == 0 {
            state.settle_absences(listing, number, &mut look);
        }
        state.after_list(listing, number, now);
        look.extend(state.reads.take_list_waiters());
        look.extend(state.check_admins(listing, now));
        if state.checks.is_restoring() {
            self.restore.notify_one();
        }
        drop(state);
        self.announce(look);
    }

    /// The list stopped early on purpose: reading one by one is cheaper.
    pub fn stop_list(&self, listing: &Listing, now: Moment) {
        let mut state = self.lock();
        state.reads.succeeded();
        // Users that it contained need no read of their own in this sweep.
        let is_rest = |id: &&UserId| state.listed_in(id) != listing.number;
        let rest = state.interest.iter().filter(is_rest).cloned().collect();
        state.reads.sweep_rest(rest);
        state.last_failure = None;
        state.schedule_sweep(now);
    }

    /// The list failed: nothing is concluded from the pages it had.
    pub fn fail_list(&self, failure: Failure, now: Moment) {
        let mut state = self.lock();
        let failure = Arc::new(failure);
        state.sweep_without_lists(now);
        state.schedule_sweep(now);
        state.last_failure = Some(failure.clone());
        let mut look = state.fail_due_wants(&failure, now);
        look.extend(state.reads.take_list_waiters());
        look.extend(state.announce_stale(now));
        drop(state);
        self.announce(look);
    }

    /// A single read came back with the user.
    pub fn fold_user(&self, user: User, sent_at: Moment) {
        let mut state = self.lock();
        let mut look = Vec::new();
        let id = user.id.clone();
        if state.missing.remove(&id).is_some() && state.reads.lists_completely() {
            state.unlisted.insert(id.clone());
        }
        let were_failing = state.reads.is_without_lists_and_reads();
        let _ = state.reads.read_ended(&id, true);
        if were_failing {
            // The next sweep comes at its own rate: its failures have ended.
            state.schedule_sweep(sent_at);
        }
        state.last_failure = None;
        state.canary_read(&user, sent_at);
        state.saw(user, sent_at, &mut look);
        drop(state);
        self.announce(look);
    }

    /// A single read failed, or said that there is no such user.
    pub fn fail_user(&self, user: &UserId, error: &Error, sent_at: Moment, now: Moment) {
        let mut state = self.lock();
        let absent = *error.kind() == Kind::NotFound && state.reads.last_list_succeeded();
        if state.reads.read_ended(user, absent) {
            state.schedule_sweep(now);
        }
        let mut look = Vec::new();
        if absent {
            state.confirm_absence(user, Evidence::Read, sent_at, &mut look);
        } else {
            let mut failure = Failure::from(error);
            let is_account = |last: &Arc<Failure>| last.kind == Kind::NotFound;
            if failure.kind == Kind::NotFound
                && !state.last_failure.as_ref().is_some_and(is_account)
            {
                // Only a list can find that the account is not there.
                failure.kind = Kind::Transient;
            }
            let failure = Arc::new(failure);
            if failure.concerns_all() {
                state.last_failure = Some(failure.clone());
            }
            look.extend(state.fail_want(user, &failure, now));
            // Another user may be the canary meanwhile.
            look.extend(state.canary_leaves(user));
            look.extend(state.announce_stale(now));
        }
        drop(state);
        self.announce(look);
    }
}

#[cfg(feature = "seams")]
impl<'a> Flight<'a> {
    /// A change that departed earlier.
    pub(super) fn resumed(
        directory: &'a Directory,
        user: UserId,
        patch: UserPatch,
        sent_at: Moment,
    ) -> Self {
        Self {
            directory,
            user,
            patch,
            sent_at,
            resolved: false,
        }
    }

    /// Leaves it under way, to be resumed.
    pub fn park(mut self) {
        self.resolved = true;
    }
}

impl Flight<'_> {
    /// When the request was sent.
    #[must_use]
    pub fn sent_at(&self) -> Moment {
        self.sent_at
    }

    /// The server answered with the user as it is now.
    #[must_use]
    pub fn answered(mut self, user: User, now: Moment) -> Arc<User> {
        self.resolved = true;
        let user = Arc::new(user);
        let mut state = self.directory.lock();
        state.missing.remove(&self.user);
        state.last_failure = None;
        let ended = |one: &Ambiguity| {
            let same = one.patches.iter().all(|patch| *patch == self.patch);
            same || !kept(Rule::OtherBodiesStayAmbiguous)
        };
        if state.ambiguities.get(&self.user).is_some_and(ended) {
            // A late duplicate of the same body changes nothing.
            state.ambiguities.remove(&self.user);
        }
        // Of two changes under way the older may be answered last: newer wins here, too.
        let is_newer = |known: &Record| {
            let newer = known.user.update_time > user.update_time && user.update_time.is_some();
            newer && known.sent_at > self.sent_at
        };
        let outdated = state.records.get(&self.user).is_some_and(is_newer);
        let before = state.records.get(&self.user);
        let record = Record {
            user: user.clone(),
            sent_at: self.sent_at,
            seen_at: before.map_or(self.sent_at, |known| known.seen_at.max(self.sent_at)),
            change: Some(Box::new(Change {
                sent_at: self.sent_at,
                answered_at: now,
            })),
            listed: state.listed_in(&self.user),
            announced_stale: false,
        };
        let is_admin = user.role == Role::Admin;
        let mut look = state.demotion_ended(&self.user, Some(now));
        if self.patch.role == Role::Admin {
            state.promoted(&self.user);
        }
        if state.canary_answered(&user, &mut look) {
            state.want(&self.user, Class::SpecChange, now);
            self.directory.wake.notify_one();
        }
        if !outdated {
            state.undeclared.remove(&self.user);
            let before = state.records.insert(self.user.clone(), record);
            if before.is_none_or(|before| before.user != user) {
                // Other objects may speak of the user too: no later read would be news to them.
                look.push(self.user.clone());
            }
        }
        if is_admin {
            look.extend(state.waiting_for_admins.drain());
        }
        drop(state);
        self.directory.wake.notify_one();
        self.directory.announce(look);
        user
    }

    /// The server refused: nothing changed.
    pub fn refused(mut self, error: &Error) {
        self.resolved = true;
        let mut state = self.directory.lock();
        if *error.kind() == Kind::NotFound {
            state.suspect(&self.user);
        }
        let mut look = state.demotion_ended(&self.user, None);
        state.canary_failed(&self.user, &mut look);
        drop(state);
        self.directory.announce(look);
    }

    /// It is not known whether the change took effect.
    pub fn lost(mut self, now: Moment) {
        self.lose(now);
    }

    fn lose(&mut self, now: Moment) {
        self.resolved = true;
        let mut state = self.directory.lock();
        if kept(Rule::LostChangesAreRemembered) {
            state.remember_lost(self.user.clone(), &self.patch, now);
        }
        let mut look = state.demotion_ended(&self.user, Some(now));
        state.canary_failed(&self.user, &mut look);
        drop(state);
        self.directory.wake.notify_one();
        self.directory.announce(look);
    }
}

impl State {
    /// Records a change whose answer is missing, until a read shows what it did.
    fn remember_lost(&mut self, user: UserId, patch: &UserPatch, now: Moment) {
        let one = self.ambiguities.entry(user).or_insert(Ambiguity {
            given_up: now,
            patches: Vec::new(),
        });
        one.given_up = now;
        if !one.patches.contains(patch) && one.patches.len() < PATCHES_REMEMBERED {
            one.patches.push(patch.clone());
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.resolved {
            let now = clock::now();
            self.lose(now);
        }
    }
}

impl Want {
    /// Notes the failure. `true` if its kind is news.
    fn fails(&mut self, failure: &Arc<Failure>) -> bool {
        let before = self.failure.replace(failure.clone());
        before.is_none_or(|before| before.kind != failure.kind)
    }
}

impl State {
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
            look.extend(self.waiting_for_admins.drain());
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
            self.want(&id, Class::SpecChange, sent_at + settle.max(SUSPECT_PAUSE));
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

    /// The PATCH of a user has ended. `effective_at`: it took effect, or may have, by then.
    fn demotion_ended(&mut self, user: &UserId, effective_at: Option<Moment>) -> Vec<UserId> {
        let demoted = self.demoting.remove(user).zip(effective_at);
        if let Some((was_counted, at)) = demoted {
            self.demoted(user, was_counted, at);
        }
        if self.demoting.is_empty() {
            self.waiting_for_admins.drain().collect()
        } else {
            Vec::new()
        }
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
        want.retry_at = Some(now + Backoff::default().delay(want.attempts, fastrand::f64()));
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
