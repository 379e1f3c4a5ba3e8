//! Events on their way to the API server: best effort, at a bounded rate. Passes hand them in and go on; what an Event
//! contains is decided elsewhere. Those about changes of users have a queue of their own, so that nothing a tenant does
//! without changing a user displaces the Event of a granted role.

mod queues;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use tokio::sync::Notify;

use crate::reconcile::report::notes::Note;
use crate::runtime::clock;
use crate::runtime::effects;
use crate::runtime::metrics::Metrics;
use queues::{Next, Queues};

/// The API server takes a longer note for an error.
const NOTE_MAX: usize = 1024;
/// The API server takes a longer action for an error.
const ACTION_MAX: usize = 128;

/// One Event and the object that it is about.
#[derive(Clone, Debug)]
pub struct Item {
    /// The object.
    pub about: ObjectReference,
    /// Its contents.
    pub note: Note,
}

/// Where passes hand Events in.
#[derive(Clone)]
pub struct Events {
    waiting: Arc<Waiting>,
    metrics: Metrics,
}

#[derive(Default)]
struct Waiting {
    queues: Mutex<Queues>,
    added: Notify,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an Event may be published.
    async fn next(&self) -> Item {
        loop {
            let next = self.lock().next(clock::now());
            match next {
                Next::Now(item) => return *item,
                Next::At(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.added.notified() => {}
                    }
                }
                Next::Nothing => self.added.notified().await,
            }
        }
    }
}

impl Events {
    /// The sink, and the future that publishes for as long as it is polled.
    #[must_use = "the future has to be polled"]
    pub fn new(
        recorder: Recorder,
        metrics: Metrics,
        deadline: Duration,
    ) -> (Self, impl Future<Output = ()>) {
        let recorder = Arc::new(recorder);
        let counted = metrics.clone();
        let publish = move |item| publish(recorder.clone(), counted.clone(), deadline, item);
        Self::published_by(publish, metrics)
    }

    /// [`Events::new`] with the way to publish one given.
    fn published_by<F>(
        publish: impl Fn(Item) -> F,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()>)
    where
        F: Future<Output = ()>,
    {
        let waiting = Arc::new(Waiting::default());
        let sink = Self {
            waiting: waiting.clone(),
            metrics,
        };
        let publishing = async move {
            loop {
                let item = waiting.next().await;
                publish(item).await;
            }
        };
        (sink, publishing)
    }

    /// Hands one in. It is dropped where too many wait.
    pub fn send(&self, item: Item) {
        if self.waiting.lock().add(item) {
            self.waiting.added.notify_one();
        } else {
            self.metrics.event_dropped();
        }
    }
}

async fn publish(recorder: Arc<Recorder>, metrics: Metrics, deadline: Duration, item: Item) {
    let Item { about, note } = item;
    let event = Event {
        type_: if note.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: note.reason.to_owned(),
        note: Some(bounded(&note.text, NOTE_MAX)),
        action: bounded(&note.action, ACTION_MAX),
        secondary: None,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that publishes Events"
    )]
    let publishing = recorder.publish(&event, &about);
    let name = about.name.as_deref().unwrap_or_default();
    let publishing = effects::around(effects::Effect::Event, name, publishing);
    match tokio::time::timeout(deadline, publishing).await {
        Ok(Ok(())) => metrics.event(note.reason),
        Ok(Err(error)) => {
            metrics.event_dropped();
            tracing::debug!(%error, reason = note.reason, "failed to publish an Event");
        }
        Err(_) => metrics.event_dropped(),
    }
}

/// At most `max` bytes, cut between characters.
fn bounded(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

#[cfg(test)]
mod tests;
