//! What the server's tasks and a test's handle share: the world behind one lock, the clock, and signals that something
//! moved. The lock is never held across an await.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    account::Account,
    clock::Clock,
    connection::Line,
    contract::Contract,
    faults::Faults,
    journal::Journal,
    latency,
    quota::Quota,
    seed,
    settings::{Settings, Switches},
};

/// Everything that changes while the simulator runs.
pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) switches: Switches,
    pub(crate) api_keys: Vec<String>,
    /// All keys that were ever accepted.
    pub(crate) keys_ever: BTreeSet<String>,
    pub(crate) quota: Quota,
}

/// The world and its surroundings.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// What every exchange is checked against.
    pub(crate) contract: &'static Contract,
    pub(crate) account_id: String,
    /// Connections accepted so far, and what can be done to those that are still open.
    accepted: AtomicU64,
    lines: Mutex<Vec<Weak<Line>>>,
    /// Moves whenever an entry of the journal is added or ends.
    pub(crate) journal_moved: watch::Sender<u64>,
    faults_moved: watch::Sender<u64>,
    world: Mutex<World>,
    seed: u64,
    fingerprints: RandomState,
}

impl Shared {
    pub(crate) fn new(settings: Settings, contract: &'static Contract) -> Self {
        let shared = Self {
            clock: Clock::started_now(),
            contract,
            account_id: settings.account_id,
            accepted: AtomicU64::new(0),
            lines: Mutex::default(),
            journal_moved: watch::Sender::new(0),
            faults_moved: watch::Sender::new(0),
            world: Mutex::new(World {
                account: Account::default(),
                faults: Faults::default(),
                journal: Journal::default(),
                switches: settings.switches,
                keys_ever: settings.api_keys.iter().cloned().collect(),
                api_keys: settings.api_keys,
                quota: Quota::default(),
            }),
            seed: settings.seed,
            fingerprints: RandomState::new(),
        };
        shared.seed(settings.users);
        shared
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A panic in another test's closure must not take the simulator with it.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seed(&self, count: usize) {
        let now = self.clock.now();
        let mut world = self.world();
        for user in seed::users(count, self.seed) {
            world.account.put(user, now);
        }
    }

    /// Accepts these keys from now on and no others.
    pub(crate) fn accept_keys(&self, keys: Vec<String>) {
        let mut world = self.world();
        world.keys_ever.extend(keys.iter().cloned());
        world.api_keys = keys;
    }

    pub(crate) fn connections(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Counts a connection, and returns whether it is read.
    pub(crate) fn accept(&self, line: &Arc<Line>) -> u64 {
        let mut world = self.world();
        line.set_deaf(world.faults.take_connection());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(line));
        self.accepted.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Connections are read again when their fault is gone, and no more under one that hits them all.
    fn refresh_lines(&self, faults: &Faults) {
        let all = faults.deafness();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter().filter_map(Weak::upgrade) {
            let own = line.deaf().filter(|fault| faults.contains(*fault));
            line.set_deaf(own.or(all));
        }
    }

    /// How long the request of that number waits before it is looked at.
    pub(crate) fn latency_of(&self, seq: u64) -> Duration {
        let world = self.world();
        latency::of(&world.switches, self.seed, seq)
    }

    /// Eight hexadecimal digits that distinguish credentials, with another key in every process.
    pub(crate) fn fingerprint(&self, credential: &[u8]) -> String {
        format!(
            "{:08x}",
            self.fingerprints.hash_one(credential) & 0xffff_ffff
        )
    }

    /// Changes the faults and wakes the calls that hang on one.
    pub(crate) fn change_faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        let mut world = self.world();
        let changed = change(&mut world.faults);
        self.refresh_lines(&world.faults);
        drop(world);
        self.faults_moved.send_modify(|count| *count += 1);
        changed
    }

    /// Returns when the fault is no longer in place.
    pub(crate) async fn until_fault_is_gone(&self, id: u64) {
        let mut moved = self.faults_moved.subscribe();
        while self.world().faults.contains(id) {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn journal_has_moved(&self) {
        self.journal_moved.send_modify(|count| *count += 1);
    }
}
