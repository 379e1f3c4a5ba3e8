//! Each leg of the way to the API server becomes unresponsive by itself: calls are taken and never answered. Nothing waits for
//! ever, what is not concerned goes on, and the order to stop is obeyed. How soon it is well again is measured by the
//! operator's own clock, which stands still while a busy machine keeps it from its work.

use std::time::Duration;

use fireworks_gateway_simulator::User;
use futures::future::join_all;
use rig::{Broken, KubeFault, KubeProxy, OperatorProcess, Requests};

use crate::clock::Clock;
use crate::kube_faults::{
    behind_proxy, lists, reads, status_patches, through, watches, whole_lists,
};
use crate::stage::{LONG, Stage};

/// The ten seconds that a call to the API server is given, and five.
const RECOVERED: u64 = 15;
/// The five seconds that a read of an object is given, the longest back-off between two of them, and five.
const READ_AGAIN: u64 = 40;
/// The ten seconds that a status write is given, the longest back-off between two of them, and five.
const WRITTEN_AGAIN: u64 = 45;
/// More than the five minutes within which a watch has to bring something.
pub const WATCH_IDLE: u64 = 301;

fn events() -> Requests {
    Requests::any().verb("create").of("events")
}

/// The fault has met one call. It meets more of them, each given up, until nothing waits longer between two tries.
async fn outlasts(clock: &mut Clock, hole: &Broken) {
    for met in 2..=5 {
        clock.jump(11).await;
        clock.jump(5).await;
        hole.until_met(LONG, met).await.unwrap();
    }
}

async fn is_live(operator: &OperatorProcess) {
    let answer = operator.admin_get("/livez").await.unwrap();
    assert_eq!(answer.0, 200, "{answer:?}");
}

/// The account is kept as declared by what is known already.
async fn repairs_go_on(stage: &Stage, name: &str) {
    let before = stage.gateway.last_seq();
    let edit = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user(name, edit));
    stage
        .until_journal("a repair", |_| {
            let repairs = stage.patches_since(before, name);
            repairs.iter().any(|entry| entry.status == Some(200))
        })
        .await;
}

#[tokio::test]
async fn an_unanswered_read_of_the_object_delays_its_change_alone() {
    let (stage, proxy) = behind_proxy("hole-get").await;
    let mut clock = Clock::new();
    for name in ["alice", "bob", "carol"] {
        stage.user(name, "user");
    }
    let operator = stage.operator_with(clock.start(through(&proxy))).await;
    // The first change of a process goes alone.
    stage.apply("carol", "{role: contributor}").await;
    stage.until_ready("carol").await;
    let hole = proxy.fault(reads().name("alice"), KubeFault::BlackHole);
    stage.apply("alice", "{role: admin}").await;
    hole.until_met(LONG, 1).await.unwrap();
    stage.apply("bob", "{role: contributor}").await;
    stage.until_ready("bob").await;
    is_live(&operator).await;
    assert_eq!(stage.patches("alice").len(), 0);
    outlasts(&mut clock, &hole).await;
    hole.heal();
    clock.leave(READ_AGAIN);
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    is_live(&operator).await;
}

#[tokio::test]
async fn an_unanswered_first_list_is_repeated() {
    let (stage, proxy) = behind_proxy("hole-list").await;
    let mut clock = Clock::new();
    stage.user("alice", "user");
    stage.apply("alice", "{role: contributor}").await;
    // A server that cannot stream a list.
    let _older = proxy.fault(whole_lists(), KubeFault::Unstreamed);
    let hole = proxy.fault(lists(), KubeFault::BlackHole);
    let operator = stage.operator_with(clock.start(through(&proxy))).await;
    hole.until_met(LONG, 1).await.unwrap();
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 503);
    is_live(&operator).await;
    outlasts(&mut clock, &hole).await;
    hole.heal();
    clock.leave(RECOVERED);
    stage.until_ready("alice").await;
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 200);
    assert_eq!(stage.patches("alice").len(), 1);
}

#[tokio::test]
async fn a_watch_that_is_not_answered_is_asked_again() {
    let (stage, proxy) = behind_proxy("hole-watch").await;
    let mut clock = Clock::new();
    stage.user("alice", "user");
    let hole = proxy.fault(watches(), KubeFault::BlackHole);
    let operator = stage.operator_with(clock.start(through(&proxy))).await;
    hole.until_met(LONG, 1).await.unwrap();
    stage.apply("alice", "{role: contributor}").await;
    is_live(&operator).await;
    outlasts(&mut clock, &hole).await;
    hole.heal();
    clock.leave(RECOVERED);
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
}

