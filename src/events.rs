//! Events on their way to the API server: best effort, at most five a second, dropped first. Passes
//! hand them in and go on; what an Event says is decided elsewhere.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use tokio::sync::mpsc;

use crate::reconcile::report::notes::Note;
use crate::runtime::effects;
use crate::runtime::metrics::Metrics;

/// Events that may wait; more are dropped.
const WAITING_MAX: usize = 256;
/// The time between two Events: five a second.
const SPACING: Duration = Duration::from_millis(200);
/// The API server takes a longer note for an error.
const NOTE_MAX: usize = 1024;
/// The API server takes a longer action for an error.
const ACTION_MAX: usize = 128;

/// One Event and the object that it is about.
pub struct Item {
    /// The object.
    pub about: ObjectReference,
    /// What it says.
    pub note: Note,
}

/// Where passes hand Events in.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Item>,
    metrics: Metrics,
}

impl Events {
    /// The sink, and the future that sends for as long as it is polled.
    #[must_use = "the future has to be polled"]
    pub fn new(
        recorder: Recorder,
        metrics: Metrics,
        deadline: Duration,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, items) = mpsc::channel(WAITING_MAX);
        let sending = send_all(items, recorder, metrics.clone(), deadline);
        (Self { queue, metrics }, sending)
    }

    /// Hands one in. It is dropped where too many wait.
    pub fn send(&self, item: Item) {
        if self.queue.try_send(item).is_err() {
            self.metrics.event_dropped();
        }
    }
}

async fn send_all(
    mut items: mpsc::Receiver<Item>,
    recorder: Recorder,
    metrics: Metrics,
    deadline: Duration,
) {
    while let Some(Item { about, note }) = items.recv().await {
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
                tracing::debug!(%error, reason = note.reason, "an Event could not be sent");
            }
            Err(_) => metrics.event_dropped(),
        }
        tokio::time::sleep(SPACING).await;
    }
}

/// At most `max` bytes, cut between characters.
fn bounded(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}
