//! ASSEMBLY: turns checked settings into the running whole, and the order to stop into its end.
//! Wiring only: what the parts do is theirs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fireworks_client::gate::Gate;
use fireworks_client::key::ApiKeys;
use fireworks_client::{self, Client};
use fireworks_core::grants::Grants;
use fireworks_core::world::{self, World};
use jiff::Timestamp;
use operator_runtime::admin::{self, Admin};
use operator_runtime::bulk::Bulk;
use operator_runtime::hooks::Hooks;
use operator_runtime::lease::{Durations, Leadership};
use operator_runtime::log_writer::LogWriter;
use operator_runtime::progress::Progress;
use operator_runtime::pulse::Pulse;
use operator_runtime::tasks::{self, Tasks};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::account::{self, Gateway};
use crate::cli::{KeySource, Settings, UsageError};
use crate::clock;
use crate::context::{self, Context, WRITES_AT_ONCE};
use crate::controller::{self, Signals};
use crate::election::{self, Candidate};
use crate::events::Events;
use crate::kubernetes::{self, Access};
use crate::metrics::Metrics;
use crate::metrics::labels::Class;
use crate::metrics::labels::Held;
use crate::rights::Rights;
use crate::scopes::Scopes;
use crate::shared::Shared;

/// Deadline of one call to the API server.
const KUBE_DEADLINE: Duration = Duration::from_secs(10);
/// A watch that brings nothing for so long is dead.
const WATCH_IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// Deadline of one pass.
const PASS_DEADLINE: Duration = Duration::from_mins(1);
/// How long the start waits for a key file that is not there yet.
const KEY_FILE_WITHIN: Duration = Duration::from_mins(1);
/// How often the key file is read again.
const KEY_REREAD: Duration = Duration::from_secs(1);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A setting is missing or malformed: exit code 2.
    #[error(transparent)]
    Setting(#[from] UsageError),
    /// The process could not be set up: exit code 1.
    #[error("{0}")]
    Setup(String),
}

/// What a program that embeds the operator may replace; the default is what the operator itself uses.
pub struct Options {
    /// Called around each request to the API server and to the gateway.
    pub hooks: Arc<dyn Hooks>,
    /// Returns the time that statuses and Events show, and by which a `Retry-After` date is converted to a duration.
    pub wall_clock: fn() -> Timestamp,
    /// The durations of the Lease.
    pub lease: Durations,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hooks: Arc::new(()),
            wall_clock: operator_runtime::clock::timestamp,
            lease: Durations::PRODUCTION,
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`Fatal`], before anything was started.
pub async fn run(
    settings: Settings,
    key: KeySource,
    logs: LogWriter,
    options: Options,
) -> Result<(), Fatal> {
    let stop = stop_on_signal()?;
    let parts = tokio::select! {
        parts = set_up(&settings, key, &logs, options) => parts?,
        () = stop.cancelled() => return Ok(()),
    };
    serve(parts, settings.concurrency, logs, stop).await;
    Ok(())
}

/// The parts of an operator that runs nothing yet.
struct Parts<F> {
    ctx: Arc<Context>,
    signals: Signals,
    /// Publishes Events.
    publishing: F,
    bulk: Bulk,
    pulse: Arc<Pulse>,
    listener: TcpListener,
    candidate: Option<Candidate>,
}

async fn set_up(
    settings: &Settings,
    key: KeySource,
    logs: &LogWriter,
    options: Options,
) -> Result<Parts<impl Future<Output = ()> + use<>>, Fatal> {
    let (hooks, wall_clock) = (options.hooks.clone(), options.wall_clock);
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
    let (keys, listener) = keys(key, settings, &metrics).await?;
    let (bulk, pulse) = (
        Bulk::default(),
        Arc::new(Pulse::new(operator_runtime::clock::now())),
    );
    let access = kubernetes::access(KUBE_DEADLINE, pulse.clone(), bulk.clone(), hooks.clone());
    let Access { client, proxy } = access.await?;
    let (shared, requeued) = Shared::new(world(settings), metrics.clone());
    let shared = Arc::new(shared);
    let (candidate, leadership) = stand(settings, &options, logs)?;
    let users = users(settings, wall_clock, keys, shared.clone(), &leadership)?;
    let rights = Arc::new(Rights::new(&settings.namespaces));
    let deadlines = context::Settings {
        kube_deadline: KUBE_DEADLINE,
        pass_deadline: PASS_DEADLINE,
        wall_clock,
    };
    let (events, publishing) =
        Events::new(client.clone(), metrics.clone(), rights.clone(), deadlines);
    let (newer, reread) = mpsc::unbounded_channel();
    let ctx = Context {
        gateway: Gateway::new(shared.clone(), users, metrics.clone(), hooks).led_by(leadership),
        shared,
        kube: client,
        events,
        metrics,
        settings: deadlines,
        writes: Semaphore::new(WRITES_AT_ONCE),
        progress: Progress::default(),
        scopes: Arc::new(Scopes::new(&settings.namespaces)),
        rights,
        newer,
    };
    let listener = listen_if_not_yet(listener, settings).await?;
    log_access(settings, &ctx.gateway, proxy);
    Ok(Parts {
        ctx: Arc::new(ctx),
        signals: Signals {
            requeued,
            newer: reread,
        },
        publishing,
        bulk,
        pulse,
        listener,
        candidate,
    })
}

