//! The order to stop while a call to the gateway is held: it is answered in time and the pass ends, or it is
//! cut. Nothing new begins, nothing half-done is called done, and the next operator finds everything as
//! it is. That the end comes within 10 s is asserted where nothing else is.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Fault, Kind, Outcome, Verb};
use rig::until;

use crate::crash_points::changes;
use crate::stage::{LONG, Stage, brief, manifests, ready};
use crate::witness::Running;

/// The time Kubernetes gives a Pod by default: by then it is gone for sure.
const GONE_WITHIN: Duration = Duration::from_secs(30);

async fn until_stopping(operator: &Running) {
    operator.terminate().unwrap();
    until(LONG, "SIGTERM to be logged", async || {
        let logged = operator.logs().contains(r#""message":"stopping""#);
        if logged { Ok(()) } else { Err(operator.logs()) }
    })
    .await
    .unwrap();
}

async fn until_gone(operator: &Running) {
    let exit = operator.wait_exit(GONE_WITHIN).await.unwrap();
    assert_eq!(exit.status.code(), Some(0), "{}", operator.logs());
}

async fn until_held(stage: &Stage, verb: Verb) {
    stage
        .until_journal("the call that is held", |entries| {
            let held = |entry: &Entry| entry.verb == verb && entry.outcome == Outcome::Pending;
            entries.iter().any(held)
        })
        .await;
}

/// Holds calls of that kind, and sends SIGTERM when one is held. What was asked later is returned.
async fn stopped_while_held(stage: &Stage, fault: Fault, verb: Verb) -> Vec<Entry> {
    stage.gateway.add_fault(fault);
    let operator = stage.operator().await;
    until_held(stage, verb).await;
    until_stopping(&operator).await;
    let last = stage.gateway.last_seq();
    until_gone(&operator).await;
    stage.gateway.clear_faults();
    stage.gateway.journal_since(last)
}

#[tokio::test]
async fn sigterm_while_a_list_is_held() {
    let stage = Stage::set("stop-list").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: contributor}").await;
    let hang = Fault::new(Kind::Hang { applied: false }).on(Verb::List);
    let later = stopped_while_held(&stage, hang.always(), Verb::List).await;
    assert!(later.is_empty(), "{:#?}", brief(&later));
    assert_ne!(ready(&stage.object("alice").await)["status"], "True");
    let _next = stage.operator().await;
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
}

#[tokio::test]
async fn sigterm_while_a_read_of_one_user_is_held() {
    let stage = Stage::set("stop-get").await;
    stage.user("alice", "user");
    stage.apply("nobody", "{role: user}").await;
    let hang = Fault::new(Kind::Hang { applied: false }).on(Verb::Get);
    let later = stopped_while_held(&stage, hang.always(), Verb::Get).await;
    assert!(later.is_empty(), "{:#?}", brief(&later));
    let object = stage.object("nobody").await;
    assert_ne!(
        ready(&object)["reason"],
        "UserNotFound",
        "not confirmed yet"
    );
    let _next = stage.operator().await;
    stage.until_reason("nobody", "UserNotFound").await;
}

#[tokio::test]
async fn sigterm_while_the_answer_to_a_change_is_held() {
    let stage = Stage::set("stop-applied").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: contributor}").await;
    let hang = Fault::new(Kind::Hang { applied: true }).on(Verb::Patch);
    let later = stopped_while_held(&stage, hang.always(), Verb::Patch).await;
    let changed = later.iter().filter(|entry| entry.verb == Verb::Patch);
    assert_eq!(changed.count(), 0, "{:#?}", brief(&later));
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    assert_ne!(ready(&stage.object("alice").await)["status"], "True");
    let _next = stage.operator().await;
    stage.until_ready("alice").await;
    assert_eq!(
        stage.patches("alice").len(),
        1,
        "it was done, and is not done again"
    );
}

#[tokio::test]
async fn an_update_answered_after_sigterm_is_still_reported() {
    let stage = Stage::set("stop-answered").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: contributor}").await;
    let hang = Fault::new(Kind::Hang { applied: false }).on(Verb::Patch);
    stage.gateway.add_fault(hang);
    let operator = stage.operator().await;
    until_held(&stage, Verb::Patch).await;
    until_stopping(&operator).await;
    stage.gateway.clear_faults();
    until_gone(&operator).await;
    let object = stage.object("alice").await;
    let generation = &object["metadata"]["generation"];
    assert_eq!(ready(&object)["status"], "True", "{}", operator.logs());
    assert_eq!(object["status"]["observedGeneration"], *generation);
    assert_eq!(stage.patches("alice").len(), 1);
}

#[tokio::test]
async fn sigterm_in_the_middle_of_a_rollout() {
    let stage = Stage::set("stop-many").await;
    let names: Vec<String> = (0..40).map(|n| format!("user-{n:02}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    let all = manifests(&names, "{role: contributor}");
    stage.apply_all(&all).await;
    // The first few go through, the rest is applied and not answered.
    let hang = Fault::new(Kind::Hang { applied: true }).on(Verb::Patch);
    let hang = hang.from_nth(6).always();
    let later = stopped_while_held(&stage, hang, Verb::Patch).await;
    let changed = later.iter().filter(|entry| entry.verb == Verb::Patch);
    // What was on its way when the order came is all there is.
    assert!(changed.count() <= 16, "{:#?}", brief(&later));
    for object in &stage.objects().await.unwrap() {
        let name = object["metadata"]["name"].as_str().unwrap();
        let is_ready = ready(object)["status"] == "True";
        let answered = stage
            .patches(name)
            .iter()
            .any(|one| one.status == Some(200));
        assert!(answered || !is_ready, "{name} is called done and is not");
    }
    let _next = stage.operator().await;
    stage.until_all_ready().await;
    stage.until_sweeps(2).await;
    for name in &names {
        let patches = stage.patches(name);
        let role = [("role".to_owned(), r#""contributor""#.to_owned())];
        assert_eq!(changes(&patches), role, "{name}");
        assert!(patches.len() <= 2, "{:#?}", brief(&patches));
    }
}
