//! A leader that cannot renew its Lease: the API server does not answer it, or refuses requests for the Lease. The
//! other replica reaches the API server as ever.

use std::sync::Arc;

use fireworks_gateway_simulator::{Entry, User, Verb};
use rig::{KubeFault, KubeProxy, Requests, until};
use serde_json::{Value, json};

use super::replica::{
    FIRST, Holders, Pair, SECOND, SHORT, assert_one_writer, elected, until_leading, until_standby,
};
use super::{assert_no_patch, count, pair};
use crate::rights;
use crate::stage::{LONG, Start, brief};
use crate::witness::Running;

/// How long after its last renewal was sent a leader may begin a request, and by when that has ended, both of
/// [`SHORT`].
const RENEW_MS: u64 = 2_000;
const REQUEST_END_MS: u64 = 2_800;
/// More edits than a leader makes in that time.
const EDITS: usize = 200;

/// Requests for the Lease, whichever.
fn leases() -> Requests {
    Requests::any().of("leases")
}

/// Whether the call has changed a user.
fn is_applied(call: &Entry) -> bool {
    call.verb == Verb::Patch && call.status == Some(200)
}

/// A replica with the first key that reaches the API server through the proxy.
async fn behind(pair: &Pair, proxy: &KubeProxy) -> Running {
    let start = Start {
        kubeconfig: Some(proxy.kubeconfig()),
        ..elected(FIRST, &["--test-lease", SHORT])
    };
    pair.stage.operator_with(start).await
}

/// A leader that reaches the API server through the proxy and has changed a user, another replica that stands by, the name of
/// the Lease, and its holders from now on.
async fn leader_behind(pair: &Arc<Pair>, proxy: &KubeProxy) -> (Running, Running, String, Holders) {
    let first = behind(pair, proxy).await;
    let (lease, _) = until_leading(&first).await;
    let holders = Holders::watch(pair, &lease);
    let second = pair.replica(SECOND).await;
    until_standby(&second).await;
    pair.change("contributor").await;
    (first, second, lease, holders)
}

/// The process has ended by itself, with one line that reports the loss.
async fn has_lost(replica: &Running) {
    let exit = replica.wait_exit(LONG).await.unwrap();
    assert_eq!(exit.status.code(), Some(1), "{}", replica.logs());
    assert_eq!(count(replica, "lost the lease, exiting"), 1);
}

/// The API server is unreachable for the leader alone. What it would repair is repaired by the other replica.
#[tokio::test]
async fn leader_election_unreachable_leader_exits_and_is_replaced() {
    let pair = pair("lease-partition").await;
    let stage = &pair.stage;
    let proxy = KubeProxy::start(stage.plane).unwrap();
    let (first, _second, lease, holders) = leader_behind(&pair, &proxy).await;
    first.may_end();
    let since = stage.gateway.last_seq();
    let _hole = proxy.fault(Requests::any(), KubeFault::BlackHole);
    let drifted = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user("alice", drifted));
    has_lost(&first).await;
    stage
        .until_journal("the repair", |calls| {
            let mut later = calls.iter().filter(|call| call.seq > since);
            later.any(is_applied)
        })
        .await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    pair.change("inference-user").await;
    assert_no_patch(&pair, FIRST, since);
    assert_eq!(pair.lease(&lease).await["spec"]["leaseTransitions"], 1);
    assert_one_writer(&pair, &holders.end().await);
}

/// Requests for the Lease alone are not answered: the leader sees each edit and could make it. It makes none once the
/// other replica may hold the Lease, and none is lost or made twice.
#[tokio::test]
async fn leader_election_leader_without_renewals_stops_before_it_is_replaced() {
    let pair = pair("lease-unrenewed").await;
    let stage = &pair.stage;
    let proxy = KubeProxy::start(stage.plane).unwrap();
    let (first, second, _, holders) = leader_behind(&pair, &proxy).await;
    first.may_end();
    let hole = proxy.fault(leases(), KubeFault::BlackHole);
    let begun = stage.gateway.elapsed_ms();
    hole.until_met(LONG, 1).await.unwrap();
    let mut names = Vec::new();
    // As fast as they are accepted, one after the other, until the other replica has begun.
    while pair.calls(SECOND, 0).is_empty() {
        let name = format!("user-{}", names.len());
        stage.user(&name, "user");
        stage.apply(&name, "{role: contributor}").await;
        names.push(name);
        assert!(names.len() < EDITS, "{}", second.logs());
    }
    has_lost(&first).await;
    for name in &names {
        stage.until_ready(name).await;
        let patches = stage.patches(name);
        let effective = patches.iter().filter(|call| !call.changes.is_empty());
        assert_eq!(effective.count(), 1, "{name} {:#?}", brief(&patches));
    }
    let mut patches = pair.calls(FIRST, 0);
    patches.retain(|call| call.verb == Verb::Patch);
    let at = patches.last().unwrap().received_ms;
    assert!(
        at <= begun + REQUEST_END_MS,
        "{at} {begun}: more than {RENEW_MS} ms and a request after the last renewal"
    );
    assert_one_writer(&pair, &holders.end().await);
}

