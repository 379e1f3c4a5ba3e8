//! What flags let objects grant: `--grant-namespace`, `--protected-user` and `--min-admins`.

use fireworks_gateway_simulator::{User, Verb};
use serde_json::Value;

use crate::stage::{Stage, Start, condition, manifest, ready};

fn with(args: &[&str]) -> Start {
    Start {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        ..Start::default()
    }
}

/// Waits until the object is held by that guard, which only a person lifts.
async fn until_stalled(stage: &Stage, name: &str, reason: &str, guard: &str) -> Value {
    let object = stage.until_reason(name, reason).await;
    assert_eq!(object["status"]["guard"], guard);
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    object
}

/// Objects that existed before the flag, drift, and edits: nothing that has or would get power is changed from a namespace
/// that is not listed. What matches stays in sync, what has no power is reconciled, and Observe only reports.
#[tokio::test]
async fn grant_namespace_holds_power_as_namespace_not_allowed_elsewhere() {
    let stage = Stage::set("notallowed").await;
    for (id, role) in [
        ("root", "admin"),
        ("ada", "admin"),
        ("bob", "user"),
        ("cat", "admin"),
    ] {
        stage.user(id, role);
    }
    let operator = stage.operator().await;
    stage.apply("ada", "{role: admin}").await;
    stage.apply("bob", "{role: user}").await;
    stage.until_all_ready().await;
    drop(operator);

    let _operator = stage
        .operator_with(with(&["--grant-namespace", "another-namespace"]))
        .await;
    let mark = stage.mark();
    stage.until_sweeps(2).await;
    assert_eq!(stage.writes(mark), Vec::new(), "what matches is in sync");
    // Drift: ada's role is not granted again.
    let demote = |user: &mut User| user.role = "contributor".into();
    assert!(stage.gateway.edit_user("ada", demote));
    let object = until_stalled(
        &stage,
        "ada",
        "NamespaceNotAllowed",
        "namespace-not-allowed",
    )
    .await;
    let message = ready(&object)["message"].as_str().unwrap();
    assert!(message.contains("--grant-namespace"), "{message}");
    assert_eq!(object["status"]["drift"][0]["actual"], "contributor");
    stage.until_event("ada", "Protected").await;
    // Edits: neither granted nor taken away.
    stage
        .apply("bob", "{role: custom, permissionPreset: agent}")
        .await;
    stage.apply("cat", "{role: user}").await;
    for name in ["bob", "cat"] {
        until_stalled(&stage, name, "NamespaceNotAllowed", "namespace-not-allowed").await;
    }
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches(), Vec::new());
    // Without power on either side.
    stage.apply("bob", "{role: contributor}").await;
    stage.until_ready("bob").await;
    stage
        .apply("cat", "{role: user, managementPolicy: Observe}")
        .await;
    stage.until_reason("cat", "Drifted").await;
    assert_eq!(stage.gateway.user("cat").unwrap().role, "admin");
    assert_eq!(stage.all_patches().len(), 1);
}

#[tokio::test]
async fn grant_namespace_lists_the_namespace_that_may_grant() {
    let stage = Stage::set("allowed").await;
    stage.user("root", "admin");
    stage.user("ada", "admin");
    stage.user("bob", "user");
    let namespaces = format!("another-namespace,{}", stage.namespace);
    let _operator = stage
        .operator_with(with(&["--grant-namespace", &namespaces]))
        .await;
    stage.apply("ada", "{role: user}").await;
    stage.apply("bob", "{role: admin}").await;
    stage.until_all_ready().await;
    assert_eq!(stage.gateway.user("ada").unwrap().role, "user");
    assert_eq!(stage.gateway.user("bob").unwrap().role, "admin");
}

