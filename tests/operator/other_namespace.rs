//! A namespace beside that of a stage, which the operator watches too.

use rig::{ControlPlane, until};
use serde_json::Value;

use crate::stage::{LONG, Stage, Start, manifest, object_path, ready};

pub struct Namespace {
    plane: &'static ControlPlane,
    pub namespace: String,
}

impl Namespace {
    pub async fn create(stage: &Stage, prefix: &str) -> Self {
        let plane = stage.plane;
        let namespace = plane.create_namespace(prefix).await.unwrap();
        Self { plane, namespace }
    }

    /// Watches both namespaces.
    pub fn start(&self, mut start: Start) -> Start {
        let args = ["--namespace".to_owned(), self.namespace.clone()];
        start.args.extend(args);
        start
    }

    pub async fn apply(&self, name: &str, spec: &str) {
        let manifest = manifest(name, spec);
        let applied = self.plane.apply_yaml(&self.namespace, &manifest);
        applied.await.unwrap();
    }

    pub async fn kubectl(&self, args: &[&str]) {
        let namespace = ["-n", &*self.namespace];
        let args: Vec<_> = args.iter().copied().chain(namespace).collect();
        self.plane.kubectl(&args).await.unwrap();
    }

    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let rest = self.plane.rest().unwrap();
        let path = object_path(&self.namespace, name);
        let waited = until(LONG, what, async || {
            let object = rest.get(&path).await;
            let object = object.map_err(|error| error.to_string())?;
            if holds(&object) {
                Ok(object)
            } else {
                Err(object["status"].to_string())
            }
        });
        waited.await.unwrap_or_else(|timeout| panic!("{timeout}"))
    }

    pub async fn until_reason(&self, name: &str, reason: &str) -> Value {
        let what = format!("{name} of {} to be {reason}", self.namespace);
        self.until(name, &what, |object| ready(object)["reason"] == reason)
            .await
    }
}

/// What the status of an object records of its claim.
pub fn claim(object: &Value) -> &str {
    object["status"]["claim"].as_str().unwrap_or("absent")
}
