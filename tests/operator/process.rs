//! The operator as a process: one object's defect, a blocked thread, the order to stop, and the namespaces that it watches.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Fault, Kind, Outcome, User, Verb};
use rig::{Folder, until};

use crate::api_server::until_ready_in;
use crate::oracles::Rule;
use crate::stage::{LONG, Stage, Start, manifest, ready};

/// The time Kubernetes is promised.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn internal_error_after_a_panic_affects_one_object_alone() {
    let stage = Stage::set("panic").await;
    let why = "the pass of one object is made to panic";
    stage.expects(Rule::Process, why);
    // Without an e-mail address to lose, its change does not have to go alone.
    stage.gateway.put_user(User::new("broken", "user"));
    stage.user("alice", "user");
    let operator = stage
        .operator_with(Start {
            args: vec!["--test-panic-on=get fireworksusers broken".to_owned()],
            ..Start::default()
        })
        .await;
    stage.apply("broken", "{role: contributor}").await;
    let reported = stage.until_reason("broken", "InternalError").await;
    assert_eq!(ready(&reported)["status"], "Unknown");
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let edited = |user: &mut User| "user".clone_into(&mut user.role);
    assert!(stage.gateway.edit_user("alice", edited));
    stage
        .until_journal("the drift to be undone", |entries| {
            let of_alice = |entry: &&Entry| {
                entry.verb == Verb::Patch
                    && entry.user.as_deref() == Some("alice")
                    && entry.status == Some(200)
            };
            entries.iter().filter(of_alice).count() == 2
        })
        .await;
    assert!(operator.is_running().unwrap());
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    assert!(stage.patches("broken").is_empty());
}

#[tokio::test]
async fn concurrency_bounds_the_updates_in_flight() {
    let stage = Stage::set("concurrency").await;
    let users = ["ann", "bea", "carl", "dora", "emil", "fay"];
    for name in users {
        stage.gateway.put_user(User::new(name, "user"));
    }
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 500 }).on(Verb::Patch).always());
    let all = users.map(|name| manifest(name, "{role: contributor}"));
    stage
        .plane
        .apply_yaml(&stage.namespace, &all.join("---\n"))
        .await
        .unwrap();
    let start = Start {
        args: vec!["--concurrency=2".to_owned()],
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    for name in users {
        stage.until_ready(name).await;
    }
    let patches = stage.all_patches();
    assert_eq!(patches.len(), users.len());
    let in_flight = |at: u64| {
        let lasts = |one: &&Entry| one.received_ms <= at && one.answered_ms.unwrap() > at;
        patches.iter().filter(lasts).count()
    };
    let most = patches.iter().map(|one| in_flight(one.received_ms)).max();
    assert_eq!(most, Some(2));
}

#[tokio::test]
async fn an_idle_operator_stops_on_sigterm() {
    let stage = Stage::set("stop-idle").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: user}").await;
    let operator = stage.operator().await;
    stage.until_ready("alice").await;
    operator.terminate().unwrap();
    let exit = operator.wait_exit(STOPPED_WITHIN).await.unwrap();
    assert_eq!(exit.status.code(), Some(0));
    assert!(exit.after < Duration::from_secs(3), "{exit:?}");
}

#[tokio::test]
async fn an_operator_whose_call_hangs_stops_in_time_and_calls_nothing_done() {
    let stage = Stage::set("stop-hang").await;
    stage.user("alice", "user");
    let hang = Fault::new(Kind::Hang { applied: false });
    stage.gateway.add_fault(hang.on(Verb::Patch).always());
    let operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    stage
        .until_journal("the change that hangs", |entries| {
            entries.iter().any(|entry| entry.verb == Verb::Patch)
        })
        .await;
    let before = stage.gateway.last_seq();
    operator.terminate().unwrap();
    let exit = operator.wait_exit(STOPPED_WITHIN).await.unwrap();
    assert_eq!(exit.status.code(), Some(0), "{}", operator.logs());
    assert_ne!(ready(&stage.object("alice").await)["status"], "True");
    stage
        .until_journal("the call to be cut", |entries| {
            let cut = entries.iter().find(|entry| entry.verb == Verb::Patch);
            cut.is_some_and(|entry| entry.outcome == Outcome::ClientGone)
        })
        .await;
    let journal = stage.gateway.journal_since(before);
    let is_change = |entry: &Entry| entry.verb == Verb::Patch;
    assert!(
        !journal.iter().any(is_change),
        "no new change after the order to stop"
    );
}

#[tokio::test]
async fn namespace_flags_select_what_is_watched() {
    let stage = Stage::set("first").await;
    let second = stage.plane.create_namespace("second").await.unwrap();
    let third = stage.plane.create_namespace("third").await.unwrap();
    for name in ["alice", "bob", "mallory"] {
        stage.user(name, "user");
    }
    let mark = stage.mark();
    place(&stage, &third, "mallory").await;
    let _operator = stage
        .operator_with(Start {
            args: vec!["--namespace".to_owned(), second.clone()],
            ..Start::default()
        })
        .await;
    stage.apply("alice", "{role: contributor}").await;
    place(&stage, &second, "bob").await;
    stage.until_ready("alice").await;
    let bob = until_ready_in(stage.plane, &second, "bob").await;
    assert_eq!(bob["status"]["role"], "contributor");
    stage.until_sweeps(3).await;
    assert!(stage.patches("mallory").is_empty());
    let place = ["fireworksuser", "mallory", "-n", &third];
    let untouched = stage.plane.get_json(&place).await.unwrap();
    assert_eq!(
        untouched["status"],
        serde_json::json!({"observedGeneration": -1})
    );
    let log = stage.plane.audit_since(mark).unwrap();
    let there = rig::Requests::any()
        .by(rig::control_plane::OPERATOR_USER)
        .namespace(&third);
    assert_eq!(log.count(&there), 0);
}

/// Applies an object to another namespace than the stage's own.
async fn place(stage: &Stage, namespace: &str, name: &str) {
    let text = manifest(name, "{role: contributor}");
    stage.plane.apply_yaml(namespace, &text).await.unwrap();
}

/// An await is bounded by a deadline; what may keep the process from its work is a thread that blocks.
#[tokio::test]
async fn blocked_process_does_not_answer_the_liveness_probe() {
    let stage = Stage::set("blocked").await;
    stage.user("alice", "user");
    let folder = Folder::new("rig-stall-").unwrap();
    let file = folder.join("stalled");
    let start = Start {
        args: vec![format!("--test-stall-at={}", file.display())],
        ..Start::default()
    };
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    std::fs::write(&file, "").unwrap();
    until(LONG, "a request to be stalled", async || {
        let logs = operator.logs();
        if logs.contains("a request is stalled") {
            Ok(())
        } else {
            Err(logs)
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    operator.admin_get("/livez").await.unwrap_err();
    std::fs::remove_file(&file).unwrap();
    stage.apply("alice", "{role: contributor}").await;
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["status"]["role"], "contributor");
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}
