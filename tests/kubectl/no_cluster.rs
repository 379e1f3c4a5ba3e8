//! `plan --from-cluster` where the cluster cannot be read: one clear line, and no secret in it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kubectl_fireworks::cluster::{self, Cluster};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, TOKEN, object, page, refusal};
use crate::command::{Ended, manifest, program};
use crate::from_cluster::{assert_no_secret, gateway, plan};

/// One line on standard error, nothing on standard output.
#[track_caller]
fn assert_refused(ended: &Ended, code: i32, why: &str) {
    assert_eq!((ended.code, &*ended.out), (code, ""), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert!(
        ended.err.starts_with("error: ") && ended.err.contains(why),
        "{ended:?}"
    );
    assert_no_secret(ended);
}

#[test]
fn refusal_of_the_api_server_is_one_clear_line() {
    let gateway = gateway(&[]);
    let forbidden = "User \"ada@people.example\" cannot list resource";
    for (answer, args, why) in [
        (
            refusal(401, "Unauthorized"),
            &[][..],
            "does not accept the credentials",
        ),
        (
            refusal(403, forbidden),
            &[],
            "may not list FireworksUsers in all namespaces",
        ),
        (
            refusal(403, forbidden),
            &["-n", "team-a"],
            "may not list FireworksUsers in namespace team-a",
        ),
        (
            refusal(404, "the server could not find it"),
            &[],
            "definition is not installed",
        ),
        (
            refusal(500, "etcd of ada@people.example is down"),
            &[],
            "(500): etcd of <redacted> is down",
        ),
        ((503, "<html>".to_owned()), &[], "(503): it gives no reason"),
        (
            (200, "<html>".to_owned()),
            &[],
            "is no list of FireworksUsers",
        ),
    ] {
        let server = ApiServer::start(move |_| answer.clone());
        let ended = plan(&gateway, &server, args, "");
        assert_refused(&ended, 3, why);
        // Without objects the account is not read.
        assert!(gateway.journal().is_empty());
    }
}

/// A kubeconfig of that user and that server.
fn config(user: &Value, address: &str) -> String {
    json!({
        "clusters": [{"name": "one", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "one", "user": user}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    })
    .to_string()
}

#[test]
fn kubeconfig_that_gives_no_access_is_one_clear_line() {
    let gateway = gateway(&[]);
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], kubeconfig: Option<&str>, code, why| {
        let file = folder.path().join("config");
        let mut run = program([&["plan", "--from-cluster"], args].concat()).account(&gateway);
        if let Some(text) = kubeconfig {
            std::fs::write(&file, text).unwrap();
            run = run.env("KUBECONFIG", &file);
        }
        assert_refused(&run.env("HOME", folder.path()).run(), code, why);
    };
    let offline = config(&json!({"token": TOKEN}), "127.0.0.1:1");
    let script = format!("echo {TOKEN}; echo {TOKEN} >&2; exit 1");
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", script],
        "interactiveMode": "Never",
    });
    let plugin = config(&json!({ "exec": exec }), "127.0.0.1:1");
    let broken = format!("users: {{{TOKEN}");
    let (offline, plugin, broken) = (Some(&*offline), Some(&*plugin), Some(&*broken));
    let cases: [(&[&str], Option<&str>, i32, &str); 8] = [
        (
            &[],
            None,
            2,
            "/.kube/config: set --kubeconfig or KUBECONFIG",
        ),
        (
            &["--kubeconfig", "missing"],
            None,
            2,
            "no kubeconfig at missing: set",
        ),
        (
            &["--context", "two"],
            offline,
            2,
            "the kubeconfig has no context two",
        ),
        (&[], Some("{}"), 2, "no current context: set --context"),
        (&[], broken, 2, "its YAML is malformed"),
        (
            &[],
            offline,
            3,
            "cannot reach the API server at http://127.0.0.1:1: ",
        ),
        (&[], plugin, 2, "the credential plugin failed"),
        (&["-n", "a/b"], offline, 2, "-n: a/b is no namespace"),
    ];
    for (args, kubeconfig, code, why) in cases {
        refused(args, kubeconfig, code, why);
    }
}

#[test]
fn command_line_that_contradicts_itself_is_refused() {
    let gateway = gateway(&[]);
    let server = ApiServer::with(Vec::new());
    let refused = |args: &[&str], why| {
        let text = manifest("alice", "{role: user}");
        let run = program([&["plan"], args].concat()).env("KUBECONFIG", server.kubeconfig());
        assert_refused(&run.account(&gateway).input(text).run(), 2, why);
    };
    refused(&[], "--filename <PATH>");
    refused(
        &["-f", "-", "--context", "one"],
        "--from-cluster is missing",
    );
    refused(
        &["-f", "-", "-n", "a", "-n", "b"],
        "--namespace is set twice",
    );
    refused(
        &["-f", "-", "--from-cluster", "-n", "a", "-n", "b"],
        "alice is in a namespace that -n does not name",
    );
}

async fn connected(kubeconfig: &Path, deadline: Duration) -> Cluster {
    let settings = cluster::Settings {
        kubeconfig: Some(kubeconfig.to_owned()),
        deadline: Some(deadline),
        ..cluster::Settings::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cluster::connect(&settings).await.unwrap()
}

/// A server that accepts the connection and never answers.
#[test]
fn api_server_that_does_not_answer_is_given_up() {
    let (keep, kept) = std::sync::mpsc::channel::<()>();
    let server = ApiServer::start(move |_| {
        let _ = kept.recv();
        (200, String::new())
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let listed = runtime.unwrap().block_on(async {
        let cluster = connected(&server.kubeconfig(), Duration::from_millis(300)).await;
        cluster.list(&BTreeSet::new()).await
    });
    let why = listed.unwrap_err().to_string();
    assert!(why.ends_with("did not answer within 0.3 s"), "{why}");
    drop(keep);
}

/// A page beyond what is read is requested again with fewer objects.
#[test]
fn page_that_is_too_large_is_requested_with_fewer_objects() {
    let server = ApiServer::start(|path| {
        let number = path.split("limit=").nth(1).unwrap();
        let number: usize = number.split('&').next().unwrap().parse().unwrap();
        let padding = if number > 100 { 17 << 20 } else { 0 };
        let mut one = object("team-a", "alice", json!({"role": "user"}));
        one["metadata"]["annotations"] = json!({"padding": "x".repeat(padding)});
        (200, page(&[one], ""))
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let listed = runtime.unwrap().block_on(async {
        let cluster = connected(&server.kubeconfig(), cluster::DEADLINE).await;
        cluster.list(&BTreeSet::new()).await
    });
    assert!(listed.is_ok());
    let limits: Vec<_> = server.requests();
    assert_eq!(limits.len(), 2, "{limits:?}");
    assert!(limits[1].ends_with("limit=62"), "{limits:?}");
}
