//! Each leg of the way to the gateway goes silent once: the connection is taken and nothing is read, the answer does not
//! begin, or it does not end. A call has 15 seconds; five more, by the operator's own clock, and all is well.

use fireworks_gateway_simulator::{Entry, Fault, Kind, Verb};
use rig::until;

use crate::clock::Clock;
use crate::stage::{LONG, Stage, Start};
use crate::witness::Running;

/// The fifteen seconds that a call to the gateway is given, and five.
const RECOVERED: u64 = 20;

/// An operator in sync whose sweeps are far apart, so that one call hangs and no other.
async fn in_sync(prefix: &str) -> (Stage, Clock, Running) {
    let stage = Stage::set(prefix).await;
    stage.user("alice", "user");
    let clock = Clock::new();
    let start = Start {
        sweep: "10m",
        ..Start::default()
    };
    let operator = stage.operator_with(clock.start(start)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    (stage, clock, operator)
}

async fn until_hit(stage: &Stage) {
    let hit = |calls: &[Entry]| calls.iter().any(|call| call.fault.is_some());
    stage.until_journal("a call that hangs", hit).await;
}

/// The first change meets it, and no other does.
async fn a_change_recovers(prefix: &str, kind: Kind) {
    let (stage, mut clock, operator) = in_sync(prefix).await;
    stage.gateway.add_fault(Fault::new(kind).on(Verb::Patch));
    stage.apply("alice", "{role: contributor}").await;
    until_hit(&stage).await;
    clock.leave(RECOVERED);
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["status"]["role"], "contributor");
    assert!(stage.patches("alice").len() <= 2);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_change_that_is_not_answered_is_made_within_five_seconds_of_its_deadline() {
    a_change_recovers("mute", Kind::Hang { applied: false }).await;
}

#[tokio::test]
async fn a_change_whose_answer_does_not_end_is_ready_within_five_seconds_of_its_deadline() {
    a_change_recovers("broken-off", Kind::HangInBody).await;
}

/// The first list meets it, which everybody waits for.
async fn a_list_recovers(prefix: &str, kind: Kind) {
    let stage = Stage::set(prefix).await;
    stage.user("alice", "user");
    stage.gateway.add_fault(Fault::new(kind).on(Verb::List));
    let mut clock = Clock::new();
    let start = clock.start(Start::default());
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    until_hit(&stage).await;
    clock.leave(RECOVERED);
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_list_that_is_not_answered_is_asked_again_within_five_seconds_of_its_deadline() {
    a_list_recovers("mute-list", Kind::Hang { applied: false }).await;
}

#[tokio::test]
async fn a_list_that_does_not_end_is_asked_again_within_five_seconds_of_its_deadline() {
    a_list_recovers("broken-list", Kind::HangInBody).await;
}

#[tokio::test]
async fn a_connection_that_is_taken_and_never_read_is_given_up_and_made_anew() {
    let stage = Stage::set("deaf").await;
    stage.user("alice", "user");
    let deaf = stage.gateway.add_fault(Fault::new(Kind::Deaf).always());
    let mut clock = Clock::new();
    let start = clock.start(Start::default());
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    // A connection is met before a call is heard: what hangs on it is under way by now.
    until(LONG, "a connection", async || {
        let faults = stage.gateway.faults();
        match faults.iter().map(|fault| fault.hits).sum::<u64>() {
            0 => Err("none"),
            _ => Ok(()),
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    clock.sleep(16).await;
    stage.until_reason("alice", "RemoteUnavailable").await;
    stage.gateway.remove_fault(deaf);
    clock.leave(RECOVERED);
    stage.until_ready("alice").await;
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}
