//! The chart on a real node, with helm as its users run it: installed, upgraded, broken, rolled back, uninstalled.

use std::process::Command;

use rig::Requests;

use super::World;
use super::disruptions::pods;
use super::installed::{DEPLOY, OPERATOR, SYSTEM, create_bundle, create_secret};
use super::simulator::BASE_URL;
use super::users::Users;
use crate::failure::{Failure, Result, ensure};
use crate::images::{NEXT_TAG, TAG};
use crate::node::program;
use crate::shell;

/// The first release's whole life: no edit is lost, no user is changed without need.
pub(crate) async fn with_helm_nothing_is_lost_in_upgrade_failure_rollback_and_reinstallation(
    world: &World<'_>,
) -> Result {
    uninstall_all(world).await?;
    helm(world, &install_words(&[])).await?;
    let users = Users::converge(world, "team-helm").await?;
    let first = runs(world, TAG).await?;

    let tag = format!("image.tag={NEXT_TAG}");
    let set = ["--set", "settings.concurrency=8", "--set", &tag];
    let upgrade = upgrade_words(&set);
    let (upgraded, edited) = tokio::join!(
        helm(world, &upgrade),
        users.change("alice", "inference-user", "During an upgrade")
    );
    upgraded.and(edited)?;
    let next = runs(world, NEXT_TAG).await?;
    ensure(first != next, || {
        format!("the new image is the old one, {first}")
    })?;

    let set = [
        "--set",
        "image.tag=nowhere",
        "--rollback-on-failure",
        "--timeout=15s",
    ];
    let upgrade = upgrade_words(&set);
    let (broken, edited) = tokio::join!(
        helm(world, &upgrade),
        users.change("bob", "inference-user", "During a broken upgrade")
    );
    ensure(broken.is_err(), || {
        "an image that is nowhere was installed".to_owned()
    })?;
    edited?;
    let still = runs(world, NEXT_TAG).await?;
    ensure(still == next, || format!("{next} became {still}"))?;

    helm(
        world,
        &words("rollback", &["1", "--wait", "--timeout=100s"]),
    )
    .await?;
    let again = runs(world, TAG).await?;
    ensure(again == first, || format!("{first} came back as {again}"))?;
    users.change("alice", "user", "After a rollback").await?;
    users.cost_patches(5).await?;

    uninstall(world).await?;
    users.are("alice", "user", "After a rollback").await?;
    helm(world, &install_words(&[])).await?;
    users
        .change("bob", "user", "After a new installation")
        .await?;
    users.are("alice", "user", "After a rollback").await?;
    users.cost_patches(6).await?;
    users.leave().await
}

/// Roles in the namespaces that are named, nothing beyond, and nothing seen of the others.
pub(crate) async fn a_list_of_namespaces_takes_roles_only_and_sees_nothing_else(
    world: &World<'_>,
) -> Result {
    uninstall(world).await?;
    let listed = Users::open(world, "team-listed").await?;
    let unlisted = Users::open(world, "team-unlisted").await?;
    let mark = world.node.audit()?.requests.len();
    helm(
        world,
        &install_words(&["--set", "watchNamespaces={team-listed}"]),
    )
    .await?;
    unlisted.apply("alice", "user", "Out Of Band").await?;
    listed.are_made("alice", "bob").await?;

    let kubectl = world.node.kubectl();
    for kind in ["clusterrole", "clusterrolebinding"] {
        let there = kubectl.run(&["get", kind, OPERATOR]).await;
        ensure(there.is_err(), || {
            format!("there is a {kind} for one namespace")
        })?;
    }
    let audit = world.node.audit()?;
    let operator = format!("system:serviceaccount:{SYSTEM}:{OPERATOR}");
    let asked = Requests::any().by(&operator);
    for request in audit.requests.iter().skip(mark) {
        let is_own_lease = request.namespace == SYSTEM && request.group == "coordination.k8s.io";
        let elsewhere =
            request.namespace != "team-listed" && request.group != "events.k8s.io" && !is_own_lease;
        ensure(!(asked.include(request) && elsewhere), || {
            format!("asked beyond its namespace: {request:?}")
        })?;
    }
    let seen = unlisted.object("alice").await?;
    ensure(seen["status"]["observedGeneration"] == -1, || {
        format!("what is not watched was seen: {}", seen["status"])
    })?;
    ensure(
        unlisted.at_fireworks("alice").await?.role == "contributor",
        || "what is not watched was changed".to_owned(),
    )?;
    uninstall(world).await?;
    helm(world, &install_words(&[])).await?;
    // Now a person looks.
    unlisted.are("alice", "user", "Out Of Band").await?;
    listed.leave().await?;
    unlisted.leave().await
}

