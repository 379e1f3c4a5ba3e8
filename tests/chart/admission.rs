//! What the rendered documents do on a real API server: the Pod is admitted where only restricted ones are, and the roles
//! for people allow what their names promise.

use std::time::Duration;

use rig::{ControlPlane, KubectlError, until};
use serde_json::{Value, json};

use crate::helm::{documents, rendered, sets, the};

const RESTRICTED: &str = "fireworks-system";
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The Pod that the Deployment would make.
fn pod(chosen: &[&str]) -> Value {
    let deployment = the("Deployment", &documents(&rendered("helm", &sets(chosen))));
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("pod");
    pod["metadata"]["namespace"] = json!(RESTRICTED);
    // YAML of today reads 0440 otherwise than Kubernetes does.
    for volume in pod["spec"]["volumes"].as_array_mut().unwrap() {
        if volume["secret"].is_object() {
            volume["secret"]["defaultMode"] = json!(0o440);
        }
    }
    pod
}

pub(crate) async fn try_create(
    plane: &ControlPlane,
    object: &Value,
) -> Result<String, KubectlError> {
    let create = ["create", "--dry-run=server", "-f", "-"];
    plane
        .admin()
        .run_with_input(&create, &object.to_string())
        .await
}

#[tokio::test]
async fn the_restricted_namespace_admits_the_pod() {
    let plane = ControlPlane::shared().unwrap();
    let account = [
        "-n",
        RESTRICTED,
        "get",
        "serviceaccount",
        "fireworks-user-operator",
    ];
    plane.kubectl(&account).await.unwrap();
    let chosen: [&[&str]; 3] = [
        &[],
        &["caBundle.configMap=ca", "watchNamespaces={a,b}"],
        &[
            "caBundle.secret=ca",
            "podSecurity.user=null",
            "podSecurity.group=null",
        ],
    ];
    for chosen in chosen {
        try_create(plane, &pod(chosen)).await.unwrap();
    }
    // It is the namespace that would refuse it.
    let mut careless = pod(&[]);
    careless["spec"]["containers"][0]["securityContext"]["capabilities"] = json!({});
    let refusal = try_create(plane, &careless).await.unwrap_err();
    assert!(
        refusal
            .stderr
            .contains("violates PodSecurity \"restricted:latest\""),
        "{refusal}"
    );
}

/// A `ResourceQuota` on the CPU asks for a limit, which is one value of the chart.
#[tokio::test]
async fn quota_on_cpu_admits_the_pod_with_a_limit() {
    let plane = ControlPlane::shared().unwrap();
    let namespace = plane.create_namespace("quota").await.unwrap();
    let hard = json!({"limits.cpu": "2"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cpu"}, "spec": {"hard": hard}});
    let applied = plane.apply_yaml(&namespace, &quota.to_string()).await;
    applied.unwrap();
    // Nothing computes it here.
    let status = json!({"status": {"hard": hard, "used": {"limits.cpu": "0"}}}).to_string();
    let patch = [
        "-n",
        &namespace,
        "patch",
        "resourcequota",
        "cpu",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    plane.kubectl(&patch).await.unwrap();
    let attempt = async |chosen: &[&str]| {
        let mut pod = pod(chosen);
        pod["metadata"]["namespace"] = json!(namespace);
        try_create(plane, &pod).await
    };
    until(
        PATIENCE,
        "the quota to be enforced",
        async || match attempt(&[]).await {
            Err(error) if error.stderr.contains("must specify limits.cpu") => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await
    .unwrap();
    attempt(&["resources.limits.cpu=1"]).await.unwrap();
}

#[tokio::test]
async fn the_roles_for_people_allow_what_their_names_promise() {
    let plane = ControlPlane::shared().unwrap();
    let namespace = plane.create_namespace("people").await.unwrap();
    for role in ["view", "edit", "admin"] {
        let role_name = format!("--clusterrole=fireworks-user-operator-{role}");
        let bind = ["-n", &namespace, "create", "rolebinding", role, &role_name];
        let user = format!("--user={role}");
        plane
            .kubectl(&[&bind[..], &[&user]].concat())
            .await
            .unwrap();
    }
    let can = async |user: &str, verb: &str, what: &[&str]| {
        let ask = ["-n", &namespace, "auth", "can-i", verb, "--as", user];
        plane.kubectl(&[&ask[..], what].concat()).await.is_ok()
    };
    let users = ["fireworksusers.iam.fireworks.ai"];
    for user in ["view", "edit", "admin"] {
        for verb in ["get", "list", "watch"] {
            assert!(can(user, verb, &users).await, "{user} {verb}");
        }
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            let may = can(user, verb, &users).await;
            assert_eq!(may, user != "view", "{user} {verb}");
        }
        // The status is the operator's alone.
        let status = [users[0], "--subresource=status"];
        assert!(can(user, "get", &status).await, "{user} sees no status");
        assert!(!can(user, "patch", &status).await, "{user} patches status");
        assert!(
            !can(user, "get", &["secrets"]).await,
            "{user} reads Secrets"
        );
    }
}
