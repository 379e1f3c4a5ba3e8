//! A control plane with the policies, with subjects, and with objects that were there before the policies.

use rig::control_plane::OPERATOR_USER;
use rig::{ControlPlane, Options, Rest, until};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::admission::PATIENCE;
use crate::helm::{documents, rendered, sets};

/// Subjects, and the roles that they have the verb `grant` on. All have all verbs on fireworksusers and what is below them.
pub(super) const GRANTERS: [(&str, &[&str]); 5] = [
    ("writer", &[]),
    ("admins", &["admin"]),
    ("customs", &["custom"]),
    ("granter", &["admin", "custom"]),
    // All resources of the group include the one that the right to grant is about.
    ("everything", &["admin", "custom"]),
];

/// The objects of each namespace: name, spec, and more metadata. `old` is being deleted.
#[rustfmt::skip]
fn objects() -> Vec<(&'static str, Value, Value)> {
    let admin = || json!({"role": "admin"});
    let accepted = json!({"annotations": {"iam.fireworks.ai/accept-claim": "ann"}});
    vec![
        ("ada", admin(), json!({})),
        ("cus", json!({"role": "custom", "permissionPreset": "agent"}), json!({})),
        ("sus", json!({"role": "admin", "suspend": true}), json!({})),
        ("eve", json!({"role": "admin", "managementPolicy": "Observe"}), json!({})),
        ("ulf", json!({"role": "user"}), json!({})),
        ("ann", json!({"role": "user"}), accepted),
        ("old", admin(), json!({"finalizers": ["example.com/held", "iam.fireworks.ai/offboard"]})),
    ]
}

const RIGHTS: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: writer}
rules:
  - apiGroups: [iam.fireworks.ai]
    resources: [fireworksusers, fireworksusers/status, fireworksusers/finalizers]
    verbs: ['*']
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: everything}
rules: [{apiGroups: [iam.fireworks.ai], resources: ['*'], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: admins}
rules: [{apiGroups: [iam.fireworks.ai], resources: [fireworksroles], resourceNames: [admin], verbs: [grant]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: customs}
rules: [{apiGroups: [iam.fireworks.ai], resources: [fireworksroles], resourceNames: [custom], verbs: [grant]}]
---
";

pub(super) struct Plane {
    pub(super) plane: &'static ControlPlane,
    rest: Rest,
}

/// Those that begin with `listed` may grant. What is no dry run has namespaces of its own.
const NAMESPACES: [&str; 7] = [
    "listed",
    "unlisted",
    "listed-operator",
    "listed-owners",
    "unlisted-owners",
    "listed-namespace",
    "unlisted-namespace",
];

/// A subject in a namespace.
pub(super) struct Subject {
    rest: Rest,
    path: String,
    is_dry: bool,
}

/// An HTTP status, and the body.
type Answer = (u16, Value);

impl Plane {
    /// Returns the one control plane of these tests.
    pub(super) async fn shared() -> Self {
        static READY: OnceCell<ControlPlane> = OnceCell::const_new();
        let plane = READY.get_or_init(Self::start).await;
        // Connections belong to the runtime of a test.
        let rest = plane.rest().unwrap();
        Self { plane, rest }
    }

    async fn start() -> ControlPlane {
        let plane = ControlPlane::start(&Options::default()).unwrap();
        let rest = plane.rest().unwrap();
        for namespace in NAMESPACES {
            let create = ["create", "namespace", namespace];
            plane.kubectl(&create).await.unwrap();
            fill(&rest, namespace).await;
        }
        let chosen = sets(&[
            "grantNamespaces={listed,listed-operator,listed-owners,listed-namespace}",
            "restrictAdmin.enabled=true",
            "requireGrant.enabled=true",
            "restrictStatus.enabled=true",
            "restrictOperator.enabled=true",
        ]);
        let is_meant = |kind: &str| kind.starts_with("Validating") || kind == "ClusterRole";
        let rendered = documents(&rendered("helm", &chosen)).into_iter();
        let rendered = rendered.filter(|one| one.value()["kind"].as_str().is_some_and(is_meant));
        let mut yaml: Vec<String> = rendered.map(|one| one.yaml).collect();
        yaml.push(RIGHTS.to_owned());
        yaml.extend(bindings());
        let yaml = yaml.join("\n---\n");
        let apply = ["apply", "-f", "-"];
        plane.admin().run_with_input(&apply, &yaml).await.unwrap();
        until_in_force(&rest).await;
        plane
    }

    /// Returns what a subject asks for in a namespace, all of it as a dry run.
    pub(super) fn subject(&self, user: &str, namespace: &str) -> Subject {
        Subject::new(self.rest.impersonating(user), namespace, true)
    }

    /// The same, and not as a dry run.
    pub(super) fn acting(&self, user: &str, namespace: &str) -> Subject {
        Subject::new(self.rest.impersonating(user), namespace, false)
    }
}

async fn fill(rest: &Rest, namespace: &str) {
    let admin = Subject::new(rest.clone(), namespace, false);
    for (name, spec, mut metadata) in objects() {
        metadata["name"] = json!(name);
        let object = whole(&json!({"metadata": metadata, "spec": spec}));
        let (status, answer) = admin
            .rest
            .send("POST", &admin.path, Some(&object))
            .await
            .unwrap();
        assert_eq!(status, 201, "{answer}");
    }
    let (status, answer) = admin.delete("old").await;
    assert_eq!(status, 200, "{answer}");
}

/// The API server learns of rights and policies a moment later.
async fn until_in_force(rest: &Rest) {
    let subject = |user: &str, namespace| Subject::new(rest.impersonating(user), namespace, true);
    let refused = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"role": "user"}});
    let status = json!({"status": {"guard": "forged"}});
    let admin = json!({"spec": {"displayName": "Ada"}});
    for (who, namespace, object, patch, policy) in [
        ("granter", "unlisted", "ada", &admin, "restrict-admin"),
        ("writer", "listed", "ada", &admin, "require-grant"),
        ("writer", "listed", "ada/status", &status, "restrict-status"),
        (
            OPERATOR_USER,
            "listed",
            "ulf",
            &refused,
            "restrict-operator",
        ),
    ] {
        until(PATIENCE, policy, async || {
            let (_, answer) = subject(who, namespace).patch(object, patch).await;
            let message = answer["message"].as_str().unwrap_or_default();
            if message.contains(policy) {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        })
        .await
        .unwrap();
    }
    until(PATIENCE, "rights to grant", async || {
        let (status, answer) = subject("granter", "listed").patch("ada", &admin).await;
        if status == 200 {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    })
    .await
    .unwrap();
}

/// Returns the bindings of all subjects in both namespaces.
fn bindings() -> Vec<String> {
    let bind = |role: &str, user: &str, namespace: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("{role}-{}", user.rsplit(':').next().unwrap()), "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
        .to_string()
    };
    let mut all = Vec::new();
    for namespace in NAMESPACES {
        let writers = GRANTERS
            .map(|(user, _)| user)
            .into_iter()
            .chain([OPERATOR_USER]);
        all.extend(writers.map(|user| bind("writer", user, namespace)));
        all.push(bind("everything", "everything", namespace));
        all.push(bind("admins", "admins", namespace));
        all.push(bind("customs", "customs", namespace));
        // The chart's own.
        all.push(bind("fireworks-user-operator-grant", "granter", namespace));
    }
    all
}

