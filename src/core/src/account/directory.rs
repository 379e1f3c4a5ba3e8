//! The account as last read: one compact record per declared user, less of the others, and which read is valid.
//!
//! Newer evidence wins, an unconfirmed update outlives the object that asked for it, and absence is concluded only
//! on good evidence. Holds no e-mail text. It is plain data and makes no call: the reader asks what is due
//! (`directory/schedule.rs`), passes ask what is known, and every read (`directory/apply.rs`) or answer to a change
//! (`directory/updates.rs`) is applied here. What must happen outside is left in the outbox, [`Signals`].

mod absence;
mod admins;
mod apply;
mod by_user;
mod canary;
mod canonical;
mod listing;
mod schedule;
mod signals;
mod stale;
mod timetable;
mod undeclared;
mod updates;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{User, UserId, UserPatch};

use super::{Class, Failure, Freshness, Sighting, View};
use crate::random::Random;
use crate::time::Moment;
use by_user::ByUser;

pub use admins::{Repair, Restore};
pub use listing::Listing;
pub use schedule::Schedule;
pub use signals::{Notice, Signals};
pub use updates::UpdateInFlight;

/// Times that decide which evidence is valid.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Times {
    /// How long an answer may contradict an earlier change, or a lost change may still take effect.
    pub settle_window: Duration,
    /// The shortest time between two sweeps.
    pub sweep_interval: Duration,
}

/// The account as last seen.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Directory {
    times: Times,
    /// The users that objects declare, and those whose last change matters still.
    records: ByUser<Record>,
    undeclared: ByUser<undeclared::Undeclared>,
    max_users: usize,
    missing: BTreeMap<UserId, absence::Missing>,
    omitted: BTreeSet<UserId>,
    unconfirmed: BTreeMap<UserId, UnconfirmedUpdate>,
    /// Demotions under way, and whether the user counted as an admin.
    demoting: BTreeMap<UserId, bool>,
    checks: admins::Checks,
    waiting_for_admins: BTreeSet<UserId>,
    canary: canary::Canary,
    waiting_for_canary: BTreeSet<UserId>,
    managed: BTreeSet<UserId>,
    /// Declared by objects of which none may make calls.
    suspended: BTreeSet<UserId>,
    requested_reads: BTreeMap<UserId, RequestedRead>,
    reads: schedule::Reads,
    last_failure: Option<Arc<Failure>>,
    random: Random,
    signals: Signals,
}

/// The number of entries that a directory keeps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Entries {
    /// Users of the account.
    pub users: usize,
    /// Those of them that objects declare.
    pub declared_users: usize,
    /// Users that are missed.
    pub missing_users: usize,
    /// Users with updates whose effect is unknown.
    pub unclear_changes: usize,
    /// Requested reads that have not ended.
    pub wanted_reads: usize,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Record {
    user: Arc<User>,
    /// When the read that is valid was sent.
    sent_at: Moment,
    /// When the newest read that showed the user was sent, valid or not.
    seen_at: Moment,
    /// Few users are changed: their record alone is larger.
    change: Option<Box<Change>>,
    /// The last list that showed the user.
    listed: u32,
    announced_stale: bool,
}

/// The last change of ours that was answered.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Change {
    sent_at: Moment,
    succeeded_at: Moment,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct UnconfirmedUpdate {
    given_up: Moment,
    patches: Vec<UserPatch>,
}

/// A requested read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct RequestedRead {
    class: Class,
    not_before: Moment,
    retry_at: Option<Moment>,
    attempts: u32,
    failure: Option<Arc<Failure>>,
}

/// How old the last complete list may be to count admins by it; where sweeps are lists, so much older
/// than two of their periods.
const LIST_SLACK: Duration = Duration::from_secs(30);

/// Users beyond which a list has failed, unless another number is set.
pub const MAX_USERS: usize = 100_000;

/// Ambiguous bodies remembered for one user; more are not distinguished.
const PATCHES_REMEMBERED: usize = 8;

impl Directory {
    /// Returns an empty directory. Jitter is drawn from `seed`: two processes must not have the same one.
    #[must_use]
    pub fn new(times: Times, seed: u64) -> Self {
        Self {
            times,
            records: ByUser::default(),
            undeclared: ByUser::default(),
            max_users: MAX_USERS,
            missing: BTreeMap::new(),
            omitted: BTreeSet::new(),
            unconfirmed: BTreeMap::new(),
            demoting: BTreeMap::new(),
            checks: admins::Checks::default(),
            waiting_for_admins: BTreeSet::new(),
            canary: canary::Canary::default(),
            waiting_for_canary: BTreeSet::new(),
            managed: BTreeSet::new(),
            suspended: BTreeSet::new(),
            requested_reads: BTreeMap::new(),
            reads: schedule::Reads::default(),
            last_failure: None,
            random: Random::new(seed),
            signals: Signals::default(),
        }
    }

