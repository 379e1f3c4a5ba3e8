//! How the operator reaches the API server: what its log shows while it does not, and what in its environment counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rig::{Folder, until};
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start};
use crate::witness::Running;

/// A change of a kubeconfig.
type Change<'a> = &'a dyn Fn(&mut Value);

/// The time within which a Pod has to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// An authority that has signed nothing; its key is gone.
const OTHER_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUdjOGKD6myhWOAXusWAWV3DpkKccwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIyMDAzMzUxWhgPMjEy
NjEwMjkwMDMzNTFaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEGdctgh38bsNP9/IhXBoOfu7RMvIo04L0xxn52I9q
tfpAJveaXQ4uex7T3wWgDm03SuBTW/ODwUm+WPtgBFR/KKNTMFEwHQYDVR0OBBYE
FHMO7gxIpCyjh++rCaCTl89NeUbQMB8GA1UdIwQYMBaAFHMO7gxIpCyjh++rCaCT
l89NeUbQMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAKToEnIB
rxOpvjZ2IrN2tpuLcyXTCh3p9G5iFPgMoDufAiA9UhYAVBTVd4fzP+adrGFM3bPt
TNFFTsXJzak4LnXnog==
-----END CERTIFICATE-----
";

/// The operator's own kubeconfig, with one change, in a file.
fn kubeconfig(stage: &Stage, folder: &Folder, change: impl FnOnce(&mut Value)) -> PathBuf {
    let own = stage.plane.operator_kubeconfig().unwrap();
    let mut config = serde_json::from_str(&std::fs::read_to_string(own).unwrap()).unwrap();
    change(&mut config);
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

fn cluster(config: &mut Value) -> &mut Value {
    &mut config["clusters"][0]["cluster"]
}

fn user(config: &mut Value) -> &mut Value {
    &mut config["users"][0]["user"]
}

async fn operator(stage: &Stage, kubeconfig: PathBuf, env: &[(&str, &str)]) -> Running {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let start = Start {
        kubeconfig: Some(kubeconfig),
        env: env.collect(),
        ..Start::default()
    };
    stage.operator_with(start).await
}

/// The log lines of at least WARN.
fn complaints(operator: &Running) -> Vec<Value> {
    let mut entries = operator.log_entries();
    entries.retain(|entry| entry["level"] == "WARN" || entry["level"] == "ERROR");
    entries
}

/// Each way in which the API server cannot be reached is one log line with its address and its cause.
#[tokio::test]
async fn unreachable_api_server_is_one_line_with_address_and_cause() {
    let stage = Stage::set("kube-access").await;
    let other = Folder::new("rig-authority-").unwrap();
    let authority = other.join("ca.pem");
    std::fs::write(&authority, OTHER_AUTHORITY).unwrap();
    let cases: [(&str, &str, Change<'_>); 4] = [
        ("127.0.0.1:1", "Connection refused", &|config| {
            cluster(config)["server"] = json!("https://127.0.0.1:1");
        }),
        (
            "no-such-host.invalid",
            "failed to lookup address",
            &|config| {
                cluster(config)["server"] = json!("https://no-such-host.invalid");
            },
        ),
        ("127.0.0.1", "for another host name", &|config| {
            cluster(config)["tls-server-name"] = json!("wrong.example");
        }),
        ("127.0.0.1", "signed by an unknown authority", &|config| {
            let cluster = cluster(config).as_object_mut().unwrap();
            cluster.insert("certificate-authority".to_owned(), json!(authority));
        }),
    ];
    for (address, cause, change) in cases {
        let folder = Folder::new("rig-kube-access-").unwrap();
        let path = kubeconfig(&stage, &folder, change);
        let operator = operator(&stage, path, &[]).await;
        let found = until(LONG, "a complaint", async || {
            let all = complaints(&operator);
            if all.is_empty() {
                Err(operator.logs())
            } else {
                Ok(all)
            }
        });
        found.await.unwrap_or_else(|late| panic!("{late}"));
        // Every later attempt fails, too; the watch makes one at least every four seconds.
        let waiting = tokio::time::timeout(Duration::from_secs(6), std::future::pending::<()>());
        assert!(waiting.await.is_err());
        let all = complaints(&operator);
        assert_eq!(all.len(), 1, "{all:#?}");
        let line = all[0].to_string();
        assert!(line.contains(address) && line.contains(cause), "{line}");
    }
}

/// A token file written by hand ends in a newline, as an HTTP header must not.
#[tokio::test]
async fn token_file_with_trailing_newline_is_used() {
    let stage = Stage::set("token-file").await;
    stage.user("alice", "user");
    let folder = Folder::new("rig-token-").unwrap();
    let path = kubeconfig(&stage, &folder, |config| {
        let token = user(config)["token"].as_str().unwrap().to_owned();
        std::fs::write(folder.join("token"), token + "\n").unwrap();
        *user(config) = json!({"tokenFile": folder.join("token")});
    });
    let _operator = operator(&stage, path, &[]).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
}

/// A workstation's proxy settings do not apply to the API server.
#[tokio::test]
async fn proxy_of_the_environment_is_not_used() {
    let stage = Stage::set("ambient-proxy").await;
    stage.user("alice", "user");
    let folder = Folder::new("rig-proxy-").unwrap();
    let path = kubeconfig(&stage, &folder, |_| {});
    let dead = "http://127.0.0.1:1";
    let env = [
        ("HTTPS_PROXY", dead),
        ("https_proxy", dead),
        ("HTTP_PROXY", dead),
        ("ALL_PROXY", dead),
    ];
    let _operator = operator(&stage, path, &env).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
}

/// A proxy that the kubeconfig names is used, whatever NO_PROXY contains, and named in the log.
#[tokio::test]
async fn proxy_of_the_kubeconfig_is_used_and_logged() {
    let stage = Stage::set("declared-proxy").await;
    let folder = Folder::new("rig-proxy-").unwrap();
    let path = kubeconfig(&stage, &folder, |config| {
        cluster(config)["proxy-url"] = json!("http://127.0.0.1:1");
    });
    let operator = operator(&stage, path, &[("NO_PROXY", "127.0.0.1")]).await;
    let found = until(LONG, "a complaint", async || {
        let all = complaints(&operator);
        if all.is_empty() {
            Err(operator.logs())
        } else {
            Ok(all)
        }
    });
    found.await.unwrap_or_else(|late| panic!("{late}"));
    let logs = operator.logs();
    assert!(
        logs.contains("proxy-url") && logs.contains("127.0.0.1"),
        "{logs}"
    );
}

/// A credential plugin that hangs does not keep the process from ending.
#[tokio::test]
async fn hanging_credential_plugin_does_not_hold_up_sigterm() {
    let stage = Stage::set("exec-plugin").await;
    let folder = Folder::new("rig-plugin-").unwrap();
    let started = folder.join("started");
    let path = kubeconfig(&stage, &folder, |config| {
        let hang = format!("touch {}; exec sleep 60", started.display());
        *user(config) = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "sh", "args": ["-c", hang],
        }});
    });
    let start = Start {
        kubeconfig: Some(path),
        ..Start::default()
    };
    let operator = rig::OperatorProcess::launch(&stage.options(start)).unwrap();
    until(LONG, "the plugin to start", async || {
        if Path::exists(&started) {
            Ok(())
        } else {
            Err(operator.logs())
        }
    })
    .await
    .unwrap_or_else(|late| panic!("{late}"));
    operator.terminate().unwrap();
    let exit = operator.wait_exit(STOPPED_WITHIN).await.unwrap();
    assert_eq!(exit.status.code(), Some(0), "{}", operator.logs());
}

/// In a Pod whose token is not mounted the message names the ServiceAccount's files.
#[tokio::test]
async fn pod_without_token_names_the_service_account() {
    let stage = Stage::set("no-token").await;
    let start = Start {
        kubeconfig: Some("/does/not/exist".into()),
        env: vec![
            ("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT".to_owned(), "443".to_owned()),
        ],
        ..Start::default()
    };
    let operator = rig::OperatorProcess::launch(&stage.options(start)).unwrap();
    let exit = operator.wait_exit(STOPPED_WITHIN).await.unwrap();
    assert_eq!(exit.status.code(), Some(2), "{}", operator.logs());
    let logs = operator.logs();
    for words in [
        "ServiceAccount",
        "/var/run/secrets/kubernetes.io/serviceaccount",
        "automountServiceAccountToken",
    ] {
        assert!(logs.contains(words), "{logs}");
    }
}
