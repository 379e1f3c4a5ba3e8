//! Two replicas, one writer: `--leader-election` with two processes on one API server and one account.

mod access;
mod clocks;
mod crashes;
mod replica;
mod rolling;
mod take_over;

use std::sync::Arc;

use fireworks_gateway_simulator::Verb;
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::LONG;
use crate::witness::Running;
use replica::{
    FIRST, Holders, Pair, SECOND, SHORT, STEADY, assert_one_writer, elected, until_leading,
    until_standby,
};

async fn pair(prefix: &str) -> Arc<Pair> {
    let pair = Arc::new(Pair::set(prefix).await);
    pair.stage.user("alice", "user");
    pair.stage.apply("alice", "{role: user}").await;
    pair
}

fn signal(process: &Running, signal: Signal) {
    let id = Pid::from_raw(process.id().try_into().unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

fn count(process: &Running, message: &str) -> usize {
    let entries = process.log_entries();
    let named = |entry: &&serde_json::Value| entry["message"] == message;
    entries.iter().filter(named).count()
}

/// That replica sent no PATCH after that call.
fn assert_no_patch(pair: &Pair, replica: &str, since: u64) {
    let late = pair.calls(replica, since);
    let late = late.iter().filter(|entry| entry.verb == Verb::Patch);
    assert_eq!(late.count(), 0);
}

/// The standby sends nothing, writes nothing and exports no figures of objects; it takes over as soon as the leader has ended.
#[tokio::test]
async fn leader_election_standby_sends_nothing_and_takes_over_on_sigterm() {
    let pair = pair("lease-standby").await;
    let stage = &pair.stage;
    let first = pair.replica(FIRST).await;
    let (lease, _) = until_leading(&first).await;
    let holders = Holders::watch(&pair, &lease);
    stage.until_ready("alice").await;
    let second = pair.replica(SECOND).await;
    until_standby(&second).await;
    pair.change("contributor").await;
    stage.until_sweeps(2).await;

    assert_eq!(pair.calls(SECOND, 0).len(), 0);
    let (_, metrics) = second.admin_get("/metrics").await.unwrap();
    for (series, is_there) in [
        ("leader 0", true),
        ("watch_age_seconds", true),
        ("build_info", true),
        ("objects", false),
        ("admins", false),
        ("gateway_requests", false),
    ] {
        let series = format!("\nfireworks_user_operator_{series}");
        assert_eq!(metrics.contains(&series), is_there, "{series}: {metrics}");
    }
    let (_, metrics) = first.admin_get("/metrics").await.unwrap();
    assert!(metrics.contains("_leader 1\n") && metrics.contains("_objects{"));
    let message = "standing by, another process holds the lease";
    assert_eq!((count(&second, message), count(&first, message)), (1, 0));

    let stopped = stage.gateway.elapsed_ms();
    first.terminate().unwrap();
    until_leading(&second).await;
    let handed_over = stage.gateway.elapsed_ms() - stopped;
    let exit = first.wait_exit(LONG).await.unwrap();
    assert_eq!(exit.status.code(), Some(0), "{}", first.logs());
    assert_eq!(count(&first, "released the lease"), 1);
    assert!(handed_over < 1_000, "{handed_over} ms");
    pair.change("inference-user").await;
    let (_, metrics) = second.admin_get("/metrics").await.unwrap();
    assert!(metrics.contains("_leader 1\n") && metrics.contains("_lease_transitions_total 1\n"));
    assert_one_writer(&pair, &holders.end().await);
}

/// Other writers of the Lease cost a conflict each, never the leadership; what they wrote is kept.
#[tokio::test]
async fn leader_election_conflicts_do_not_end_leadership() {
    let pair = pair("lease-conflicts").await;
    let start = |key| elected(key, &["--test-lease", STEADY]);
    let first = pair.stage.operator_with(start(FIRST)).await;
    let (lease, identity) = until_leading(&first).await;
    let second = pair.stage.operator_with(start(SECOND)).await;
    until_standby(&second).await;
    let gateway = &pair.stage.gateway;
    let begun = gateway.elapsed_ms();
    let mut number = 0;
    while gateway.elapsed_ms() < begun + 7_000 {
        number += 1;
        let note = format!("note={number}");
        pair.kubectl(&["annotate", "lease", &lease, &note, "--overwrite"])
            .await;
    }
    pair.kubectl(&["label", "lease", &lease, "team=a"]).await;
    pair.change("contributor").await;
    let held = pair.lease(&lease).await;
    assert_eq!(held["spec"]["holderIdentity"], identity);
    assert_eq!(held["spec"]["leaseTransitions"], 0);
    assert_eq!(held["metadata"]["annotations"]["note"], number.to_string());
    assert_eq!(held["metadata"]["labels"]["team"], "a");
    assert_eq!(pair.calls(SECOND, 0).len(), 0);
}

/// A leader that was killed has its users served by the other one once the Lease has not changed for its duration.
#[tokio::test]
async fn leader_election_killed_leader_is_replaced() {
    let pair = pair("lease-killed").await;
    let first = pair.replica(FIRST).await;
    let (lease, _) = until_leading(&first).await;
    let holders = Holders::watch(&pair, &lease);
    let second = pair.replica(SECOND).await;
    until_standby(&second).await;
    pair.change("contributor").await;
    first.kill().unwrap();
    pair.change("inference-user").await;
    assert_eq!(pair.lease(&lease).await["spec"]["leaseTransitions"], 1);
    assert_one_writer(&pair, &holders.end().await);
}

/// A leader that was stopped past its Lease sends nothing when it goes on, and ends with status 1 and one line.
#[tokio::test]
async fn leader_election_frozen_leader_sends_nothing_afterwards() {
    let pair = pair("lease-frozen").await;
    let stage = &pair.stage;
    let first = pair.replica(FIRST).await;
    let (lease, _) = until_leading(&first).await;
    let holders = Holders::watch(&pair, &lease);
    let second = pair.replica(SECOND).await;
    until_standby(&second).await;
    pair.change("contributor").await;
    signal(&first, Signal::STOP);
    let since = stage.gateway.last_seq();
    until_leading(&second).await;
    pair.change("inference-user").await;
    stage
        .gateway
        .edit_user("alice", |user| user.role = "user".into());
    first.may_end();
    signal(&first, Signal::CONT);
    let exit = first.wait_exit(LONG).await.unwrap();
    assert_eq!(exit.status.code(), Some(1), "{}", first.logs());
    assert_eq!(count(&first, "lost the lease, exiting"), 1);
    assert_no_patch(&pair, FIRST, since);
    assert_one_writer(&pair, &holders.end().await);
}

/// The same where the update was decided, its permit spent and its object read again, but its head was not written.
#[tokio::test]
async fn leader_election_update_stalled_past_the_lease_does_not_leave() {
    let pair = pair("lease-stalled").await;
    let stage = &pair.stage;
    let stall = pair.file("stall");
    let path = stall.display().to_string();
    let args = ["--test-lease", SHORT, "--test-stall-at", &path];
    let first = stage.operator_with(elected(FIRST, &args)).await;
    let (lease, _) = until_leading(&first).await;
    let holders = Holders::watch(&pair, &lease);
    let second = pair.replica(SECOND).await;
    until_standby(&second).await;
    pair.change("contributor").await;
    let since = stage.gateway.last_seq();
    std::fs::write(&stall, "").unwrap();
    stage.apply("alice", "{role: inference-user}").await;
    until_leading(&second).await;
    stage.until_ready("alice").await;
    first.may_end();
    std::fs::remove_file(&stall).unwrap();
    let exit = first.wait_exit(LONG).await.unwrap();
    assert_eq!(exit.status.code(), Some(1), "{}", first.logs());
    assert_no_patch(&pair, FIRST, since);
    assert_one_writer(&pair, &holders.end().await);
}

/// With the durations of production, a leader that was killed is replaced within 35 s.
#[tokio::test]
async fn leader_election_with_its_real_durations_replaces_a_killed_leader() {
    let pair = pair("lease-real").await;
    let first = pair.stage.operator_with(elected(FIRST, &[])).await;
    until_leading(&first).await;
    let second = pair.stage.operator_with(elected(SECOND, &[])).await;
    until_standby(&second).await;
    pair.change("contributor").await;
    let killed = pair.stage.gateway.elapsed_ms();
    first.kill().unwrap();
    until_leading(&second).await;
    let replaced = pair.stage.gateway.elapsed_ms() - killed;
    assert!((24_000..35_000).contains(&replaced), "{replaced} ms");
    pair.change("inference-user").await;
}
