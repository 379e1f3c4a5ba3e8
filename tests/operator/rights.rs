//! A role without one of the verbs that the operator needs: the log, `/readyz`, the metrics and, where it can be written,
//! the status name the verb, the requests back off, and the verb is used as soon as it is granted.

use std::path::PathBuf;

use fireworks_gateway_simulator::User;
use jiff::{SignedDuration, Timestamp};
use rig::{Requests, until};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::kube_legs::WATCH_IDLE;
use crate::namespaces::{until_all_is_well, until_readyz, watch_failing};
use crate::stage::{LONG, Stage, Start, ready};
use crate::witness::Running;

pub const ACCOUNT: &str = "half";
const USERS: &str = "fireworksusers";
/// Requests are refused for at least this long.
const LASTED: SignedDuration = SignedDuration::from_secs(12);
/// What the log contains of a refusal that has lasted.
const REFUSED: &str = "the API server refuses requests of the operator";

/// A `ServiceAccount` of the test's own namespace, without rights.
pub async fn account(stage: &Stage) -> PathBuf {
    stage
        .kubectl(&["create", "serviceaccount", ACCOUNT])
        .await
        .unwrap();
    let kubeconfig = stage.plane.kubeconfig_of(&stage.namespace, ACCOUNT);
    kubeconfig.await.unwrap()
}

/// Gives that `ServiceAccount` the operator's rights in that namespace.
pub async fn grant(stage: &Stage, namespace: &str) {
    grant_without(stage, namespace, "", "").await;
}

/// The same, but for that verb on that resource.
async fn grant_without(stage: &Stage, namespace: &str, verb: &str, resource: &str) {
    let role = ["clusterrole", "fireworks-user-operator"];
    let mut rules = stage.plane.get_json(&role).await.unwrap()["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        if rule["resources"] == json!([resource]) {
            let verbs = rule["verbs"].as_array_mut().unwrap();
            verbs.retain(|one| one != verb);
        }
    }
    rules
        .as_array_mut()
        .unwrap()
        .retain(|rule| rule["verbs"] != json!([]));
    let kind = |kind: &str, more: Value| {
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": ACCOUNT},
        });
        object
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        object.to_string()
    };
    let role = kind("Role", json!({"rules": rules}));
    let binding = kind(
        "RoleBinding",
        json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": stage.namespace}],
        }),
    );
    let both = format!("{role}\n---\n{binding}\n");
    stage.plane.apply_yaml(namespace, &both).await.unwrap();
}

/// An operator whose role lacks that verb.
async fn operator_without(stage: &Stage, verb: &str, resource: &str) -> Running {
    let kubeconfig = Some(account(stage).await);
    grant_without(stage, &stage.namespace, verb, resource).await;
    let start = Start {
        kubeconfig,
        ..Start::default()
    };
    stage.operator_with(start).await
}

/// The log lines about refusals that have lasted.
fn refusals(operator: &Running) -> Vec<Value> {
    let mut entries = operator.log_entries();
    entries.retain(|entry| entry.to_string().contains(REFUSED));
    entries
}

