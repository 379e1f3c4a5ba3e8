//! WATCH: turns what happens to objects, to the remote users and to the budget into passes. Holds the
//! caches, keeps the claims up to date, bounds concurrency and drains at shutdown. Decides nothing
//! about any user.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use kube::Api;
use kube::runtime::controller::{self, Action, ReconcileRequest};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::{self, Event, ExponentialBackoff, watcher};
use kube::runtime::{WatchStreamExt, controller::trigger_self};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::claims::{Effect, ObjectKey};
use crate::fireworks::wire::UserId;
use crate::reconcile::{self, Context};
use crate::watched::Watched;

/// Objects on one page of the first list: keeps the memory it takes flat.
const LIST_PAGE: u32 = 100;
/// Calls under way are cut so long after the order to stop.
const DRAIN: Duration = Duration::from_secs(8);
/// The watch is tried again after this long at first, and at the longest; jitter may double it. However long the API
/// server was away, it is watched again within five seconds.
const WATCH_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// A watch that held for so long has recovered.
const WATCH_HELD: Duration = Duration::from_mins(1);
/// No object is looked at later than asked for, but not for ever either.
const REQUEUE_MAX: Duration = Duration::from_hours(24);

/// What the controller listens to besides the API server.
pub struct Signals {
    /// Users whose grant of the budget has come.
    pub grants: mpsc::UnboundedReceiver<UserId>,
    /// Users of whom the directory learned something.
    pub changes: mpsc::UnboundedReceiver<UserId>,
}

/// How to run.
pub struct Options {
    /// The namespaces to watch; empty means all.
    pub namespaces: Vec<String>,
    /// Passes under way at once.
    pub concurrency: usize,
}

/// One watched namespace, or all of them.
struct Scope {
    namespace: Option<String>,
    queue: mpsc::UnboundedSender<ObjectKey>,
}

/// Where a look at an object is asked for.
#[derive(Clone)]
struct Triggers(Arc<Vec<Scope>>);

impl Triggers {
    fn look(&self, keys: impl IntoIterator<Item = ObjectKey>) {
        for key in keys {
            let holds = |scope: &&Scope| {
                scope
                    .namespace
                    .as_ref()
                    .is_none_or(|ns| *ns == key.namespace)
            };
            if let Some(scope) = self.0.iter().find(holds) {
                // A closed queue means that the process is ending.
                let _ = scope.queue.send(key);
            }
        }
    }
}

/// What the scopes share.
#[derive(Clone)]
struct Shared {
    ctx: Arc<Context>,
    triggers: Triggers,
    /// Bounds one scope; the slots bound all of them together.
    concurrency: u16,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    synced: watch::Sender<usize>,
    scopes: usize,
}

/// Runs until told to stop; then starts nothing new and gives calls under way 8 s to end.
/// `ready` becomes true when every scope is in the cache.
pub async fn run(
    ctx: Arc<Context>,
    options: Options,
    signals: Signals,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let names: Vec<Option<String>> = match options.namespaces.as_slice() {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    let (scopes, queues): (Vec<_>, Vec<_>) = names
        .into_iter()
        .map(|namespace| {
            let (queue, keys) = mpsc::unbounded_channel();
            (
                Scope {
                    namespace: namespace.clone(),
                    queue,
                },
                (namespace, keys),
            )
        })
        .unzip();
    let shared = Shared {
        ctx: ctx.clone(),
        scopes: scopes.len(),
        triggers: Triggers(Arc::new(scopes)),
        concurrency: u16::try_from(options.concurrency).unwrap_or(u16::MAX),
        slots: Arc::new(Semaphore::new(options.concurrency)),
        stop: stop.clone(),
        synced: watch::Sender::new(0),
    };
    let opening = open_when_synced(&shared, &ready);
    let routing = route(&shared, signals);
    let watching = stream::iter(queues).for_each_concurrent(None, |(namespace, keys)| {
        run_scope(shared.clone(), namespace, keys)
    });
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = watching => tracing::info!("all passes have ended"),
        () = drained => tracing::warn!("calls still under way are cut"),
        () = async { tokio::join!(opening, routing); } => {}
    }
}