/// In another letter case, by the spec and on drift. It counts as an admin all the same.
#[tokio::test]
async fn protected_user_is_never_changed_and_counts_as_admin() {
    let stage = Stage::set("protecteduser").await;
    for id in ["Robot", "ada"] {
        stage.user(id, "admin");
    }
    let _operator = stage
        .operator_with(with(&["--protected-user", "other,rOBOT"]))
        .await;
    let declare = async |spec: &str| {
        let spec = format!("{{userId: Robot, {spec}}}");
        stage.apply("robot", &spec).await;
    };
    declare("role: admin").await;
    stage.until_ready("robot").await;
    declare("role: user").await;
    let object = until_stalled(&stage, "robot", "Protected", "protected-user").await;
    let message = ready(&object)["message"].as_str().unwrap();
    assert!(message.contains("--protected-user"), "{message}");
    declare("role: admin, displayName: Another Name").await;
    stage
        .until_object("robot", "the hold of a new name", |object| {
            object["status"]["guard"] == "protected-user"
                && object["status"]["drift"][0]["field"] == "displayName"
        })
        .await;
    stage.apply("ada", "{role: user}").await;
    stage.until_ready("ada").await;
    // Drift of it is reported, and stays.
    stage.user("root", "admin");
    declare("role: admin").await;
    stage.until_ready("robot").await;
    let demote = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user("Robot", demote));
    until_stalled(&stage, "robot", "Protected", "protected-user").await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.patches("Robot"), Vec::new());
    assert_eq!(stage.patches("ada").len(), 1);
}

/// Of three admins one is demoted, and the next one once there is a third one again.
#[tokio::test]
async fn min_admins_are_left_by_demotions() {
    let stage = Stage::set("minadmins").await;
    for id in ["ann", "bea", "cid"] {
        stage.user(id, "admin");
    }
    let _operator = stage.operator_with(with(&["--min-admins", "2"])).await;
    let demoted = ["ann", "bea"].map(|id| manifest(id, "{role: user}"));
    stage.apply_all(&demoted.join("---\n")).await;
    let is_held = |object: &Value| object["status"]["guard"] == "last-admin";
    let held = rig::until(crate::stage::LONG, "one held, one demoted", async || {
        let objects = [stage.object("ann").await, stage.object("bea").await];
        let ready: Vec<_> = objects
            .iter()
            .map(|one| ready(one)["reason"].clone())
            .collect();
        match objects.iter().position(is_held) {
            Some(at) if ready[1 - at] == "InSync" => Ok(objects[at].clone()),
            _ => Err(format!("{ready:?}")),
        }
    })
    .await
    .unwrap();
    assert_eq!(ready(&held)["reason"], "Protected");
    assert_eq!(condition(&held, "Reconciling")["status"], "True");
    let message = ready(&held)["message"].as_str().unwrap();
    assert!(message.contains("must keep 2 other admins"), "{message}");
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 1);
    stage.user("dan", "admin");
    stage.until_ready("ann").await;
    stage.until_ready("bea").await;
    let admins = stage.gateway.users().into_iter();
    let admins: Vec<_> = admins
        .filter(|user| user.role == "admin")
        .map(|user| user.id)
        .collect();
    assert_eq!(admins, ["cid", "dan"]);
}

/// A person demotes another admin right after the operator has: with a minimum of two the operator's demotion is undone.
#[tokio::test]
async fn min_admins_are_restored_after_a_demotion_elsewhere() {
    let stage = Stage::set("minadmins").await;
    for id in ["ann", "bea", "cid"] {
        stage.user(id, "admin");
    }
    let _operator = stage.operator_with(with(&["--min-admins", "2"])).await;
    for role in ["admin", "user"] {
        stage.apply("ann", &format!("{{role: {role}}}")).await;
        stage.until_ready("ann").await;
    }
    let demote = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user("cid", demote));
    stage
        .until_journal("ann to be admin again", |journal| {
            let is_restored = |entry: &fireworks_gateway_simulator::Entry| {
                let role = entry.body.as_ref().map(|body| body["role"] == "admin");
                entry.verb == Verb::Patch && entry.status == Some(200) && role == Some(true)
            };
            journal.iter().any(is_restored)
        })
        .await;
    let object = stage.until_reason("ann", "Protected").await;
    assert_eq!(object["status"]["guard"], "last-admin");
    assert_eq!(stage.gateway.user("ann").unwrap().role, "admin");
}
