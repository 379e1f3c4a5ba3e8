//! What the kubelet asks the operator, and what it makes of the answers: when it is Ready, when it is started again.

use std::fs;

use serde_json::Value;

use super::World;
use super::chart::{chart_words_without_waiting, helm, uninstall, uninstall_all, upgrade_words};
use super::disruptions::{pod, restarts};
use super::installed::{DEPLOY, SYSTEM};
use super::operations::condition;
use super::process::Process;
use super::simulator::client;
use super::users::Users;
use crate::failure::{Failure, Result, ensure};
use crate::images::UNDER_TEST;

/// The file that blocks the operator: each container has its own, so that a new one is not blocked.
const STALLED: &str = "dev/stalled";

/// It runs, and is not Ready: the cluster does not know `FireworksUser`. Then the definition is applied.
pub(crate) async fn a_pod_is_not_ready_before_its_objects_can_be_listed(
    world: &World<'_>,
) -> Result {
    uninstall_all(world).await?;
    let without = ["--set", "crds.enabled=false"];
    helm(world, &chart_words_without_waiting("install", &without)).await?;
    world
        .node
        .until("the operator to be started", async || {
            let pod = object(world).await.map_err(|failure| failure.to_string())?;
            let container = &pod["status"]["containerStatuses"][0];
            match &container["started"] {
                Value::Bool(true) => Ok(()),
                _ => Err(container.to_string()),
            }
        })
        .await?;
    ensure(probe(world, "livez").await? == 200, || {
        "it is not live".to_owned()
    })?;
    ensure(probe(world, "readyz").await? == 503, || {
        "it calls itself ready".to_owned()
    })?;
    let (_, ready) = readiness(world).await?;
    ensure(ready == "False", || format!("the Pod's Ready is {ready}"))?;

    let kubectl = world.node.kubectl();
    let crds = format!("{DEPLOY}/../crds");
    kubectl.run(&["apply", "-f", &crds]).await?;
    world
        .node
        .until("the Pod to be Ready", async || {
            match readiness(world).await {
                Ok((_, ready)) if ready == "True" => Ok(()),
                Ok((_, ready)) => Err(ready),
                Err(failure) => Err(failure.to_string()),
            }
        })
        .await?;
    ensure(probe(world, "readyz").await? == 200, || {
        "the kubelet has it from another process".to_owned()
    })?;
    ensure(restarts(world).await? == 0, || {
        "it was started again".to_owned()
    })?;
    uninstall(world).await?;
    kubectl
        .run(&["delete", "-f", &crds, "--timeout=110s"])
        .await?;
    kubectl
        .run(&["delete", "namespace", SYSTEM, "--timeout=110s"])
        .await?;
    Ok(())
}

/// Fireworks is gone: what is asked for waits, and the Pod stays Ready, because a restart would not help.
pub(crate) async fn an_outage_of_fireworks_leaves_the_pod_ready(world: &World<'_>) -> Result {
    let users = Users::converge(world, "team-outage").await?;
    let before = (readiness(world).await?, restarts(world).await?);
    scale_fireworks(world, 0).await?;
    users
        .apply("alice", "inference-user", "After an outage")
        .await?;
    world
        .node
        .until(
            "alice to report that nothing is known",
            async || match users.object("alice").await {
                Ok(object) if condition(&object, "Ready")["status"] == "Unknown" => Ok(()),
                Ok(object) => Err(object["status"].to_string()),
                Err(failure) => Err(failure.to_string()),
            },
        )
        .await?;
    ensure(probe(world, "readyz").await? == 200, || {
        "it calls itself not ready".to_owned()
    })?;
    let during = (readiness(world).await?, restarts(world).await?);
    ensure(before == during && before.0.1 == "True", || {
        format!("the Pod's readiness {before:?} became {during:?}")
    })?;
    scale_fireworks(world, 1).await?;
    // The simulator remembers nothing, and a Service takes a moment to know where it leads.
    world
        .node
        .until("the account to have users again", async || {
            users
                .are_invited()
                .await
                .map_err(|failure| failure.to_string())
        })
        .await?;
    users
        .become_again("alice", "inference-user", "After an outage")
        .await?;
    users.become_again("bob", "user", "Bob Builder").await?;
    let after = (readiness(world).await?, restarts(world).await?);
    ensure(before == after, || {
        format!("the Pod's readiness {before:?} became {after:?}")
    })?;
    users.leave().await
}

