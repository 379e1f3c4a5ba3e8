//! Events on their way to the API server: best effort, at a bounded rate. Passes hand them in and go on; what an Event
//! contains is decided elsewhere. Those about changes of users have a queue of their own, so that nothing a tenant does
//! without changing a user displaces the Event of a granted role.

mod queues;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fireworks_core::user::events::EventDraft;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use operator_runtime::clock;
use tokio::sync::Notify;

use crate::context::Settings;
use crate::metrics::Metrics;
use crate::rights::{Right, Rights};
use queues::{Next, Queues};

/// The API server takes a longer note for an error.
const TEXT_MAX: usize = 1024;
/// The API server takes a longer action for an error.
const ACTION_MAX: usize = 128;

/// The API server takes a longer name for an error.
const NAME_MAX: usize = 253;
/// The name under which Events are reported.
const CONTROLLER: &str = "fireworks-user-operator";

/// One Event and the object that it is about.
#[derive(Clone, Debug)]
pub struct Item {
    /// The object.
    pub about: ObjectReference,
    /// Its contents.
    pub draft: EventDraft,
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
        kube: Client,
        metrics: Metrics,
        rights: Arc<Rights>,
        settings: Settings,
    ) -> (Self, impl Future<Output = ()>) {
        let publisher = Publisher {
            kube,
            metrics: metrics.clone(),
            rights,
            settings,
        };
        let publish = move |item| publish(publisher.clone(), item);
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

/// How Events get to the API server.
#[derive(Clone)]
struct Publisher {
    kube: Client,
    metrics: Metrics,
    rights: Arc<Rights>,
    settings: Settings,
}

/// Creates the Event. Each is an object of its own: a series would need the right to change Events, those of others
/// included, and would keep showing the note of the first.
async fn publish(publisher: Publisher, item: Item) {
    let Publisher {
        kube,
        metrics,
        rights,
        settings,
    } = publisher;
    let reason = item.draft.reason;
    let namespace = item.about.namespace.clone().unwrap_or_default();
    let event = event(item, (settings.wall_clock)());
    let api: Api<Event> = Api::namespaced(kube, &namespace);
    let params = PostParams::default();
    let publishing = api.create(&params, &event);
    match tokio::time::timeout(settings.kube_deadline, publishing).await {
        Ok(Ok(_)) => {
            rights.granted(Right::CreateEvents, &namespace);
            metrics.event(reason);
        }
        Ok(Err(error)) => {
            metrics.event_dropped();
            tracing::debug!(%error, reason, "failed to publish an Event");
            if is_refused(&error) {
                rights.refused(Right::CreateEvents, &namespace, &error, clock::now());
            }
        }
        Err(_) => metrics.event_dropped(),
    }
}

/// Whether the operator has not the right to create Events. A namespace that is being deleted takes none from anyone.
fn is_refused(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden() && !causes.any(|cause| cause.reason == "NamespaceTerminating")
}

fn event(item: Item, now: Timestamp) -> Event {
    let Item { about, draft } = item;
    let kind = if draft.warning { "Warning" } else { "Normal" };
    Event {
        metadata: ObjectMeta {
            namespace: about.namespace.clone(),
            name: Some(event_name(about.name.as_deref().unwrap_or_default(), now)),
            ..ObjectMeta::default()
        },
        regarding: Some(about),
        type_: Some(kind.to_owned()),
        reason: Some(draft.reason.to_owned()),
        note: Some(bounded(&draft.text, TEXT_MAX)),
        action: Some(bounded(&draft.action, ACTION_MAX)),
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(CONTROLLER.to_owned()),
        ..Event::default()
    }
}

/// Returns the name of an Event about the object of that name, as kube's recorder forms it.
fn event_name(object: &str, now: Timestamp) -> String {
    let suffix = format!(".{:x}", now.as_nanosecond());
    let object = &object[..object.floor_char_boundary(NAME_MAX - suffix.len())];
    let object = object.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    format!("{object}{suffix}")
}

/// At most `max` bytes, cut between characters.
fn bounded(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

#[cfg(test)]
mod tests;
