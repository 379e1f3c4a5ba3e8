//! One reconciliation from its facts to what it reports, against a gateway and an API server that answer what the test
//! sets and record their requests: what holds between two changes of one pass, where no other part can see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use fireworks_api::wire::{Role, User, UserId};
use fireworks_client::gate::Gate;
use fireworks_client::key::ApiKeys;
use fireworks_client::{self, Client};
use fireworks_core::user::pending_reports::AT_ONCE;
use fireworks_core::user::reconcile::{KUBE_BACKOFF, PROGRESS_READS};
use fireworks_core::user::state::ObjectState;
use fireworks_core::world;
use operator_runtime::progress::Progress;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::*;
use crate::account::Gateway;
use crate::context::{Settings, WRITES_AT_ONCE};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::rights::Rights;
use crate::shared::Shared;

mod progress;
mod retries;
mod waiting;

/// What one of the two servers was asked, call by call.
type Calls = Arc<Mutex<Vec<Value>>>;

fn alice() -> UserId {
    "alice".parse().unwrap()
}

/// The user as last changed at that second.
fn remote(role: Role, second: u8) -> User {
    User {
        update_time: Some(updated(second).parse().unwrap()),
        ..builders::user("alice", role)
    }
}

fn updated(second: u8) -> String {
    format!("2026-01-01T00:00:{second:02}Z")
}

fn object(role: &str, generation: i64) -> Value {
    json!({
        "apiVersion": "iam.fireworks.ai/v1alpha1",
        "kind": "FireworksUser",
        "metadata": {
            "name": "alice", "namespace": "ns", "uid": "u1", "generation": generation,
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"role": role},
    })
}

/// The process around one pass.
struct World {
    ctx: Arc<Context>,
    patches: Calls,
    reads: Calls,
    reported: Calls,
}

impl World {
    /// The gateway answers the n-th PATCH with the n-th user of `answers`, once `meanwhile` has been done to the account
    /// with that n. The n-th read of the object finds it at the n-th of `generations`, or else at the first.
    async fn new(
        answers: Vec<User>,
        meanwhile: impl Fn(&Shared, usize) + Clone + Send + Sync + 'static,
        generations: Vec<i64>,
    ) -> Self {
        let keys = ApiKeys::fixed("fw_canary".into()).unwrap();
        let answers = answers.into_iter().map(Some).collect();
        Self::with_keys(keys, answers, meanwhile, generations).await
    }

    /// The same with those keys. In place of a user: the key may not do this.
    async fn with_keys(
        keys: ApiKeys,
        answers: Vec<Option<User>>,
        meanwhile: impl Fn(&Shared, usize) + Clone + Send + Sync + 'static,
        generations: Vec<i64>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shared, gateway) = gateway(&url, keys);
        learn(&shared, remote(Role::User, 0));
        let (patches, reads, reported) = (Calls::default(), Calls::default(), Calls::default());
        let server = gateway_server(shared.clone(), patches.clone(), answers, meanwhile);
        tokio::spawn(async move { axum::serve(listener, server).await });
        let kube = kube::Client::new(
            api_server(reads.clone(), reported.clone(), generations),
            "ns",
        );
        let ctx = Arc::new(context(shared, gateway, kube));
        Self {
            ctx,
            patches,
            reads,
            reported,
        }
    }

    /// One pass over the object; when it asks to be looked at again.
    async fn look(&self, role: &str) -> Next {
        let object: CachedUser = serde_json::from_value(object(role, 1)).unwrap();
        reconcile(self.ctx.clone(), Arc::new(object)).await
    }

    /// One pass over the object; the `Ready` condition that it reported.
    async fn pass(&self, role: &str) -> Option<(String, String)> {
        self.look(role).await;
        let reported = self.reported.lock().unwrap();
        let conditions = reported.last()?["status"]["conditions"].as_array()?.clone();
        let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
        let text = |field: &str| ready[field].as_str().unwrap().to_owned();
        Some((text("status"), text("reason")))
    }
}

/// A read shows that user now.
fn learn(shared: &Shared, user: User) {
    shared.change(|world| world.account.apply_read(user, clock::now()));
}

fn gateway(url: &str, keys: ApiKeys) -> (Arc<Shared>, Gateway) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let account = builders::account_id();
    let settings = fireworks_client::Settings {
        wall_clock: operator_runtime::clock::timestamp,
        base_url: url.parse().unwrap(),
        account: account.clone(),
        ca_file: None,
        https_proxy: None,
    };
    let client = Client::new(settings, keys, Gate::new(|| true)).unwrap();
    let world = world::World::new(account, builders::settings(), clock::now(), 1);
    let metrics = Metrics::new("test");
    let (shared, _) = Shared::new(world, metrics.clone());
    let shared = Arc::new(shared);
    let gateway = Gateway::new(shared.clone(), client, metrics, Arc::new(()));
    (shared, gateway)
}

