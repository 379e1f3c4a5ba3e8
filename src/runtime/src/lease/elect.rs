//! Carries an election out, on a thread and a runtime of its own: nothing that the program does delays a renewal. Every
//! request for the Lease has a deadline.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{PostParams, WatchEvent, WatchParams};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::object::{record, version, with_record};
use super::status::{Access, Status, Verb};
use super::{Durations, Leadership, Next, Observed, Phase, Record, next_lease};
use crate::clock;

/// How long giving the Lease back may take.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(1);
/// The longest time for which one watch of the Lease is requested.
const WATCH_MAX: Duration = Duration::from_mins(4);

/// What is elected, and by which durations.
#[derive(Clone, Debug)]
pub struct Election {
    /// The name of the Lease, in the client's own namespace.
    pub name: String,
    /// The name of this process among the candidates; no other process, also not a former one of the same Pod, has it.
    pub identity: String,
    /// The durations.
    pub durations: Durations,
    /// Returns the time that the Lease shows to people.
    pub wall_clock: fn() -> Timestamp,
}

/// Why a request for the Lease failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no response in time")]
    Timeout,
    #[error(transparent)]
    Refused(#[from] kube::Error),
}

impl Error {
    /// Returns the HTTP status of a refusal.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(kube::Error::Api(status)) => Some(status.code),
            Self::Refused(_) | Self::Timeout => None,
        }
    }
}

/// A candidate, and later the leader.
pub(super) struct Elector {
    pub(super) api: Api<Lease>,
    pub(super) election: Election,
    pub(super) leadership: Leadership,
    pub(super) status: Arc<Status>,
    pub(super) access: Access,
    pub(super) phase: watch::Sender<Phase>,
    observed: Observed,
    lease: Option<Lease>,
    began: tokio::time::Instant,
}