/// Allows the test's ServiceAccount these verbs on Leases of its namespace.
async fn allow(pair: &Pair, verbs: &[&str]) {
    let namespace = &pair.stage.namespace;
    let rules =
        json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}]);
    let object = |kind: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "leases"},
        })
    };
    let (mut role, mut binding) = (object("Role"), object("RoleBinding"));
    role["rules"] = rules;
    binding["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leases"});
    binding["subjects"] =
        json!([{"kind": "ServiceAccount", "name": rights::ACCOUNT, "namespace": namespace}]);
    let both = format!("{role}\n---\n{binding}\n");
    pair.stage.plane.apply_yaml(namespace, &both).await.unwrap();
}

/// The lines about refused requests for the Lease: the verb of each.
fn refused(replica: &Running) -> Vec<String> {
    let mut entries = replica.log_entries();
    entries.retain(|entry| entry["resource"] == "leases.coordination.k8s.io");
    let verb = |entry: &Value| {
        assert_eq!(entry["level"], "ERROR", "{entry}");
        let message = entry["message"].as_str().unwrap();
        assert!(message.contains("grant the operator's ServiceAccount this verb"));
        entry["verb"].as_str().unwrap().to_owned()
    };
    entries.iter().map(verb).collect()
}

/// Waits until the log names these verbs, one line each.
async fn until_refused(replica: &Running, verbs: &[&str]) {
    until(LONG, "the refusal to be logged", async || {
        let refused = refused(replica);
        if refused == verbs {
            Ok(())
        } else {
            Err(refused.join(", "))
        }
    })
    .await
    .unwrap_or_else(|late| panic!("{late}\n{}", replica.logs()));
}

/// Requests for the Lease that the API server has refused.
fn refusals(pair: &Pair) -> usize {
    let these = leases().namespace(&pair.stage.namespace);
    let log = pair.stage.plane.audit().unwrap();
    log.matching(&these)
        .filter(|request| request.unauthorized)
        .count()
}

/// Each missing right on the Lease is one line that names it, however often it is refused. No user is changed without
/// the Lease; and a leader that may not renew it ends.
#[tokio::test]
async fn leader_election_missing_right_on_the_lease_is_one_line() {
    let pair = pair("lease-rights").await;
    let stage = &pair.stage;
    let kubeconfig = Some(rights::account(stage).await);
    rights::grant(stage, &stage.namespace).await;
    stage.apply("alice", "{role: contributor}").await;
    // Without renewals it leads for 5 s, within which it changes a user.
    let start = Start {
        kubeconfig,
        ..elected(FIRST, &["--test-lease", "6000,5000,500"])
    };
    let replica = stage.operator_with(start).await;
    let mut verbs = Vec::new();
    for verb in ["get", "create"] {
        verbs.push(verb);
        until_refused(&replica, &verbs).await;
        let before = refusals(&pair);
        until(LONG, "it to be refused again and again", async || {
            match refusals(&pair) - before {
                more if more > 2 => Ok(()),
                more => Err(more),
            }
        })
        .await
        .unwrap();
        until_refused(&replica, &verbs).await;
        assert_eq!(pair.calls(FIRST, 0).len(), 0);
        replica.may_end();
        allow(&pair, &verbs).await;
    }
    stage
        .until_journal("the update", |calls| calls.iter().any(is_applied))
        .await;
    assert_eq!(count(&replica, "requests for the lease succeed again"), 1);
    has_lost(&replica).await;
    verbs.push("update");
    until_refused(&replica, &verbs).await;
    assert_eq!(stage.patches("alice").len(), 1);
}
