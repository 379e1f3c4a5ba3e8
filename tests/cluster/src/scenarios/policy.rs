//! The policy on who may grant admin beside the controllers that a cluster runs.

use serde_json::json;

use super::World;
use super::installed::DEPLOY;
use super::users::user;
use crate::failure::Result;

/// Nothing with a guarded role is left behind when its owner or its namespace goes, though no person may delete it there.
pub(crate) async fn guarded_objects_are_deleted_with_namespace_and_owner(
    world: &World<'_>,
) -> Result {
    let kubectl = world.node.kubectl();
    let policies = format!("{DEPLOY}/policies");
    kubectl.run(&["apply", "-f", &policies]).await?;
    let namespace = "team-policy";
    let mark = "iam.fireworks.ai/may-grant-admin";
    let namespaced = async |args: &[&str]| {
        let args = [&["-n", namespace], args].concat();
        kubectl.run(&args).await
    };
    kubectl.run(&["create", "namespace", namespace]).await?;
    let label = async |label: &str| kubectl.run(&["label", "namespace", namespace, label]).await;
    label(&format!("{mark}=true")).await?;
    namespaced(&["create", "configmap", "owner"]).await?;
    let config_map = kubectl
        .get_json(&["-n", namespace, "configmap", "owner"])
        .await?;
    // Suspended: what Fireworks has is not the subject.
    let mut owned = user("owned", &json!({"role": "admin", "suspend": true}));
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": config_map["metadata"]["uid"],
    }]);
    let custom = json!({"role": "custom", "permissionPreset": "agent", "suspend": true});
    for object in [owned, user("alone", &custom)] {
        // The API server learns of the label a moment later.
        world
            .node
            .until("guarded roles to be granted", async || {
                kubectl.apply(namespace, &object.to_string()).await
            })
            .await?;
    }
    label(&format!("{mark}-")).await?;
    world
        .node
        .until("deletion to be refused", async || {
            match namespaced(&["delete", "fwuser", "--all", "--dry-run=server"]).await {
                Err(error) if error.stderr.contains("may only be changed or deleted") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
    namespaced(&["delete", "configmap", "owner"]).await?;
    world
        .node
        .until("the garbage collector", async || {
            match namespaced(&["get", "fwuser", "-o", "name"]).await {
                Ok(left) if left.trim().ends_with("/alone") && left.lines().count() == 1 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
    kubectl
        .run(&["delete", "namespace", namespace, "--timeout=110s"])
        .await?;
    kubectl.run(&["delete", "-f", &policies]).await?;
    Ok(())
}
