//! Several watched namespaces, of which not all can be read: the others are served, and what an object there may decide
//! stays undecided.

use rig::{OperatorProcess, until};
use serde_json::json;

use crate::api_server::until_ready_in;
use crate::clock::Clock;
use crate::rights::{account, grant};
use crate::stage::{LONG, Stage, Start, manifest, object_path, ready};

/// Applies an object that is younger than the one of that name in the other namespace: ages are whole seconds.
async fn apply_younger(stage: &Stage, other: &str, name: &str, spec: &str) {
    let created = async |namespace: &str| {
        let path = object_path(namespace, name);
        let object = stage.rest().get(&path).await.unwrap();
        object["metadata"]["creationTimestamp"].to_string()
    };
    let older = created(other).await;
    until(LONG, "a later second", async || {
        stage.apply(name, spec).await;
        let younger = created(&stage.namespace).await;
        if younger > older {
            return Ok(());
        }
        stage.delete(name).await;
        Err(younger)
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// What the probe of readiness answers, once that holds of it.
pub async fn until_readyz(operator: &OperatorProcess, holds: impl Fn(u16, &str) -> bool) -> String {
    until(LONG, "/readyz to answer so", async || {
        match operator.admin_get("/readyz").await {
            Ok((code, text)) if holds(code, &text) => Ok(text),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"))
}

/// Waits until the probe of readiness names no problem.
pub async fn until_all_is_well(operator: &OperatorProcess) {
    until_readyz(operator, |code, text| code == 200 && text == "ok\n").await;
}

pub async fn watch_failing(operator: &OperatorProcess, namespace: &str) -> String {
    let (_, text) = operator.admin_get("/metrics").await.unwrap();
    let label = format!("watch_failing{{namespace=\"{namespace}\"}}");
    let line = text.lines().find(|line| line.contains(&label)).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

/// Of two namespaces one cannot be read. An object in the other is in conflict with an older one there: who holds the
/// user cannot be known, and the status of before stays.
#[tokio::test]
async fn unreadable_namespace_holds_up_no_other() {
    let stage = Stage::set("readable").await;
    let unreadable = stage.plane.create_namespace("unreadable").await.unwrap();
    for name in ["alice", "bob"] {
        stage.user(name, "user");
    }
    let older = manifest("bob", "{role: contributor}");
    stage.plane.apply_yaml(&unreadable, &older).await.unwrap();
    stage.apply("alice", "{role: contributor}").await;
    apply_younger(&stage, &unreadable, "bob", "{role: inference-user}").await;
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "Conflict", "message": "held by another object",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions = [condition("Ready", "False"), condition("Stalled", "True")];
    let status = json!({"observedGeneration": 1, "userId": "bob", "conditions": conditions});
    stage.merge_status("bob", &status).await;
    let kubeconfig = account(&stage).await;
    grant(&stage, &stage.namespace).await;

    let mut clock = Clock::new();
    let start = clock.start(Start {
        args: vec!["--namespace".to_owned(), unreadable.clone()],
        kubeconfig: Some(kubeconfig),
        ..Start::default()
    });
    let operator = stage.operator_with(start).await;
    until_readyz(&operator, |code, text| {
        code == 503 && text.trim_end().ends_with(&format!(": {unreadable}"))
    })
    .await;
    assert!(stage.all_patches().is_empty(), "changed before all is seen");
    clock.pass(31).await;
    let served = until_readyz(&operator, |code, _| code == 200).await;
    assert!(served.contains(&unreadable), "{served}");
    stage.until_ready("alice").await;
    assert_eq!(watch_failing(&operator, &unreadable).await, "1");
    assert_eq!(watch_failing(&operator, &stage.namespace).await, "0");
    assert!(operator.logs().contains(&unreadable), "named in the log");
    stage.until_sweeps(2).await;
    assert!(stage.patches("bob").is_empty());
    let held = stage.object("bob").await;
    assert_eq!(ready(&held)["message"], "held by another object");

    grant(&stage, &unreadable).await;
    let bob = until_ready_in(stage.plane, &unreadable, "bob").await;
    assert_eq!(bob["status"]["role"], "contributor");
    until_all_is_well(&operator).await;
    assert_eq!(watch_failing(&operator, &unreadable).await, "0");
    // It is looked at now, and another one still holds its user.
    stage
        .until_object("bob", "to name the holder", |object| {
            let ready = ready(object);
            ready["reason"] == "Conflict" && ready["message"] != "held by another object"
        })
        .await;
    assert_eq!(stage.patches("bob").len(), 1);
}
