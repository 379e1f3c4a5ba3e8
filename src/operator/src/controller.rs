//! WATCH: turns what happens to objects, to the remote users and to the rate limiter into reconciliations. Watches every
//! scope and drains at shutdown. The objects are kept in `index`, those to be reconciled in `queue`, and `passes` runs
//! them. Decides nothing about any user.
//!
//! kube's cache and queue are not used, since they keep five names and a whole `ObjectMeta` for each object, which is a
//! fifth of what the process would take.

mod index;
mod passes;
mod queue;

use std::future;
use std::sync::Arc;
use std::time::Duration;

use fireworks_core::claims::ObjectKey;
use fireworks_core::user::object::CachedUser;
use operator_runtime::bulk::Bulk;
use operator_runtime::tasks::Tasks;
use operator_runtime::watch::Source;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::context::Context;
use crate::election::Contending;
use crate::shared::{Requeue, Shared};
use index::{Cache, Index};
use queue::WorkQueue;

/// After this long the scopes that are synced are served, and the others are named.
const SYNC: Duration = Duration::from_secs(30);
/// Calls under way are cut so long after the order to stop.
pub const DRAIN: Duration = Duration::from_secs(8);
/// However often Fireworks fails and answers again, all pending objects are brought forward at most once in this time.
const BROUGHT_FORWARD_EVERY: Duration = Duration::from_secs(30);

/// What the controller listens to besides the API server.
pub struct Signals {
    /// Users whose objects must be requeued.
    pub requeued: mpsc::UnboundedReceiver<Requeue>,
    /// Objects that a re-read found to be newer than the watch has brought them.
    pub newer: mpsc::UnboundedReceiver<CachedUser>,
}

/// How to run.
pub struct Options {
    /// A watch that brings nothing for so long is given up. It is asked to end a little before by itself.
    pub idle_timeout: Duration,
    /// One large object in memory at a time.
    pub bulk: Bulk,
    /// Passes under way at once.
    pub concurrency: usize,
    /// Of several processes one serves; `None` where there is only this one.
    pub contending: Option<Contending>,
    /// Notified when the account may be read.
    pub begun: Arc<Notify>,
}

/// Runs until it is stopped; then starts nothing new and gives calls under way 8 s to end. Returns whether they have ended.
pub async fn run(
    ctx: Arc<Context>,
    options: Options,
    signals: Signals,
    stop: CancellationToken,
) -> bool {
    let (cache, queue) = (Arc::<Cache>::default(), Arc::<WorkQueue>::default());
    let mut serving = Tasks::default();
    for scope in ctx.scopes.ids() {
        let index = Index::new(ctx.clone(), cache.clone(), queue.clone(), scope);
        let source = Source {
            client: ctx.kube.clone(),
            path: index.path(),
            bulk: options.bulk.clone(),
            idle_timeout: options.idle_timeout,
            deadline: ctx.settings.kube_deadline,
        };
        serving.start(follow(index, source, stop.clone()));
    }
    serving.start(route(ctx.clone(), cache.clone(), queue.clone(), signals));
    serving.start(follow_outages(ctx.clone(), queue.clone()));
    let running = async {
        tokio::select! {
            () = begin(&ctx, &cache, options.contending) => options.begun.notify_one(),
            () = stop.cancelled() => {}
        }
        passes::run(ctx, &cache, &queue, options.concurrency, stop.clone()).await;
    };
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = running => {
            tracing::info!("all reconciliations ended");
            true
        }
        () = drained => {
            tracing::warn!("aborting requests still in flight");
            false
        }
        () = serving.all() => false,
    }
}

/// Begins to serve: when all objects are known, since only then is it clear which reads cost less and whether an older
/// claim is unseen; or with the scopes that are synced within the time for that. Of several processes each contends for the
/// Lease only then, and the one that holds it serves.
async fn begin(ctx: &Context, cache: &Cache, contending: Option<Contending>) {
    let scopes = &ctx.scopes;
    if tokio::time::timeout(SYNC, scopes.wait_for_all())
        .await
        .is_err()
    {
        for scope in scopes.ids().filter(|scope| !scopes.is_synced(*scope)) {
            ctx.metrics.watch_failing(scopes.label(scope), true);
        }
        let (after, namespaces) = (SYNC.as_secs(), scopes.unseen());
        tracing::warn!(
            namespaces,
            "not synced after {after} s: their objects are not reconciled yet; check the operator's rights there"
        );
        scopes.wait_for(1).await;
    }
    if let Some(mut contending) = contending {
        scopes.stand_by();
        let had_former = contending.lead().await;
        let objects = cache.all();
        let objects = objects.iter().map(|object| &**object);
        ctx.shared
            .change(|world| world.begin_epoch(objects, had_former, clock::now()));
    }
    let is_complete = !scopes.has_unseen();
    ctx.shared
        .change(|world| world.claims.begin(clock::now(), is_complete));
    scopes.begin_serving();
    if !scopes.has_unseen() {
        ctx.shared.change(|world| world.claims.complete());
    }
    ctx.shared.change(|world| world.account.open());
    tracing::info!(
        objects = ctx.shared.read(|world| world.claims.len()),
        "watching"
    );
}

/// Objects that back off after failures of Fireworks are tried again when it answers again: else each would wait for its
/// own back-off, up to five minutes.
async fn follow_outages(ctx: Arc<Context>, queue: Arc<WorkQueue>) {
    let mut recovered = ctx.shared.recovered();
    while recovered.changed().await.is_ok() {
        let all = ctx.shared.change(|world| {
            world.objects.bring_forward();
            world.account.retry_now(clock::now());
            world.claims.all()
        });
        queue.add_all(&all);
        tokio::time::sleep(BROUGHT_FORWARD_EVERY).await;
    }
    future::pending::<()>().await;
}

/// Requeues objects: those of users that were granted a permit or changed, and all of them for a new key, since a refusal may
/// not hold for it.
async fn route(ctx: Arc<Context>, cache: Arc<Cache>, queue: Arc<WorkQueue>, mut signals: Signals) {
    let shared = &ctx.shared;
    let mut keys = ctx.gateway.keys().changed();
    loop {
        let requeue = tokio::select! {
            Some(requeue) = signals.requeued.recv() => requeue,
            Some(object) = signals.newer.recv() => {
                index::put_newer(&ctx, &cache, &queue, object);
                continue;
            }
            Ok(()) = keys.changed() => {
                queue.add_all(&shared.read(|world| world.claims.all()));
                continue;
            }
            else => break,
        };
        queue.add_all(&objects_of(shared, &requeue));
    }
}

/// Returns the objects to be requeued. A permit of a user that no object declares any more is released.
fn objects_of(shared: &Shared, requeue: &Requeue) -> Vec<ObjectKey> {
    match requeue {
        Requeue::Changed(user) => shared.read(|world| world.claims.objects(user)),
        Requeue::Granted(user) => shared.change(|world| {
            let objects = world.claims.objects(user);
            if objects.is_empty()
                && let Some(account) = world.account_of(&user.account)
            {
                account.limiter.cancel(&user.user);
            }
            objects
        }),
    }
}

/// Follows the watch of one scope until it is stopped.
async fn follow(mut index: Index, source: Source, stop: CancellationToken) {
    let versions = index.versions();
    tokio::select! {
        () = operator_runtime::watch::follow(&source, &versions, |event| index.observe(event)) => {}
        () = stop.cancelled() => {}
    }
}
