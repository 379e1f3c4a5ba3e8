//! What Fireworks refuses, when it is tried again, and that a restart or an upgrade asks for nothing but one probe.

use fireworks_gateway_simulator::{Fault, Kind, Verb};
use jiff::{SignedDuration, Timestamp};
use operator_runtime::clock;
use serde_json::{Value, json};

use crate::stage::{Stage, ready};

const PERMISSION_DENIED: i64 = 7;
const INVALID_ARGUMENT: i64 = 3;

fn refuse(stage: &Stage, code: i64) {
    let refusal = Fault::new(Kind::error(code)).on(Verb::Patch);
    stage.gateway.add_fault(refusal.always());
}

/// Objects that ask for another role than their users have, all refused.
async fn denied(prefix: &str, names: &[&str]) -> (Stage, crate::witness::Running) {
    let stage = Stage::set(prefix).await;
    refuse(&stage, PERMISSION_DENIED);
    for name in names {
        stage.user(name, "user");
        stage.apply(name, "{role: contributor}").await;
    }
    let operator = stage.operator().await;
    for name in names {
        stage.until_reason(name, "PermissionDenied").await;
        assert_eq!(stage.patches(name).len(), 1);
    }
    (stage, operator)
}

#[tokio::test]
async fn permission_denied_is_probed_on_request_and_one_success_releases_all() {
    let names = ["a", "b", "c"];
    let (stage, _operator) = denied("probe", &names).await;
    stage.gateway.clear_faults();
    stage.until_sweeps(3).await;
    assert_eq!(stage.all_patches().len(), 3, "nothing is known of the key");
    stage.force_read("b", "now").await;
    for name in names {
        stage.until_ready(name).await;
        assert_eq!(stage.patches(name).len(), 2, "{name}");
    }
}

#[tokio::test]
async fn permission_denied_after_a_restart_is_probed_once_it_has_settled() {
    let names = ["a", "b", "c"];
    let (stage, operator) = denied("probe-restart", &names).await;
    drop(operator);
    let _operator = stage.operator().await;
    stage
        .until_journal("the probe", |entries| {
            entries.iter().filter(|one| one.verb == Verb::Patch).count() > names.len()
        })
        .await;
    stage.until_sweeps(4).await;
    assert_eq!(stage.all_patches().len(), names.len() + 1, "one of them");
    // A change that was not refused yet is tried, and releases the others.
    stage.gateway.clear_faults();
    stage.user("d", "user");
    stage.apply("d", "{role: contributor}").await;
    stage.until_all_ready().await;
}

#[tokio::test]
async fn permission_denied_since_a_demotion_holds_all_changes_and_names_it() {
    let stage = Stage::set("own-demotion").await;
    for admin in ["boss", "root"] {
        stage.user(admin, "admin");
    }
    for name in ["a", "b", "c"] {
        stage.user(name, "user");
    }
    let _operator = stage.operator().await;
    stage.apply("boss", "{role: user}").await;
    stage.until_ready("boss").await;
    refuse(&stage, PERMISSION_DENIED);
    for name in ["a", "b"] {
        stage.apply(name, "{role: contributor}").await;
        stage.until_reason(name, "PermissionDenied").await;
    }
    stage.apply("c", "{role: contributor}").await;
    for name in ["a", "b", "c"] {
        let named = |object: &Value| {
            let message = ready(object)["message"].as_str().unwrap_or_default();
            ready(object)["reason"] == "PermissionDenied" && message.contains("boss")
        };
        stage
            .until_object(name, "the demotion to be named", named)
            .await;
    }
    assert_eq!(stage.patches("c").len(), 0, "it waits with the others");
    stage.gateway.clear_faults();
    stage.force_read("a", "now").await;
    for name in ["a", "b", "c"] {
        stage.until_ready(name).await;
    }
}

/// A status as an older version wrote it.
fn status(name: &str, reason: &str, ready: &str, message: &str, since: Timestamp) -> Value {
    let beside = match ready {
        "True" => None,
        "False"
            if ![
                "UserNotFound",
                "RemoteError",
                "Contested",
                "Unauthenticated",
            ]
            .contains(&reason) =>
        {
            Some("Stalled")
        }
        _ if reason == "Suspended" => None,
        _ => Some("Reconciling"),
    };
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": since.to_string()})
    };
    let mut conditions = vec![condition("Ready", ready)];
    conditions.extend(beside.map(|kind| condition(kind, "True")));
    json!({"observedGeneration": 1, "name": format!("accounts/acme/users/{name}"), "userId": name,
        "state": "READY", "role": "user", "conditions": conditions})
}

#[tokio::test]
async fn rejected_is_tried_again_at_the_whole_hour_and_not_by_a_restart() {
    let stage = Stage::set("hour").await;
    refuse(&stage, INVALID_ARGUMENT);
    stage.user("alice", "user");
    stage.apply("alice", "{role: contributor}").await;
    // Three days ago, but for some seconds.
    let due = clock::timestamp().as_second() + 20;
    let due = Timestamp::from_second(due).unwrap();
    let since = due.saturating_sub(SignedDuration::from_hours(72)).unwrap();
    let mut before = status(
        "alice",
        "Rejected",
        "False",
        "Fireworks rejected the change: no",
        since,
    );
    let account = stage.gateway.account_id();
    before["name"] = json!(format!("accounts/{account}/users/alice"));
    stage.merge_status("alice", &before).await;
    let _operator = stage.operator().await;
    let tried = |entries: &[fireworks_gateway_simulator::Entry]| {
        entries.iter().any(|one| one.verb == Verb::Patch)
    };
    stage.until_journal("the next try", tried).await;
    assert!(clock::timestamp() >= due, "three days were missed");
    stage.until_sweeps(3).await;
    assert_eq!(stage.all_patches().len(), 1);
}
