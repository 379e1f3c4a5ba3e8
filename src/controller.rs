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
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::{self, ExponentialBackoff, watcher};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::fireworks::wire::UserId;
use crate::reconcile::Context;
use crate::watched::Arrived;
use index::{Cache, Index};
use line::Line;

/// Objects on one page of the first list.
const LIST_PAGE: u32 = 500;
/// Calls under way are cut so long after the order to stop.
const DRAIN: Duration = Duration::from_secs(8);
/// The watch is tried again after this long at first, and at the longest; jitter may double it. However long the API
/// server was away, it is watched again within five seconds.
const WATCH_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// A watch that held for so long has recovered.
const WATCH_HELD: Duration = Duration::from_mins(1);

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

/// Runs until told to stop; then starts nothing new and gives calls under way 8 s to end.
/// `ready` becomes true when every scope is in the cache.
pub async fn run(
    ctx: Arc<Context>,
    options: Options,
    signals: Signals,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let scopes: Vec<Option<&str>> = match options.namespaces.as_slice() {
        [] => vec![None],
        some => some.iter().map(|name| Some(name.as_str())).collect(),
    };
    let (cache, line, synced) = (Cache::default(), Line::default(), watch::Sender::new(0));
    let watching = future::join_all(scopes.iter().map(|namespace| {
        let index = Index::new(&ctx, &cache, &line, *namespace, &synced);
        follow(&ctx, *namespace, index, stop.clone())
    }));
    let all_synced = || {
        let mut synced = synced.subscribe();
        let scopes = scopes.len();
        async move { synced.wait_for(|count| *count >= scopes).await.is_ok() }
    };
    // With several scopes an older claim may still be unseen before all are in.
    let running = async {
        tokio::select! {
            _ = all_synced() => {}
            () = stop.cancelled() => {}
        }
        passes::run(
            ctx.clone(),
            &cache,
            &line,
            options.concurrency,
            stop.clone(),
        )
        .await;
    };
    // Reading begins when all objects are known: only then is it clear what costs less.
    let opening = async {
        if all_synced().await {
            ctx.account.directory().open();
            ready.send_replace(true);
            tracing::info!(objects = ctx.claims.len(), "watching");
        }
    };
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let serving = async {
        tokio::join!(watching, opening, route(&ctx, &line, signals));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = running => tracing::info!("all passes have ended"),
        () = drained => tracing::warn!("calls still under way are cut"),
        () = serving => {}
    }
}

/// Grants and news of users become looks at their objects; a new key is one at all of them, since a
/// refusal may not hold for it; and so is, once, that there have been no news for too long.
async fn route(ctx: &Context, line: &Line, mut signals: Signals) {
    let (account, claims) = (&ctx.account, &ctx.claims);
    let mut keys = account.client().keys().changed();
    let silence = tokio::time::sleep_until(ctx.silent_from());
    let mut silence = pin!(silence.fuse());
    loop {
        let (user, granted) = tokio::select! {
            Some(user) = signals.grants.recv() => (user, true),
            Some(user) = signals.changes.recv() => (user, false),
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
async fn follow(
    ctx: &Context,
    namespace: Option<&str>,
    mut index: Index<'_>,
    stop: CancellationToken,
) {
    let api: Api<Arrived> = match namespace {
        Some(namespace) => Api::namespaced(ctx.kube.clone(), namespace),
        None => Api::all(ctx.kube.clone()),
    };
    let (first, longest) = WATCH_BACKOFF;
    let backoff = ExponentialBackoff::from(
        backon::ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .with_jitter()
            .without_max_times(),
    );
    let config = watcher::Config::default().page_size(LIST_PAGE);
    watcher(api, config)
        .backoff(ResetTimerBackoff::new(backoff, WATCH_HELD))
        .take_until(stop.cancelled_owned())
        .for_each(|event| {
            index.note(event);
            future::ready(())
        })
        .await;
}
