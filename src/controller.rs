//! WATCH: turns what happens to objects, to the remote users and to the budget into passes. Watches every scope, drains
//! at shutdown; what is known of the objects is in `index`, who wants a look in `line`, and `passes` runs them. Decides
//! nothing about any user.
//!
//! The watch is kube's; its cache and queue are not used, since they keep five names and a whole `ObjectMeta` for each
//! object, which is a fifth of what the process would take.

mod index;
mod line;
mod passes;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, FutureExt};
use futures::stream::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::{self, ExponentialBackoff, watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fireworks::wire::UserId;
use crate::reconcile::Context;
use crate::runtime::tasks::Tasks;
use crate::watched::Watched;
use index::{Cache, Index};
use line::Line;

/// Objects on one page of the first list.
const LIST_PAGE: u32 = 500;
/// After this long the scopes that are synced are served, and the others are named.
const SYNC: Duration = Duration::from_secs(30);
/// Calls under way are cut so long after the order to stop.
const DRAIN: Duration = Duration::from_secs(8);
/// The watch is tried again after this long at first, and at the longest; jitter may double it. However long the API
/// server was away, it is watched again within five seconds.
const WATCH_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// A watch that held for so long has recovered.
const WATCH_HELD: Duration = Duration::from_mins(1);

/// A watch that lasts so much longer than it was asked to is silent: kube's own measure.
const WATCH_OVERDUE: Duration = Duration::from_secs(5);

/// What the controller listens to besides the API server.
pub struct Signals {
    /// Users whose grant of the budget has come.
    pub grants: mpsc::UnboundedReceiver<UserId>,
    /// Users of whom the directory learned something.
    pub changes: mpsc::UnboundedReceiver<UserId>,
    /// Objects that a re-read found to be newer than the watch has brought them.
    pub newer: mpsc::UnboundedReceiver<Watched>,
}

/// How to run.
pub struct Options {
    /// A watch that brings nothing for so long is given up. It is asked to end a little before by itself.
    pub silence: Duration,
    /// Passes under way at once.
    pub concurrency: usize,
}

/// Runs until told to stop; then starts nothing new and gives calls under way 8 s to end.
pub async fn run(ctx: Arc<Context>, options: Options, signals: Signals, stop: CancellationToken) {
    let (cache, line) = (Arc::<Cache>::default(), Arc::<Line>::default());
    let mut serving = Tasks::default();
    for scope in ctx.scopes.ids() {
        let index = Index::new(ctx.clone(), cache.clone(), line.clone(), scope);
        serving.start(follow(index, options.silence, stop.clone()));
    }
    serving.start(route(ctx.clone(), cache.clone(), line.clone(), signals));
    let running = async {
        tokio::select! {
            () = begin(&ctx) => {}
            () = stop.cancelled() => {}
        }
        passes::run(ctx, &cache, &line, options.concurrency, stop.clone()).await;
    };
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = running => tracing::info!("all passes have ended"),
        () = drained => tracing::warn!("calls still under way are cut"),
        () = serving.all() => {}
    }
}

/// Begins to serve: when all objects are known, since only then is it clear which reads cost less and whether an older
/// claim is unseen; or with the scopes that are synced within the time for that.
async fn begin(ctx: &Context) {
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
    scopes.begin_serving();
    ctx.account.directory().open();
    tracing::info!(objects = ctx.claims.len(), "watching");
}

/// Grants and news of users become looks at their objects; a new key is one at all of them, since a
/// refusal may not hold for it; and so is, once, that there have been no news for too long.
async fn route(ctx: Arc<Context>, cache: Arc<Cache>, line: Arc<Line>, mut signals: Signals) {
    let (account, claims) = (&ctx.account, &ctx.claims);
    let mut keys = account.client().keys().changed();
    let silence = tokio::time::sleep_until(ctx.silent_from());
    let mut silence = pin!(silence.fuse());
    loop {
        let (user, granted) = tokio::select! {
            Some(user) = signals.grants.recv() => (user, true),
            Some(user) = signals.changes.recv() => (user, false),
            Some(object) = signals.newer.recv() => {
                index::put_newer(&ctx, &cache, &line, object);
                continue;
            }
            Ok(()) = keys.changed() => {
                line.join_all(&claims.all());
                continue;
            }
            () = &mut silence => {
                let unseen = account.directory().unseen();
                for user in unseen {
                    line.join_all(&claims.objects(&user));
                }
                continue;
            }
            else => break,
        };
        let objects = claims.objects(&user);
        if objects.is_empty() && granted {
            account.budget().release(&user);
        }
        line.join_all(&objects);
    }
}

/// Follows the watch of one scope until told to stop.
async fn follow(mut index: Index, silence: Duration, stop: CancellationToken) {
    let (first, longest) = WATCH_BACKOFF;
    let backoff = ExponentialBackoff::from(
        backon::ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .with_jitter()
            .without_max_times(),
    );
    // To kube nothing at all would mean for ever.
    let lasts = silence.saturating_sub(WATCH_OVERDUE).as_secs().max(1);
    let config = watcher::Config::default()
        .page_size(LIST_PAGE)
        .timeout(u32::try_from(lasts).unwrap_or(u32::MAX));
    watcher(index.api(), config)
        .backoff(ResetTimerBackoff::new(backoff, WATCH_HELD))
        .take_until(stop.cancelled_owned())
        .for_each(|event| {
            index.note(event);
            future::ready(())
        })
        .await;
}
