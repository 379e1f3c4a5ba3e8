//! Objects that change nothing: Observe, suspend and `--observe-only`; and the annotation that forces one
//! read.

use fireworks_gateway_simulator::{Entry, User, Verb};
use serde_json::{Value, json};

use crate::stage::{Stage, Start, brief, condition, ready};

/// More users than two pages hold: a few objects are then read one by one.
const LARGE: usize = 450;

#[tokio::test]
async fn observe_reports_every_field_that_differs_and_changes_nothing() {
    let stage = Stage::set("observe").await;
    stage
        .gateway
        .put_user(User::new("alice", "user").display_name("Al"));
    let _operator = stage.operator().await;
    let spec =
        "{role: custom, permissionPreset: agent, displayName: Alice, managementPolicy: Observe}";
    stage.apply("alice", spec).await;
    let object = stage.until_reason("alice", "Drifted").await;

    let drift = json!([
        {"field": "role", "desired": "custom", "actual": "user"},
        {"field": "permissionPreset", "desired": "agent"},
        {"field": "displayName", "desired": "Alice", "actual": "Al"},
    ]);
    assert_eq!(object["status"]["drift"], drift);
    assert_eq!(object["status"]["role"], "user");
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert_eq!(condition(&object, "Reconciling"), &Value::Null);
    let message = ready(&object)["message"].as_str().unwrap();
    for field in ["role", "permissionPreset", "displayName"] {
        assert!(message.contains(field), "{message}");
    }
    let mark = stage.mark();
    stage.until_sweeps(3).await;
    assert_eq!(stage.status_writes(mark).len(), 0);

    stage.gateway.edit_user("alice", |user| {
        user.role = "custom".into();
        user.permission_preset = "agent".into();
        user.display_name = "Alice".into();
    });
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["drift"], Value::Null);
    assert_eq!(condition(&object, "Stalled"), &Value::Null);
    assert_eq!(object["status"]["permissionPreset"], "agent");
    assert_eq!(stage.all_patches().len(), 0);
    let none: [String; 0] = [];
    assert_eq!(stage.event_reasons("alice").await, none, "no match before");

    let renamed = |user: &mut User| user.display_name = "Al\u{200b}ice".into();
    stage.gateway.edit_user("alice", renamed);
    let object = stage.until_reason("alice", "Drifted").await;
    let hidden = "differs only in invisible characters";
    let drift = json!([{"field": "displayName", "desired": "Alice", "actual": format!("Alice ({hidden})")}]);
    assert_eq!(object["status"]["drift"], drift);
    let message = ready(&object)["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("displayName ({hidden})")),
        "{message}"
    );
    stage.until_event("alice", "DriftDetected").await;
    assert_eq!(stage.event_reasons("alice").await, ["DriftDetected"]);
}

#[tokio::test]
async fn observe_shows_the_drift_as_it_moves() {
    let stage = Stage::set("observe").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage
        .apply("alice", "{role: admin, managementPolicy: Observe}")
        .await;
    stage.until_reason("alice", "Drifted").await;
    stage
        .gateway
        .edit_user("alice", |user| user.role = "contributor".into());
    let actual = |object: &Value| object["status"]["drift"][0]["actual"] == "contributor";
    stage.until_object("alice", "the new drift", actual).await;
    assert_eq!(stage.all_patches().len(), 0);
}

#[tokio::test]
async fn an_object_that_turns_from_observe_to_manage_is_put_right() {
    let stage = Stage::set("observe").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage
        .apply("alice", "{role: contributor, managementPolicy: Observe}")
        .await;
    stage.until_reason("alice", "Drifted").await;
    stage
        .apply("alice", "{role: contributor, managementPolicy: Manage}")
        .await;
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["drift"], Value::Null);
    assert_eq!(stage.patches("alice").len(), 1);
}

#[tokio::test]
async fn observe_only_sends_no_patch_at_all() {
    let stage = Stage::set("observe").await;
    stage.user("alice", "user");
    stage.user("bob", "admin");
    stage.user("carol", "user");
    stage.apply("alice", "{role: contributor}").await;
    stage
        .apply("bob", "{role: user, managementPolicy: Observe}")
        .await;
    stage.apply("carol", "{role: user}").await;
    let start = Start {
        args: vec!["--observe-only".into()],
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    let object = stage.until_reason("alice", "Drifted").await;
    let drift = json!([{"field": "role", "desired": "contributor", "actual": "user"}]);
    assert_eq!(object["status"]["drift"], drift);
    stage.until_reason("bob", "Drifted").await;
    stage.until_ready("carol").await;
    stage
        .gateway
        .edit_user("carol", |user| user.role = "admin".into());
    stage.until_reason("carol", "Drifted").await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 0);
}

