//! A tenant of a shared cluster: a user with rights on the objects of one namespace and nothing else. Each request is made in
//! the name of that user, with its rights alone.

use rig::{ControlPlane, Rest, until};
use serde_json::{Value, json};

use crate::other_namespace::{Namespace, claim};
use crate::stage::{LONG, Stage, Start, ready};

/// The resources that a tenant with the usual rights may edit.
const OBJECTS: &str = "fireworksusers";

pub struct Tenant {
    namespace: Namespace,
    rest: Rest,
    user: String,
    platform: String,
}

impl Tenant {
    /// One that may edit objects.
    pub async fn create(stage: &Stage) -> Self {
        let tenant = Self::with_rights(stage, OBJECTS).await;
        let (status, answer) = tenant.send_status("any", &json!({})).await;
        assert_eq!(status, 403, "{answer}");
        tenant
    }

    /// One whose role has all resources of the group, and with them the status of objects.
    pub async fn with_all_resources(stage: &Stage) -> Self {
        Self::with_rights(stage, "*").await
    }

    async fn with_rights(stage: &Stage, resources: &str) -> Self {
        let namespace = Namespace::create(stage, "tenant").await;
        let user = format!("user-of-{}", namespace.namespace);
        grant(stage.plane, &namespace.namespace, &user, resources).await;
        let tenant = Self {
            rest: stage.plane.rest().unwrap().impersonating(&user),
            namespace,
            user,
            platform: stage.namespace.clone(),
        };
        until(
            LONG,
            "the tenant's rights to be in force",
            async || match tenant.send("GET", "", None).await {
                (200, _) => Ok(()),
                (_, answer) => Err(answer),
            },
        )
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
        for method in ["GET", "POST"] {
            let path = stage.objects_path();
            let sent = tenant.rest.send(method, &path, Some(&json!({}))).await;
            let (status, answer) = sent.unwrap();
            assert_eq!(status, 403, "{answer}");
        }
        tenant
    }

    /// An operator that watches the namespaces of the platform and of the tenant. Only the platform may grant.
    pub fn start(&self, start: Start) -> Start {
        let mut start = self.namespace.start(start);
        start.args.push("--grant-namespace".to_owned());
        start.args.push(self.platform.clone());
        start
    }

    /// The same, but every namespace may grant.
    pub fn start_without_restriction(&self, start: Start) -> Start {
        self.namespace.start(start)
    }

    pub fn namespace(&self) -> &str {
        &self.namespace.namespace
    }

    pub async fn create_object(&self, name: &str, spec: Value) {
        self.create_annotated(name, json!({}), spec).await;
    }

    pub async fn create_annotated(&self, name: &str, annotations: Value, spec: Value) {
        let object = json!({
            "apiVersion": "iam.fireworks.ai/v1alpha1",
            "kind": "FireworksUser",
            "metadata": {"name": name, "annotations": annotations},
            "spec": spec,
        });
        let (status, answer) = self.send("POST", "", Some(&object)).await;
        assert_eq!(status, 201, "{name}: {}", answer["message"]);
    }

    /// Changes an object by a JSON merge patch.
    pub async fn merge(&self, name: &str, patch: Value) {
        let (status, answer) = self.send("PATCH", &format!("/{name}"), Some(&patch)).await;
        assert_eq!(status, 200, "{name}: {}", answer["message"]);
    }

    /// Changes the spec of an object.
    pub async fn edit(&self, name: &str, spec: Value) {
        self.merge(name, json!({ "spec": spec })).await;
    }

    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) {
        let annotation = format!("iam.fireworks.ai/{annotation}");
        let patch = json!({"metadata": {"annotations": {annotation: value}}});
        self.merge(name, patch).await;
    }

    pub async fn delete(&self, name: &str) {
        let (status, answer) = self.send("DELETE", &format!("/{name}"), None).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Writes the status of an object, which the rules on statuses leave out.
    pub async fn forge(&self, stage: &Stage, name: &str, status: &Value) {
        let (code, answer) = self.send_status(name, status).await;
        assert_eq!(code, 200, "{answer}");
        let version = answer["metadata"]["resourceVersion"].as_str().unwrap();
        stage.witness.wrote_status(version);
    }

    /// Tries to write the status of an object. Answers the HTTP status and the body.
    pub async fn send_status(&self, name: &str, status: &Value) -> (u16, Value) {
        let body = json!({ "status": status });
        let path = format!("/{name}/status");
        self.send("PATCH", &path, Some(&body)).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let namespace = self.namespace();
        let path =
            format!("/apis/iam.fireworks.ai/v1alpha1/namespaces/{namespace}/fireworksusers{path}");
        let sent = self.rest.send(method, &path, body).await;
        sent.unwrap_or_else(|error| panic!("{}: {error}", self.user))
    }

    /// Waits until the status of an object satisfies `holds` at the generation of its spec.
    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{name} of the tenant to {what}");
        let path = format!("/{name}");
        let waited = until(LONG, &what, async || {
            let (_, object) = self.send("GET", &path, None).await;
            let observed = &object["status"]["observedGeneration"];
            if *observed == object["metadata"]["generation"] && holds(&object) {
                Ok(object)
            } else {
                Err(object["status"].to_string())
            }
        });
        waited.await.unwrap_or_else(|timeout| panic!("{timeout}"))
    }

    pub async fn until_reason(&self, name: &str, reason: &str) -> Value {
        let what = format!("be {reason}");
        self.until(name, &what, |object| ready(object)["reason"] == reason)
            .await
    }

    pub async fn until_claim(&self, name: &str, recorded: &str) -> Value {
        let what = format!("record {recorded}");
        self.until(name, &what, |object| claim(object) == recorded)
            .await
    }
}

/// Lets the user edit these resources of the group in that namespace.
async fn grant(plane: &ControlPlane, namespace: &str, user: &str, resources: &str) {
    let verbs = [
        "get", "list", "watch", "create", "update", "patch", "delete",
    ];
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "tenant"},
        "rules": [{"apiGroups": ["iam.fireworks.ai"], "resources": [resources], "verbs": verbs}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let both = format!("{role}\n---\n{binding}\n");
    plane.apply_yaml(namespace, &both).await.unwrap();
}