fn gateway_server(
    shared: Arc<Shared>,
    patches: Calls,
    answers: Vec<Option<User>>,
    meanwhile: impl Fn(&Shared, usize) + Clone + Send + Sync + 'static,
) -> Router {
    Router::new().fallback(move |method: Method, body: Bytes| async move {
        assert_eq!(method, Method::PATCH, "a pass reads no user");
        let number = {
            let mut patches = patches.lock().unwrap();
            patches.push(serde_json::from_slice(&body).unwrap());
            patches.len() - 1
        };
        meanwhile(&shared, number);
        let answer = answers.get(number).expect("so many changes are expected");
        let Some(after) = answer else {
            let refusal = json!({"code": 7, "message": "not you", "details": []});
            return (StatusCode::FORBIDDEN, Json(refusal)).into_response();
        };
        Json(json!({
            "name": "accounts/acme/users/alice",
            "role": after.role.as_str(),
            "state": "READY",
            "updateTime": after.update_time.unwrap().to_string(),
        }))
        .into_response()
    })
}

fn api_server(reads: Calls, reported: Calls, generations: Vec<i64>) -> Router {
    Router::new().fallback(move |method: Method, body: Bytes| async move {
        if method == Method::GET {
            let mut reads = reads.lock().unwrap();
            let found = generations.get(reads.len()).copied().unwrap_or(1);
            let found = object("admin", found);
            reads.push(found.clone());
            return Json(found).into_response();
        }
        reported
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
        gone()
    })
}

/// So says the API server of a write that came too late: nothing is to be done about it.
fn gone() -> Response {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
    });
    (StatusCode::NOT_FOUND, Json(status)).into_response()
}

fn context(shared: Arc<Shared>, gateway: Gateway, kube: kube::Client) -> Context {
    let metrics = Metrics::new("test");
    let deadline = Duration::from_mins(1);
    let rights = Arc::<Rights>::default();
    let settings = Settings {
        kube_deadline: deadline,
        pass_deadline: deadline,
        wall_clock: operator_runtime::clock::timestamp,
    };
    let (events, _) = Events::new(kube.clone(), metrics.clone(), rights.clone(), settings);
    Context {
        shared,
        gateway,
        kube,
        events,
        metrics,
        settings,
        writes: Semaphore::new(WRITES_AT_ONCE),
        progress: Progress::default(),
        scopes: Arc::default(),
        rights,
        newer: mpsc::unbounded_channel().0,
    }
}

fn nothing(_: &Shared, _: usize) {}

#[tokio::test]
async fn a_re_read_is_good_for_one_change_only() {
    // The first answer is not what was asked for. Before the second try the spec has moved on.
    let answers = vec![remote(Role::User, 1), remote(Role::User, 2)];
    let mut world = World::new(answers, nothing, vec![1, 2]).await;
    let (newer, mut handed_on) = mpsc::unbounded_channel();
    Arc::get_mut(&mut world.ctx).unwrap().newer = newer;
    assert_eq!(world.pass("admin").await, None, "it is planned again");
    assert_eq!(world.reads.lock().unwrap().len(), 2);
    assert_eq!(*world.patches.lock().unwrap(), [json!({"role": "admin"})]);
    let newer = handed_on.try_recv().unwrap();
    assert_eq!((&*newer.uid, newer.generation), ("u1", 2));
}

/// Whatever the role, and each time.
#[tokio::test]
async fn each_change_follows_a_re_read_of_its_object() {
    for role in ["admin", "contributor"] {
        let answers = vec![remote(Role::User, 1), remote(Role::User, 2)];
        let world = World::new(answers, nothing, vec![1, 1]).await;
        let reported = world.pass(role).await.unwrap();
        assert_eq!(reported, ("False".into(), "NotApplied".into()));
        assert_eq!(world.reads.lock().unwrap().len(), 2);
        assert_eq!(world.patches.lock().unwrap().len(), 2);
    }
}

