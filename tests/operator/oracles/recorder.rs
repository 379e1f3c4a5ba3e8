//! Gathers every revision of every object, by a watch of its own with all rights, from before the first
//! operator starts. Nothing is judged here. A watch that ends is taken up where it ended; if the API server
//! has forgotten that place the objects are listed again, and what may have been missed is marked.

#![allow(
    clippy::disallowed_methods,
    reason = "it reads the real clock, and its own calls have no crash points"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rig::ControlPlane;
use serde_json::Value;
use tokio::sync::mpsc as channel;

/// Far above what listing takes, or the watch to show what a list shows.
const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(1);
/// Before an API server that does not answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A revision as it was received.
#[derive(Clone)]
pub struct Received {
    pub at: Instant,
    pub deleted: bool,
    pub gap: bool,
    pub object: Arc<Value>,
}

/// Namespace and name.
type Key = (String, String);

#[derive(Default)]
struct Kept {
    objects: Mutex<BTreeMap<Key, Vec<Received>>>,
    moved: Condvar,
}

/// What there is of some namespaces: the revisions by object, and the Events as text.
pub struct Records {
    pub objects: BTreeMap<Key, Vec<Received>>,
    pub events: String,
}

/// Objects and Events as they are now.
struct Now {
    objects: Vec<DynamicObject>,
    events: String,
}

struct Question {
    namespace: String,
    answer: mpsc::Sender<Result<Now, String>>,
}

/// A watch over one control plane, on a thread of its own. Dropping it ends it.
pub struct Recorder {
    kept: Arc<Kept>,
    questions: channel::UnboundedSender<Question>,
}

impl Recorder {
    /// The recorder of the shared control plane.
    pub fn shared(plane: &'static ControlPlane) -> Arc<Self> {
        static SHARED: OnceLock<Arc<Recorder>> = OnceLock::new();
        let start = || Arc::new(Self::of(plane));
        SHARED.get_or_init(start).clone()
    }

    /// A recorder of one's own. Starts watching; when it returns, whatever changes is recorded.
    pub fn of(plane: &ControlPlane) -> Self {
        let kubeconfig = Kubeconfig::read_from(plane.admin_kubeconfig());
        let kubeconfig = kubeconfig.expect("the administrator's kubeconfig");
        let kept = Arc::<Kept>::default();
        let (questions, asked) = channel::unbounded_channel();
        let (started, begun) = mpsc::channel();
        let keeper = Arc::clone(&kept);
        let run = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build();
            let runtime = runtime.expect("a runtime for the recorder");
            runtime.block_on(record(kubeconfig, keeper, asked, started));
        };
        let named = thread::Builder::new().name("recorder".to_owned());
        named.spawn(run).expect("a thread for the recorder");
        begun.recv().expect("a recorder that watches");
        Self { kept, questions }
    }

    /// Every revision of these namespaces up to now, and their Events. Waits until the watch has shown what a
    /// list shows.
    pub fn records(&self, namespaces: &[String]) -> Result<Records, String> {
        let mut records = Records {
            objects: BTreeMap::new(),
            events: String::new(),
        };
        for namespace in namespaces {
            let (answer, answered) = mpsc::channel();
            let namespace = namespace.clone();
            let question = Question {
                namespace: namespace.clone(),
                answer,
            };
            let gone = "the recorder has ended";
            self.questions.send(question).map_err(|_| gone)?;
            let now = answered.recv().map_err(|_| gone)??;
            records.objects.extend(self.caught_up(&namespace, &now)?);
            records.events.push_str(&now.events);
        }
        Ok(records)
    }

    fn caught_up(
        &self,
        namespace: &str,
        now: &Now,
    ) -> Result<BTreeMap<Key, Vec<Received>>, String> {
        let listed: BTreeMap<String, u64> = now
            .objects
            .iter()
            .map(|object| {
                (
                    object.metadata.name.clone().unwrap_or_default(),
                    version(object),
                )
            })
            .collect();
        let behind = |objects: &mut BTreeMap<Key, Vec<Received>>| {
            let newest = |name: &String| {
                let key = (namespace.to_owned(), name.clone());
                objects.get(&key).and_then(|all| all.last()).cloned()
            };
            let unseen = |(name, version): (&String, &u64)| {
                newest(name).is_none_or(|last| version_of(&last.object) < *version)
            };
            let lives = |((place, name), all): (&Key, &Vec<Received>)| {
                let gone = all.last().is_some_and(|last| last.deleted);
                place == namespace && !gone && !listed.contains_key(name)
            };
            listed.iter().any(unseen) || objects.iter().any(lives)
        };
        let kept = self.kept.lock();
        let waited = self
            .kept
            .moved
            .wait_timeout_while(kept, CAUGHT_UP_WITHIN, behind);
        let (kept, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            return Err(format!("the watch never showed all of {namespace}"));
        }
        let here = kept.iter().filter(|((place, _), _)| place == namespace);
        Ok(here.map(|(key, all)| (key.clone(), all.clone())).collect())
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Received>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a revision, unless it is known.
    fn add(&self, mut object: DynamicObject, deleted: bool, gap: bool) {
        object.metadata.managed_fields = None;
        let key = (
            object.metadata.namespace.clone().unwrap_or_default(),
            object.metadata.name.clone().unwrap_or_default(),
        );
        let version = version(&object);
        let Ok(object) = serde_json::to_value(object) else {
            return;
        };
        let mut objects = self.lock();
        let all = objects.entry(key).or_default();
        let known =
            |last: &Received| last.deleted == deleted && version_of(&last.object) == version;
        if !all.last().is_some_and(known) {
            all.push(Received {
                at: Instant::now(),
                deleted,
                gap,
                object: Arc::new(object),
            });
        }
        drop(objects);
        self.moved.notify_all();
    }

    /// Compares with a whole list: what is not there any more was deleted at an unknown time.
    fn compare(&self, listed: Vec<DynamicObject>, first: bool) {
        let key = |object: &DynamicObject| {
            (
                object.metadata.namespace.clone().unwrap_or_default(),
                object.metadata.name.clone().unwrap_or_default(),
            )
        };
        let there: Vec<Key> = listed.iter().map(key).collect();
        for object in listed {
            self.add(object, false, !first);
        }
        let mut objects = self.lock();
        for (key, all) in objects.iter_mut() {
            let last = all.last().filter(|last| !last.deleted).cloned();
            if let Some(last) = last.filter(|_| !there.contains(key)) {
                all.push(Received {
                    at: Instant::now(),
                    deleted: true,
                    gap: true,
                    ..last
                });
            }
        }
        drop(objects);
        self.moved.notify_all();
    }
}

