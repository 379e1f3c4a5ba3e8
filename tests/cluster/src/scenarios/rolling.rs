//! Two replicas from the chart, restarted one after the other while users are edited.

use std::collections::BTreeMap;

use fireworks_gateway_simulator::{User, Verb};
use serde_json::{Value, json};

use super::World;
use super::chart::{chart_words_without_waiting, helm, uninstall_all, words};
use super::installed::{OPERATOR, SYSTEM};
use super::users::user;
use crate::failure::{Failure, Result, ensure};

const NAMESPACE: &str = "team-rolling";
/// Users, each edited once.
const EDITS: usize = 500;
/// Edits in one call of `kubectl`.
const BATCH: usize = 5;
/// How often all Pods are replaced meanwhile.
const RESTARTS: i64 = 2;

/// No edit is lost, and none is made twice.
pub(crate) async fn with_two_replicas_a_rolling_restart_loses_and_doubles_no_edit(
    world: &World<'_>,
) -> Result {
    install_two(world).await?;
    let ids: Vec<String> = (0..EDITS)
        .map(|number| format!("rolling-{number:03}"))
        .collect();
    for id in &ids {
        world.gateway.put(User::new(id, "user")).await?;
    }
    let kubectl = world.node.kubectl();
    kubectl.run(&["create", "namespace", NAMESPACE]).await?;
    apply(world, &ids, "user").await?;
    until_in_sync(world).await?;

    let seq = world.gateway.last_seq().await?;
    let before = transitions(world).await?;
    let edits = async {
        for batch in ids.chunks(BATCH) {
            apply(world, batch, "contributor").await?;
        }
        Ok::<(), Failure>(())
    };
    let restarts = async {
        for _ in 0..RESTARTS {
            let deployment = format!("deployment/{OPERATOR}");
            kubectl
                .run(&["-n", SYSTEM, "rollout", "restart", &deployment])
                .await?;
            world.node.rolled_out(SYSTEM, OPERATOR).await?;
        }
        Ok::<(), Failure>(())
    };
    tokio::try_join!(edits, restarts)?;
    until_in_sync(world).await?;
    let after = transitions(world).await?;
    ensure(after > before, || {
        format!("the Lease had changed hands {before} times, and {after} after the restarts")
    })?;
    was_changed_once(world, &ids, seq).await?;
    kubectl
        .run(&["delete", "namespace", NAMESPACE, "--timeout=110s"])
        .await?;
    let one = chart_words_without_waiting("upgrade", &["--wait", "--timeout=100s"]);
    helm(world, &one).await.map(drop)
}

/// Installs the chart with two replicas, or upgrades what is there.
async fn install_two(world: &World<'_>) -> Result {
    let more = [
        "--wait",
        "--timeout=100s",
        "--set",
        "replicas=2",
        "--set",
        "settings.requestsPerMinute=6000",
    ];
    let verb = if helm(world, &words("status", &[])).await.is_ok() {
        "upgrade"
    } else {
        uninstall_all(world).await?;
        "install"
    };
    helm(world, &chart_words_without_waiting(verb, &more)).await?;
    world.node.rolled_out(SYSTEM, OPERATOR).await
}

/// Declares these users with that role.
async fn apply(world: &World<'_>, ids: &[String], role: &str) -> Result {
    let items: Vec<Value> = ids
        .iter()
        .map(|id| user(id, &json!({"role": role})))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let kubectl = world.node.kubectl();
    kubectl.apply(NAMESPACE, &list.to_string()).await?;
    Ok(())
}

/// Waits until each object is Ready as declared last.
async fn until_in_sync(world: &World<'_>) -> Result {
    let in_sync = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "Ready"
                && condition["status"] == "True"
                && condition["observedGeneration"] == object["metadata"]["generation"]
        })
    };
    world
        .node
        .until("all of them to be Ready", async || {
            let kubectl = world.node.kubectl();
            let all = kubectl.get_json(&["-n", NAMESPACE, "fwuser"]).await;
            let all = all.map_err(|error| error.to_string())?;
            let all = all["items"].as_array().into_iter().flatten();
            match all.filter(|object| in_sync(object)).count() {
                EDITS => Ok(()),
                count => Err(format!("{count} are")),
            }
        })
        .await
}

/// How often the Lease has changed hands.
async fn transitions(world: &World<'_>) -> Result<i64> {
    let kubectl = world.node.kubectl();
    let leases = kubectl.get_json(&["-n", SYSTEM, "leases"]).await?;
    let leases = leases["items"].as_array().cloned().unwrap_or_default();
    let counts = leases
        .iter()
        .filter_map(|lease| lease["spec"]["leaseTransitions"].as_i64());
    Ok(counts.sum())
}

/// Each user is as declared, and one request has changed it: one that was cut by a hand-over may have been repeated.
async fn was_changed_once(world: &World<'_>, ids: &[String], seq: u64) -> Result {
    let calls = world.gateway.since(seq).await?;
    let updates = calls.iter().filter(|call| call.verb == Verb::Patch);
    let mut changes: BTreeMap<&str, usize> = BTreeMap::new();
    for call in updates.clone() {
        let is_effective = call.changes.iter().any(|change| change.field == "role");
        *changes
            .entry(call.user.as_deref().unwrap_or_default())
            .or_default() += usize::from(is_effective);
    }
    for id in ids {
        let count = changes.get(id.as_str()).copied().unwrap_or(0);
        let role = world.gateway.user(id).await?.role;
        ensure(count == 1 && role == "contributor", || {
            format!("{id} is {role} after {count} changes")
        })?;
    }
    println!("  {} PATCHes for {EDITS} edits", updates.count());
    Ok(())
}
