//! The account as last seen: one compact record per declared user, less of the others, and what is believed and when.
//!
//! Newer evidence wins, an unclear change (*ambiguity*) outlives the object that asked for it, and
//! absence is believed only on good evidence. Holds no e-mail text. Makes no call itself: the reader
//! asks what is due (`directory/agenda.rs`), passes ask what is known, and every read or answer is
//! folded in here (`directory/fold.rs`), which hands on the users whose objects want another look.

mod absence;
mod admins;
mod agenda;
mod canary;
mod fold;
#[cfg(feature = "seams")]
mod frozen;
mod listing;
mod silence;
mod timetable;
mod undeclared;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fireworks_core::time::Moment;
use tokio::sync::{Notify, mpsc};

pub use admins::{Repair, Restore};
pub use agenda::Agenda;
#[cfg(feature = "seams")]
pub use frozen::{Frozen, failed_call};
pub use listing::Listing;

use fireworks_api::wire::{User, UserId, UserPatch};
use fireworks_core::account::{Currency, Failure, Sighting, View};

use super::budget::Class;
use crate::metrics::labels::Held;

/// Times that decide what is believed.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long an answer may contradict an earlier change, or a lost change may still take effect.
    pub settle_window: Duration,
    /// The shortest time between two sweeps.
    pub sweep_interval: Duration,
}

/// The account as last seen. Shared by passes and the reader.
pub struct Directory {
    state: Mutex<State>,
    changes: mpsc::UnboundedSender<UserId>,
    wake: Notify,
    restore: Notify,
}

#[derive(Clone, Debug)]
struct State {
    times: Times,
    /// The users that objects declare, and those whose last change matters still.
    records: HashMap<UserId, Record>,
    undeclared: HashMap<UserId, undeclared::Undeclared>,
    max_users: usize,
    missing: HashMap<UserId, absence::Missing>,
    unlisted: HashSet<UserId>,
    ambiguities: HashMap<UserId, Ambiguity>,
    /// Demotions under way, and whether the user counted as an admin.
    demoting: HashMap<UserId, bool>,
    checks: admins::Checks,
    waiting_for_admins: HashSet<UserId>,
    canary: canary::Canary,
    waiting_for_canary: HashSet<UserId>,
    interest: HashSet<UserId>,
    /// Declared by objects of which none may make calls.
    suspended: HashSet<UserId>,
    wants: BTreeMap<UserId, Want>,
    reads: agenda::Reads,
    last_failure: Option<Arc<Failure>>,
}

#[derive(Clone, Debug)]
struct Record {
    user: Arc<User>,
    /// When the read that is believed was sent.
    sent_at: Moment,
    /// When the newest read that showed the user was sent, believed or not.
    seen_at: Moment,
    /// Few users are changed: their record alone is larger.
    change: Option<Box<Change>>,
    /// The last list that showed the user.
    listed: u32,
    announced_stale: bool,
}

/// The last change of ours that was answered.
#[derive(Clone, Copy, Debug)]
struct Change {
    sent_at: Moment,
    answered_at: Moment,
}

#[derive(Clone, Debug)]
struct Ambiguity {
    given_up: Moment,
    patches: Vec<UserPatch>,
}

/// A read somebody waits for.
#[derive(Clone, Debug)]
struct Want {
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

/// Ambiguous bodies remembered for one user; more are one too many to tell apart.
const PATCHES_REMEMBERED: usize = 8;

impl Directory {
    /// An empty directory, and the stream of users whose objects want another look.
    #[must_use]
    pub fn new(times: Times) -> (Self, mpsc::UnboundedReceiver<UserId>) {
        let (changes, stream) = mpsc::unbounded_channel();
        let state = State {
            times,
            records: HashMap::new(),
            undeclared: HashMap::new(),
            max_users: MAX_USERS,
            missing: HashMap::new(),
            unlisted: HashSet::new(),
            ambiguities: HashMap::new(),
            demoting: HashMap::new(),
            checks: admins::Checks::default(),
            waiting_for_admins: HashSet::new(),
            canary: canary::Canary::default(),
            waiting_for_canary: HashSet::new(),
            interest: HashSet::new(),
            suspended: HashSet::new(),
            wants: BTreeMap::new(),
            reads: agenda::Reads::default(),
            last_failure: None,
        };
        (
            Self {
                state: Mutex::new(state),
                changes,
                wake: Notify::new(),
                restore: Notify::new(),
            },
            stream,
        )
    }