/// Stands for election where that is set; else this process leads for as long as it runs.
fn stand(
    settings: &Settings,
    options: &Options,
    logs: &LogWriter,
) -> Result<(Option<Candidate>, Leadership), Fatal> {
    if !settings.leader_election {
        return Ok((None, Leadership::always()));
    }
    let candidate = Candidate::start(election::Parts {
        account: settings.account_id.clone(),
        durations: options.lease,
        hooks: options.hooks.clone(),
        wall_clock: options.wall_clock,
        logs: logs.clone(),
        deadline: KUBE_DEADLINE,
    })?;
    let leadership = candidate.leadership();
    Ok((Some(candidate), leadership))
}

/// Runs the parts until one of them ends: the controller does when it is stopped.
async fn serve(
    parts: Parts<impl Future<Output = ()> + Send + 'static>,
    concurrency: usize,
    logs: LogWriter,
    stop: CancellationToken,
) {
    let Parts {
        ctx,
        signals,
        publishing,
        bulk,
        pulse,
        listener,
        candidate,
    } = parts;
    let view = candidate
        .as_ref()
        .map_or_else(election::View::none, Candidate::view);
    let probes = probes(&ctx, view, pulse, logs);
    let begun = Arc::<Notify>::default();
    let options = controller::Options {
        idle_timeout: WATCH_IDLE_TIMEOUT,
        bulk,
        concurrency,
        contending: candidate.as_ref().map(Candidate::contending),
        begun: begun.clone(),
    };
    let gateway = ctx.gateway.clone();
    let running = controller::run(ctx, options, signals, stop.clone());
    let mut background = Tasks::default();
    let reading = gateway.clone();
    background.start(async move {
        begun.notified().await;
        account::run(reading).await;
    });
    background.start(account::follow_keys(gateway.clone()));
    let keys = gateway.clone();
    background.start(async move { keys.keys().watch(KEY_REREAD).await });
    background.start(publishing);
    let serving = tasks::alone(async move { admin::serve(&listener, probes).await });
    let aborted = tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(controller::DRAIN).await;
    });
    tokio::select! {
        have_ended = running => {
            if let Some(candidate) = candidate.filter(|_| have_ended) {
                let aborted = async { drop(aborted.await) };
                candidate.hand_over(&gateway, aborted).await;
            }
            tracing::info!("stopped");
        }
        () = background.all() => {}
        () = serving => {}
    }
}

/// Returns what the probes and the metrics show of the running operator.
fn probes(
    ctx: &Arc<Context>,
    election: election::View,
    pulse: Arc<Pulse>,
    logs: LogWriter,
) -> Admin {
    let (rights, scopes) = (ctx.rights.clone(), ctx.scopes.clone());
    let (progress, ctx) = (ctx.progress.clone(), ctx.clone());
    let shown = election.clone();
    Admin {
        ready: Arc::new(move || {
            let unserved = scopes.readiness(&rights, operator_runtime::clock::now())?;
            let standby = shown.standby().map(|standby| format!(", {standby}"));
            let unserved = unserved.map(|unserved| format!(", but {unserved}"));
            let parts = [Some(ok()), standby, unserved];
            Ok(parts.into_iter().flatten().collect())
        }),
        live: Arc::new(move || {
            progress
                .is_stuck(operator_runtime::clock::now())
                .map_or_else(|| Ok(ok()), Err)
        }),
        scrape: Arc::new(move || {
            let is_leading = election.is_leading();
            if is_leading {
                set_gauges(&ctx);
            }
            ctx.metrics.leader(is_leading);
            ctx.metrics.lease_transitions(election.transitions());
            ctx.metrics.log_lines_dropped(logs.dropped());
            let age = pulse.age(operator_runtime::clock::now());
            ctx.metrics.watch_age(age);
            ctx.metrics.encode(is_leading)
        }),
    }
}

async fn listen_if_not_yet(
    listener: Option<TcpListener>,
    settings: &Settings,
) -> Result<TcpListener, UsageError> {
    match listener {
        Some(listener) => Ok(listener),
        None => listen(settings).await,
    }
}

