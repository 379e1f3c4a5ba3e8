//! The rig against the real thing: a Kubernetes API that answers, counts, restarts, and leaves nothing behind.
//! The operator's own tests rely on what is proved here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rig::control_plane::OPERATOR_USER;
use rig::{ControlPlane, Folder, Kubectl, Options, Requests, Tied, until};
use serde_json::{Value, json};

const CRD: &str = include_str!("widget.yaml");

#[tokio::test]
async fn a_manifest_applied_is_a_manifest_served() {
    let control_plane = ControlPlane::shared().unwrap();
    let namespace = control_plane.create_namespace("apply").await.unwrap();
    control_plane
        .apply_yaml(&namespace, &config_map("settings"))
        .await
        .unwrap();

    let map = control_plane
        .get_json(&["configmap", "settings", "-n", &namespace])
        .await
        .unwrap();
    assert_eq!(map["data"]["key"], "value");

    let error = control_plane
        .kubectl(&["get", "configmap", "absent", "-n", &namespace])
        .await
        .unwrap_err();
    assert_eq!(error.code, Some(1));
    assert!(error.stderr.contains("NotFound"), "{error}");
}

#[tokio::test]
async fn namespaces_never_repeat() {
    let control_plane = ControlPlane::shared().unwrap();
    let first = control_plane.create_namespace("twice").await.unwrap();
    let second = control_plane.create_namespace("twice").await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn the_audit_log_counts_every_request_of_a_user() {
    let control_plane = ControlPlane::shared().unwrap();
    let namespace = control_plane.create_namespace("audit").await.unwrap();
    let clerk = clerk(control_plane, &namespace).await;
    let user = format!("system:serviceaccount:{namespace}:clerk");
    let before = control_plane.audit_mark().unwrap();

    clerk
        .run(&["create", "configmap", "one", "-n", &namespace])
        .await
        .unwrap();
    for value in ["a", "b", "c"] {
        let patch = json!({"data": {"key": value}}).to_string();
        clerk
            .run(&[
                "patch",
                "configmap",
                "one",
                "-n",
                &namespace,
                "--patch",
                &patch,
            ])
            .await
            .unwrap();
    }
    clerk
        .run(&["get", "secrets", "-n", &namespace])
        .await
        .unwrap_err();
    clerk
        .run(&[
            "delete",
            "configmap",
            "one",
            "-n",
            &namespace,
            "--wait=false",
        ])
        .await
        .unwrap();

    let log = control_plane.audit_since(before).unwrap();
    let mine = || Requests::any().by(&user).namespace(&namespace);
    assert_eq!(log.count(&mine().verb("create").of("configmaps")), 1);
    assert_eq!(
        log.count(&mine().verb("patch").of("configmaps").name("one")),
        3
    );
    assert_eq!(log.count(&mine().writes()), 5, "{log:#?}");
    let refused: Vec<u16> = log
        .matching(&mine().of("secrets"))
        .map(|request| request.code)
        .collect();
    assert_eq!(refused, [403]);

    let nothing = control_plane
        .audit_since(control_plane.audit_mark().unwrap())
        .unwrap();
    assert_eq!(nothing.count(&mine()), 0);
}

#[tokio::test]
async fn a_token_has_the_rights_of_its_account_and_no_more() {
    let control_plane = ControlPlane::shared().unwrap();
    let namespace = control_plane.create_namespace("token").await.unwrap();
    let clerk = clerk(control_plane, &namespace).await;

    clerk
        .run(&["get", "configmaps", "-n", &namespace])
        .await
        .unwrap();
    let refused = clerk.run(&["get", "namespaces"]).await.unwrap_err();
    assert!(refused.stderr.contains("Forbidden"), "{refused}");
}

#[tokio::test]
async fn a_restarted_api_server_knows_its_objects_tokens_and_kinds() {
    let crds = Folder::new("rig-test-crds-").unwrap();
    std::fs::write(crds.join("widget.yaml"), CRD).unwrap();
    let options = Options {
        crds: Some(crds.path().to_path_buf()),
        deploy: None,
    };
    let control_plane = ControlPlane::start(&options).unwrap();
    let namespace = control_plane.create_namespace("restart").await.unwrap();
    let clerk = clerk(&control_plane, &namespace).await;
    let widget = "{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}";
    control_plane.apply_yaml(&namespace, widget).await.unwrap();
    assert!(control_plane.operator_kubeconfig().is_err());

    control_plane.stop_api_server().unwrap();
    clerk
        .run(&["get", "configmaps", "-n", &namespace])
        .await
        .unwrap_err();
    control_plane.start_api_server().await.unwrap();

    clerk
        .run(&["get", "configmaps", "-n", &namespace])
        .await
        .unwrap();
    let widget = control_plane
        .get_json(&["wg", "w", "-n", &namespace])
        .await
        .unwrap();
    assert_eq!(widget["spec"]["size"], 3);
    let refused = control_plane
        .apply_yaml(
            &namespace,
            "{apiVersion: example.org/v1, kind: Widget, metadata: {name: v}, spec: {size: x}}",
        )
        .await
        .unwrap_err();
    assert!(refused.stderr.contains("spec.size"), "{refused}");
}

#[tokio::test]
async fn the_operator_gets_the_rights_of_deploy_and_its_status_writes_are_logged_whole() {
    let folder = Folder::new("rig-test-deploy-").unwrap();
    let (crds, deploy) = (folder.join("crds"), folder.join("deploy"));
    for (path, text) in [
        (crds.join("stub.yaml"), stub_of_fireworks_users()),
        // No manifest: must not be applied as one.
        (
            crds.join("kustomization.yaml"),
            "resources: [stub.yaml]".to_owned(),
        ),
        (deploy.join("all.yaml"), DEPLOY.to_owned()),
        (
            deploy.join("kustomization.yaml"),
            "resources: [../crds, all.yaml]".to_owned(),
        ),
    ] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let options = Options {
        crds: Some(crds),
        deploy: Some(deploy),
    };
    let control_plane = ControlPlane::start(&options).unwrap();
    let operator = control_plane
        .admin()
        .with_kubeconfig(control_plane.operator_kubeconfig().unwrap());
    let alice = "{apiVersion: iam.fireworks.ai/v1, kind: FireworksUser, metadata: {name: alice}}";
    control_plane.apply_yaml("default", alice).await.unwrap();

    let patch = r#"{"status": {"state": "READY"}}"#;
    let in_status = ["--subresource=status", "--type=merge", "--patch", patch];
    let alice = ["fwuser", "alice", "-n", "default"];
    operator
        .run(&[&["patch"], &alice[..], &in_status[..]].concat())
        .await
        .unwrap();
    operator
        .run(&[&["delete"], &alice[..]].concat())
        .await
        .unwrap_err();

    let log = control_plane.audit().unwrap();
    let writes = Requests::any().by(OPERATOR_USER).writes();
    let written: Vec<_> = log
        .matching(&writes.of("fireworksusers/status").name("alice"))
        .map(|request| {
            (
                request.verb.as_str(),
                request.code,
                request.body.clone().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        written,
        [("patch", 200, json!({"status": {"state": "READY"}}))]
    );
}

#[tokio::test]
async fn a_dropped_control_plane_leaves_nothing() {
    let control_plane = ControlPlane::start(&Options::bare()).unwrap();
    let folder = control_plane.folder().to_path_buf();
    assert_eq!(
        processes_of(&folder).len(),
        2 + SWEEPER + 2 * WATCHER,
        "{:?}",
        processes_of(&folder)
    );
    drop(control_plane);
    nothing_left(&folder).await;
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_of_its_control_plane() {
    let here = Folder::new("rig-test-kill-").unwrap();
    let log = here.join("log");
    let mut doomed = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    doomed.envs(std::env::vars_os());
    let doomed = Tied::start(&doomed, &log).unwrap();
    let started = until(
        Duration::from_secs(150),
        "the process to start a control plane",
        async || {
            let output = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            let line = output
                .lines()
                .find(|line| line.starts_with('{'))
                .ok_or("no line yet")?;
            serde_json::from_str::<Value>(line).map_err(|error| error.to_string())
        },
    );
    let started = started.await.unwrap();
    let folder = Path::new(started["folder"].as_str().unwrap());
    assert!(folder.is_dir());
    assert!(processes_of(folder).len() >= 2);

    doomed.kill().unwrap();
    nothing_left(folder).await;
}

/// What the real `deploy/` has, as far as it matters here.
const DEPLOY: &str = r"
{apiVersion: v1, kind: Namespace, metadata: {name: fireworks-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: fireworks-user-operator, namespace: fireworks-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: stub}
rules:
  - {apiGroups: [iam.fireworks.ai], resources: [fireworksusers], verbs: [get]}
  - {apiGroups: [iam.fireworks.ai], resources: [fireworksusers/status], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: stub}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: stub}
subjects: [{kind: ServiceAccount, name: fireworks-user-operator, namespace: fireworks-system}]
";

fn stub_of_fireworks_users() -> String {
    [
        ("example.org", "iam.fireworks.ai"),
        ("widget", "fireworksuser"),
        ("Widget", "FireworksUser"),
        ("wg", "fwuser"),
    ]
    .into_iter()
    .fold(CRD.to_owned(), |text, (from, to)| text.replace(from, to))
}

const SWEEPER: usize = 1;
const WATCHER: usize = 1;

fn config_map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}}).to_string()
}

