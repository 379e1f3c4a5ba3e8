//! What decisions read and change, behind its lock, and the way of its signals to the tasks that obey them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fireworks_api::text;
use fireworks_api::wire::{UserId, UserRef};
use fireworks_core::account::Notice;
use fireworks_core::account::requests::Todo;
use fireworks_core::time::Moment;
use fireworks_core::user::state::ObjectStates;
use fireworks_core::world::{Signals, World};
use tokio::sync::{Notify, mpsc, watch};

use crate::metrics::Metrics;

/// A user whose objects must be requeued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Requeue {
    /// Something was learned about the user, or about what its change waits for.
    Changed(UserRef),
    /// Its change was granted a permit.
    Granted(UserRef),
}

/// The world, shared by all tasks.
pub struct Shared {
    world: Mutex<World>,
    changed: Notify,
    requeue: mpsc::UnboundedSender<Requeue>,
    /// The number of outages that have ended.
    recovered: watch::Sender<u64>,
    metrics: Metrics,
}

impl Shared {
    /// Returns the world behind its lock, and the stream of users whose objects must be requeued.
    #[must_use]
    pub fn new(world: World, metrics: Metrics) -> (Self, mpsc::UnboundedReceiver<Requeue>) {
        let (requeue, requeued) = mpsc::unbounded_channel();
        let shared = Self {
            world: Mutex::new(world),
            changed: Notify::new(),
            requeue,
            recovered: watch::Sender::new(0),
            metrics,
        };
        (shared, requeued)
    }

    /// Reads the world.
    pub fn read<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.lock())
    }

    /// Changes what is kept of objects. That leaves no signals, and no request of the account waits for it.
    pub fn change_objects<T>(&self, change: impl FnOnce(&mut ObjectStates) -> T) -> T {
        change(&mut self.lock().objects)
    }

    /// Changes the world, and obeys its signals.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let result = change(&mut world);
        let signals = world.take_signals();
        drop(world);
        self.obey(signals);
        self.changed.notify_one();
        result
    }

    /// Returns the next request of the account that may leave now, or when to ask again.
    pub fn next_request(&self, now: Moment) -> Todo {
        let mut world = self.lock();
        let todo = world.account.next_request(now);
        let signals = world.take_signals();
        drop(world);
        self.obey(signals);
        todo
    }

    /// Waits until the world was changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns what changes whenever an outage of Fireworks ends.
    #[must_use]
    pub fn recovered(&self) -> watch::Receiver<u64> {
        self.recovered.subscribe()
    }

    fn obey(&self, signals: Signals) {
        let Signals {
            requeue,
            granted,
            outage_ended,
            notices,
        } = signals;
        let changed = requeue.into_iter().map(Requeue::Changed);
        let granted = granted.into_iter().map(Requeue::Granted);
        for user in changed.chain(granted) {
            // A closed stream means that the process is ending.
            let _ = self.requeue.send(user);
        }
        if outage_ended {
            self.recovered.send_modify(|outages| *outages += 1);
        }
        for notice in notices {
            self.show(notice);
        }
    }

    /// Shows an event in the log and the metrics.
    fn show(&self, notice: Notice) {
        match notice {
            Notice::NoAdminLeft { demoted } => tracing::error!(
                demoted,
                "demotions left the account without an admin, restoring the demoted users"
            ),
            Notice::FieldCleared { user } => tracing::warn!(
                user = shown(&user),
                "a user lost a field that was not sent, holding it and trying a second user"
            ),
            Notice::FieldClearedAgain { user } => tracing::error!(
                user = shown(&user),
                "a second user lost a field that was not sent, stopping all changes of the account"
            ),
            Notice::Listed { users, took } => {
                tracing::debug!(users, took_ms = took.as_millis(), "listed the account");
                self.metrics.users_listed(users);
                self.metrics.sweep_finished(took);
            }
            Notice::MalformedRows(rows) => {
                tracing::warn!(rows, "skipped malformed rows in the list of users");
                self.metrics.malformed_rows(rows);
            }
            Notice::ListFailed(error) => {
                tracing::warn!(error, "failed to list the account's users");
            }
            Notice::AccountSuspended(state) => {
                let suspend_state = state.as_deref();
                tracing::warn!(suspend_state, "account suspended, changes wait");
            }
            Notice::AccountUnread(error) => {
                tracing::warn!(error, "failed to read the state of the suspended account");
            }
            Notice::AccountServed => tracing::info!("account no longer suspended"),
            Notice::OutageEnded => {
                tracing::info!("Fireworks reachable again, retrying pending updates");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(user: &UserId) -> String {
    text::clean(user.as_str(), text::MESSAGE_MAX)
}
