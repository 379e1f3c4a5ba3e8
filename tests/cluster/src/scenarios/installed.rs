//! The operator installed, and the users' scenario that every way of installing has to come to.

use fireworks_gateway_simulator::settings::TEST_KEY;
use serde_json::json;

use super::World;
use super::simulator::{ACCOUNT, BASE_URL};
use super::users::Users;
use crate::failure::Result;

/// What is shipped.
pub(crate) const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
/// Where the operator is, by default.
pub(crate) const SYSTEM: &str = "fireworks-system";
/// Its Deployment, and its Pods' label.
pub(crate) const OPERATOR: &str = "fireworks-user-operator";

/// `kubectl apply -f deploy/install.yaml`, the Secret, and the simulator in place of Fireworks; and all of it away again.
pub(crate) async fn with_kubectl_apply_users_converge(world: &World<'_>) -> Result {
    let file = format!("{DEPLOY}/install.yaml");
    apply(world, &["-f", &file]).await?;
    let users = Users::converge(world, "team-kubectl").await?;
    users.leave().await?;
    let kubectl = world.node.kubectl();
    kubectl
        .run(&["delete", "-f", &file, "--timeout=110s"])
        .await?;
    Ok(())
}

/// `kubectl apply -k deploy`, the Secret, and the simulator in place of Fireworks.
pub(crate) async fn with_kubectl_and_kustomize_users_converge(world: &World<'_>) -> Result {
    install(world).await?;
    let users = Users::converge(world, "team-kustomize").await?;
    users.drift_is_undone("bob", "contributor").await?;
    users.drift_is_undone("bob", "contributor").await?;
    // What may give rights is read once more before it is sent.
    users.become_custom("alice").await?;
    users.cost_patches(5).await?;
    users.leave().await
}

/// Installs with kustomize.
pub(crate) async fn install(world: &World<'_>) -> Result {
    apply(world, &["-k", DEPLOY]).await
}

async fn apply(world: &World<'_>, what: &[&str]) -> Result {
    let kubectl = world.node.kubectl();
    kubectl.run(&[&["apply"], what].concat()).await?;
    trust_the_simulator(world).await?;
    // Last: until now the Pod could not start. What starts and is replaced at once costs its whole grace period, because
    // the kernel takes no signal for a container's first process before that has asked for it.
    create_secret(world, SYSTEM).await?;
    world.node.rolled_out(SYSTEM, OPERATOR).await
}

/// The Secret with the account and its key, as the documentation has it.
pub(crate) async fn create_secret(world: &World<'_>, namespace: &str) -> Result {
    let account = format!("--from-literal=account-id={ACCOUNT}");
    let key = format!("--from-literal=api-key={TEST_KEY}");
    world
        .node
        .kubectl()
        .run(&[
            "-n",
            namespace,
            "create",
            "secret",
            "generic",
            "fireworks-api-key",
            &account,
            &key,
        ])
        .await?;
    Ok(())
}

/// The certificate of the simulator's authority, where the operator's Pod may mount it.
pub(crate) async fn create_bundle(world: &World<'_>) -> Result {
    let bundle = world.node.state().join("authority.pem");
    std::fs::write(&bundle, world.gateway.authority())?;
    let bundle = format!("--from-file=ca.crt={}", bundle.display());
    let kubectl = world.node.kubectl();
    kubectl
        .run(&["-n", SYSTEM, "create", "configmap", "fireworks-ca", &bundle])
        .await?;
    Ok(())
}

/// Another address than Fireworks', and another authority: by a patch, as kustomize's users would.
async fn trust_the_simulator(world: &World<'_>) -> Result {
    create_bundle(world).await?;
    let patch = json!({"spec": {"template": {"spec": {
        "containers": [{
            "name": "operator",
            "env": [
                {"name": "FIREWORKS_BASE_URL", "value": BASE_URL},
                // So that a scenario need not wait a minute for what only a sweep can see.
                {"name": "FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL", "value": "2s"},
                {"name": "FIREWORKS_USER_OPERATOR_CA_FILE", "value": "/etc/fireworks/ca.crt"},
            ],
            "volumeMounts": [{"name": "ca", "mountPath": "/etc/fireworks", "readOnly": true}],
        }],
        "volumes": [{"name": "ca", "configMap": {"name": "fireworks-ca"}}],
    }}}});
    world
        .node
        .kubectl()
        .run(&[
            "-n",
            SYSTEM,
            "patch",
            "deployment",
            OPERATOR,
            "-p",
            &patch.to_string(),
        ])
        .await?;
    Ok(())
}
