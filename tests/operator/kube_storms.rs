//! Many hands at once: objects that are written, turned over, deleted and made again faster than anything can follow.
//! What others wrote stays, no status shows what was never true, and the last write decides.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Fault, Kind};
use rig::control_plane::OPERATOR_USER;
use rig::{Mark, Requests, Rest, until};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::stage::{LONG, Stage, Start, brief, manifest, manifests, ready};
use crate::witness::Running;

/// Writes of each of the writers of a storm, 50 a second.
const WRITES: usize = 250;
/// How often a spec is turned over, 20 times a second for half a minute.
const FLIPS: usize = 600;
/// How often an object is deleted and made again.
const LIVES: usize = 30;

/// One object by plain HTTP.
struct Object {
    rest: Rest,
    all: String,
    name: String,
}

impl Object {
    fn of(stage: &Stage, name: &str) -> Self {
        let namespace = &stage.namespace;
        Self {
            rest: stage.plane.rest().unwrap(),
            all: format!("/apis/iam.fireworks.ai/v1alpha1/namespaces/{namespace}/fireworksusers"),
            name: name.to_owned(),
        }
    }

    fn path(&self) -> String {
        format!("{}/{}", self.all, self.name)
    }

    async fn merge(&self, patch: Value) -> Value {
        let sent = self.rest.send("PATCH", &self.path(), Some(&patch)).await;
        let (status, object) = sent.unwrap();
        assert_eq!(status, 200, "{object}");
        object
    }

    async fn label(&self, kind: &str, key: &str, value: usize) {
        let entry = json!({key: value.to_string()});
        self.merge(json!({"metadata": {kind: entry}})).await;
    }

    /// Reads, changes and replaces the whole object, until no other writer was faster.
    async fn replace_label(&self, key: &str, value: usize) {
        loop {
            let read = self.rest.send("GET", &self.path(), None).await;
            let (_, mut object) = read.unwrap();
            object["metadata"]["labels"][key] = json!(value.to_string());
            let put = self.rest.send("PUT", &self.path(), Some(&object)).await;
            match put.unwrap() {
                (200, _) => return,
                (status, answer) => assert_eq!(status, 409, "{answer}"),
            }
        }
    }

    async fn create(&self, spec: &Value) -> Value {
        let object = json!({
            "apiVersion": "iam.fireworks.ai/v1alpha1",
            "kind": "FireworksUser",
            "metadata": {"name": self.name},
            "spec": spec,
        });
        let sent = self.rest.send("POST", &self.all, Some(&object)).await;
        let (status, object) = sent.unwrap();
        assert_eq!(status, 201, "{object}");
        object
    }

    async fn delete(&self) {
        let sent = self.rest.send("DELETE", &self.path(), None).await;
        assert_eq!(sent.unwrap().0, 200);
    }
}

/// Does it so often, at that pace at the most.
async fn paced(times: usize, every: Duration, mut act: impl AsyncFnMut(usize)) {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1..=times {
        pace.tick().await;
        act(n).await;
    }
}

/// An operator whose budget is not what is tested.
async fn unthrottled(stage: &Stage) -> Running {
    // In two words: so the rules on the budget know of it.
    let rate = ["--requests-per-minute", "6000"].map(str::to_owned);
    let start = Start {
        args: rate.to_vec(),
        ..Start::default()
    };
    stage.operator_with(start).await
}

/// The statuses that the operator wrote to that object, each whole, in the order they were taken. No other client writes
/// it, and each write is based on the one before.
fn statuses(stage: &Stage, since: Mark, name: &str) -> Vec<Value> {
    let mut status = json!({"observedGeneration": -1});
    let writes = stage.status_writes(since).into_iter();
    let taken = writes.filter(|write| write.name == name && write.code == 200);
    taken
        .map(|write| {
            merge(&mut status, &write.body.unwrap()["status"]);
            status.clone()
        })
        .collect()
}

/// A JSON merge patch, applied.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (key, change) in patch {
        if change.is_null() {
            value.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut value[key], change);
        }
    }
}

/// How many of these calls changed something.
fn effective(entries: &[Entry]) -> usize {
    let changes = |entry: &&Entry| !entry.changes.is_empty();
    entries.iter().filter(changes).count()
}