impl Elector {
    pub(super) fn new(
        client: kube::Client,
        election: Election,
        leadership: Leadership,
        status: Arc<Status>,
        phase: watch::Sender<Phase>,
    ) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            access: Access::new(&election.name, &namespace),
            api: Api::default_namespaced(client),
            election,
            leadership,
            status,
            phase,
            observed: Observed::default(),
            lease: None,
            began: clock::now(),
        }
    }

    /// Runs until the Lease is lost, and returns why; or until it is stopped: then the Lease is given back, unless the sender was
    /// dropped.
    pub(super) async fn run(mut self, stop: oneshot::Receiver<()>) -> Option<String> {
        let stopped = tokio::select! {
            why = self.elect() => Err(why),
            stopped = stop => Ok(stopped.is_ok()),
        };
        self.leadership.end();
        let is_released = match stopped {
            Ok(is_released) => is_released,
            Err(why) => return Some(why),
        };
        if is_released && timeout(GIVE_BACK_WITHIN, self.give_back()).await.is_err() {
            tracing::warn!("the lease was not released in time: it ends by itself");
        }
        None
    }

    async fn elect(&mut self) -> String {
        self.acquire().await;
        tracing::info!(
            lease = self.election.name,
            identity = self.election.identity,
            "holding the lease, leading"
        );
        self.phase.send_replace(Phase::Leading {
            had_former: self.observed.had_former(),
        });
        self.hold().await
    }

    async fn acquire(&mut self) {
        loop {
            let tried = self.try_acquire().await;
            match tried {
                Ok(Some(Next::Write)) => return,
                Ok(Some(Next::Wait(left))) => self.wait_for_change(left).await,
                // Another process wrote it meanwhile.
                Ok(None) => {}
                Err((verb, error)) => {
                    self.access.failed(verb, error.code(), &error);
                    sleep(self.election.durations.retry).await;
                }
            }
        }
    }

    /// Reads the Lease, and takes it where it is free. Returns what was to be done; nothing where another process was faster.
    async fn try_acquire(&mut self) -> Result<Option<Next>, (Verb, Error)> {
        self.read().await.map_err(|error| (Verb::Get, error))?;
        let next = self.next();
        if next == Next::Write && !self.write().await? {
            return Ok(None);
        }
        Ok(Some(next))
    }

    /// Waits until the Lease can be taken, as far as a watch shows it, or until it may be unchanged for its duration.
    async fn wait_for_change(&mut self, left: Duration) {
        let Election {
            name, durations, ..
        } = &self.election;
        let retry = durations.retry;
        let Some(version) = self.lease.as_ref().and_then(version).map(str::to_owned) else {
            return sleep(left.min(retry)).await;
        };
        let seconds = u32::try_from(WATCH_MAX.as_secs()).unwrap_or(1);
        let params = WatchParams::default()
            .fields(&format!("metadata.name={name}"))
            .timeout(seconds);
        let api = self.api.clone();
        let mut events = match timeout(retry, api.watch(&params, &version)).await {
            Ok(Ok(events)) => Box::pin(events),
            Ok(Err(error)) => {
                let error = Error::from(error);
                self.access.failed(Verb::Watch, error.code(), &error);
                return sleep(left.min(retry)).await;
            }
            Err(_) => return,
        };
        while let Next::Wait(left) = self.next() {
            match timeout(left, events.next()).await {
                Ok(Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)))) => {
                    self.see(Some(lease));
                }
                Ok(Some(Ok(WatchEvent::Deleted(_)))) => self.see(None),
                Ok(Some(Ok(WatchEvent::Bookmark(_)))) => {}
                // It was unchanged for its duration.
                Err(_) => return,
                Ok(Some(Ok(WatchEvent::Error(_)) | Err(_)) | None) => {
                    return sleep(left.min(retry)).await;
                }
            }
        }
    }

    /// Renews the Lease until it is lost, and returns why.
    async fn hold(&mut self) -> String {
        let Durations { renew, retry, .. } = self.election.durations;
        let mut pause = retry;
        loop {
            sleep(pause.min(self.leadership.left())).await;
            let left = self.leadership.left();
            if left.is_zero() {
                return format!("not renewed within {} s", renew.as_secs_f32());
            }
            match timeout(left, self.renew()).await {
                Ok(Ok(None)) => {
                    let since = renew.saturating_sub(self.leadership.left());
                    pause = retry.saturating_sub(since);
                }
                Ok(Ok(Some(holder))) => {
                    self.leadership.end();
                    return format!("held by {holder}");
                }
                Ok(Err((verb, error))) => {
                    self.access.failed(verb, error.code(), &error);
                    pause = retry / 5;
                }
                // No time is left.
                Err(_) => pause = Duration::ZERO,
            }
        }
    }

    /// Renews the Lease, again after each conflict. Returns the other holder where there is one.
    async fn renew(&mut self) -> Result<Option<String>, (Verb, Error)> {
        while !self.write().await? {
            self.read().await.map_err(|error| (Verb::Get, error))?;
            if let Next::Wait(_) = self.next() {
                let holder = self.observed.lease().and_then(|lease| lease.holder.clone());
                return Ok(Some(holder.unwrap_or_default()));
            }
        }
        Ok(None)
    }

    /// Gives the Lease back, if this process holds it.
    async fn give_back(&mut self) {
        loop {
            let identity = &self.election.identity;
            let Some(held) = self.observed.lease().filter(|it| it.is_owned_by(identity)) else {
                return;
            };
            let released = held.clone().released((self.election.wall_clock)());
            let lease = with_record(self.lease.as_ref(), &self.election.name, released);
            match self.replace(&lease).await {
                Ok(_) => return tracing::info!("released the lease"),
                Err(error) if error.code() == Some(409) && self.read().await.is_ok() => {}
                Err(error) => {
                    return tracing::warn!(%error, "failed to release the lease: it ends by itself");
                }
            }
        }
    }

    fn next(&self) -> Next {
        next_lease(&self.observed, &self.election.identity, self.now())
    }

    fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    async fn read(&mut self) -> Result<(), Error> {
        let read = self.api.get_opt(&self.election.name);
        let lease = bounded(self.election.durations.retry, read).await?;
        self.see(lease);
        Ok(())
    }

    /// Takes or renews the Lease. Returns whether that succeeded: another write was faster where it did not. Only a success
    /// counts, from when its request was sent.
    async fn write(&mut self) -> Result<bool, (Verb, Error)> {
        let Election {
            name,
            identity,
            durations,
            wall_clock,
        } = &self.election;
        let held = Record::owned(
            self.observed.lease(),
            identity,
            durations.lease,
            wall_clock(),
        );
        let lease = with_record(self.lease.as_ref(), name, held);
        let sent_at = self.leadership.now();
        let (verb, written) = if self.lease.is_some() {
            (Verb::Update, self.replace(&lease).await)
        } else {
            let params = PostParams::default();
            let creating = self.api.create(&params, &lease);
            (Verb::Create, bounded(durations.retry, creating).await)
        };
        match written {
            Ok(lease) => {
                self.leadership.renewed(sent_at);
                self.see(Some(lease));
                self.access.succeeded();
                Ok(true)
            }
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(false),
            Err(error) => Err((verb, error)),
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        let params = PostParams::default();
        let Election {
            name, durations, ..
        } = &self.election;
        bounded(durations.retry, self.api.replace(name, &params, lease)).await
    }

    /// Records what the Lease contains.
    fn see(&mut self, lease: Option<Lease>) {
        let now = self.now();
        let Election {
            identity,
            durations,
            ..
        } = &self.election;
        let record = lease.as_ref().map(|lease| record(lease, durations.lease));
        self.status.see(record.as_ref(), identity);
        self.observed.update(record, identity, now);
        self.lease = lease;
    }
}

async fn bounded<T>(
    deadline: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match timeout(deadline, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Timeout),
    }
}
