//! The policy on who may grant admin, on a real API server: only marked namespaces grant and take away a guarded role, and
//! elsewhere such an object can still be deleted with its namespace or its owner.

use rig::{ControlPlane, KubectlError, until};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::admission::{PATIENCE, try_create};
use crate::helm::repository;

const MARK: &str = "iam.fireworks.ai/may-grant-admin";
const GRANT: &str =
    "may only be granted in a namespace labelled iam.fireworks.ai/may-grant-admin=true";
const CHANGE: &str =
    "may only be changed or deleted in a namespace labelled iam.fireworks.ai/may-grant-admin=true";

/// The policy was applied: of two that create the same object at once one fails.
static APPLIED: OnceCell<()> = OnceCell::const_new();

/// A namespace with objects of guarded roles that is not, or no longer, marked.
struct Unmarked {
    plane: &'static ControlPlane,
    namespace: String,
}

impl Unmarked {
    /// Makes one, with an object of each of these names and specs. Each has a finalizer where `held`.
    async fn with(objects: &[(&str, Value)], held: bool) -> Self {
        let plane = ControlPlane::shared().unwrap();
        APPLIED
            .get_or_init(async || {
                let policy = repository().join("deploy/policies/restrict-admin.yaml");
                let apply = ["apply", "-f", policy.to_str().unwrap()];
                plane.kubectl(&apply).await.unwrap();
            })
            .await;
        let namespace = plane.create_namespace("unmarked").await.unwrap();
        let unmarked = Self { plane, namespace };
        unmarked.label(&format!("{MARK}=true")).await;
        for (name, spec) in objects {
            let mut object = unmarked.user(name, spec);
            if held {
                object["metadata"]["finalizers"] = json!(["example.com/held"]);
            }
            // The API server learns of the label a moment later.
            until(PATIENCE, "admin to be granted", async || {
                let create = ["create", "-f", "-"];
                plane
                    .admin()
                    .run_with_input(&create, &object.to_string())
                    .await
            })
            .await
            .unwrap();
        }
        unmarked.label(&format!("{MARK}-")).await;
        let admin = unmarked.user("probe", &json!({"role": "admin"}));
        until(PATIENCE, "admin to be refused", async || {
            let refused = refused(try_create(plane, &admin).await, GRANT);
            refused.then_some(()).ok_or("the policy is not in force")
        })
        .await
        .unwrap();
        unmarked
    }

    fn user(&self, name: &str, spec: &Value) -> Value {
        json!({"apiVersion": "iam.fireworks.ai/v1alpha1", "kind": "FireworksUser",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec})
    }

