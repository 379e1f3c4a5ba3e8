//! What this process remembers of single objects and users beyond what status reports: back-off,
//! verdicts, waits, repairs. All of it may be lost by a restart without harm. Bounded by the objects
//! that have something to remember; times are parameters.

mod canonical;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{User, UserRef};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{Message, Reason};
use jiff::Timestamp;
use retry_backoff::Backoff;

use super::contenders::Contenders;
use super::forced_reads::{ForcedRead, ForcedReads};
use super::hour::Hour;
use crate::claims::Contender;
use crate::rules::Rules;
use crate::time::Moment;

/// So many repairs of one user within [`FIGHT_WINDOW`] are a fight.
const FIGHT_REPAIRS: usize = 5;
const FIGHT_WINDOW: Duration = Duration::from_hours(1);
/// The first pause of a fight; it doubles with each further repair, up to the window.
const FIGHT_PAUSE: Duration = Duration::from_mins(1);

/// So few fights are not looked through for old ones.
const FIGHTS_KEPT: usize = 64;

/// After so long it is seen whether another admin has appeared.
pub const ADMINS_AGAIN: Duration = Duration::from_hours(1);

/// A refusal: `PermissionDenied` stands for as long as the key may not change users, the others until the spec or the
/// remote user changes, or the hour is over.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Refusal {
    /// Rejected, `PermissionDenied` or `NotApplied`.
    pub reason: Reason,
    /// As it was said.
    pub message: Message,
    /// The user it was said about.
    pub about: Arc<User>,
    /// The hour in which it holds; a denial holds as long as the account's `denials` say.
    pub hour: Hour,
}

/// A status that another writer overwrote this often is disputed: it is written again with back-off.
const OVERWRITES_BORNE: u32 = 3;

/// What is remembered of one object.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ObjectState {
    /// The generation that all but the last five fields are about.
    pub generation: i64,
    /// Failed tries in a row.
    pub attempt: u32,
    /// No call about it before that time.
    pub not_before: Option<Moment>,
    /// A refusal that stands.
    pub refusal: Option<Refusal>,
    /// Answers to our changes that still differed.
    pub tries: u8,
    /// The user was found to differ from this generation although status reported it in sync, and is not set back yet,
    /// whatever status has come to report meanwhile.
    pub drifted: bool,
    /// When status reports that it waits, if it still does.
    pub report_pending_at: Option<Moment>,
    /// Reads made while Fireworks worked on the user.
    pub progress: u32,
    /// Statuses in a row that the API server did not take.
    pub unwritten: u32,
    /// Re-reads in a row that the API server did not answer.
    pub unread: u32,
    /// Since when another object is known to own the user. An edit does not begin that time again.
    pub contending_since: Option<Moment>,
    /// A hash of the last value seen of the annotation that forces a read.
    pub requested_at: Option<u64>,
    /// Since when that value is owed a read, if it still is.
    pub read_owed_since: Option<Moment>,
    /// The last status written, while the watch may not have brought it yet.
    pub written: Option<Written>,
}

/// A status write of ours.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Written {
    /// The resourceVersions it was based on: that which the watch brought, and those of earlier writes since.
    pub bases: Vec<String>,
    /// The resourceVersion it made.
    pub version: String,
    /// What it says.
    pub status: Arc<FireworksUserStatus>,
}

/// The memory of the process. Objects are found by a hash of their UID, which is shorter and sooner compared. The API server
/// draws UIDs at random: two of 50,000 objects have the same hash once in 10^10 times.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ObjectStates {
    objects: BTreeMap<u64, ObjectState>,
    possibly_in_flight: BTreeSet<u64>,
    /// The generation at which this process last saw the user match.
    matched: BTreeMap<u64, i64>,
    repairs_of_users: BTreeMap<UserRef, RepairHistory>,
    forced_reads: ForcedReads,
    contenders: Contenders,
    last_written: BTreeMap<u64, LastWritten>,
    /// So many fights are enough to look for old ones.
    fights_enough: usize,
}

/// What was last said of an object.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct LastWritten {
    generation: i64,
    digest: u64,
    overwrites: u32,
    not_before: Option<Moment>,
}

#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct RepairHistory {
    repairs: VecDeque<Moment>,
    level: u32,
    counts: Option<RepairHold>,
}

/// Another actor keeps reverting a user: repairs are held back.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RepairHold {
    /// Repairs within the last hour.
    pub repairs: usize,
    /// When the next one is due.
    pub until: Moment,
    /// The same by the wall clock, for people. It stays as it is for as long as the hold lasts.
    pub next_repair: Timestamp,
}

impl ObjectStates {
    /// Of thousands of users repaired together not each may look through all: it waits until there are twice as many as
    /// the last time.
    fn forget_old_fights(&mut self, now: Moment) {
        if self.repairs_of_users.len() < self.fights_enough {
            return;
        }
        let is_recent = |at: &Moment| now.saturating_duration_since(*at) < FIGHT_WINDOW * 2;
        self.repairs_of_users
            .retain(|_, history| history.repairs.back().is_some_and(is_recent));
        self.fights_enough = FIGHTS_KEPT.max(self.repairs_of_users.len() * 2);
    }
}