/// Returns the object with its kind.
fn whole(object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!("iam.fireworks.ai/v1alpha1");
    object["kind"] = json!("FireworksUser");
    object
}

/// Applies a merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

impl Subject {
    fn new(rest: Rest, namespace: &str, is_dry: bool) -> Self {
        Self {
            rest,
            path: format!("/apis/iam.fireworks.ai/v1alpha1/namespaces/{namespace}/fireworksusers"),
            is_dry,
        }
    }

    async fn send(&self, method: &str, rest: &str, body: Option<(&str, &Value)>) -> Answer {
        let (path, more) = rest.split_once('?').unwrap_or((rest, ""));
        let dry = if self.is_dry { "dryRun=All" } else { "" };
        let path = format!("{}{path}?{dry}&{more}", self.path);
        self.rest.send_as(method, &path, body).await.unwrap()
    }

    pub(super) async fn patch(&self, object: &str, patch: &Value) -> Answer {
        let body = Some(("application/merge-patch+json", patch));
        self.send("PATCH", &format!("/{object}"), body).await
    }

    /// Makes the change by each verb that can make it. `object` may name a subresource.
    pub(super) async fn change(&self, object: &str, patch: &Value) -> Vec<(&'static str, Answer)> {
        let mut answers = vec![("patch", self.patch(object, patch).await)];
        let at = format!("/{object}");
        let (_, mut found) = self.send("GET", &at, None).await;
        merge(&mut found, patch);
        let body = Some(("application/json", &found));
        answers.push(("update", self.send("PUT", &at, body).await));
        if !has_null(patch) {
            let mut applied = whole(patch);
            applied["metadata"]["name"] = found["metadata"]["name"].clone();
            if patch.get("spec").is_some() {
                applied["spec"] = found["spec"].clone();
            }
            answers.push(("apply", self.apply(&at, &applied).await));
        }
        answers
    }

    async fn apply(&self, path: &str, object: &Value) -> Answer {
        let path = format!("{path}?fieldManager=table&force=true");
        let body = Some(("application/apply-patch+yaml", object));
        self.send("PATCH", &path, body).await
    }

    /// Creates the object by each verb that can do so.
    pub(super) async fn create(&self, object: &Value) -> Vec<(&'static str, Answer)> {
        let object = whole(object);
        let name = object["metadata"]["name"].as_str().unwrap();
        let body = Some(("application/json", &object));
        let created = self.send("POST", "", body).await;
        let applied = self.apply(&format!("/{name}"), &object).await;
        vec![("create", created), ("apply", applied)]
    }

    /// Deletes the object; an empty name stands for all of the namespace.
    pub(super) async fn delete(&self, object: &str) -> Answer {
        let path = if object.is_empty() {
            String::new()
        } else {
            format!("/{object}")
        };
        self.send("DELETE", &path, None).await
    }
}
