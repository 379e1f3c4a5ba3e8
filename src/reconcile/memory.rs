//! What this process remembers of single objects and users beyond what status tells: back-off,
//! verdicts, waits, repairs. All of it may be lost by a restart without harm. Bounded by the objects
//! that have something to remember; times are parameters.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::conditions::{Message, Reason};
use crate::crd::FireworksUserStatus;
use crate::fireworks::wire::{User, UserId};
use crate::runtime::backoff::Backoff;

/// So many repairs of one user within [`FIGHT_WINDOW`] are a fight.
const FIGHT_REPAIRS: usize = 5;
const FIGHT_WINDOW: Duration = Duration::from_hours(1);
/// The first pause of a fight; it doubles with each further repair, up to the window.
const FIGHT_PAUSE: Duration = Duration::from_mins(1);

/// A refusal holds that long where nothing changes; then it is tried again.
pub const VERDICT_LIFETIME: Duration = Duration::from_hours(1);

/// A refusal that stands until the spec, the key or the remote user changes, or its time is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Rejected, `PermissionDenied` or `NotApplied`.
    pub reason: Reason,
    /// As it was said.
    pub message: Message,
    /// The user it was said about.
    pub about: Arc<User>,
    /// The key it was said to.
    pub key_version: u64,
    /// When it is tried again.
    pub expires: Instant,
}

/// A status of ours that somebody else overwrote so often is disputed: it is written again ever later.
const OVERWRITES_BORNE: u32 = 3;

/// What is remembered of one object.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The generation that all but the last two fields speak of.
    pub generation: i64,
    /// Failed tries in a row.
    pub attempt: u32,
    /// No call about it before that time.
    pub not_before: Option<Instant>,
    /// A refusal that stands.
    pub verdict: Option<Verdict>,
    /// Answers to our changes that still differed.
    pub tries: u8,
    /// A change of ours was answered with a match, and status does not say so yet.
    pub applied: bool,
    /// The user has drifted from this generation and is not set back yet, whatever status has come to tell meanwhile.
    pub drifted: bool,
    /// When status tells that it waits, if it still does.
    pub tell_wait_at: Option<Instant>,
    /// Reads made while Fireworks worked on the user.
    pub progress: u32,
    /// The last value seen of the annotation that forces a read.
    pub requested_at: Option<String>,
    /// The last status written, while the watch may not have brought it yet.
    pub written: Option<Written>,
}

/// A status write of ours.
#[derive(Clone, Debug)]
pub struct Written {
    /// The resourceVersion it was based on.
    pub base: String,
    /// The resourceVersion it made.
    pub version: String,
    /// What it says.
    pub status: FireworksUserStatus,
}

/// The memory of the process.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Entry>,
    presumed: HashSet<String>,
    fights: HashMap<UserId, Fight>,
    sayings: HashMap<String, Saying>,
}

/// What was last said of an object.
struct Saying {
    generation: i64,
    digest: u64,
    overwrites: u32,
    not_before: Option<Instant>,
}

#[derive(Default)]
struct Fight {
    repairs: VecDeque<Instant>,
    level: u32,
    hold_until: Option<Instant>,
}

impl Memory {
    /// What is remembered of the object at that generation; another generation starts afresh.
    #[must_use]
    pub fn recall(&self, uid: &str, generation: i64) -> Entry {
        let state = self.lock();
        let entry = state.objects.get(uid).cloned().unwrap_or_default();
        if entry.generation == generation {
            entry
        } else {
            entry.renewed(generation)
        }
    }

    /// Changes what is remembered of the object at that generation.
    pub fn update(&self, uid: &str, generation: i64, change: impl FnOnce(&mut Entry)) {
        let mut state = self.lock();
        let entry = state.objects.remove(uid).unwrap_or_default();
        let mut entry = if entry.generation == generation {
            entry
        } else {
            entry.renewed(generation)
        };
        change(&mut entry);
        if !entry.is_blank() {
            state.objects.insert(uid.to_owned(), entry);
        }
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        let mut state = self.lock();
        state.objects.remove(uid);
        state.presumed.remove(uid);
        state.sayings.remove(uid);
    }

