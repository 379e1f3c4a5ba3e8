//! A thousand objects: a fresh installation, and what a take-over costs before the first change.

use fireworks_gateway_simulator::{Entry, Verb};
use rig::control_plane::OPERATOR_USER;
use rig::{Requests, until};
use serde_json::json;

use super::replica::{FIRST, Pair, SECOND, elected, until_leading, until_standby};
use crate::stage::{LONG, Start, brief};
use crate::witness::Running;

const OBJECTS: usize = 1_000;
/// The pages of a list of their users.
const PAGES: usize = 5;
/// For a debug build on a machine that runs other tests. `make bench BENCH=take-over` measures a release build, whose
/// bound is 3 s.
const FIRST_UPDATE_WITHIN_MS: u64 = 10_000;

/// Waits until each object was reported as in sync; to list them all again and again would take the machine's time.
async fn until_written(replica: &Running) {
    let series = "fireworks_user_operator_status_writes_total{reason=\"InSync\"} ";
    until(LONG, "the status writes", async || {
        let page = replica.admin_get("/metrics").await;
        let (_, page) = page.map_err(|error| error.to_string())?;
        let count = page.lines().find_map(|line| line.strip_prefix(series));
        match count.unwrap_or("none") {
            count if count == OBJECTS.to_string() => Ok(()),
            count => Err(count.to_owned()),
        }
    })
    .await
    .unwrap_or_else(|late| panic!("{late}"));
}

/// Without a Lease there was no former process: users that match are Ready by the first sweep, although the settle
/// window is five minutes. When the leader ends, the other replica knows all objects: it lists no objects, and makes a
/// pending change before it has read more than one list of users.
#[tokio::test]
async fn leader_election_fresh_installation_and_take_over_with_a_thousand_objects() {
    let pair = Pair::set("lease-fresh").await;
    let stage = &pair.stage;
    let names: Vec<String> = (0..OBJECTS)
        .map(|number| format!("user-{number}"))
        .collect();
    for name in &names {
        stage.user(name, "user");
    }
    stage.create_all(&names, &json!({"role": "user"})).await;
    let start = |key| Start {
        sweep: "1h",
        settle: "5m",
        ..elected(key, &[])
    };
    let mark = stage.mark();
    let begun = stage.gateway.elapsed_ms();
    let first = stage.operator_with(start(FIRST)).await;
    until_written(&first).await;
    let took = stage.gateway.elapsed_ms() - begun;
    eprintln!("fresh installation: {OBJECTS} objects are Ready after {took} ms");
    stage.until_all_ready().await;
    let calls = pair.calls(FIRST, 0);
    assert_eq!(calls.len(), PAGES, "the pages of one list");
    assert!(calls.iter().all(|one| one.verb == Verb::List));

    let second = stage.operator_with(start(SECOND)).await;
    until_standby(&second).await;
    let stopped = stage.gateway.elapsed_ms();
    first.terminate().unwrap();
    stage.apply("user-500", "{role: contributor}").await;
    let is_update = |call: &Entry| call.verb == Verb::Patch;
    stage
        .until_journal("the update", |calls| calls.iter().any(is_update))
        .await;
    let calls = pair.calls(SECOND, 0);
    let before = calls
        .iter()
        .position(is_update)
        .expect("the second has made it");
    let took = calls[before].received_ms - stopped;
    eprintln!("take-over: the first update after {took} ms and {before} requests");
    assert!(before <= PAGES + 1, "{:#?}", brief(&calls));
    assert!(took < FIRST_UPDATE_WITHIN_MS, "{took} ms");
    until_leading(&second).await;
    let exit = first.wait_exit(LONG).await.unwrap();
    assert_eq!(exit.status.code(), Some(0), "{}", first.logs());
    let watched = Requests::any()
        .by(OPERATOR_USER)
        .namespace(&stage.namespace)
        .of("fireworksusers");
    let log = stage.plane.audit_since(mark).unwrap();
    // One watch each, which begins with all objects.
    assert_eq!(log.count(&watched.clone().verb("watch")), 2);
    assert_eq!(log.count(&watched.verb("list")), 0);
}
