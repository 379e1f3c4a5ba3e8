//! The handle a test or the program holds: starts the server on a thread of its own, reads and moves its state, and
//! stops it when dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use crate::{
    connection::Door,
    contract::Contract,
    faults::{Armed, Chaos, Fault},
    journal::{Entry, Violation},
    past::Moment,
    server,
    settings::{Settings, Switches},
    shared::Shared,
    user::User,
};

/// A running simulator. Dropping it stops it and closes its connections.
///
/// It has a thread and a runtime of its own: a test's runtime may stand still, be paused or end without disturbing it.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts listening; when it returns, requests are accepted.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread can be started.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(settings.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let contract = Contract::embedded().map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(settings, contract));
        let (stop, stopped) = oneshot::channel();
        let (report, started) = mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("gateway-simulator".into())
            .spawn(move || run(listener, served, stopped, &report))?;
        started
            .recv()
            .map_err(|_| io::Error::other("the simulator's thread ended at once"))??;
        Ok(Self {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The account it knows.
    #[must_use]
    pub fn account_id(&self) -> &str {
        &self.shared.account_id
    }

    /// The first key it accepts; empty if it accepts none.
    #[must_use]
    pub fn api_key(&self) -> String {
        self.shared
            .world()
            .api_keys
            .first()
            .cloned()
            .unwrap_or_default()
    }

    /// Accepts these keys from now on and no others.
    pub fn set_api_keys<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) {
        let keys = keys.into_iter().map(Into::into).collect();
        self.shared.accept_keys(keys);
    }

    /// Every key it has ever accepted.
    #[must_use]
    pub fn keys_ever(&self) -> BTreeSet<String> {
        self.shared.world().keys_ever.clone()
    }

    /// What the journal calls that key as a credential.
    #[must_use]
    pub fn credential_of(&self, key: &str) -> String {
        self.shared.fingerprint(format!("Bearer {key}").as_bytes())
    }

    /// A user as it truly is, whatever lagging reads show.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<User> {
        let now = self.shared.clock.now();
        self.shared.world().account.truth(id, now)
    }

    /// All users as they truly are, ordered by id.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let now = self.shared.clock.now();
        self.shared.world().account.all(now)
    }

    /// Puts a user out of band, past every rule: new, or instead of the one with its id.
    pub fn put_user(&self, user: User) {
        let now = self.shared.clock.now();
        self.shared.world().account.put(user, now);
    }

    /// Changes a user out of band, past every rule, visible at once; moves its update time. The closure
    /// must not call the simulator. False: there is no such user.
    pub fn edit_user(&self, id: &str, change: impl FnOnce(&mut User)) -> bool {
        let now = self.shared.clock.now();
        self.shared.world().account.edit(id, now, change)
    }

    /// Removes a user out of band and returns it.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn remove_user(&self, id: &str) -> Option<User> {
        let now = self.shared.clock.now();
        self.shared.world().account.remove(id, now)
    }

    /// What every user truly was, and when; the oldest first.
    #[must_use]
    pub fn past(&self) -> BTreeMap<String, Vec<Moment>> {
        self.shared.world().account.past.all()
    }

    /// Monotonic milliseconds since the simulator started: the clock of the journal.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.shared.clock.now().elapsed_ms
    }

    /// Puts seeded users `user-00000`…: deterministic, two admins first.
    pub fn seed(&self, count: usize) {
        self.shared.seed(count);
    }

    /// Adds a fault and returns its number.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.shared.change_faults(|armed| armed.add(fault))
    }

    /// Puts these faults in place of all others.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.change_faults(|armed| {
            armed.clear();
            for fault in faults {
                armed.add(fault);
            }
        });
    }

    /// Takes a fault back; a call that hangs on it goes on. False: it was not in place.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn remove_fault(&self, id: u64) -> bool {
        self.shared.change_faults(|armed| armed.remove(id))
    }

    /// Takes all faults back; calls that hang go on.
    pub fn clear_faults(&self) {
        self.shared.change_faults(crate::faults::Faults::clear);
    }

    /// The faults in place, with what they have seen.
    #[must_use]
    pub fn faults(&self) -> Vec<Armed> {
        self.shared.world().faults.list()
    }

    /// Lets a seed choose which calls are hit besides those that [`Fault`]s name, or no longer. Calls are counted from 1 again.
    pub fn set_chaos(&self, chaos: Option<Chaos>) {
        self.shared.change_faults(|armed| armed.set_chaos(chaos));
    }

    /// The switches as they are.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.shared.world().switches.clone()
    }

    /// Sets all switches.
    pub fn set_switches(&self, switches: Switches) {
        self.shared.world().switches = switches;
    }

    /// Waits this long before every request is looked at; whole milliseconds.
    pub fn set_latency(&self, latency: Duration) {
        let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.shared.world().switches.latency_ms = ms;
    }

    /// Every request so far, the oldest first.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.journal_since(0)
    }

    /// The requests with a number above this one.
    #[must_use]
    pub fn journal_since(&self, seq: u64) -> Vec<Entry> {
        self.shared.world().journal.since(seq)
    }

    /// What was wrong so far, by `openapi.yaml`, with any request, or with an answer that no fault explains. A test
    /// in which both sides keep to the contract ends with none.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.world().journal.violations()
    }

    /// Number of the latest request; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.shared.world().journal.last_seq()
    }

    /// Forgets the journal's entries; their numbers go on.
    pub fn clear_journal(&self) {
        self.shared.world().journal.clear();
    }

    /// Moves whenever a request arrives or ends. Good on any runtime.
    #[must_use]
    pub fn journal_moves(&self) -> watch::Receiver<u64> {
        self.shared.journal_moved.subscribe()
    }

    /// Waits until the journal satisfies a condition; false if it does not in this time. Needs a tokio runtime with
    /// its timer.
    pub async fn journal_until(
        &self,
        within: Duration,
        mut condition: impl FnMut(&[Entry]) -> bool,
    ) -> bool {
        let mut moves = self.journal_moves();
        let satisfied = async {
            while !condition(&self.journal()) {
                if moves.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, satisfied)
            .await
            .unwrap_or(false)
    }

    /// TCP connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        usize::try_from(self.shared.connections()).unwrap_or(usize::MAX)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; it cannot be handed on here.
            let _ = thread.join();
        }
    }
}

fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
    report: &mpsc::Sender<io::Result<()>>,
) {
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            let entered = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            drop(entered);
            Ok((runtime, listener))
        });
    let (runtime, listener) = match started {
        Ok(started) => started,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    let _ = report.send(Ok(()));
    let door = Door::new(listener, Arc::clone(&shared));
    runtime.block_on(async {
        tokio::select! {
            ended = server::serve(door, shared) => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the simulator stopped serving");
                }
            }
            _ = stopped => {}
        }
    });
}