    /// What is known of that user.
    #[must_use]
    pub fn view(&self, user: &UserId, now: Moment) -> View {
        let known = self.records.get(user);
        let known = known.map(|record| (record, self.freshness(record, now)));
        let is_silent = known.is_none_or(|(_, freshness)| freshness == Freshness::Stale);
        let sighting = match (self.missing.get(user), known) {
            (Some(missing), _) if missing.is_confirmed() => Sighting::Absent,
            (Some(_), _) => Sighting::Suspected,
            (None, Some((record, freshness))) => Sighting::Seen {
                user: record.user.clone(),
                freshness,
                sent_at: record.sent_at,
            },
            (None, None) => Sighting::Never,
        };
        let settles_at = self
            .unconfirmed
            .get(user)
            .map(|one| one.given_up + self.times.settle_window);
        let own = self
            .requested_reads
            .get(user)
            .and_then(|request_read| request_read.failure.clone());
        View {
            sighting,
            is_silent,
            stale_after: self.stale_after(),
            settles_at,
            failure: own.or_else(|| self.last_failure.clone()),
        }
    }

    /// Asks for a read of that user, begun at `not_before` or later. `true` if none was asked for yet.
    pub fn request_read(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        self.signals.refresh = true;
        self.add_request(user, class, not_before)
    }

    /// Requests one complete list with that priority, for what single reads cannot show. Its end requeues `user`.
    pub fn request_list(&mut self, user: &UserId, class: Class) {
        self.reads.request_list(user, class);
        self.signals.refresh = true;
    }

    /// Returns whether a read of that user is requested.
    #[must_use]
    pub fn is_requested(&self, user: &UserId) -> bool {
        self.requested_reads.contains_key(user)
    }

    /// Sets whether an object that may make calls declares that user.
    pub fn set_managed(&mut self, user: &UserId, interested: bool) {
        if interested {
            self.managed.insert(user.clone());
        } else if self.managed.remove(user) {
            // Whether a field was cleared is asked to the end, whichever objects declare the user.
            if !self.canary.suspects(user) {
                self.requested_reads.remove(user);
            }
            self.missing.remove(user);
            self.waiting_for_admins.remove(user);
            self.waiting_for_canary.remove(user);
            let affected = self.canary_given_up(user);
            self.requeue(affected);
        }
        self.signals.refresh = true;
    }

    /// Returns the number of entries that are kept.
    #[must_use]
    pub fn counts(&self) -> Entries {
        Entries {
            users: self.records.len() + self.undeclared.len(),
            declared_users: self.managed.len(),
            missing_users: self.missing.len(),
            unclear_changes: self.unconfirmed.len(),
            wanted_reads: self.requested_reads.len(),
        }
    }

    /// All objects are known: reading may begin. Before, the choice between reading one by one and
    /// listing would be made on half the facts.
    pub fn open(&mut self) {
        self.reads.open();
        self.signals.refresh = true;
    }
}

impl Directory {
    /// Requests a read. Returns whether none was requested yet.
    fn add_request(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        let fresh = !self.requested_reads.contains_key(user);
        let request_read = self
            .requested_reads
            .entry(user.clone())
            .or_insert(RequestedRead {
                class,
                not_before,
                retry_at: None,
                attempts: 0,
                failure: None,
            });
        request_read.class = request_read.class.min(class);
        // The earlier of two reads comes first; an object that needs the later one requests it again.
        request_read.not_before = request_read.not_before.min(not_before);
        self.reads.raise_priority(class, not_before);
        fresh
    }

    fn freshness(&self, record: &Record, now: Moment) -> Freshness {
        let age = now.saturating_duration_since(record.seen_at);
        let period = self.period();
        if age <= period * 2 {
            Freshness::Fresh
        } else if age <= self.stale_after() {
            Freshness::Aged
        } else {
            Freshness::Stale
        }
    }

    fn admins_known_for(&self) -> Duration {
        if self.reads.sweeps_list(self.managed.len()) {
            self.period() * 2 + LIST_SLACK
        } else {
            LIST_SLACK
        }
    }
}

#[cfg(test)]
mod tests;
