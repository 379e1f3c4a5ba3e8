//! The life of one spec: edits that come faster than they can be sent, refusals that stand, and objects
//! stored under a laxer schema.

use std::path::PathBuf;
use std::sync::Arc;

use fireworks_gateway_simulator::{Fault, Kind, Settings, Simulator, Verb};
use rig::{ControlPlane, until};
use serde_json::json;

use crate::oracles::recorder::Recorder;
use crate::stage::{LONG, Stage, Start, condition, manifest, object_path, ready};
use crate::witness::{Running, Witness};

#[tokio::test]
async fn five_quick_edits_while_no_call_may_leave_cost_one_patch() {
    let stage = Stage::set("edits").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    stage.apply("alice", "{role: user}").await;
    stage.apply("bob", "{role: user}").await;
    let start = Start {
        sweep: "1h",
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    let throttle = Kind::Throttle {
        retry_after: Some("4".into()),
        retry_after_ms: None,
    };
    stage
        .gateway
        .add_fault(Fault::new(throttle).on(Verb::Patch).of("bob"));
    stage.apply("bob", "{role: contributor}").await;
    stage
        .until_journal("the order to wait", |all| {
            all.iter().any(|one| one.status == Some(429))
        })
        .await;

    let mark = stage.mark();
    let edits = [
        "{role: contributor}",
        "{role: inference-user}",
        "{role: user, displayName: A}",
        "{role: contributor, displayName: B}",
        "{role: inference-user, displayName: C}",
    ];
    let all = edits.map(|spec| manifest("alice", spec)).join("---\n");
    stage
        .plane
        .apply_yaml(&stage.namespace, &all)
        .await
        .unwrap();
    assert_eq!(
        stage.patches("alice").len(),
        0,
        "the edits took longer than the wait"
    );
    let object = stage.until_ready("alice").await;
    assert_eq!(object["metadata"]["generation"], 6);
    stage.until_ready("bob").await;
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), 1);
    assert_eq!(
        patches[0].body,
        Some(json!({"role": "inference-user", "displayName": "C"}))
    );
    let written = stage
        .status_writes(mark)
        .into_iter()
        .filter(|one| one.name == "alice");
    assert_eq!(written.count(), 1);
}

#[tokio::test]
async fn rejected_value_is_not_tried_again_until_the_spec_changes() {
    let stage = Stage::set("refused").await;
    stage.user("alice", "user");
    let refuses = Fault::new(Kind::error(3))
        .on(Verb::Patch)
        .of("alice")
        .times(1);
    stage.gateway.add_fault(refuses);
    let operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    let object = stage.until_reason("alice", "Rejected").await;
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert_eq!(object["status"]["role"], "user");
    let drift = json!([{"field": "role", "desired": "contributor", "actual": "user"}]);
    assert_eq!(object["status"]["drift"], drift);
    stage.until_event("alice", "UpdateFailed").await;

    let mark = stage.mark();
    stage.until_sweeps(3).await;
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(stage.writes(mark), Vec::new());

    stage.apply("alice", "{role: inference-user}").await;
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 2);
}

#[tokio::test]
async fn rejected_value_is_tried_again_when_the_remote_user_changes() {
    let stage = Stage::set("refused").await;
    stage.user("alice", "user");
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(9)).on(Verb::Patch).of("alice"));
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_reason("alice", "Rejected").await;
    assert!(
        stage
            .gateway
            .edit_user("alice", |user| user.role = "inference-user".into())
    );
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 2);
}

