//! A rolling restart of two replicas while users are edited.

use std::collections::VecDeque;

use fireworks_gateway_simulator::Entry;
use futures::{StreamExt, stream};
use serde_json::json;

use super::replica::{
    FIRST, Holders, Pair, SECOND, assert_one_writer, elected, until_leading, until_standby,
};
use crate::stage::{LONG, Start, brief};
use crate::witness::Running;

/// Users, each edited once.
const EDITS: usize = 500;
/// Replicas that take over meanwhile.
const HAND_OVERS: usize = 3;

async fn replica(pair: &Pair, key: &str) -> Running {
    let rate = ["--requests-per-minute", "6000"];
    let start = Start {
        settle: "100ms",
        ..elected(key, &rate)
    };
    pair.stage.operator_with(start).await
}

/// The calls that changed a role.
fn effective(calls: &[Entry]) -> impl Iterator<Item = &Entry> {
    let is_effective = |call: &&Entry| call.changes.iter().any(|one| one.field == "role");
    calls.iter().filter(is_effective)
}

/// Edits each user, a few at a time.
async fn edit_all(pair: &Pair, names: &[String]) {
    let rest = pair.stage.plane.rest().unwrap();
    let objects = pair.stage.objects_path();
    let edit = json!({"spec": {"role": "contributor"}});
    stream::iter(names)
        .for_each_concurrent(2, async |name| {
            let path = format!("{objects}/{name}");
            let (code, answer) = rest.send("PATCH", &path, Some(&edit)).await.unwrap();
            assert_eq!(code, 200, "{answer}");
        })
        .await;
}

/// Replaces the leader again and again, each time when more users were edited. Returns the replicas that are left.
async fn restart_all(pair: &Pair, mut replicas: VecDeque<Running>) -> VecDeque<Running> {
    let mut keys = [FIRST, SECOND].into_iter().cycle();
    for hand_over in 1..=HAND_OVERS {
        let made = EDITS * hand_over / (HAND_OVERS + 1);
        let what = format!("{made} changes");
        pair.stage
            .until_journal(&what, |calls| effective(calls).count() >= made)
            .await;
        let leader = replicas.pop_front().unwrap();
        leader.terminate().unwrap();
        let exit = leader.wait_exit(LONG).await.unwrap();
        assert_eq!(exit.status.code(), Some(0), "{}", leader.logs());
        until_leading(&replicas[0]).await;
        replicas.push_back(replica(pair, keys.next().unwrap()).await);
    }
    replicas
}

/// No change is lost, and none is made twice.
#[tokio::test]
async fn leader_election_rolling_restart_loses_and_doubles_no_change() {
    let pair = std::sync::Arc::new(Pair::set("lease-rolling").await);
    let stage = &pair.stage;
    let names: Vec<String> = (0..EDITS).map(|number| format!("user-{number}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    stage.create_all(&names, &json!({"role": "user"})).await;
    let first = replica(&pair, FIRST).await;
    let (lease, _) = until_leading(&first).await;
    let holders = Holders::watch(&pair, &lease);
    stage.until_all_ready().await;
    let second = replica(&pair, SECOND).await;
    until_standby(&second).await;
    let ((), replicas) = tokio::join!(
        edit_all(&pair, &names),
        restart_all(&pair, VecDeque::from([first, second]))
    );
    stage
        .until_journal("all changes", |calls| effective(calls).count() >= EDITS)
        .await;
    stage.until_all_ready().await;
    let patches = stage.all_patches();
    eprintln!(
        "rolling restart: {} PATCHes for {EDITS} edits",
        patches.len()
    );
    for name in &names {
        let of_user = stage.patches(name);
        let changes = effective(&of_user).count();
        assert_eq!(changes, 1, "{name} {:#?}", brief(&of_user));
        assert_eq!(stage.gateway.user(name).unwrap().role, "contributor");
    }
    let transitions = &pair.lease(&lease).await["spec"]["leaseTransitions"];
    assert_eq!(*transitions, HAND_OVERS);
    drop(replicas);
    assert_one_writer(&pair, &holders.end().await);
}