/// The API server counts all its revisions in one sequence.
fn version(object: &DynamicObject) -> u64 {
    let version = object.metadata.resource_version.as_deref();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn record(
    kubeconfig: Kubeconfig,
    kept: Arc<Kept>,
    mut asked: channel::UnboundedReceiver<Question>,
    started: mpsc::Sender<()>,
) {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = Client::try_from(config.expect("a kubeconfig")).expect("a client");
    let all = Api::all_with(client.clone(), &users());
    let answering = async {
        while let Some(Question { namespace, answer }) = asked.recv().await {
            // The asking task may have given up.
            let _ = answer.send(now(&client, &namespace).await);
        }
    };
    tokio::select! {
        () = follow(&all, &kept, &started) => {}
        // No task can ask any more.
        () = answering => {}
    }
}

fn users() -> ApiResource {
    ApiResource {
        group: "iam.fireworks.ai".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "iam.fireworks.ai/v1alpha1".to_owned(),
        kind: "FireworksUser".to_owned(),
        plural: "fireworksusers".to_owned(),
    }
}

fn events() -> ApiResource {
    ApiResource {
        group: "events.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "events.k8s.io/v1".to_owned(),
        kind: "Event".to_owned(),
        plural: "events".to_owned(),
    }
}

async fn now(client: &Client, namespace: &str) -> Result<Now, String> {
    let list = async |kind: &ApiResource| {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, kind);
        let list = tokio::time::timeout(CAUGHT_UP_WITHIN, async {
            api.list(&ListParams::default()).await
        });
        let list = list
            .await
            .map_err(|_| "the API server does not answer".to_owned())?;
        list.map(|list| list.items)
            .map_err(|error| error.to_string())
    };
    let objects = list(&users()).await?;
    let events = list(&events()).await?;
    let events = serde_json::to_string(&events).map_err(|error| error.to_string())?;
    Ok(Now { objects, events })
}

/// Lists, watches, and repeats that until the end.
async fn follow(all: &Api<DynamicObject>, kept: &Kept, started: &mpsc::Sender<()>) {
    let mut first = true;
    let mut place: Option<String> = None;
    loop {
        if let Some(from) = place.take() {
            place = watch(all, kept, from).await;
        } else if let Ok(list) = all.list(&ListParams::default()).await {
            place = list.metadata.resource_version;
            kept.compare(list.items, first);
            first = false;
            // Only the first time does a task wait for it.
            let _ = started.send(());
            continue;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Records what a watch shows until it ends; the place to go on from, or none where that is unknown.
async fn watch(all: &Api<DynamicObject>, kept: &Kept, from: String) -> Option<String> {
    let mut place = from;
    let mut events = match all.watch(&WatchParams::default(), &place).await {
        Ok(events) => events.boxed(),
        // It answers, and not with a watch: the place is too old.
        Err(kube::Error::Api(_)) => return None,
        Err(_) => return Some(place),
    };
    while let Ok(Some(event)) = events.try_next().await {
        let (object, deleted) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(mark) => {
                place = mark.metadata.resource_version;
                continue;
            }
            // The place is too old, or something worse: another list is right in any case.
            WatchEvent::Error(_) => return None,
        };
        place = object.metadata.resource_version.clone()?;
        kept.add(object, deleted, false);
    }
    Some(place)
}