#[tokio::test]
async fn writers_of_labels_and_annotations_lose_nothing_and_disturb_nothing() {
    let stage = Stage::set("conflicts").await;
    stage.user("alice", "user");
    let operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let mark = stage.mark();
    let object = Object::of(&stage, "alice");
    let pace = Duration::from_millis(20);
    let roles = ["contributor", "inference-user", "user", "contributor"];
    let editing = async {
        for (n, role) in roles.iter().enumerate() {
            object.merge(json!({"spec": {"role": role}})).await;
            let made = || effective(&stage.patches("alice"));
            stage
                .until_journal("the edit to arrive", |_| made() == n + 1)
                .await;
        }
    };
    tokio::join!(
        paced(WRITES, pace, async |n| object
            .label("labels", "first", n)
            .await),
        paced(WRITES, pace, async |n| object
            .label("annotations", "second", n)
            .await),
        paced(WRITES, pace, async |n| object
            .replace_label("third", n)
            .await),
        editing,
    );
    let last = WRITES.to_string();
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["metadata"]["labels"]["first"], last);
    assert_eq!(alice["metadata"]["annotations"]["second"], last);
    assert_eq!(alice["metadata"]["labels"]["third"], last);
    assert_eq!(alice["status"]["role"], "contributor");
    stage.until_sweeps(2).await;
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), roles.len(), "{:#?}", brief(&patches));
    assert_eq!(effective(&patches), roles.len());
    let taken = statuses(&stage, mark, "alice");
    assert!(taken.len() <= 2 * roles.len(), "{taken:#?}");
    // A conflict is no failure.
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    assert!(!metrics.contains(r#"outcome="not_written""#), "{metrics}");
    assert!(
        !operator.logs().contains(r#""level":"WARN""#),
        "{}",
        operator.logs()
    );
}

#[tokio::test]
async fn a_spec_that_is_turned_over_twenty_times_a_second_ends_as_it_was_left() {
    let stage = Stage::set("flips").await;
    stage.user("alice", "user");
    let operator = unthrottled(&stage).await;
    let mark = stage.mark();
    let object = Object::of(&stage, "alice");
    let mut roles = vec![json!("user"), json!("user")];
    object.create(&json!({"role": "user"})).await;
    paced(FLIPS, Duration::from_millis(50), async |n| {
        let role = ["contributor", "inference-user"][n % 2];
        let written = object.merge(json!({"spec": {"role": role}})).await;
        assert_eq!(written["metadata"]["generation"], roles.len());
        roles.push(json!(role));
    })
    .await;
    object.merge(json!({"spec": {"role": "user"}})).await;
    roles.push(json!("user"));
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["status"]["role"], "user");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    stage.until_sweeps(2).await;
    let patches = stage.all_patches();
    assert!(patches.len() <= FLIPS + 1, "{}", patches.len());
    assert_eq!(effective(&patches), patches.len());
    let last = patches.last().map(|entry| entry.body.clone().unwrap());
    assert_eq!(last, Some(json!({"role": "user"})));
    is_honest(&statuses(&stage, mark, "alice"), &roles);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

/// No status goes back to an older generation, and Ready is what the user was as that generation wants it.
fn is_honest(statuses: &[Value], roles: &[Value]) {
    let mut newest = -1;
    for status in statuses {
        let generation = status["observedGeneration"].as_i64().unwrap();
        assert!(generation >= newest, "{statuses:#?}");
        newest = generation;
        let object = json!({"status": status});
        let ready = ready(&object);
        assert_eq!(ready["observedGeneration"], generation, "{status:#}");
        if ready["status"] == "True" {
            let wanted = &roles[usize::try_from(generation).unwrap()];
            assert_eq!(status["role"], *wanted, "{status:#}");
        }
    }
    assert_eq!(newest, i64::try_from(roles.len() - 1).unwrap());
}

#[tokio::test]
async fn an_object_that_is_deleted_and_made_again_over_and_over_ends_as_it_was_left() {
    let stage = Stage::set("lives").await;
    stage.user("alice", "user");
    let operator = unthrottled(&stage).await;
    let object = Object::of(&stage, "alice");
    object.create(&json!({"role": "user"})).await;
    let mut last = Value::Null;
    paced(LIVES, Duration::from_millis(50), async |n| {
        object.delete().await;
        let role = ["inference-user", "contributor"][n % 2];
        last = object.create(&json!({"role": role})).await;
    })
    .await;
    let role = last["spec"]["role"].as_str().unwrap();
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["metadata"]["uid"], last["metadata"]["uid"]);
    assert_eq!(alice["status"]["role"], role);
    assert_eq!(stage.gateway.user("alice").unwrap().role, role);
    stage.until_sweeps(2).await;
    let patches = stage.all_patches();
    assert!(patches.len() <= LIVES, "{}", patches.len());
    let wanted = patches.last().map(|entry| entry.body.clone().unwrap());
    assert_eq!(wanted, Some(json!({"role": role})));
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_namespace_is_deleted_with_its_objects_while_the_gateway_is_down() {
    let stage = Stage::set("doomed").await;
    let second = stage.plane.create_namespace("survivor").await.unwrap();
    let names = ["ann", "bea", "carl"].map(str::to_owned);
    for name in names.iter().map(String::as_str).chain(["dora"]) {
        stage.user(name, "user");
    }
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(14)).always());
    let operator = stage
        .operator_with(Start {
            args: vec!["--namespace".to_owned(), second.clone()],
            ..Start::default()
        })
        .await;
    stage.apply_all(&manifests(&names, "{role: admin}")).await;
    for name in &names {
        stage.until_reason(name, "RemoteUnavailable").await;
    }
    // What the namespace controller does; there is none here.
    let namespace = stage.namespace.as_str();
    let args = ["delete", "namespace", namespace, "--wait=false"];
    stage.plane.kubectl(&args).await.unwrap();
    stage
        .kubectl(&["delete", "fireworksusers", "--all", "--timeout=30s"])
        .await
        .unwrap();
    let mark = stage.mark();
    stage.gateway.clear_faults();
    let text = manifest("dora", "{role: contributor}");
    stage.plane.apply_yaml(&second, &text).await.unwrap();
    until(LONG, "the survivor to be served", async || {
        let role = stage.gateway.user("dora").unwrap().role;
        if role == "contributor" {
            Ok(())
        } else {
            Err(role)
        }
    })
    .await
    .unwrap();
    stage.until_sweeps(2).await;
    for name in &names {
        assert_eq!(stage.gateway.user(name).unwrap().role, "user");
        assert_eq!(effective(&stage.patches(name)), 0);
    }
    let of_operator = Requests::any()
        .by(OPERATOR_USER)
        .of("fireworksusers/status");
    let late = of_operator.verb("patch").namespace(namespace);
    assert_eq!(stage.plane.audit_since(mark).unwrap().count(&late), 0);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}
