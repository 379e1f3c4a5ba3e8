//! Two replicas of one account: each has an API key of its own, by which the journal shows which one has sent a
//! request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Settings, Verb};
use rig::control_plane::OPERATOR_NAMESPACE;
use rig::until;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::stage::{LONG, Stage, Start};
use crate::witness::Running;

/// The durations of the Lease in most tests: its own, that of a renewal, and the time between two.
pub const SHORT: &str = "3000,2000,500";
/// Those of tests that keep the machine busy: a leader that is kept from its CPU for two seconds does not lose the Lease.
pub const STEADY: &str = "6000,5000,1500";
pub const FIRST: &str = "key-of-the-first";
pub const SECOND: &str = "key-of-the-second";

/// How to start a replica with that key.
pub fn elected(key: &str, args: &[&str]) -> Start {
    let args = [&["--leader-election"], args].concat();
    Start {
        args: args.into_iter().map(str::to_owned).collect(),
        env: vec![("FIREWORKS_API_KEY".to_owned(), key.to_owned())],
        ..Start::default()
    }
}

/// A stage with an account of its own, and so with a Lease of its own.
pub struct Pair {
    pub stage: Stage,
    folder: tempfile::TempDir,
}

impl Pair {
    pub async fn set(prefix: &str) -> Self {
        let settings = Settings {
            account_id: prefix.to_owned(),
            ..Settings::default()
        };
        let stage = Stage::set_with(prefix, settings).await;
        stage.gateway.set_api_keys([FIRST, SECOND]);
        Self {
            stage,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A replica with that key and a Lease of short durations.
    pub async fn replica(&self, key: &str) -> Running {
        let start = elected(key, &["--test-lease", SHORT]);
        self.stage.operator_with(start).await
    }

    /// The requests with that key after that one.
    pub fn calls(&self, key: &str, since: u64) -> Vec<Entry> {
        let credential = self.stage.gateway.credential_of(key);
        let mut calls = self.stage.gateway.journal_since(since);
        calls.retain(|entry| entry.credential.as_ref() == Some(&credential));
        calls
    }

    /// The Lease as the API server has it.
    pub async fn lease(&self, name: &str) -> Value {
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases");
        let path = format!("{leases}/{name}");
        self.stage.rest().get(&path).await.unwrap()
    }

    /// Runs `kubectl` on the Lease.
    pub async fn kubectl(&self, args: &[&str]) {
        let args = [&["-n", OPERATOR_NAMESPACE], args].concat();
        self.stage.plane.kubectl(&args).await.unwrap();
    }

    /// Has alice changed once more, to that role, and waits until it is.
    pub async fn change(&self, role: &str) {
        let spec = format!("{{role: {role}}}");
        self.stage.apply("alice", &spec).await;
        self.stage.until_ready("alice").await;
        assert_eq!(self.stage.gateway.user("alice").unwrap().role, role);
    }
}

/// Waits until that replica holds the Lease. Returns the name of the Lease and the identity of the replica.
pub async fn until_leading(replica: &Running) -> (String, String) {
    until(LONG, "the replica to lead", async || {
        let entries = replica.log_entries();
        let message = "holding the lease, leading";
        match entries.iter().find(|entry| entry["message"] == message) {
            Some(entry) => {
                let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                Ok((text("lease"), text("identity")))
            }
            None => Err(replica.logs()),
        }
    })
    .await
    .unwrap()
}

/// Waits until `/readyz` of that replica reports that it stands by.
pub async fn until_standby(replica: &Running) {
    until(LONG, "the replica to stand by", async || {
        match replica.admin_get("/readyz").await {
            Ok((200, body)) if body.contains("standing by, ") && body.contains("holds") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
}

/// The holders that the Lease has had, each with the time on the journal's clock at which it was first seen.
pub struct Holders {
    seen: JoinHandle<Vec<(u64, String)>>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Holders {
    pub fn watch(pair: &Arc<Pair>, lease: &str) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let (pair, path) = (
            pair.clone(),
            format!("/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/{lease}"),
        );
        let seen = tokio::spawn(async move {
            let rest = pair.stage.plane.rest().unwrap();
            let mut seen: Vec<(u64, String)> = Vec::new();
            loop {
                let (_, lease) = rest.send("GET", &path, None).await.unwrap();
                let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
                if seen.last().is_none_or(|(_, last)| last != holder) {
                    seen.push((pair.stage.gateway.elapsed_ms(), holder.to_owned()));
                }
                let pause = tokio::time::sleep(Duration::from_millis(20));
                tokio::select! {
                    () = pause => {}
                    _ = &mut stopped => return seen,
                }
            }
        });
        Self { seen, stop }
    }

    pub async fn end(self) -> Vec<(u64, String)> {
        self.stop.send(()).unwrap();
        self.seen.await.unwrap()
    }
}

/// No two updates with different keys in a row without a change of the holder in between.
pub fn assert_one_writer(pair: &Pair, holders: &[(u64, String)]) {
    let journal = pair.stage.gateway.journal();
    let updates: Vec<&Entry> = journal
        .iter()
        .filter(|entry| entry.verb == Verb::Patch)
        .collect();
    let mut changes = 0;
    for two in updates.windows(2) {
        let [before, after] = two else { continue };
        if before.credential == after.credential {
            continue;
        }
        changes += 1;
        let between =
            |(at, _): &&(u64, String)| before.received_ms <= *at && *at <= after.received_ms + 100;
        assert!(holders.iter().any(|change| between(&change)), "{holders:?}");
    }
    assert!(changes > 0, "only one replica has changed users");
}