/// An account `clerk` that may do everything with config maps of its namespace, and `kubectl` as that account.
async fn clerk(control_plane: &ControlPlane, namespace: &str) -> Kubectl {
    let admin = control_plane.admin();
    let in_namespace = ["-n", namespace];
    for make in [
        &["create", "serviceaccount", "clerk"][..],
        &[
            "create",
            "role",
            "clerk",
            "--verb=*",
            "--resource=configmaps",
        ],
        &[
            "create",
            "rolebinding",
            "clerk",
            "--role=clerk",
            &format!("--serviceaccount={namespace}:clerk"),
        ],
    ] {
        admin.run(&[make, &in_namespace].concat()).await.unwrap();
    }
    let kubeconfig = control_plane
        .kubeconfig_of(namespace, "clerk")
        .await
        .unwrap();
    admin.with_kubeconfig(&kubeconfig)
}

/// The processes whose command line names the folder: servers, their watchers, the sweeper. Zombies have none.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap();
    let commands =
        processes.filter_map(|process| std::fs::read(process.ok()?.path().join("cmdline")).ok());
    commands
        .map(|command| String::from_utf8_lossy(&command).replace('\0', " "))
        .filter(|command| command.contains(folder))
        .collect()
}

async fn nothing_left(folder: &Path) {
    let gone = until(
        Duration::from_secs(10),
        "processes and folder to be gone",
        async || {
            let left = processes_of(folder);
            if left.is_empty() && !folder.exists() {
                Ok::<_, String>(())
            } else {
                Err(format!("{left:?}, folder: {}", folder.exists()))
            }
        },
    );
    gone.await.unwrap();
}
