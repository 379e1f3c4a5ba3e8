//! What the rendered documents do on a real API server: the Pod is admitted where only restricted ones are, the roles for
//! people allow what they say, and the policy lets only marked namespaces grant admin.

use rig::{ControlPlane, KubectlError, Options};
use serde_json::{Value, json};

use crate::helm::{documents, rendered, repository, sets, the};

const RESTRICTED: &str = "fireworks-system";

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

async fn try_create(plane: &ControlPlane, object: &Value) -> Result<String, KubectlError> {
    let create = ["create", "--dry-run=server", "-f", "-"];
    plane
        .admin()
        .run_with_input(&create, &object.to_string())
        .await
}

/// Until it is as told: admission learns of what was written a moment later.
async fn until(mut told: impl AsyncFnMut() -> Result<(), String>) {
    let soon = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while let Err(why) = told().await {
        assert!(std::time::Instant::now() < soon, "{why}");
    }
}

#[tokio::test]
async fn deploy_admits_its_pod_its_roles_and_its_policy() {
    // One control plane, with deploy/ applied, for three stories: starting it costs more than they do.
    let plane = ControlPlane::start(&Options::default()).unwrap();
    the_restricted_namespace_admits_the_pod(&plane).await;
    the_roles_for_people_allow_what_they_say(&plane).await;
    only_marked_namespaces_may_grant_admin(&plane).await;
}

async fn the_restricted_namespace_admits_the_pod(plane: &ControlPlane) {
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

async fn the_roles_for_people_allow_what_they_say(plane: &ControlPlane) {
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
        // What the operator says is the operator's alone.
        let status = [users[0], "--subresource=status"];
        assert!(can(user, "get", &status).await, "{user} sees no status");
        assert!(!can(user, "patch", &status).await, "{user} patches status");
        assert!(
            !can(user, "get", &["secrets"]).await,
            "{user} reads Secrets"
        );
    }
}

async fn only_marked_namespaces_may_grant_admin(plane: &ControlPlane) {
    let policies = repository().join("deploy/policies");
    let policies = policies.to_str().unwrap();
    plane.kubectl(&["apply", "-f", policies]).await.unwrap();
    let plain = plane.create_namespace("plain").await.unwrap();
    let marked = plane.create_namespace("marked").await.unwrap();
    let mark = [
        "label",
        "namespace",
        &marked,
        "iam.fireworks.ai/may-grant-admin=true",
    ];
    plane.kubectl(&mark).await.unwrap();
    let user = |namespace: &str, spec: Value| {
        json!({"apiVersion": "iam.fireworks.ai/v1alpha1", "kind": "FireworksUser",
            "metadata": {"name": "alice", "namespace": namespace}, "spec": spec})
    };
    let admin = user(&plain, json!({"role": "admin"}));
    until(async || match try_create(plane, &admin).await {
        Ok(_) => Err("the policy never took effect".to_owned()),
        Err(refusal) => {
            let says = "role admin may only be granted in a namespace labelled iam.fireworks.ai/may-grant-admin=true";
            assert!(refusal.stderr.contains(says), "{refusal}");
            Ok(())
        }
    })
    .await;
    // Everything else is allowed there, and so is an administrator who is only watched.
    let watched = user(
        &plain,
        json!({"role": "admin", "managementPolicy": "Observe"}),
    );
    try_create(plane, &watched).await.unwrap();
    try_create(plane, &user(&plain, json!({"role": "user"})))
        .await
        .unwrap();
    until(async || {
        let admin = user(&marked, json!({"role": "admin"}));
        let created = try_create(plane, &admin).await;
        created.map(|_| ()).map_err(|refusal| refusal.to_string())
    })
    .await;
}