/// A world whose API server does that whenever it is asked for the object, and shows it or fails.
async fn with_re_read(
    shows: bool,
    meanwhile: impl Fn(&Shared) + Clone + Send + Sync + 'static,
) -> World {
    let mut world = World::new(vec![remote(Role::Contributor, 1)], nothing, vec![]).await;
    let (shared, reads) = (world.ctx.shared.clone(), world.reads.clone());
    let server = Router::new().fallback(move |method: Method| async move {
        if method != Method::GET {
            return gone();
        }
        meanwhile(&shared);
        reads.lock().unwrap().push(json!("read"));
        if shows {
            Json(object("contributor", 1)).into_response()
        } else {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    });
    Arc::get_mut(&mut world.ctx).unwrap().kube = kube::Client::new(server, "ns");
    world
}

#[tokio::test]
async fn no_change_leaves_while_the_api_server_fails_and_its_permit_goes_back() {
    let world = with_re_read(false, |_| {}).await;
    for number in 0..200 {
        let next = world.look("contributor").await.unwrap();
        assert!(next <= KUBE_BACKOFF.ceiling(number));
    }
    // More passes than a burst has permits: none of them kept one.
    assert_eq!(world.reads.lock().unwrap().len(), 200);
    assert_eq!(world.patches.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_pass_without_a_permit_makes_no_re_read() {
    let world = with_re_read(true, |_| {}).await;
    let pause = Some(Duration::from_mins(5));
    let shared = &world.ctx.shared;
    shared.change(|world| world.account.limiter.throttled(pause, clock::now()));
    world.look("contributor").await;
    assert_eq!(world.reads.lock().unwrap().len(), 0);
    assert_eq!(world.patches.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_changed_during_the_re_read_is_planned_again() {
    let matches = |shared: &Shared| {
        learn(shared, remote(Role::Contributor, 5));
    };
    let world = with_re_read(true, matches).await;
    let reported = world.look("contributor").await;
    assert_eq!(world.reads.lock().unwrap().len(), 1);
    assert_eq!(world.patches.lock().unwrap().len(), 0, "{reported:?}");
}

#[tokio::test]
async fn an_answer_superseded_by_a_newer_read_is_not_counted_as_not_applied() {
    // Before the first answer arrives, a read shows what became of the user since it was given.
    let overtaken = |shared: &Shared, number: usize| {
        if number == 0 {
            learn(shared, remote(Role::InferenceUser, 5));
        }
    };
    let answers = vec![
        remote(Role::User, 1),
        remote(Role::User, 6),
        remote(Role::User, 7),
    ];
    let world = World::new(answers, overtaken, vec![]).await;
    let reported = world.pass("contributor").await.unwrap();
    assert_eq!(reported, ("False".into(), "NotApplied".into()));
    assert_eq!(
        world.patches.lock().unwrap().len(),
        3,
        "two answers count, and the overtaken one does not"
    );
}

#[tokio::test]
async fn two_answers_that_differ_are_not_applied() {
    let answers = vec![remote(Role::User, 1), remote(Role::User, 2)];
    let world = World::new(answers, nothing, vec![]).await;
    let reported = world.pass("contributor").await.unwrap();
    assert_eq!(reported, ("False".into(), "NotApplied".into()));
    assert_eq!(world.patches.lock().unwrap().len(), 2);
}

/// An API server that never answers a write; how many it was asked for.
fn silent_api_server(asked: Arc<AtomicUsize>) -> Router {
    Router::new().fallback(move || async move {
        asked.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Response>().await
    })
}

#[tokio::test]
async fn a_burst_of_pending_reports_leaves_slots_to_those_with_a_permit() {
    let keys = ApiKeys::fixed("fw_canary".into()).unwrap();
    let (shared, gateway) = gateway("http://127.0.0.1:9", keys);
    let asked = Arc::new(AtomicUsize::new(0));
    let kube = kube::Client::new(silent_api_server(asked.clone()), "ns");
    let ctx = Arc::new(context(shared.clone(), gateway, kube));
    let now = clock::now();
    // There is no token.
    let pause = Some(Duration::from_mins(5));
    shared.change(|world| world.account.limiter.throttled(pause, now));
    let mut passes = JoinSet::new();
    for number in 0..WRITES_AT_ONCE * 2 {
        let (name, uid) = (format!("user-{number}"), format!("u{number}"));
        let user = User {
            id: name.parse().unwrap(),
            ..remote(Role::User, 0)
        };
        learn(&shared, user);
        let mut object = object("contributor", 1);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(uid);
        // Each has waited for long enough.
        shared.change(|world| {
            let is_due = |entry: &mut ObjectState| entry.report_pending_at = Some(now);
            world.objects.update(&uid, 1, is_due);
        });
        let object = Arc::new(serde_json::from_value(object).unwrap());
        passes.spawn(reconcile(ctx.clone(), object));
    }
    for _ in 0..WRITES_AT_ONCE * 2 - usize::from(AT_ONCE) {
        let ended = tokio::time::timeout(Duration::from_secs(30), passes.join_next()).await;
        let next = ended.expect("it does not wait for the others").unwrap();
        assert!(next.unwrap().is_some(), "it comes back to be told");
    }
    let arrived = async {
        while asked.load(Ordering::SeqCst) < usize::from(AT_ONCE) {
            tokio::task::yield_now().await;
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(30), arrived).await;
    assert!(arrived.is_ok(), "the others are being told");
    assert_eq!(
        ctx.writes.available_permits(),
        WRITES_AT_ONCE - usize::from(AT_ONCE)
    );
}

#[tokio::test]
async fn a_refusal_counts_against_the_key_of_its_request() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "fw_weak").unwrap();
    let keys = ApiKeys::from_file(file.path().to_owned()).unwrap();
    let path = file.path().to_owned();
    let read_again = keys.clone();
    let replace = move |_: &Shared, number: usize| {
        if number == 0 {
            std::fs::write(&path, "fw_strong").unwrap();
            read_again.reread();
        }
    };
    let answers = vec![None, Some(remote(Role::Contributor, 1))];
    let world = World::with_keys(keys, answers, replace, vec![]).await;
    let reported = |ready: &str, reason: &str| Some((ready.to_owned(), reason.to_owned()));
    let after = world.pass("contributor").await;
    assert_eq!(after, reported("True", "InSync"), "the new key may");
    assert_eq!(world.patches.lock().unwrap().len(), 2);
}