/// Reading begins when all objects are known: only then is it clear what costs less.
async fn open_when_synced(shared: &Shared, ready: &watch::Sender<bool>) {
    let mut synced = shared.synced.subscribe();
    let scopes = shared.scopes;
    if synced.wait_for(|count| *count >= scopes).await.is_ok() {
        shared.ctx.account.directory().open();
        ready.send_replace(true);
        tracing::info!(objects = shared.ctx.claims.len(), "watching");
    }
    std::future::pending::<()>().await;
}

/// Grants and news of users become looks at their objects; a new key is one at all of them, since a
/// refusal may not hold for it.
async fn route(shared: &Shared, mut signals: Signals) {
    let mut keys = shared.ctx.account.client().keys().changed();
    loop {
        let (user, granted) = tokio::select! {
            Some(user) = signals.grants.recv() => (user, true),
            Some(user) = signals.changes.recv() => (user, false),
            Ok(()) = keys.changed() => {
                shared.triggers.look(shared.ctx.claims.all());
                continue;
            }
            else => break,
        };
        let objects = shared.ctx.claims.objects(&user);
        if objects.is_empty() && granted {
            shared.ctx.account.budget().release(&user);
        }
        shared.triggers.look(objects);
    }
    std::future::pending::<()>().await;
}

/// Watches one scope and runs its passes until told to stop.
async fn run_scope(
    shared: Shared,
    namespace: Option<String>,
    keys: mpsc::UnboundedReceiver<ObjectKey>,
) {
    let api: Api<Watched> = match &namespace {
        Some(namespace) => Api::namespaced(shared.ctx.kube.clone(), namespace),
        None => Api::all(shared.ctx.kube.clone()),
    };
    let (store, writer) = reflector::store();
    let (first, longest) = WATCH_BACKOFF;
    let backoff = ExponentialBackoff::from(
        backon::ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .with_jitter()
            .without_max_times(),
    );
    let mut index = Index::new(shared.clone(), namespace);
    let config = watcher::Config::default().page_size(LIST_PAGE);
    let events = watcher(api, config)
        .backoff(ResetTimerBackoff::new(backoff, WATCH_HELD))
        .inspect(move |event| index.note(event))
        .reflect(writer)
        .touched_objects()
        // The index has told of the trouble; the watch goes on by itself.
        .filter_map(|event| async { event.ok().map(Ok::<_, Infallible>) });
    let watched = trigger_self(events, ());
    let asked = looks(keys).map(Ok);
    let queue = stream::select(watched, asked).take_until(shared.stop.clone().cancelled_owned());
    let config = controller::Config::default().concurrency(shared.concurrency);
    let pass = {
        let shared = shared.clone();
        move |object, _| Box::pin(pass(shared.clone(), object))
    };
    let on_error = |_, error: &Infallible, _| match *error {};
    controller::applier(pass, on_error, Arc::new(()), store, Box::pin(queue), config)
        .for_each(|result| async {
            match result {
                // An object that is gone by now is the usual case.
                Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::error!(%error, "the queue of passes failed"),
            }
        })
        .await;
}

fn looks(
    keys: mpsc::UnboundedReceiver<ObjectKey>,
) -> impl Stream<Item = ReconcileRequest<Watched>> {
    stream::unfold(keys, |mut keys| async {
        let key = keys.recv().await?;
        Some((
            ObjectRef::new(&key.name).within(&key.namespace).into(),
            keys,
        ))
    })
}