    /// What is known of that user.
    #[must_use]
    pub fn view(&self, user: &UserId, now: Moment) -> View {
        let state = self.lock();
        let known = state.records.get(user);
        let known = known.map(|record| (record, state.currency(record, now)));
        let is_silent = known.is_none_or(|(_, currency)| currency == Currency::Stale);
        let sighting = match (state.missing.get(user), known) {
            (Some(missing), _) if missing.is_confirmed() => Sighting::Absent,
            (Some(_), _) => Sighting::Suspected,
            (None, Some((record, currency))) => Sighting::Seen {
                user: record.user.clone(),
                currency,
                sent_at: record.sent_at,
            },
            (None, None) => Sighting::Never,
        };
        let settles_at = state
            .ambiguities
            .get(user)
            .map(|one| one.given_up + state.times.settle_window);
        let own = state.wants.get(user).and_then(|want| want.failure.clone());
        View {
            sighting,
            is_silent,
            stale_after: state.stale_after(),
            settles_at,
            failure: own.or_else(|| state.last_failure.clone()),
        }
    }

    /// Asks for a read of that user, begun at `not_before` or later. `true` if none was asked for yet.
    pub fn want(&self, user: &UserId, class: Class, not_before: Moment) -> bool {
        let mut state = self.lock();
        let fresh = state.want(user, class, not_before);
        drop(state);
        self.wake.notify_one();
        fresh
    }

    /// Asks for one complete list, that urgently, for what single reads cannot tell. Its end re-triggers `user`.
    pub fn want_list(&self, user: &UserId, class: Class) {
        let mut state = self.lock();
        state.reads.want_list(user, class);
        drop(state);
        self.wake.notify_one();
    }

    /// Whether anybody waits for a read of that user.
    #[must_use]
    pub fn is_wanted(&self, user: &UserId) -> bool {
        self.lock().wants.contains_key(user)
    }

    /// Says whether an object that may make calls speaks of that user.
    pub fn set_interest(&self, user: &UserId, interested: bool) {
        let mut state = self.lock();
        let mut look = Vec::new();
        if interested {
            state.interest.insert(user.clone());
        } else if state.interest.remove(user) {
            // Whether a field was cleared is asked to the end, whoever speaks of the user.
            if !state.canary.suspects(user) {
                state.wants.remove(user);
            }
            state.missing.remove(user);
            state.waiting_for_admins.remove(user);
            state.waiting_for_canary.remove(user);
            look = state.canary_leaves(user);
        }
        drop(state);
        self.announce(look);
        self.wake.notify_one();
    }

    /// How much is kept: users of the account, those of them that objects speak of, users who are
    /// missed, changes whose effect is unknown, and reads that are waited for.
    #[must_use]
    pub fn held(&self) -> [(Held, usize); 5] {
        let state = self.lock();
        [
            (Held::User, state.records.len() + state.undeclared.len()),
            (Held::DeclaredUser, state.interest.len()),
            (Held::MissingUser, state.missing.len()),
            (Held::UnclearChange, state.ambiguities.len()),
            (Held::WantedRead, state.wants.len()),
        ]
    }

    /// All objects are known: reading may begin. Before, the choice between reading one by one and
    /// listing would be made on half the facts.
    pub fn open(&self) {
        self.lock().reads.open();
        self.wake.notify_one();
    }

    /// Waits until something is asked for.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on users whose objects want another look for what is known elsewhere.
    pub fn requeue(&self, users: Vec<UserId>) {
        self.announce(users);
    }

    /// Hands on the users whose objects want another look.
    fn announce(&self, users: Vec<UserId>) {
        for user in users {
            // A closed stream means that the process is ending.
            let _ = self.changes.send(user);
        }
    }
}

impl State {
    fn want(&mut self, user: &UserId, class: Class, not_before: Moment) -> bool {
        let fresh = !self.wants.contains_key(user);
        let want = self.wants.entry(user.clone()).or_insert(Want {
            class,
            not_before,
            retry_at: None,
            attempts: 0,
            failure: None,
        });
        want.class = want.class.min(class);
        // The earlier of two reads comes first; whoever needed the later one asks again.
        want.not_before = want.not_before.min(not_before);
        self.reads.hasten(class, not_before);
        fresh
    }

    fn currency(&self, record: &Record, now: Moment) -> Currency {
        let age = now.saturating_duration_since(record.seen_at);
        let period = self.period();
        if age <= period * 2 {
            Currency::Fresh
        } else if age <= self.stale_after() {
            Currency::Aged
        } else {
            Currency::Stale
        }
    }

    fn admins_known_for(&self) -> Duration {
        if self.reads.sweeps_list(self.interest.len()) {
            self.period() * 2 + LIST_SLACK
        } else {
            LIST_SLACK
        }
    }
}

#[cfg(test)]
mod tests;
