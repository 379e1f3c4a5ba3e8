//! Which scenarios run on the node, in which order, and how long each took.

mod chart;
mod disruptions;
mod documented;
mod installed;
mod operations;
mod policy;
mod probes;
mod process;
mod released;
mod rights;
mod rolling;
mod simulator;
mod users;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::time::Instant;

use tokio::sync::Mutex;

use crate::failure::Result;
use crate::images;
use crate::node::{Node, search_path};
use crate::pages::Block;
use simulator::Simulator;

/// What `make cluster` prints first.
const SHELL_HELP: &str = "\
A Kubernetes node with the operator (namespace fireworks-system) and a simulator of the gateway (namespace gateway).
KUBECONFIG is set. The account has no users yet; for example:
  curl -X PUT http://10.96.0.20:8080/_users/alice -d '{\"id\":\"alice\",\"role\":\"user\"}'
  kubectl apply -f deploy/samples
  kubectl get fwusers -A
Leaving the shell ends it all and leaves nothing behind.";

/// What all scenarios share.
pub(crate) struct World<'a> {
    node: &'a Node,
    gateway: Simulator,
    /// The blocks of the pages that were run.
    followed: Mutex<BTreeSet<Block>>,
}

impl<'a> World<'a> {
    async fn new(node: &'a Node) -> Result<Self> {
        Ok(Self {
            node,
            gateway: Simulator::install(node).await?,
            followed: Mutex::default(),
        })
    }
}

/// Runs those whose names contain one of the words, or all.
pub(crate) async fn run(node: &Node, words: &[String]) -> Result<ExitCode> {
    let world = World::new(node).await?;
    images::import_documented(&node.state(), world.gateway.authority())?;
    let is_selected = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    macro_rules! run_all {
        ($($scenario:path),* $(,)?) => {
            $(if is_selected(stringify!($scenario)) {
                let name = stringify!($scenario).rsplit("::").next().unwrap_or_default();
                println!("\n{}", name.replace('_', " "));
                let begun = Instant::now();
                if let Err(failure) = $scenario(&world).await {
                    println!("  FAILED: {failure}");
                    return Ok(ExitCode::FAILURE);
                }
                println!("  ok ({:.1} s)", begun.elapsed().as_secs_f32());
            })*
        };
    }
    run_all!(
        // First of all: the kind is not there yet.
        probes::a_pod_is_not_ready_before_its_objects_can_be_listed,
        installed::with_kubectl_apply_users_converge,
        installed::with_kubectl_and_kustomize_users_converge,
        released::the_released_image_is_one_small_program_without_privileges,
        disruptions::pods_are_killed_deleted_and_evicted_and_users_go_on_converging,
        chart::with_helm_nothing_is_lost_in_upgrade_failure_rollback_and_reinstallation,
        chart::a_list_of_namespaces_takes_roles_only_and_sees_nothing_else,
        policy::guarded_objects_are_deleted_with_namespace_and_owner,
        operations::a_key_is_replaced_in_the_secret_without_a_restart,
        operations::logs_are_json_with_one_line_for_each_change,
        probes::an_outage_of_fireworks_leaves_the_pod_ready,
        probes::a_blocked_process_is_started_again_by_the_kubelet,
        operations::a_thousand_users_fit_into_the_memory_of_the_chart,
        rolling::with_two_replicas_a_rolling_restart_loses_and_doubles_no_edit,
        // It speaks of all those above. Those below take rights away from an operator that still runs.
        rights::what_is_granted_is_what_was_used,
        documented::the_page_on_installing_is_right_with_helm,
        documented::the_page_on_installing_is_right_with_the_last_helm_3,
        documented::the_page_on_installing_is_right_with_kubectl,
        documented::the_page_on_installing_is_right_with_kustomize,
        documented::the_readme_installs_it,
        documented::no_block_of_the_pages_is_forgotten,
    );
    Ok(ExitCode::SUCCESS)
}

/// Installs operator and simulator and hands the terminal to a shell.
pub(crate) async fn shell(node: &Node) -> Result<ExitCode> {
    let world = World::new(node).await?;
    installed::install(&world).await?;
    println!("{SHELL_HELP}");
    let mut shell = Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    shell
        .env("KUBECONFIG", node.kubeconfig())
        .env("PATH", search_path());
    // Whatever the person's last command came to, the node did what it should.
    tokio::task::spawn_blocking(move || shell.status()).await??;
    Ok(ExitCode::SUCCESS)
}