    /// How much is remembered: objects, and users who were repaired of late.
    #[must_use]
    pub fn held(&self) -> [(&'static str, usize); 2] {
        let state = self.lock();
        let others = state.objects.keys().chain(&state.presumed);
        let unsaid = others.filter(|uid| !state.sayings.contains_key(*uid));
        let objects = state.sayings.len() + unsaid.collect::<HashSet<_>>().len();
        [("object", objects), ("repaired_user", state.fights.len())]
    }

    /// The object was not Ready when the process started: a change of a former process may still
    /// take effect.
    pub fn presume_unsettled(&self, uid: &str) {
        self.lock().presumed.insert(uid.to_owned());
    }

    /// A change of ours was answered, or a late enough read was made: nothing is presumed any more.
    pub fn settle(&self, uid: &str) {
        self.lock().presumed.remove(uid);
    }

    /// Whether a change of a former process may still take effect.
    #[must_use]
    pub fn is_presumed_unsettled(&self, uid: &str) -> bool {
        self.lock().presumed.contains(uid)
    }

    /// A drifted user was repaired.
    pub fn repaired(&self, user: &UserId, now: Instant) {
        let mut state = self.lock();
        let fight = state.fights.entry(user.clone()).or_default();
        fight
            .repairs
            .retain(|at| now.saturating_duration_since(*at) < FIGHT_WINDOW);
        if fight.repairs.is_empty() {
            fight.level = 0;
        }
        fight.repairs.push_back(now);
        if fight.repairs.len() >= FIGHT_REPAIRS {
            let pause = FIGHT_PAUSE
                .saturating_mul(1 << fight.level.min(10))
                .min(FIGHT_WINDOW);
            fight.level += 1;
            fight.hold_until = Some(now + pause);
        }
        state.fights.retain(|_, fight| {
            fight
                .repairs
                .back()
                .is_some_and(|at| now.saturating_duration_since(*at) < FIGHT_WINDOW * 2)
        });
    }

    /// A status is to be written where `found` stands now. Another one than was last written of this
    /// generation means that somebody else writes this status: how long to let that be, so that two
    /// writers do not chase each other.
    #[must_use]
    pub fn disputed(
        &self,
        uid: &str,
        generation: i64,
        found: &FireworksUserStatus,
        now: Instant,
    ) -> Option<Duration> {
        let mut state = self.lock();
        let saying = state
            .sayings
            .get_mut(uid)
            .filter(|saying| saying.generation == generation)?;
        if let Some(at) = saying.not_before {
            let left = at.saturating_duration_since(now);
            if left.is_zero() {
                // It has waited: this once it is written.
                saying.not_before = None;
                return None;
            }
            return Some(left);
        }
        if digest(found) == saying.digest {
            saying.overwrites = 0;
            return None;
        }
        saying.overwrites = saying.overwrites.saturating_add(1);
        let beyond = saying.overwrites.checked_sub(OVERWRITES_BORNE)?;
        let wait = Backoff::default().ceiling(beyond);
        saying.not_before = Some(now + wait);
        Some(wait)
    }

    /// A status was written.
    pub fn said(&self, uid: &str, generation: i64, status: &FireworksUserStatus) {
        let mut state = self.lock();
        let before = state
            .sayings
            .remove(uid)
            .filter(|saying| saying.generation == generation);
        let overwrites = before.map_or(0, |saying| saying.overwrites);
        let saying = Saying {
            generation,
            digest: digest(status),
            overwrites,
            not_before: None,
        };
        state.sayings.insert(uid.to_owned(), saying);
    }

    /// Until when repairs of the user are held back, if they are.
    #[must_use]
    pub fn contested_until(&self, user: &UserId, now: Instant) -> Option<Instant> {
        self.lock()
            .fights
            .get(user)?
            .hold_until
            .filter(|until| now < *until)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A status in a few bytes: one for each object is kept for as long as the process runs.
fn digest(status: &FireworksUserStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status is plain data: it always serialises.
    serde_json::to_string(status)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

impl Entry {
    fn renewed(self, generation: i64) -> Self {
        Self {
            generation,
            requested_at: self.requested_at,
            written: self.written,
            ..Self::default()
        }
    }

    fn is_blank(&self) -> bool {
        self.attempt == 0
            && self.not_before.is_none()
            && self.verdict.is_none()
            && self.tries == 0
            && !self.applied
            && !self.drifted
            && self.tell_wait_at.is_none()
            && self.progress == 0
            && self.requested_at.is_none()
            && self.written.is_none()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fifth_repair_within_an_hour_starts_pauses_that_double_up_to_an_hour() {
        let memory = Memory::default();
        let user: UserId = "alice".parse().unwrap();
        let mut now = Instant::now();
        for _ in 0..4 {
            memory.repaired(&user, now);
            assert_eq!(memory.contested_until(&user, now), None);
            now += Duration::from_mins(1);
        }
        let mut pauses = Vec::new();
        for _ in 0..9 {
            memory.repaired(&user, now);
            let until = memory.contested_until(&user, now).unwrap();
            pauses.push((until - now).as_secs());
            now += Duration::from_secs(30);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_now_and_then_is_no_fight() {
        let memory = Memory::default();
        let user: UserId = "alice".parse().unwrap();
        let mut now = Instant::now();
        for _ in 0..20 {
            memory.repaired(&user, now);
            assert_eq!(memory.contested_until(&user, now), None);
            now += Duration::from_mins(20);
        }
    }

    #[test]
    fn another_generation_starts_afresh_but_for_what_is_not_about_the_spec() {
        let memory = Memory::default();
        memory.update("uid", 1, |entry| {
            entry.attempt = 3;
            entry.requested_at = Some("x".into());
        });
        assert_eq!(memory.recall("uid", 1).attempt, 3);
        let next = memory.recall("uid", 2);
        assert_eq!((next.attempt, next.requested_at.as_deref()), (0, Some("x")));
    }

    #[test]
    fn an_entry_without_content_is_not_kept() {
        let memory = Memory::default();
        memory.update("uid", 1, |entry| entry.attempt = 3);
        memory.update("uid", 1, |entry| entry.attempt = 0);
        assert_eq!(memory.lock().objects.len(), 0);
    }

    fn status(state: &str) -> FireworksUserStatus {
        FireworksUserStatus {
            state: Some(state.to_owned()),
            ..FireworksUserStatus::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_that_somebody_else_overwrites_is_written_ever_later() {
        let memory = Memory::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        let (ours, theirs) = (status("ours"), status("theirs"));
        memory.said("uid", 1, &ours);
        for _ in 0..7 {
            if let Some(wait) = memory.disputed("uid", 1, &theirs, now) {
                waits.push(wait.as_secs());
                now += wait;
                assert_eq!(memory.disputed("uid", 1, &theirs, now), None);
            }
            memory.said("uid", 1, &ours);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16]);
        let next_spec = memory.disputed("uid", 2, &theirs, now);
        assert_eq!(next_spec, None);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_changes_of_mind_are_no_dispute() {
        let memory = Memory::default();
        let now = Instant::now();
        let mut found = status("");
        for number in 0..20 {
            assert_eq!(memory.disputed("uid", 1, &found, now), None);
            found = status(&number.to_string());
            memory.said("uid", 1, &found);
        }
    }
}