/// Waits for the log line about that verb, which has to be the only one about refusals.
async fn until_logged(operator: &Running, verb: &str, resource: &str) {
    let found = until(LONG, "the refusal to be logged", async || {
        match refusals(operator) {
            found if found.is_empty() => Err(operator.logs()),
            found => Ok(found),
        }
    });
    let found = found.await.unwrap_or_else(|late| panic!("{late}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    let line = found[0].to_string();
    let verb = format!("\"{verb}\"");
    assert!(line.contains(&verb) && line.contains(resource), "{line}");
}

/// When the API server refused a request of the operator.
fn refused_at(stage: &Stage) -> Vec<Timestamp> {
    let by = format!("system:serviceaccount:{}:{ACCOUNT}", stage.namespace);
    let by = Requests::any().by(&by);
    let log = stage.plane.audit().unwrap();
    let refused = log.matching(&by).filter(|request| request.unauthorized);
    let mut at: Vec<_> = refused.map(|one| one.at.parse().unwrap()).collect();
    at.sort();
    at
}

/// Waits until requests were refused for a while, and checks that they back off and are not logged.
async fn refused_again_without_a_line(stage: &Stage, operator: &Running) {
    let refused = until(LONG, "refusals over 12 s", async || {
        let at = refused_at(stage);
        match (at.first(), at.last()) {
            (Some(first), Some(last)) if last.duration_since(*first) >= LASTED => Ok(at),
            _ => Err(format!("{at:?}")),
        }
    });
    let at = refused.await.unwrap_or_else(|late| panic!("{late}"));
    // The shortest waits are of some 100 ms; in a row they would be over 100.
    let early = at.iter().filter(|one| one.duration_since(at[0]) < LASTED);
    assert!(early.count() <= 20, "{at:?}");
    assert_eq!(refusals(operator).len(), 1, "{}", operator.logs());
}

#[tokio::test]
async fn internal_error_reports_missing_get_on_the_object() {
    let stage = Stage::set("no-get").await;
    stage.user("alice", "user");
    stage.user("root", "admin");
    let operator = operator_without(&stage, "get", USERS).await;
    stage.apply("alice", "{role: admin}").await;
    let object = stage.until_reason("alice", "InternalError").await;
    let ready = ready(&object);
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("get on fireworksusers"), "{message}");
    assert_eq!(ready["status"], "Unknown");
    until_logged(&operator, "get", USERS).await;
    until_readyz(&operator, |code, text| {
        code == 200 && text.contains("get on fireworksusers")
    })
    .await;
    refused_again_without_a_line(&stage, &operator).await;
    assert!(stage.all_patches().is_empty(), "changed without a re-read");
    let before = stage.object("alice").await;
    assert_eq!(before["status"], object["status"], "written once");

    grant(&stage, &stage.namespace).await;
    stage.until_ready("alice").await;
    until_all_is_well(&operator).await;
}

#[tokio::test]
async fn missing_patch_of_status_is_logged_once() {
    let stage = Stage::set("no-status").await;
    stage.user("alice", "user");
    let operator = operator_without(&stage, "patch", "fireworksusers/status").await;
    stage.apply("alice", "{role: contributor}").await;
    until_logged(&operator, "patch", "fireworksusers.iam.fireworks.ai/status").await;
    until_readyz(&operator, |code, text| {
        code == 200 && text.contains("patch on fireworksusers.iam.fireworks.ai/status")
    })
    .await;
    refused_again_without_a_line(&stage, &operator).await;
    grant(&stage, &stage.namespace).await;
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    until_all_is_well(&operator).await;
}

#[tokio::test]
async fn missing_create_of_events_is_logged_once() {
    let stage = Stage::set("no-events").await;
    stage.user("alice", "user");
    let operator = operator_without(&stage, "create", "events").await;
    for role in ["contributor", "inference-user"] {
        stage.apply("alice", &format!("{{role: {role}}}")).await;
        stage.until_ready("alice").await;
    }
    until(LONG, "both Events to be dropped", async || {
        let (_, text) = operator.admin_get("/metrics").await.unwrap();
        let dropped = "fireworks_user_operator_events_dropped_total 2";
        text.lines()
            .any(|line| line == dropped)
            .then_some(())
            .ok_or(text)
    })
    .await
    .unwrap_or_else(|late| panic!("{late}"));
    until_logged(&operator, "create", "events.events.k8s.io").await;
    let missing = "create on events.events.k8s.io";
    until_readyz(&operator, |code, text| {
        code == 200 && text.contains(missing)
    })
    .await;
    grant(&stage, &stage.namespace).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_event("alice", "RoleChanged").await;
    until_all_is_well(&operator).await;
}

/// The operator has its rights, and then that one is taken away: the watch that it has open is given up as idle.
async fn unseen_changes_are_not_ready(verb: &str) {
    let stage = Stage::set(&format!("no-{verb}")).await;
    stage.user("alice", "user");
    let kubeconfig = Some(account(&stage).await);
    grant(&stage, &stage.namespace).await;
    let start = Start {
        kubeconfig,
        ..Start::default()
    };
    let mut clock = Clock::new();
    let operator = stage.operator_with(clock.start(start)).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 200);

    grant_without(&stage, &stage.namespace, verb, USERS).await;
    clock.jump(WATCH_IDLE).await;
    let missing = format!(
        "{verb} on fireworksusers.iam.fireworks.ai in {}",
        stage.namespace
    );
    until_readyz(&operator, |code, text| {
        code == 503 && text.contains(&missing)
    })
    .await;
    assert_eq!(watch_failing(&operator, &stage.namespace).await, "1");
    until_logged(&operator, verb, USERS).await;
    refused_again_without_a_line(&stage, &operator).await;

    grant(&stage, &stage.namespace).await;
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_ready("alice").await;
    until_all_is_well(&operator).await;
    assert_eq!(watch_failing(&operator, &stage.namespace).await, "0");
}

#[tokio::test]
async fn missing_watch_is_not_ready() {
    unseen_changes_are_not_ready("watch").await;
}

#[tokio::test]
async fn missing_list_is_not_ready() {
    unseen_changes_are_not_ready("list").await;
}

#[tokio::test]
async fn missing_watch_at_the_start_is_named() {
    let stage = Stage::set("never-watched").await;
    let operator = operator_without(&stage, "watch", USERS).await;
    let missing = "watch on fireworksusers";
    until_readyz(&operator, |code, text| {
        code == 503 && text.contains(missing)
    })
    .await;
    assert_eq!(watch_failing(&operator, &stage.namespace).await, "1");
    until_logged(&operator, "watch", USERS).await;
    refused_again_without_a_line(&stage, &operator).await;
}

/// An Event that repeats is a new one, so the right to change Events, also those of others, is not needed.
#[tokio::test]
async fn repeated_event_is_created_again() {
    let stage = Stage::set("events").await;
    stage.user("alice", "user");
    let mark = stage.mark();
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    for times in 1..=2 {
        let drifted = |user: &mut User| user.role = "contributor".into();
        assert!(stage.gateway.edit_user("alice", drifted));
        until(LONG, "Events about the drift", async || {
            let reasons = stage.event_reasons("alice").await;
            let corrected = reasons.iter().filter(|one| *one == "DriftCorrected");
            if corrected.count() == times {
                Ok(())
            } else {
                Err(format!("{reasons:?}"))
            }
        })
        .await
        .unwrap_or_else(|late| panic!("{late}"));
    }
    let writes = stage.writes(mark);
    let events = writes.iter().filter(|write| write.resource == "events");
    let verbs: Vec<_> = events.map(|write| (&*write.verb, write.code)).collect();
    assert_eq!(verbs, [("create", 201); 4]);
}