impl ObjectStates {
    /// What is remembered of the object at that generation; another generation starts afresh.
    #[must_use]
    pub fn recall(&self, uid: &str, generation: i64) -> ObjectState {
        let entry = self.objects.get(&digest(uid)).cloned().unwrap_or_default();
        if entry.generation == generation {
            entry
        } else {
            entry.renewed(generation)
        }
    }

    /// Changes what is remembered of the object at that generation.
    pub fn update(&mut self, uid: &str, generation: i64, change: impl FnOnce(&mut ObjectState)) {
        let uid = digest(uid);
        self.objects.entry(uid).or_default();
        self.update_known(uid, |entry| {
            if entry.generation != generation {
                *entry = std::mem::take(entry).renewed(generation);
            }
            change(entry);
        });
    }

    /// Changes what is remembered of the object, whatever its generation.
    fn update_known<T>(
        &mut self,
        uid: u64,
        change: impl FnOnce(&mut ObjectState) -> T,
    ) -> Option<T> {
        let entry = self.objects.get_mut(&uid)?;
        let result = change(entry);
        if entry.is_blank() {
            self.objects.remove(&uid);
        }
        Some(result)
    }

    /// An outage of Fireworks has ended: the next try of every object comes now, and the one after it as after a first
    /// failure.
    pub fn bring_forward(&mut self) {
        self.objects.retain(|_, entry| {
            (entry.attempt, entry.not_before) = (0, None);
            !entry.is_blank()
        });
    }

    /// The API server did not take a status; how often before, in a row.
    pub fn not_taken(&mut self, uid: &str, generation: i64) -> u32 {
        let mut before = 0;
        self.update(uid, generation, |entry| {
            before = entry.unwritten;
            entry.unwritten = before.saturating_add(1);
        });
        before
    }

    /// It took one, or there is nothing to take any more.
    pub fn taken(&mut self, uid: &str) {
        self.update_known(digest(uid), |entry| entry.unwritten = 0);
    }

    /// Whether the watch brings what was written last and no more. If so, that is not remembered any longer.
    pub fn is_echo(&mut self, uid: &str, version: &str) -> bool {
        let is_echo = |written: &mut Written| written.version == version;
        let echo = self.update_known(digest(uid), |entry| entry.written.take_if(is_echo));
        echo.flatten().is_some()
    }

    /// The object is gone.
    pub fn forget(&mut self, uid: &str) {
        self.objects.remove(&digest(uid));
        self.possibly_in_flight.remove(&digest(uid));
        self.last_written.remove(&digest(uid));
        self.matched.remove(&digest(uid));
        self.contenders.forget(digest(uid));
    }

    /// The user was seen to match the object at that generation.
    pub fn matched(&mut self, uid: &str, generation: i64) {
        self.matched.insert(digest(uid), generation);
    }

    /// Returns whether this process has seen the user match the object at that generation. What a former process saw does
    /// not count: the status may have been restored from a backup, and then the spec has changed, not the user.
    #[must_use]
    pub fn has_matched(&self, uid: &str, generation: i64) -> bool {
        self.matched.get(&digest(uid)) == Some(&generation)
    }

    /// The API server's store went back, and this is the object as it is there: nothing that is remembered by its
    /// generation or its version holds any more.
    pub fn rewound(&mut self, uid: &str, generation: i64, requested_at: Option<u64>) {
        self.last_written.remove(&digest(uid));
        self.matched.remove(&digest(uid));
        let before = self.objects.remove(&digest(uid)).unwrap_or_default();
        self.update(uid, generation, |entry| {
            entry.requested_at = requested_at;
            entry.read_owed_since = before.read_owed_since;
        });
    }

    /// Returns the number of objects of which something is remembered, and that of users repaired of late.
    #[must_use]
    pub fn counts(&self) -> [usize; 2] {
        let others = self.objects.keys().chain(&self.possibly_in_flight);
        let others = others.chain(self.last_written.keys());
        let others = others.chain(self.contenders.holders());
        let unmatched = others.filter(|uid| !self.matched.contains_key(uid));
        let objects = self.matched.len() + unmatched.collect::<BTreeSet<_>>().len();
        [objects, self.repairs_of_users.len()]
    }

    /// The object was not Ready when the process started: a change of a former process may still
    /// take effect.
    pub fn set_possibly_in_flight(&mut self, uid: &str) {
        self.possibly_in_flight.insert(digest(uid));
    }

    /// A change of ours was answered, or a late enough read was made: nothing is presumed any more.
    pub fn settle(&mut self, uid: &str) {
        self.possibly_in_flight.remove(&digest(uid));
    }

    /// Whether a change of a former process may still take effect.
    #[must_use]
    pub fn is_possibly_in_flight(&self, uid: &str) -> bool {
        self.possibly_in_flight.contains(&digest(uid))
    }