/// Listens, and logs what the process is about to do. Where the API key is at hand all settings have been checked by then:
/// a start that fails is one line.
async fn listen(settings: &Settings) -> Result<TcpListener, UsageError> {
    let refused = |error| UsageError::new("--listen", error);
    let listener = admin::bind(settings.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let (base_url, account) = (&settings.base_url, &settings.account_id);
    tracing::info!(%base_url, %account, version = env!("CARGO_PKG_VERSION"), "starting");
    tracing::info!(%address, "listening");
    Ok(listener)
}

fn ok() -> String {
    "ok".to_owned()
}

/// Sets the gauges of what the process keeps.
fn set_gauges(ctx: &Context) {
    let now = clock::now();
    let metrics = &ctx.metrics;
    ctx.shared.read(|world| {
        let account = &world.account;
        metrics.budget_rate(account.limiter.rate(now) as usize);
        for (class, waiting) in Class::ALL.iter().zip(account.limiter.waiting()) {
            metrics.budget_waiting(*class, waiting);
        }
        let (admins, are_demotions_stopped) = account.count_admins(now);
        metrics.admins(admins);
        metrics.demotions_stopped(are_demotions_stopped);
        metrics.mutations_stopped(account.are_updates_stopped());
        let entries = account.counts();
        let [objects, repaired_users] = world.objects.counts();
        let kept = [
            (Held::Claim, world.claims.len()),
            (Held::User, entries.users),
            (Held::DeclaredUser, entries.declared_users),
            (Held::MissingUser, entries.missing_users),
            (Held::UnclearChange, entries.unclear_changes),
            (Held::WantedRead, entries.wanted_reads),
            (Held::Object, objects),
            (Held::RepairedUser, repaired_users),
        ];
        for (cache, entries) in kept {
            metrics.counts(cache, entries);
        }
    });
}

/// Returns what decisions start with.
fn world(settings: &Settings) -> World {
    let account = settings.account_id.clone();
    let settings = world::Settings {
        observe_only: settings.observe_only,
        settle_window: settings.settle_window,
        sweep_interval: settings.sweep_interval,
        requests_per_minute: settings.requests_per_minute,
        max_users: settings.max_users,
        grants: grants(settings),
    };
    World::new(account, settings, clock::now(), fastrand::u64(..))
}

/// Returns the limits of what objects may grant.
fn grants(settings: &Settings) -> Grants {
    let namespaces = settings.grant_namespaces.iter().map(String::as_str);
    Grants::new(namespaces, &settings.protected_users, settings.min_admins)
}

/// Returns the API keys. Where their file is not there yet, the listener is needed before them and is returned too.
async fn keys(
    source: KeySource,
    settings: &Settings,
    metrics: &Metrics,
) -> Result<(ApiKeys, Option<TcpListener>), UsageError> {
    let path = match source {
        KeySource::Value(keys) => return Ok((keys, None)),
        KeySource::File(path) => path,
    };
    match ApiKeys::from_file(path.clone()) {
        Ok(keys) => Ok((keys, None)),
        Err(error) if error.is_absent() => {
            let listener = listen(settings).await?;
            let keys = late_keys(path, &listener, metrics, !settings.leader_election).await?;
            Ok((keys, Some(listener)))
        }
        Err(error) => Err(UsageError::new("--api-key-file", error)),
    }
}

/// Waits for the key file. Meanwhile the probes answer: live, and not ready for that reason.
async fn late_keys(
    path: PathBuf,
    listener: &TcpListener,
    metrics: &Metrics,
    is_leading: bool,
) -> Result<ApiKeys, UsageError> {
    let waiting = format!("waiting for the API key file {}", path.display());
    tracing::warn!("{waiting}");
    let metrics = metrics.clone();
    let probes = Admin {
        ready: Arc::new(move || Err(waiting.clone())),
        live: Arc::new(|| Ok(ok())),
        scrape: Arc::new(move || metrics.encode(is_leading)),
    };
    tokio::select! {
        keys = ApiKeys::from_late_file(path, KEY_FILE_WITHIN, KEY_REREAD) => {
            keys.map_err(|error| UsageError::new("--api-key-file", error))
        }
        () = admin::serve(listener, probes) => std::future::pending().await,
    }
}

/// Returns the gateway's users of the account. While all requests pause, and where this process does not lead, no connection is
/// made.
fn users(
    settings: &Settings,
    wall_clock: fn() -> Timestamp,
    keys: ApiKeys,
    shared: Arc<Shared>,
    leadership: &Leadership,
) -> Result<Client, UsageError> {
    let leadership = leadership.clone();
    let gate = Gate::new(move || {
        let now = clock::now();
        leadership.may_begin() && !shared.read(|world| world.account.limiter.is_paused(now))
    });
    let settings = fireworks_client::Settings {
        base_url: settings.base_url.clone(),
        account: settings.account_id.clone(),
        ca_file: settings.ca_file.clone(),
        wall_clock,
        https_proxy: settings.https_proxy.clone(),
    };
    Client::new(settings, keys, gate).map_err(|error| UsageError::new("--ca-file", error))
}

/// Logs what else than the settings the connections depend on.
fn log_access(settings: &Settings, gateway: &Gateway, proxy: Option<String>) {
    if settings.ca_file.is_some() {
        let certificates = gateway.authorities();
        tracing::info!(
            certificates,
            "read the certificate authorities in --ca-file"
        );
    }
    if let Some(proxy) = proxy {
        tracing::info!(proxy, "using the kubeconfig's proxy-url for the API server");
    }
}

/// One token for all: SIGTERM or SIGINT cancels it.
fn stop_on_signal() -> Result<CancellationToken, Fatal> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|error| Fatal::Setup(format!("cannot handle signals: {error}")))
    };
    let (mut term, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
    });
    Ok(stop)
}