#[tokio::test]
async fn invalid_spec_is_reported_and_affects_no_other_object() {
    let plane =
        tokio::task::spawn_blocking(
            || ControlPlane::start(&rig::control_plane::Options::default()),
        )
        .await
        .unwrap()
        .unwrap();
    let strict = std::fs::read_to_string(crd_file()).unwrap();
    let gateway = Arc::new(Simulator::start(Settings::default()).unwrap());
    let recorder = Arc::new(Recorder::of(&plane));
    let witness = Witness::new(recorder, gateway.clone(), "default");
    for id in ["alice", "bob", "carl", "dora"] {
        gateway.put_user(fireworks_gateway_simulator::User::new(id, "user"));
    }
    // As an older version may have stored them: roles of any spelling, presets with any role.
    replace_crd(&plane, &lax(&strict)).await;
    let broken = [
        manifest("alice", "{role: emperor}"),
        manifest("carl", "{role: user, permissionPreset: agent}"),
    ];
    until(LONG, "the laxer schema to be in force", async || {
        plane.apply_yaml("default", &broken.join("---\n")).await
    })
    .await
    .unwrap();
    replace_crd(&plane, &strict).await;
    plane
        .apply_yaml("default", &manifest("bob", "{role: contributor}"))
        .await
        .unwrap();
    let options = rig::OperatorOptions::new(env!("CARGO_BIN_EXE_operator-under-test"))
        .kubeconfig(plane.operator_kubeconfig().unwrap())
        .args(["--sweep-interval", "1s", "--settle-window", "1s"])
        .gateway(
            &gateway.base_url(),
            gateway.account_id(),
            &gateway.api_key(),
        );
    let _operator = Running::spawn(&witness, &options).await.unwrap();

    until_reason(&plane, "bob", "InSync").await;
    let alice = until_reason(&plane, "alice", "InvalidSpec").await;
    assert_eq!(ready(&alice)["status"], "False");
    assert_eq!(condition(&alice, "Stalled")["status"], "True");
    let message = ready(&alice)["message"].as_str().unwrap();
    assert!(message.contains("emperor"), "{message}");
    let carl = until_reason(&plane, "carl", "InvalidSpec").await;
    let message = ready(&carl)["message"].as_str().unwrap();
    assert!(message.contains("permissionPreset"), "{message}");

    // The watch lives on: a new object converges, and a mended one too.
    plane
        .apply_yaml("default", &manifest("dora", "{role: contributor}"))
        .await
        .unwrap();
    until_reason(&plane, "dora", "InSync").await;
    plane
        .apply_yaml("default", &manifest("alice", "{role: contributor}"))
        .await
        .unwrap();
    until_reason(&plane, "alice", "InSync").await;
    assert_eq!(gateway.user("alice").unwrap().role, "contributor");
    let journal = gateway.journal();
    assert!(
        journal
            .iter()
            .all(|one| one.verb != Verb::Patch || one.user.as_deref() != Some("carl"))
    );
}

pub fn crd_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("crds/fireworksusers.yaml")
}

pub async fn replace_crd(plane: &ControlPlane, yaml: &str) {
    plane
        .admin()
        .run_with_input(&["replace", "-f", "-"], yaml)
        .await
        .unwrap();
}

/// The same CRD without the roles' list and without any rule.
pub fn lax(strict: &str) -> String {
    let mut crd: serde_json::Value = serde_saphyr::from_str(strict).unwrap();
    loosen(&mut crd);
    crd.to_string()
}

fn loosen(schema: &mut serde_json::Value) {
    if let Some(map) = schema.as_object_mut() {
        map.remove("x-kubernetes-validations");
        if map.get("enum").is_some_and(serde_json::Value::is_array) {
            map.remove("enum");
        }
        map.values_mut().for_each(loosen);
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(loosen);
    }
}

/// Waits until the object of the default namespace reports it at its own generation.
pub async fn until_reason(plane: &ControlPlane, name: &str, reason: &str) -> serde_json::Value {
    let what = format!("{name} to be {reason}");
    let found = until(LONG, &what, async || {
        let rest = plane.rest().map_err(|error| error.to_string())?;
        let object = rest.get(&object_path("default", name)).await;
        let object = object.map_err(|error| error.to_string())?;
        let observed = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        if observed && ready(&object)["reason"] == reason {
            Ok(object)
        } else {
            Err(object["status"].to_string())
        }
    });
    found.await.unwrap_or_else(|timeout| panic!("{timeout}"))
}