/// A process whose thread blocks does not answer `/livez`, and the kubelet restarts it: the next one does what was left.
pub(crate) async fn a_blocked_process_is_started_again_by_the_kubelet(world: &World<'_>) -> Result {
    let repository = format!("image.repository={UNDER_TEST}");
    let stalled = format!("extraArgs={{--test-stall-at=/{STALLED}}}");
    helm(
        world,
        &upgrade_words(&["--set", &repository, "--set", &stalled]),
    )
    .await?;
    let users = Users::converge(world, "team-stalled").await?;
    let before = (pod(world).await?, restarts(world).await?);
    ensure(probe(world, "livez").await? == 200, || {
        "it is not live".to_owned()
    })?;
    let url = probe_url(world, "livez").await?;
    fs::write(Process::find()?.file(STALLED), "")?;
    users
        .apply("alice", "inference-user", "While it was stalled")
        .await?;
    world
        .node
        .until("/livez to be without an answer", async || {
            match get(&url).await {
                Ok(code) => Err(code.to_string()),
                Err(_) => Ok(()),
            }
        })
        .await?;
    let text = |failure: Failure| failure.to_string();
    world
        .node
        .until(
            "the container to be started again",
            async || match restarts(world).await.map_err(text)? {
                now if now > before.1 => Ok(()),
                now => Err(format!("{now} restarts")),
            },
        )
        .await?;
    users
        .are("alice", "inference-user", "While it was stalled")
        .await?;
    users.cost_patches(3).await?;
    let after = (pod(world).await?, restarts(world).await?);
    ensure(after == (before.0.clone(), before.1 + 1), || {
        format!("{before:?} became {after:?}")
    })?;
    helm(world, &upgrade_words(&[])).await?;
    users.leave().await
}

/// Lets the simulator go, or come back, and waits until it has.
async fn scale_fireworks(world: &World<'_>, replicas: usize) -> Result {
    let kubectl = world.node.kubectl();
    let wanted = format!("--replicas={replicas}");
    kubectl
        .run(&["-n", "gateway", "scale", "deployment/gateway", &wanted])
        .await?;
    world.node.rolled_out("gateway", "gateway").await?;
    // Nothing answers any more, not even a Pod that is ending.
    world
        .node
        .until("the simulator's Pods", async || {
            let pods = kubectl
                .get_json(&["-n", "gateway", "pods"])
                .await
                .map_err(|error| error.to_string())?;
            match pods["items"].as_array().map_or(0, Vec::len) {
                count if count == replicas => Ok(()),
                count => Err(count.to_string()),
            }
        })
        .await
}

/// The operator's Pod.
async fn object(world: &World<'_>) -> Result<Value> {
    let name = pod(world).await?;
    let kubectl = world.node.kubectl();
    Ok(kubectl.get_json(&["-n", SYSTEM, "pod", &name]).await?)
}

/// What the Pod answers there.
async fn probe(world: &World<'_>, path: &str) -> Result<u16> {
    get(&probe_url(world, path).await?).await
}

async fn get(url: &str) -> Result<u16> {
    Ok(client()?.get(url).send().await?.status().as_u16())
}

async fn probe_url(world: &World<'_>, path: &str) -> Result<String> {
    let pod = object(world).await?;
    let address = pod["status"]["podIP"].as_str();
    let address = address.ok_or_else(|| Failure::new("the Pod has no address"))?;
    Ok(format!("http://{address}:8080/{path}"))
}

/// When the Pod's readiness was last another one, and what it is.
async fn readiness(world: &World<'_>) -> Result<(String, String)> {
    let pod = object(world).await?;
    let ready = condition(&pod, "Ready");
    let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    Ok((text("lastTransitionTime"), text("status")))
}