/// One pass in its slot.
async fn pass(shared: Shared, object: Arc<Watched>) -> Result<Action, Infallible> {
    // With several scopes an older claim may still be unseen before all are in.
    let mut synced = shared.synced.subscribe();
    let scopes = shared.scopes;
    let all_in = synced.wait_for(|count| *count >= scopes).await.is_ok();
    let slot = shared.slots.acquire().await;
    if !all_in || slot.is_err() || shared.stop.is_cancelled() {
        return Ok(Action::await_change());
    }
    let (key, uid) = (object.key(), object.uid().to_owned());
    let next = reconcile::reconcile(shared.ctx.clone(), object).await;
    if !shared.ctx.claims.holds(&key, &uid) {
        // It went while the pass was under way: nothing else would forget it.
        shared.ctx.memory.forget(&uid);
    }
    Ok(match next {
        Some(after) => Action::requeue(after.min(REQUEUE_MAX)),
        None => Action::await_change(),
    })
}

/// Keeps the claims of one scope in step with its watch, before any pass sees the object.
struct Index {
    shared: Shared,
    namespace: Option<String>,
    listing: Option<HashSet<ObjectKey>>,
    was_synced: bool,
    failing: bool,
}

impl Index {
    fn new(shared: Shared, namespace: Option<String>) -> Self {
        Self {
            shared,
            namespace,
            listing: None,
            was_synced: false,
            failing: false,
        }
    }

    fn note(&mut self, event: &Result<Event<Watched>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.listing = Some(HashSet::new()),
            Ok(Event::InitApply(object)) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(object.key());
                }
                if !self.was_synced {
                    self.found_at_start(object);
                }
                self.apply(object);
            }
            Ok(Event::InitDone) => self.synced(),
            Ok(Event::Apply(object)) => self.apply(object),
            Ok(Event::Delete(object)) => {
                let ctx = &self.shared.ctx;
                ctx.memory.forget(object.uid());
                self.follow(ctx.claims.set(&object.key(), None));
            }
            Err(error) if !self.failing => {
                self.failing = true;
                let namespace = self.namespace.as_deref().unwrap_or("all namespaces");
                tracing::warn!(%error, namespace, "the watch failed; it is tried again until it works");
            }
            Err(_) => {}
        }
    }

    /// What a former process may have left under way, and what was asked of it.
    fn found_at_start(&self, object: &Watched) {
        let memory = &self.shared.ctx.memory;
        if object.is_being_deleted() {
            return;
        }
        if !object.is_ready() {
            memory.presume_unsettled(object.uid());
        }
        if let Some(requested) = object.requested_at() {
            memory.update(object.uid(), object.generation(), |entry| {
                entry.requested_at = Some(requested.to_owned());
            });
        }
    }

    fn apply(&mut self, object: &Watched) {
        self.recovered();
        let ctx = &self.shared.ctx;
        let stake = object.stake(ctx.settings.observe_only);
        self.follow(ctx.claims.set(&object.key(), stake));
    }

    /// The list is complete: what it did not show was deleted while nobody watched.
    fn synced(&mut self) {
        self.recovered();
        let claims = &self.shared.ctx.claims;
        if let Some(listing) = self.listing.take() {
            let mut gone = match &self.namespace {
                Some(namespace) => claims.in_namespace(namespace),
                None => claims.all(),
            };
            gone.retain(|key| !listing.contains(key));
            for key in gone {
                self.follow(claims.set(&key, None));
            }
        }
        if !self.was_synced {
            self.was_synced = true;
            self.shared.synced.send_modify(|count| *count += 1);
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the watch works again");
        }
    }

    fn follow(&self, effect: Effect) {
        let Effect {
            look,
            interest,
            gone,
        } = effect;
        if let Some(uid) = gone {
            self.shared.ctx.memory.forget(&uid);
        }
        let account = &self.shared.ctx.account;
        for (user, interested) in interest {
            account.directory().set_interest(&user, interested);
            if !interested {
                account.budget().release(&user);
            }
        }
        self.shared.triggers.look(look);
    }
}
