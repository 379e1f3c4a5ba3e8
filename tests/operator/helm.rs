//! `helm upgrade --wait` of helm 4, which gives up at the first object whose status is Failed by kstatus: a change that
//! makes progress by itself must never look like that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fireworks_gateway_simulator::{Fault, Kind, Verb};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Stage, Start};

/// A chart that renders the objects of `values.json`.
struct Release<'a> {
    stage: &'a Stage,
    folder: TempDir,
}

/// A user as the values have it: in which namespace, and with which role.
type Users<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;

impl<'a> Release<'a> {
    fn new(stage: &'a Stage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chart = "{apiVersion: v2, name: users, version: 0.1.0}";
        std::fs::write(folder.path().join("Chart.yaml"), chart).unwrap();
        let templates = folder.path().join("templates");
        std::fs::create_dir(&templates).unwrap();
        let objects = "{{ range .Values.objects }}\n---\n{{ toYaml . }}\n{{ end }}";
        std::fs::write(templates.join("users.yaml"), objects).unwrap();
        Self { stage, folder }
    }

    /// Installs or upgrades to exactly these, and waits as helm 4 does.
    async fn upgrade(&self, users: &Users<'_>) -> Result<(), String> {
        let object = |(name, (namespace, role)): (&&str, &(&str, &str))| {
            json!({"apiVersion": "iam.fireworks.ai/v1alpha1", "kind": "FireworksUser",
                "metadata": {"name": name, "namespace": namespace}, "spec": {"role": role}})
        };
        let objects: Vec<Value> = users.iter().map(object).collect();
        let values = self.folder.path().join("values.json");
        std::fs::write(&values, json!({"objects": objects}).to_string()).unwrap();
        let mut helm = helm(self.stage.plane.admin_kubeconfig(), self.folder.path());
        helm.args(["upgrade", "--install", "users"])
            .arg(self.folder.path())
            .args(["--namespace", &self.stage.namespace, "--values"])
            .arg(&values)
            .args(["--wait", "--timeout=150s", "--history-max=1"]);
        let output: Output = tokio::task::spawn_blocking(move || helm.output())
            .await
            .unwrap()
            .unwrap();
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// helm 4 as `tests/controlplane/helm/build.sh` builds it, which finds nothing of the user's own helm.
fn helm(kubeconfig: &Path, home: &Path) -> Command {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let binary: PathBuf = repository.join("tests/controlplane/bin/helm");
    assert!(binary.is_file(), "no helm: `make helm` builds it");
    let mut helm = Command::new(binary);
    helm.env_clear()
        .env("HOME", home)
        .env("KUBECONFIG", kubeconfig);
    helm
}

#[tokio::test]
async fn helm_wait_passes_hand_over_of_last_admin() {
    let stage = Stage::set("helm").await;
    stage.user("ada", "admin");
    stage.user("dave", "user");
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 300 }).on(Verb::Patch).always());
    let _operator = stage.operator().await;
    let release = Release::new(&stage);
    let namespace = stage.namespace.as_str();
    let roles = |ada, dave| Users::from([("ada", (namespace, ada)), ("dave", (namespace, dave))]);
    release.upgrade(&roles("admin", "user")).await.unwrap();
    let mut failed = Vec::new();
    for hand_over in 1..=20 {
        let users = match hand_over % 2 {
            1 => roles("user", "admin"),
            _ => roles("admin", "user"),
        };
        if let Err(error) = release.upgrade(&users).await {
            failed.push(error);
        }
        stage.until_all_ready().await;
    }
    assert!(failed.is_empty(), "{} of 20: {failed:#?}", failed.len());
}

#[tokio::test]
async fn helm_wait_passes_move_between_namespaces() {
    let stage = Stage::set("helm").await;
    let other = stage.plane.create_namespace("moved").await.unwrap();
    let names: Vec<String> = (0..20).map(|number| format!("user-{number:02}")).collect();
    for name in &names {
        stage.user(name, "contributor");
    }
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 300 }).on(Verb::Patch).always());
    let both = Start {
        args: vec!["--namespace".to_owned(), other.clone()],
        ..Start::default()
    };
    let _operator = stage.operator_with(both).await;
    let release = Release::new(&stage);
    let all = |namespace| {
        names
            .iter()
            .map(|name| (name.as_str(), (namespace, "user")))
            .collect()
    };
    release
        .upgrade(&all(stage.namespace.as_str()))
        .await
        .unwrap();
    // A minute long the users are kept for the namespace that released them; here it passes for real.
    release.upgrade(&all(other.as_str())).await.unwrap();
    // Whose object it is changes nothing at Fireworks.
    assert_eq!(stage.all_patches().len(), names.len());
}