/// Takes what kustomize installed away, and makes the namespace with what the chart expects there.
pub(super) async fn uninstall_all(world: &World<'_>) -> Result {
    let kubectl = world.node.kubectl();
    kubectl
        .run(&[
            "delete",
            "-k",
            DEPLOY,
            "--ignore-not-found",
            "--timeout=110s",
        ])
        .await?;
    kubectl.run(&["create", "namespace", SYSTEM]).await?;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kubectl
        .run(&["label", "namespace", SYSTEM, restricted])
        .await?;
    create_bundle(world).await?;
    create_secret(world, SYSTEM).await
}

/// Uninstalls, and waits for the Pods too, which helm does not: the definition and the objects stay.
pub(super) async fn uninstall(world: &World<'_>) -> Result {
    let kubectl = world.node.kubectl();
    let before = kubectl.run(&["get", "fwuser", "-A", "-o", "name"]).await?;
    let seq = world.gateway.last_seq().await?;
    helm(world, &words("uninstall", &["--wait", "--timeout=100s"])).await?;
    world
        .node
        .until("the Pods to be gone", async || match pods(world).await {
            Ok(pods) if pods.is_empty() => Ok(()),
            Ok(pods) => Err(format!("{} Pods", pods.len())),
            Err(failure) => Err(failure.to_string()),
        })
        .await?;
    let after = kubectl.run(&["get", "fwuser", "-A", "-o", "name"]).await?;
    ensure(before == after, || {
        format!("objects went with the release: {before} became {after}")
    })?;
    let patches = world.gateway.patches_since(seq).await?;
    ensure(patches == 0, || {
        format!("uninstalling sent {patches} times PATCH")
    })
}

/// That the one Pod runs the image of this tag; answers by which digest the node knows what runs.
async fn runs(world: &World<'_>, tag: &str) -> Result<String> {
    world.node.rolled_out(SYSTEM, OPERATOR).await?;
    let pods = pods(world).await?;
    let images: Vec<_> = pods
        .iter()
        .filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str())
        .collect();
    ensure(images == [format!("{OPERATOR}:{tag}")], || {
        format!("{images:?} run, and not {tag}")
    })?;
    let id = &pods[0]["status"]["containerStatuses"][0]["imageID"];
    let id = id.as_str().filter(|id| id.contains("sha256:"));
    id.map(str::to_owned)
        .ok_or_else(|| Failure::new("the Pod does not show which image runs"))
}

pub(super) fn words(verb: &str, more: &[&str]) -> Vec<String> {
    let words = [&[verb, OPERATOR], more, &["--namespace", SYSTEM]].concat();
    words.into_iter().map(str::to_owned).collect()
}

fn install_words(more: &[&str]) -> Vec<String> {
    chart_words("install", more)
}

pub(super) fn upgrade_words(more: &[&str]) -> Vec<String> {
    chart_words("upgrade", more)
}

fn chart_words(verb: &str, more: &[&str]) -> Vec<String> {
    chart_words_without_waiting(verb, &[&["--wait", "--timeout=100s"], more].concat())
}

/// The chart as every scenario has it.
pub(super) fn chart_words_without_waiting(verb: &str, more: &[&str]) -> Vec<String> {
    let chart = format!("{DEPLOY}/chart");
    let image = format!("image.repository={OPERATOR}");
    let base_url = format!("settings.baseUrl={BASE_URL}");
    let fixed = [
        chart.as_str(),
        "--set",
        &base_url,
        "--set",
        &image,
        "--set",
        "caBundle.configMap=fireworks-ca",
        "--set",
        "settings.sweepInterval=2s",
        "--set",
        "image.pullPolicy=Never",
    ];
    // Of two values for one flag the last counts.
    words(verb, &[&fixed[..], more].concat())
}

/// Runs helm to its end while others may go on.
pub(super) async fn helm(world: &World<'_>, words: &[String]) -> Result<String> {
    let mut command = Command::new(program("helm"));
    command
        .args(words)
        .env_clear()
        .env("HOME", world.node.state())
        .env("KUBECONFIG", world.node.kubeconfig());
    tokio::task::spawn_blocking(move || shell::finish(&mut command))
        .await
        .map_err(Failure::from)?
}