    async fn label(&self, label: &str) {
        let label = ["label", "namespace", &self.namespace, label];
        self.plane.kubectl(&label).await.unwrap();
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String, KubectlError> {
        let namespaced = [&["-n", &self.namespace], args].concat();
        self.plane.kubectl(&namespaced).await
    }

    async fn patch(&self, name: &str, patch: Value) -> Result<String, KubectlError> {
        let patch = patch.to_string();
        self.kubectl(&["patch", "fwuser", name, "--type=merge", "-p", &patch])
            .await
    }

    /// Deletes an object as a `ServiceAccount` `NAMESPACE:NAME`, which has that right.
    async fn delete_as(&self, name: &str, account: &str) -> Result<String, KubectlError> {
        let account = format!("--as=system:serviceaccount:{account}");
        let delete = ["delete", "fwuser", name, "--wait=false", &account];
        self.kubectl(&[&delete[..], &["--as-group=system:masters"]].concat())
            .await
    }
}

fn refused<T>(answer: Result<T, KubectlError>, why: &str) -> bool {
    answer.is_err_and(|error| error.stderr.contains(why))
}

#[tokio::test]
async fn guarded_roles_are_granted_only_in_marked_namespaces() {
    let plain = Unmarked::with(&[], false).await;
    let try_create = async |spec: Value| {
        let object = plain.user("alice", &spec);
        try_create(plain.plane, &object).await
    };
    let custom = json!({"role": "custom", "permissionPreset": "agent"});
    for guarded in [json!({"role": "admin"}), custom] {
        let answer = try_create(guarded.clone()).await;
        assert!(refused(answer, GRANT), "{guarded}");
        // An administrator who is only observed is not changed.
        let mut observed = guarded;
        observed["managementPolicy"] = json!("Observe");
        try_create(observed).await.unwrap();
    }
    for role in ["user", "contributor", "inference-user"] {
        try_create(json!({"role": role})).await.unwrap();
    }
}

#[tokio::test]
async fn guarded_objects_change_only_in_marked_namespaces() {
    let admin = json!({"role": "admin"});
    let observed = json!({"role": "admin", "managementPolicy": "Observe"});
    let user = json!({"role": "user"});
    let objects = [("ada", admin), ("eve", observed), ("ulf", user)];
    let plain = Unmarked::with(&objects, false).await;
    for spec in [
        json!({"role": "user"}),
        json!({"role": "custom", "permissionPreset": "agent"}),
        json!({"suspend": true}),
        json!({"managementPolicy": "Observe"}),
        json!({"displayName": "Ada"}),
    ] {
        let answer = plain.patch("ada", json!({"spec": spec})).await;
        assert!(refused(answer, CHANGE), "{spec}");
    }
    let delete = plain.kubectl(&["delete", "fwuser", "ada"]).await;
    assert!(refused(delete, CHANGE));
    let manage = json!({"spec": {"managementPolicy": "Manage"}});
    assert!(refused(plain.patch("eve", manage).await, GRANT));
    let promote = json!({"spec": {"role": "admin"}});
    let answer = plain.patch("ada", promote.clone()).await;
    assert!(answer.is_ok(), "a patch that changes nothing: {answer:?}");
    // Deleting all takes what may go.
    let delete_all = plain.kubectl(&["delete", "fwuser", "--all"]).await;
    assert!(refused(delete_all, CHANGE));
    let left = plain.kubectl(&["get", "fwuser", "-o", "name"]).await;
    assert_eq!(left.unwrap(), "fireworksuser.iam.fireworks.ai/ada\n");
}

#[tokio::test]
async fn guarded_annotations_change_only_in_marked_namespaces() {
    let admin = json!({"role": "admin"});
    let plain = Unmarked::with(&[("ada", admin), ("ulf", json!({"role": "user"}))], false).await;
    let annotate = async |name: &str, annotation: &str| {
        plain
            .kubectl(&["annotate", "fwuser", name, annotation])
            .await
    };
    let replace = "iam.fireworks.ai/replace-unknown-role=owner";
    assert!(refused(annotate("ada", replace).await, CHANGE));
    let why = "annotation iam.fireworks.ai/replace-unknown-role may only be changed in a namespace labelled";
    assert!(refused(annotate("ulf", replace).await, why));
    let mut annotated = plain.user("new", &json!({"role": "user"}));
    annotated["metadata"]["annotations"] =
        json!({"iam.fireworks.ai/replace-unknown-role": "owner"});
    assert!(refused(try_create(plain.plane, &annotated).await, why));
    // Other metadata is free.
    annotate("ada", "iam.fireworks.ai/reconcile-requested-at=1")
        .await
        .unwrap();
}

#[tokio::test]
async fn guarded_objects_are_deleted_with_namespace_and_owner() {
    let admin = json!({"role": "admin"});
    let custom = json!({"role": "custom", "permissionPreset": "agent"});
    let objects = [
        ("ada", admin.clone()),
        ("bob", custom),
        ("cid", admin.clone()),
    ];
    let plain = Unmarked::with(&objects, true).await;
    let tenant = "kube-system:default";
    for account in [tenant, "team:generic-garbage-collector"] {
        assert!(refused(plain.delete_as("ada", account).await, CHANGE));
    }
    let collector = "kube-system:generic-garbage-collector";
    plain.delete_as("ada", collector).await.unwrap();
    let controller = "kube-system:namespace-controller";
    plain.delete_as("bob", controller).await.unwrap();
    // A finalizer goes whether its object is being deleted or not.
    for name in ["ada", "bob", "cid"] {
        let release = json!({"metadata": {"finalizers": null}});
        plain.patch(name, release).await.unwrap();
    }
    let gone = plain.kubectl(&["get", "fwuser", "-o", "name"]).await;
    assert_eq!(gone.unwrap(), "fireworksuser.iam.fireworks.ai/cid\n");

    // Nothing finishes the deletion of a namespace here.
    let delete = ["delete", "namespace", &plain.namespace, "--wait=false"];
    plain.plane.kubectl(&delete).await.unwrap();
    until(PATIENCE, "a deletion with the namespace", async || {
        plain.delete_as("cid", tenant).await
    })
    .await
    .unwrap();
}
