//! Two replicas, one writer: which Lease this process contends for, and what it does when it stops or has lost it.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::AccountId;
use jiff::Timestamp;
use operator_runtime::bulk::Bulk;
use operator_runtime::hooks::Hooks;
use operator_runtime::lease::{self, Durations, Election, Handle, Leadership, Phase};
use operator_runtime::log_writer::LogWriter;
use operator_runtime::pulse::Pulse;
use ring::digest::{SHA256, digest};
use tokio::sync::{Notify, watch};

use crate::account::Gateway;
use crate::kubernetes;
use crate::run::Fatal;

/// How long the last log lines may take when the process ends because it has lost the Lease.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What an election of the operator needs.
pub(super) struct Parts {
    /// The account that only the leader changes.
    pub(super) account: AccountId,
    /// The durations of the Lease.
    pub(super) durations: Durations,
    /// Called around each request for the Lease.
    pub(super) hooks: Arc<dyn Hooks>,
    /// Returns the time that the Lease shows.
    pub(super) wall_clock: fn() -> Timestamp,
    /// Where the last line goes.
    pub(super) logs: LogWriter,
    /// Deadline of a request to the API server.
    pub(super) deadline: Duration,
}

/// How leadership is decided for this process.
pub(super) struct Candidate {
    name: String,
    handle: Handle,
    /// The process contends for the Lease once this is notified.
    contend: Arc<Notify>,
}

/// What the controller has of it.
pub struct Contending {
    phase: watch::Receiver<Phase>,
    contend: Arc<Notify>,
}

impl Contending {
    /// Contends for the Lease from now on, and returns once this process holds it: whether another one did before.
    pub async fn lead(&mut self) -> bool {
        self.contend.notify_one();
        let leads = |phase: &Phase| matches!(phase, Phase::Leading { .. });
        let had_former = match self.phase.wait_for(leads).await {
            Ok(phase) => match *phase {
                Phase::Leading { had_former } => Some(had_former),
                Phase::Standby => None,
            },
            Err(_) => None,
        };
        match had_former {
            Some(had_former) => had_former,
            // The thread of the election has ended, and is about to end the process.
            None => std::future::pending().await,
        }
    }
}

impl Candidate {
    /// Begins an election. The process ends when it has lost the Lease.
    pub(super) fn start(parts: Parts) -> Result<Self, Fatal> {
        let Parts {
            account,
            durations,
            hooks,
            wall_clock,
            logs,
            deadline,
        } = parts;
        let name = lease_name(&account);
        let election = Election {
            name: name.clone(),
            identity: identity(),
            durations,
            wall_clock,
        };
        let contend = Arc::<Notify>::default();
        let contends = contend.clone();
        let connect = async move {
            contends.notified().await;
            let pulse = Arc::new(Pulse::new(operator_runtime::clock::now()));
            let access = kubernetes::access(deadline, pulse, Bulk::default(), hooks).await;
            let access = access.map_err(|fatal| fatal.to_string())?;
            Ok(access.client)
        };
        let lost = move |why: &str| {
            tracing::error!(why, "lost the lease, exiting");
            logs.flush_within(LAST_LINES);
            std::process::exit(1);
        };
        let handle = lease::start(election, connect, lost)
            .map_err(|error| Fatal::Setup(format!("start the leader election: {error}")))?;
        Ok(Self {
            name,
            handle,
            contend,
        })
    }

    /// Returns whether this process may make changes.
    pub(super) fn leadership(&self) -> Leadership {
        self.handle.leadership.clone()
    }

    /// Returns what the controller has of it.
    pub(super) fn contending(&self) -> Contending {
        Contending {
            phase: self.handle.phase(),
            contend: self.contend.clone(),
        }
    }

    /// Returns what the probes and the metrics show.
    pub(super) fn view(&self) -> View {
        View(Some(Shown {
            name: self.name.clone(),
            status: self.handle.status.clone(),
            phase: self.handle.phase(),
        }))
    }

    /// Gives the Lease back at the end of the process, once each update was answered. Where one was not by `deadline`, or may
    /// still take effect, the Lease ends by itself.
    pub(super) async fn hand_over(self, gateway: &Gateway, deadline: impl Future<Output = ()>) {
        self.handle.leadership.resign();
        tokio::select! {
            () = gateway.until_idle() => {}
            () = deadline => {}
        }
        if gateway.may_take_effect() {
            tracing::warn!(
                "not releasing the lease, since an update was not answered: it ends by itself"
            );
        } else {
            self.handle.give_back().await;
        }
    }
}

/// What the probes and the metrics show of an election, if there is one.
#[derive(Clone)]
pub(super) struct View(Option<Shown>);

#[derive(Clone)]
struct Shown {
    name: String,
    status: Arc<lease::Status>,
    phase: watch::Receiver<Phase>,
}

impl View {
    /// Returns the view of a process that always leads.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Returns whether this process leads.
    pub(super) fn is_leading(&self) -> bool {
        let Self(Some(shown)) = self else { return true };
        *shown.phase.borrow() != Phase::Standby
    }

    /// Returns how often the Lease has changed hands.
    pub(super) fn transitions(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |shown| shown.status.transitions())
    }

    /// Returns what a standby reports of itself; nothing from a leader.
    pub(super) fn standby(&self) -> Option<String> {
        let Self(Some(shown)) = self else { return None };
        if self.is_leading() {
            return None;
        }
        let lease = &shown.name;
        Some(match shown.status.holder() {
            Some(holder) => format!("standing by, {holder} holds the lease {lease}"),
            None => format!("standing by, the lease {lease} is not held yet"),
        })
    }
}

/// Returns the name of the Lease: one for each account, which it does not show.
fn lease_name(account: &AccountId) -> String {
    let digest = digest(&SHA256, account.as_str().as_bytes());
    let bytes = digest.as_ref().iter().take(8);
    let start = bytes.fold(0_u64, |start, byte| (start << 8) | u64::from(*byte));
    format!("fireworks-user-operator-{start:016x}")
}

/// Returns a name that no other process has: the host's, which is that of the Pod, and a random number.
fn identity() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{host}_{:016x}", fastrand::u64(..))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lease_is_named_by_the_hash_that_the_chart_computes() {
        // printf acme | sha256sum | cut -c1-16
        let name = lease_name(&"acme".parse().unwrap());
        assert_eq!(name, "fireworks-user-operator-822b33ad87c148a0");
        assert_ne!(name, lease_name(&"acme2".parse().unwrap()));
    }

    #[test]
    fn two_processes_of_one_host_have_two_identities() {
        assert_ne!(identity(), identity());
    }
}