#[tokio::test]
async fn suspended_in_sync_object_gets_no_call_and_keeps_its_status() {
    let stage = Stage::set("suspend").await;
    stage.gateway.seed(LARGE);
    stage.user("alice", "user");
    stage.user("bob", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.apply("bob", "{role: user}").await;
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;

    stage.apply("alice", "{role: user, suspend: true}").await;
    let object = stage.until_reason("alice", "Suspended").await;
    assert_eq!(ready(&object)["status"], "True", "the last look matched");
    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());
    stage
        .gateway
        .edit_user("alice", |user| user.role = "admin".into());
    until_read(&stage, "bob", 3).await;
    let of_alice = |entry: &Entry| entry.seq > seq && entry.user.as_deref() == Some("alice");
    let calls: Vec<_> = stage
        .gateway
        .journal()
        .into_iter()
        .filter(of_alice)
        .collect();
    assert_eq!(calls.len(), 0, "{:#?}", brief(&calls));
    assert_eq!(stage.status_writes(mark).len(), 0);

    stage.apply("alice", "{role: user, suspend: false}").await;
    stage.until_ready("alice").await;
    stage
        .until_journal("the drift to be repaired", |_| {
            stage.gateway.user("alice").unwrap().role == "user"
        })
        .await;
    stage.until_ready("alice").await;
}

#[tokio::test]
async fn suspended_object_without_a_match_is_unknown_and_converges_once_resumed() {
    let stage = Stage::set("suspend").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    let _operator = stage.operator().await;
    stage.apply("bob", "{role: user}").await;
    stage.until_ready("bob").await;
    stage
        .apply("alice", "{role: contributor, suspend: true}")
        .await;
    let object = stage.until_reason("alice", "Suspended").await;
    assert_eq!(ready(&object)["status"], "Unknown");
    stage.until_sweeps(2).await;
    assert_eq!(stage.patches("alice").len(), 0);

    stage
        .merge("alice", &json!({"spec": {"suspend": null}}))
        .await;
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
}

#[tokio::test]
async fn a_restart_leaves_the_status_of_suspended_objects_as_it_was() {
    let stage = Stage::set("suspend").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    stage.user("carol", "user");
    let operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.apply("carol", "{role: user}").await;
    stage.until_ready("alice").await;
    stage.until_ready("carol").await;
    stage.apply("alice", "{role: user, suspend: true}").await;
    stage
        .apply("bob", "{role: contributor, suspend: true}")
        .await;
    let alice = stage.until_reason("alice", "Suspended").await;
    let bob = stage.until_reason("bob", "Suspended").await;
    assert_eq!(ready(&alice)["status"], "True");
    assert_eq!(ready(&bob)["status"], "Unknown");
    drop(operator);

    let mark = stage.mark();
    let _operator = stage.operator().await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.writes(mark), Vec::new());
    assert_eq!(ready(&stage.object("alice").await)["status"], "True");
}

#[tokio::test]
async fn the_annotation_forces_one_read_now_and_a_restart_does_not_repeat_it() {
    let stage = Stage::set("force").await;
    // A user for each value, but for that after the restart: each has one read a minute.
    let names = ["alice", "bob", "carol"];
    for name in names {
        stage.user(name, "user");
    }
    let hourly = || Start {
        sweep: "1h",
        ..Start::default()
    };
    let operator = stage.operator_with(hourly()).await;
    for name in names {
        stage.apply(name, "{role: user}").await;
    }
    stage.until_all_ready().await;
    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());

    stage.force_read("alice", "first").await;
    until_calls(&stage, seq, 1).await;
    // The annotation's own event, and whatever the read brings, have been dealt with once a second value was.
    stage.force_read("bob", "second").await;
    until_calls(&stage, seq, 2).await;
    assert_eq!(stage.writes(mark), Vec::new());

    stage
        .gateway
        .edit_user("carol", |user| user.role = "contributor".into());
    stage.force_read("carol", "third").await;
    stage
        .until_journal("the drift to be repaired", |_| {
            stage.gateway.user("carol").unwrap().role == "user"
        })
        .await;
    stage.until_event("carol", "DriftCorrected").await;
    drop(operator);

    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());
    let _operator = stage.operator_with(hourly()).await;
    until_calls(&stage, seq, 1).await;
    stage.force_read("alice", "fourth").await;
    until_calls(&stage, seq, 2).await;
    let verbs: Vec<_> = stage
        .calls_since(seq)
        .iter()
        .map(|call| call.verb)
        .collect();
    assert_eq!(
        verbs,
        [Verb::List, Verb::Get],
        "the start's sweep, and the new value's read"
    );
    assert_eq!(stage.writes(mark), Vec::new());
}

/// Waits for that many answered calls, and sees that there are no more.
async fn until_calls(stage: &Stage, seq: u64, count: usize) {
    let what = format!("{count} calls");
    let since = |entries: &[Entry]| {
        entries
            .iter()
            .filter(|entry| entry.seq > seq && entry.status.is_some())
            .count()
    };
    stage
        .until_journal(&what, |entries| since(entries) >= count)
        .await;
    let calls = stage.calls_since(seq);
    assert_eq!(calls.len(), count, "{:#?}", brief(&calls));
}

/// Waits until that user was read that often by itself after now.
async fn until_read(stage: &Stage, user: &str, count: usize) {
    let seq = stage.gateway.last_seq();
    let read = |entry: &&Entry| {
        entry.seq > seq && entry.verb == Verb::Get && entry.user.as_deref() == Some(user)
    };
    let what = format!("{count} reads of {user}");
    stage
        .until_journal(&what, |entries| {
            entries.iter().filter(read).count() >= count
        })
        .await;
}