#[tokio::test]
async fn an_unresponsive_watch_is_resumed_where_it_ended() {
    let (stage, proxy) = behind_proxy("hole-watch").await;
    let mut clock = Clock::new();
    stage.user("alice", "user");
    stage.user("bob", "user");
    let operator = stage.operator_with(clock.start(through(&proxy))).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let hole = proxy.fault(watches(), KubeFault::BlackHole);
    clock.jump(WATCH_IDLE).await;
    hole.until_met(LONG, 1).await.unwrap();
    stage.apply("bob", "{role: contributor}").await;
    repairs_go_on(&stage, "alice").await;
    is_live(&operator).await;
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 200);
    outlasts(&mut clock, &hole).await;
    hole.heal();
    clock.leave(RECOVERED);
    stage.until_ready("bob").await;
    assert_eq!(stage.patches("bob").len(), 1);
    assert_eq!(proxy.seen(&whole_lists()), 1);
}

#[tokio::test]
async fn an_unanswered_status_write_is_repeated_and_delays_no_repair() {
    let (stage, proxy) = behind_proxy("hole-status").await;
    let mut clock = Clock::new();
    stage.user("alice", "user");
    stage.user("bob", "user");
    let operator = stage.operator_with(clock.start(through(&proxy))).await;
    stage.apply("bob", "{role: contributor}").await;
    stage.until_ready("bob").await;
    let hole = proxy.fault(status_patches(), KubeFault::BlackHole);
    stage.apply("alice", "{role: contributor}").await;
    hole.until_met(LONG, 1).await.unwrap();
    repairs_go_on(&stage, "bob").await;
    is_live(&operator).await;
    outlasts(&mut clock, &hole).await;
    hole.heal();
    clock.leave(WRITTEN_AGAIN);
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    is_live(&operator).await;
}

#[tokio::test]
async fn unanswered_event_writes_delay_nothing() {
    let (stage, proxy) = behind_proxy("hole-event").await;
    let mut clock = Clock::new();
    stage.user("alice", "user");
    let operator = stage.operator_with(clock.start(through(&proxy))).await;
    let hole = proxy.fault(events(), KubeFault::BlackHole);
    stage.apply("alice", "{role: contributor}").await;
    hole.until_met(LONG, 1).await.unwrap();
    stage.until_ready("alice").await;
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_ready("alice").await;
    is_live(&operator).await;
    let asked = proxy.seen(&events());
    hole.heal();
    clock.leave(RECOVERED);
    // The one that hangs is given up, and the next one leaves.
    proxy.until_seen(LONG, &events(), asked + 1).await.unwrap();
    stage.until_event("alice", "RoleChanged").await;
}

/// One leg is unresponsive at SIGTERM: by `call` it is met once `applied` is wanted.
async fn stops_while_unanswered(leg: &str, call: Requests, applied: &str) {
    let (stage, proxy) = behind_proxy("stop").await;
    stage.user("alice", "user");
    let hole = proxy.fault(call, KubeFault::BlackHole);
    let operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", applied).await;
    hole.until_met(LONG, 1).await.unwrap();
    operator.terminate().unwrap();
    // The promise is 10 s; the rest is for a machine that is busy.
    let exit = operator.wait_exit(Duration::from_secs(30)).await.unwrap();
    assert_eq!(exit.status.code(), Some(0), "{leg}: {}", operator.logs());
    assert!(
        !operator.logs().contains("panicked"),
        "{leg}: {}",
        operator.logs()
    );
    drop(hole);
    has_caught_up(&stage, &proxy).await;
}

/// The next process makes good what the last one had to leave.
async fn has_caught_up(stage: &Stage, proxy: &KubeProxy) {
    let _operator = stage.operator_with(through(proxy)).await;
    stage.until_ready("alice").await;
    let changed = |entry: &fireworks_gateway_simulator::Entry| entry.status == Some(200);
    let patches = stage.patches("alice");
    assert_eq!(patches.iter().filter(|entry| changed(entry)).count(), 1);
}

#[tokio::test]
async fn an_operator_whose_calls_to_the_api_server_hang_stops_in_time() {
    let role = "{role: contributor}";
    let legs = [
        ("get", reads(), "{role: admin}"),
        ("list", whole_lists(), role),
        ("watch", watches(), role),
        ("status", status_patches(), role),
        ("event", events(), role),
    ];
    let stopping = legs.map(|(leg, call, spec)| stops_while_unanswered(leg, call, spec));
    join_all(stopping).await;
}