    /// A drifted user was repaired, at `time` by the wall clock.
    pub fn repaired(&mut self, user: &UserRef, now: Moment, time: Timestamp) {
        let history = self.repairs_of_users.entry(user.clone()).or_default();
        history
            .repairs
            .retain(|at| now.saturating_duration_since(*at) < FIGHT_WINDOW);
        if history.repairs.is_empty() {
            history.level = 0;
        }
        history.repairs.push_back(now);
        if history.repairs.len() >= FIGHT_REPAIRS {
            let pause = FIGHT_PAUSE
                .saturating_mul(1 << history.level.min(10))
                .min(FIGHT_WINDOW);
            history.level += 1;
            history.counts = Some(RepairHold {
                repairs: history.repairs.len(),
                until: now + pause,
                next_repair: time.checked_add(pause).unwrap_or(Timestamp::MAX),
            });
        }
        self.forget_old_fights(now);
    }

    /// Returns what is to be done about a read of the user that an object is owed since `owed_since`.
    pub(crate) fn force_read(
        &mut self,
        user: &UserRef,
        owed_since: Moment,
        now: Moment,
        rules: Rules,
    ) -> ForcedRead {
        self.forced_reads.request(user, owed_since, now, rules)
    }

    /// Records that another object has begun to claim the user that the object of that UID holds.
    pub(crate) fn contender_appeared(&mut self, uid: &str, contender: Contender) {
        self.contenders.appeared(digest(uid), contender);
    }

    /// Returns whether such an object has appeared since the object of that UID last had an Event about one.
    pub(crate) fn has_contender(&self, uid: &str) -> bool {
        self.contenders.is_new(digest(uid))
    }

    /// Takes the contender that the object has an Event about now, if it has.
    pub(crate) fn take_contender(&mut self, uid: &str, now: Moment) -> Option<Contender> {
        self.contenders.take(digest(uid), now)
    }

    /// A status is to be written where `found`, as JSON, stands now. Another one than was last written of this
    /// generation means that another writer changes this status: how long to let that be, so that two
    /// writers do not chase each other.
    #[must_use]
    pub fn disputed(
        &mut self,
        uid: &str,
        generation: i64,
        found: &str,
        now: Moment,
    ) -> Option<Duration> {
        let last = self
            .last_written
            .get_mut(&digest(uid))
            .filter(|last| last.generation == generation)?;
        if let Some(at) = last.not_before {
            let left = at.saturating_duration_since(now);
            if left.is_zero() {
                // It has waited: this once it is written.
                last.not_before = None;
                return None;
            }
            return Some(left);
        }
        if digest(found) == last.digest {
            last.overwrites = 0;
            return None;
        }
        last.overwrites = last.overwrites.saturating_add(1);
        let beyond = last.overwrites.checked_sub(OVERWRITES_BORNE)?;
        let wait = Backoff::default().ceiling(beyond);
        last.not_before = Some(now + wait);
        Some(wait)
    }

    /// A status was written, which is this as JSON.
    pub fn said(&mut self, uid: &str, generation: i64, status: &str) {
        let uid = digest(uid);
        let before = self.last_written.remove(&uid);
        let before = before.filter(|last| last.generation == generation);
        let overwrites = before.map_or(0, |last| last.overwrites);
        let last = LastWritten {
            generation,
            digest: digest(status),
            overwrites,
            not_before: None,
        };
        self.last_written.insert(uid, last);
    }

    /// What holds repairs of the user back, if something does.
    #[must_use]
    pub fn repair_hold(&self, user: &UserRef, now: Moment) -> Option<RepairHold> {
        self.repairs_of_users
            .get(user)?
            .counts
            .filter(|hold| now < hold.until)
    }
}

/// A status or a UID in a few bytes: one for each object is kept for as long as the process runs.
fn digest(text: &str) -> u64 {
    let mut digest = DefaultHasher::new();
    digest.write(text.as_bytes());
    digest.finish()
}

impl ObjectState {
    /// What was written last, if the object of that version is older than it.
    #[must_use]
    pub fn written_since(&self, version: &str) -> Option<&Written> {
        let written = self.written.as_ref()?;
        let is_older = written.bases.iter().any(|base| base == version);
        is_older.then_some(written)
    }

    /// A status was written for the object of the version `base`, over the version `over`, which made that `version`.
    pub fn wrote(&mut self, base: &str, over: &str, version: String, status: FireworksUserStatus) {
        let is_since = self.written_since(base).is_some();
        let before = self.written.take().filter(|_| is_since);
        let mut bases = before.map_or_else(|| vec![base.to_owned()], |before| before.bases);
        // The watch may have brought it meanwhile, and be behind this write still.
        if !bases.iter().any(|base| base == over) {
            bases.push(over.to_owned());
        }
        self.written = Some(Written {
            bases,
            version,
            status: Arc::new(status),
        });
    }

    fn renewed(self, generation: i64) -> Self {
        Self {
            generation,
            contending_since: self.contending_since,
            requested_at: self.requested_at,
            read_owed_since: self.read_owed_since,
            written: self.written,
            ..Self::default()
        }
    }

    fn is_blank(&self) -> bool {
        *self == Self::default().renewed(self.generation)
    }
}

#[cfg(test)]
mod tests;
