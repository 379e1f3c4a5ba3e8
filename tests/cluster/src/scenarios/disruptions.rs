//! What happens to Pods on a real node: they are killed, deleted and evicted, and their runtime is restarted.

use serde_json::Value;

use super::World;
use super::installed::{OPERATOR, SYSTEM};
use super::process::Process;
use super::users::Users;
use crate::failure::{Failure, Result, ensure};

/// Whatever ends the operator, or the runtime below it, the next change is made: once, but for one that may be repeated.
pub(crate) async fn pods_are_killed_deleted_and_evicted_and_users_go_on_converging(
    world: &World<'_>,
) -> Result {
    let users = Users::converge(world, "team-disrupted").await?;
    let before = restarts(world).await?;
    Process::find()?.kill()?;
    users
        .change("alice", "inference-user", "After a kill")
        .await?;
    world
        .node
        .until(
            "the container to be started again",
            async || match restarts(world).await {
                Ok(now) if now > before => Ok(()),
                Ok(now) => Err(format!("{now} restarts")),
                Err(failure) => Err(failure.to_string()),
            },
        )
        .await?;

    let kubectl = world.node.kubectl();
    let gone = pod(world).await?;
    kubectl.run(&["-n", SYSTEM, "delete", "pod", &gone]).await?;
    users.change("alice", "user", "After a deletion").await?;

    let gone = pod(world).await?;
    let eviction = format!(
        r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{gone}","namespace":"{SYSTEM}"}}}}"#
    );
    let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{gone}/eviction");
    kubectl
        .run_with_input(&["create", "--raw", &path, "-f", "-"], &eviction)
        .await?;
    users
        .change("alice", "contributor", "After an eviction")
        .await?;

    world.node.restart_containerd().await?;
    users.change("alice", "user", "After containerd").await?;
    world.node.rolled_out(SYSTEM, OPERATOR).await?;
    ensure(pod(world).await? != gone, || {
        "the evicted Pod is there".to_owned()
    })?;

    users.are("bob", "user", "Bob Builder").await?;
    users.cost_at_most(6, 7).await?;
    users.leave().await
}

/// The operator's Pods that are not on their way out.
pub(crate) async fn pods(world: &World<'_>) -> Result<Vec<Value>> {
    let label = format!("app.kubernetes.io/name={OPERATOR}");
    let kubectl = world.node.kubectl();
    let mut pods = kubectl
        .get_json(&["-n", SYSTEM, "pods", "-l", &label])
        .await?;
    let Value::Array(mut pods) = pods["items"].take() else {
        return Err(Failure::new("a list of Pods without Pods"));
    };
    pods.retain(|pod| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && pod["status"]["phase"].as_str() != Some("Failed")
    });
    Ok(pods)
}

/// The name of the operator's Pod, when it has one.
pub(crate) async fn pod(world: &World<'_>) -> Result<String> {
    world
        .node
        .until("the operator's Pod", async || match pods(world).await {
            Ok(pods) => match pods
                .first()
                .and_then(|pod| pod["metadata"]["name"].as_str())
            {
                Some(name) => Ok(name.to_owned()),
                None => Err("no Pod".to_owned()),
            },
            Err(failure) => Err(failure.to_string()),
        })
        .await
}

/// How often the operator's container was started again.
pub(crate) async fn restarts(world: &World<'_>) -> Result<u64> {
    let name = pod(world).await?;
    let pod = world
        .node
        .kubectl()
        .get_json(&["-n", SYSTEM, "pod", &name])
        .await?;
    Ok(pod["status"]["containerStatuses"][0]["restartCount"]
        .as_u64()
        .unwrap_or(0))
}
