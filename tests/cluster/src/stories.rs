//! What is told on the node: which stories there are, in which order, and what each took.

mod chart;
mod disruptions;
mod installed;
mod operations;
mod rights;
mod simulator;
mod users;

use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::failure::Result;
use crate::node::{Node, search_path};
use simulator::Simulator;

/// What a person is told first.
const INVITATION: &str = "\
A Kubernetes node with the operator (namespace fireworks-system) and a simulator of the gateway (namespace gateway).
KUBECONFIG is set. The account has no users yet; for example:
  curl -X PUT http://10.96.0.20:8080/_users/alice -d '{\"id\":\"alice\",\"role\":\"user\"}'
  kubectl apply -f deploy/samples
  kubectl get fwusers -A
Leaving the shell ends it all and leaves nothing behind.";

/// What all stories stand on.
pub(crate) struct World<'a> {
    node: &'a Node,
    gateway: Simulator,
}

/// Tells those whose names hold one of the words, or all.
pub(crate) async fn tell(node: &Node, words: &[String]) -> Result<ExitCode> {
    let world = World {
        node,
        gateway: Simulator::install(node).await?,
    };
    let told = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    macro_rules! tell {
        ($($story:path),* $(,)?) => {
            $(if told(stringify!($story)) {
                let name = stringify!($story).rsplit("::").next().unwrap_or_default();
                println!("\n{}", name.replace('_', " "));
                let begun = Instant::now();
                if let Err(failure) = $story(&world).await {
                    println!("  NOT SO: {failure}");
                    return Ok(ExitCode::FAILURE);
                }
                println!("  ok ({:.1} s)", begun.elapsed().as_secs_f32());
            })*
        };
    }
    tell!(
        installed::with_kubectl_apply_users_converge,
        installed::with_kubectl_and_kustomize_users_converge,
        disruptions::pods_are_killed_deleted_and_evicted_and_users_go_on_converging,
        chart::with_helm_nothing_is_lost_in_upgrade_failure_rollback_and_reinstallation,
        chart::a_list_of_namespaces_takes_roles_only_and_sees_nothing_else,
        operations::a_key_is_replaced_in_the_secret_without_a_restart,
        operations::logs_are_json_with_one_line_for_each_change,
        operations::an_outage_of_fireworks_leaves_the_pod_ready,
        operations::a_thousand_users_fit_into_the_memory_of_the_chart,
        // Last of all: it speaks of all the others.
        rights::what_is_granted_is_what_was_used,
    );
    Ok(ExitCode::SUCCESS)
}

/// Installs operator and simulator and hands the terminal to a shell.
pub(crate) async fn invite(node: &Node) -> Result<ExitCode> {
    let gateway = Simulator::install(node).await?;
    let world = World { node, gateway };
    installed::install(&world).await?;
    println!("{INVITATION}");
    let mut shell = Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    shell
        .env("KUBECONFIG", node.kubeconfig())
        .env("PATH", search_path());
    // Whatever the person's last command came to, the node did what it should.
    tokio::task::spawn_blocking(move || shell.status()).await??;
    Ok(ExitCode::SUCCESS)
}
