//! What reconciliations share, and their deadlines.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::AccountId;
use fireworks_core::user::object::CachedUser;
use jiff::Timestamp;
use operator_runtime::progress::Progress;
use tokio::sync::{Semaphore, mpsc};

use crate::account::Gateway;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::rights::Rights;
use crate::scopes::Scopes;
use crate::shared::Shared;

/// Status writes under way at once.
pub const WRITES_AT_ONCE: usize = 8;

/// Deadlines, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Deadline of one call to the API server.
    pub kube_deadline: Duration,
    /// Deadline of one reconciliation.
    pub pass_deadline: Duration,
    /// Returns the time that statuses show.
    pub wall_clock: fn() -> Timestamp,
}

/// What reconciliations share.
pub struct Context {
    /// What decisions read and change.
    pub shared: Arc<Shared>,
    /// The remote side.
    pub gateway: Gateway,
    /// The API server.
    pub kube: kube::Client,
    /// Where Events go.
    pub events: Events,
    /// Counters.
    pub metrics: Metrics,
    /// Settings.
    pub settings: Settings,
    /// Slots of status writes.
    pub writes: Semaphore,
    /// Liveness.
    pub progress: Progress,
    /// Which namespaces are synced.
    pub scopes: Arc<Scopes>,
    /// What the API server refuses.
    pub rights: Arc<Rights>,
    /// Where objects go that a re-read found to be newer than the watch has brought them.
    pub newer: mpsc::UnboundedSender<CachedUser>,
}

impl Context {
    /// Returns the account that all objects belong to.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.gateway.account_id().clone()
    }
}
