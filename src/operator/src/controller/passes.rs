//! Runs the reconciliations: takes objects from the queue, a limited number at once, and puts them into it again when
//! they asked to be requeued later. A trigger that comes before replaces that request. Ends what is in progress when it is
//! stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fireworks_core::claims::ObjectKey;
use fireworks_core::user::object::CachedUser;
use futures::stream::StreamExt;
use operator_runtime::tasks;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};

use super::index::Cache;
use super::queue::{Trigger, WorkQueue};
use crate::context::Context;
use crate::reconcile::{self, Next};

/// No requeue is later than this.
const REQUEUE_MAX: Duration = Duration::from_hours(24);

/// Runs passes until it is stopped, and then those under way to their ends.
pub(super) async fn run(
    ctx: Arc<Context>,
    cache: &Cache,
    queue: &WorkQueue,
    at_once: usize,
    stop: CancellationToken,
) {
    let mut delayed = DelayedQueue::default();
    let mut under_way = JoinSet::new();
    loop {
        // Thousands of passes may be ready at once: everything else has its turn between them.
        tokio::task::consume_budget().await;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = under_way.join_next() => {
                let (key, next) = tasks::outcome(ended);
                if let Some(after) = next {
                    delayed.put(&key, after);
                }
                queue.done(&key);
            }
            Some(key) = delayed.next() => queue.add(&key, Trigger::Other),
            (key, trigger) = queue.next(), if under_way.len() < at_once => {
                match cache.get(&key) {
                    // Its scope is looked through once it is synced.
                    Some(object) if !ctx.scopes.serves(&object.key.namespace) => queue.done(&key),
                    Some(object) if trigger == Trigger::Object && is_echo(&ctx, &object) => queue.done(&key),
                    Some(object) => {
                        delayed.cancel(&key);
                        under_way.spawn(pass(ctx.clone(), object));
                    }
                    // It is gone by now.
                    None => {
                        delayed.cancel(&key);
                        queue.done(&key);
                    }
                }
            }
        }
    }
    while let Some(ended) = under_way.join_next().await {
        tasks::outcome(ended);
    }
}

/// The object as the last pass has left it: there is nothing new to look at.
fn is_echo(ctx: &Context, object: &CachedUser) -> bool {
    let (uid, version) = (&object.uid, &object.version);
    ctx.shared
        .change_objects(|objects| objects.is_echo(uid, version))
}

async fn pass(ctx: Arc<Context>, object: Arc<CachedUser>) -> (ObjectKey, Next) {
    let next = reconcile::reconcile(ctx.clone(), object.clone()).await;
    let (key, uid) = (&object.key, &object.uid);
    if !ctx.shared.read(|world| world.claims.holds(key, uid)) {
        // It went while the pass was under way: nothing else would forget it.
        ctx.shared.change_objects(|objects| objects.forget(uid));
    }
    (key.clone(), next)
}

/// Objects that asked to be called later, each once.
#[derive(Default)]
struct DelayedQueue {
    queue: DelayQueue<ObjectKey>,
    calls: HashMap<ObjectKey, delay_queue::Key>,
}

impl DelayedQueue {
    fn put(&mut self, key: &ObjectKey, after: Duration) {
        self.cancel(key);
        let call = self.queue.insert(key.clone(), after.min(REQUEUE_MAX));
        self.calls.insert(key.clone(), call);
    }

    fn cancel(&mut self, key: &ObjectKey) {
        if let Some(call) = self.calls.remove(key) {
            self.queue.try_remove(&call);
        }
    }

    /// The next one whose time has come; nothing where none is waited for.
    async fn next(&mut self) -> Option<ObjectKey> {
        let key = self.queue.next().await?.into_inner();
        self.calls.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the paused clock of a test")]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            namespace: "ns".into(),
            name: name.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_called_once_at_the_last_time_it_asked_for() {
        let mut delayed = DelayedQueue::default();
        let began = tokio::time::Instant::now();
        delayed.put(&key("a"), Duration::from_secs(5));
        delayed.put(&key("b"), Duration::from_secs(3));
        delayed.put(&key("c"), Duration::from_secs(1));
        delayed.put(&key("a"), Duration::from_secs(2));
        delayed.cancel(&key("c"));
        let mut called = Vec::new();
        while let Some(key) = delayed.next().await {
            called.push((key.name.to_string(), began.elapsed().as_secs()));
        }
        assert_eq!(called, [("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert!(delayed.calls.is_empty() && delayed.queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_requeue_is_delayed_by_more_than_a_day() {
        let mut delayed = DelayedQueue::default();
        let began = tokio::time::Instant::now();
        delayed.put(&key("a"), Duration::MAX);
        assert!(delayed.next().await.is_some());
        assert!(began.elapsed() <= REQUEUE_MAX + Duration::from_secs(1));
    }
}
