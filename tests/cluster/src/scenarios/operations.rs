//! What those who run it meet: a key that is replaced, logs that are read by programs, and a thousand
//! users in the memory that the chart grants.

use fireworks_gateway_simulator::{User, settings::TEST_KEY};
use serde_json::{Value, json};

use super::World;
use super::disruptions::{pod, restarts};
use super::installed::SYSTEM;
use super::process::Process;
use super::users::{Users, ready, user};
use crate::failure::{Failure, Result, ensure};

/// The users that fit into the memory, and more than a page of the account's list.
const MANY: usize = 1000;
/// What the chart requests for it: 32Mi.
const REQUESTED: u64 = 32 << 20;

/// A key in the Secret reaches the running program, by way of kubelet.
pub(crate) async fn a_key_is_replaced_in_the_secret_without_a_restart(world: &World<'_>) -> Result {
    let users = Users::converge(world, "team-rotated").await?;
    let before = (pod(world).await?, restarts(world).await?);
    let (old, new) = (TEST_KEY, "fw_0000000001_not_a_real_key");
    for key in [new, old] {
        world
            .gateway
            .send("PUT", "/_keys", Some(&json!([key])))
            .await?;
        let secret = json!({"stringData": {"api-key": key}}).to_string();
        let kubectl = world.node.kubectl();
        kubectl
            .run(&[
                "-n",
                SYSTEM,
                "patch",
                "secret",
                "fireworks-api-key",
                "-p",
                &secret,
            ])
            .await?;
        // The key before this one is refused by now.
        let name = if key == new {
            "With the new key"
        } else {
            "With the old key"
        };
        users.change("alice", "user", name).await?;
    }
    let after = (pod(world).await?, restarts(world).await?);
    ensure(before == after, || {
        format!("the Pod {before:?} became {after:?}")
    })?;
    // With each key that was refused one attempt.
    users.cost_at_most(4, 6).await?;
    users.leave().await
}

/// Every line is JSON, and every change of a user is one of them.
pub(crate) async fn logs_are_json_with_one_line_for_each_change(world: &World<'_>) -> Result {
    let users = Users::converge(world, "team-logged").await?;
    users
        .change("alice", "inference-user", "Alice Liddell")
        .await?;
    let pod = pod(world).await?;
    let kubectl = world.node.kubectl();
    let changes = async || -> Result<Vec<String>> {
        let mut changes = Vec::new();
        for line in kubectl.run(&["-n", SYSTEM, "logs", &pod]).await?.lines() {
            let line: Value = serde_json::from_str(line)
                .map_err(|error| Failure::new(format!("{line:?} is no JSON: {error}")))?;
            let object = line["object"].as_str().unwrap_or_default();
            if line["patched"].is_string() && object.starts_with("team-logged/") {
                changes.push(object.to_owned());
            }
        }
        changes.sort();
        Ok(changes)
    };
    let wanted = ["alice", "alice", "bob"].map(|name| format!("team-logged/{}", users.id(name)));
    // containerd writes what it has read from the program a moment later.
    world
        .node
        .until("a line for each change", async || match changes().await {
            Ok(changes) if changes == wanted => Ok(()),
            Ok(changes) => Err(format!("{changes:?}")),
            Err(failure) => Err(failure.to_string()),
        })
        .await?;
    users.leave().await
}

/// All of them are seen and reported, and the kernel never has to kill.
pub(crate) async fn a_thousand_users_fit_into_the_memory_of_the_chart(world: &World<'_>) -> Result {
    let (kubectl, gateway) = (world.node.kubectl(), &world.gateway);
    let name = pod(world).await?;
    let object = kubectl.get_json(&["-n", SYSTEM, "pod", &name]).await?;
    let limit = &object["spec"]["containers"][0]["resources"]["limits"]["memory"];
    ensure(limit == "128Mi", || format!("the limit is {limit}"))?;
    let before = restarts(world).await?;
    let seq = gateway.last_seq().await?;
    let ids: Vec<String> = (0..MANY)
        .map(|number| format!("many-{number:04}"))
        .collect();
    for id in &ids {
        gateway.put(User::new(id, "user")).await?;
    }
    kubectl.run(&["create", "namespace", "team-many"]).await?;
    let items: Vec<Value> = ids
        .iter()
        .map(|id| user(id, &json!({"role": "user"})))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    kubectl
        .run_with_input(&["-n", "team-many", "create", "-f", "-"], &list.to_string())
        .await?;
    ready(
        world.node,
        "team-many",
        &format!("fwuser/{}", ids[MANY - 1]),
    )
    .await?;
    world
        .node
        .until("all of them to be Ready", async || {
            let all = kubectl.get_json(&["-n", "team-many", "fwuser"]).await;
            let all = all.map_err(|error| error.to_string())?;
            let ready = all["items"].as_array().into_iter().flatten();
            match ready.filter(|object| reason(object) == "InSync").count() {
                MANY => Ok(()),
                ready => Err(format!("{ready} are")),
            }
        })
        .await?;
    let patches = gateway.patches_since(seq).await?;
    ensure(patches == 0, || {
        format!("{patches} times PATCH for users that were as declared")
    })?;
    let after = restarts(world).await?;
    ensure(before == after && pod(world).await? == name, || {
        format!("{before} restarts became {after}")
    })?;
    let process = Process::find()?;
    let memory = process.memory()?;
    println!(
        "  {} KiB counted, {} KiB at most; {} resident",
        memory.working_set / 1024,
        memory.peak / 1024,
        process.status("VmRSS")?
    );
    ensure(memory.kills == 0, || {
        format!("the kernel killed {} times", memory.kills)
    })?;
    // What is requested is what it takes, so that the node plans for it.
    ensure(memory.working_set <= REQUESTED, || {
        format!("it holds {} bytes", memory.working_set)
    })?;
    kubectl
        .run(&["delete", "namespace", "team-many", "--timeout=110s"])
        .await?;
    Ok(())
}

/// The reason of an object's condition Ready.
fn reason(object: &Value) -> String {
    let ready = condition(object, "Ready");
    ready["reason"].as_str().unwrap_or_default().to_owned()
}

/// One of its conditions; null where it has none.
pub(super) fn condition(object: &Value, kind: &str) -> Value {
    let mut conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let found = conditions.find(|condition| condition["type"] == kind);
    found.cloned().unwrap_or_default()
}
