//! etcd is restored from a snapshot under the running operator, and with it all versions go back.

use std::time::Duration;

use fireworks_gateway_simulator::{Settings, Simulator, User, Verb};
use rig::{ControlPlane, OperatorOptions, OperatorProcess, Options, until};
use serde_json::{Value, json};

use crate::api_server::until_ready_in;
use crate::stage::{LONG, manifest};

/// Versions that pass between the snapshot and the restore: more than are made by all that comes after it.
const AHEAD: usize = 400;

/// A control plane of one's own, whose audit log and watches the rules of the other tests cannot follow through a restore.
struct Alone {
    plane: ControlPlane,
    gateway: Simulator,
}

impl Alone {
    async fn start() -> Self {
        let plane = tokio::task::spawn_blocking(|| ControlPlane::start(&Options::default()));
        Self {
            gateway: Simulator::start(Settings::default()).unwrap(),
            plane: plane.await.unwrap().unwrap(),
        }
    }

    async fn operator(&self) -> OperatorProcess {
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_operator-under-test"))
            .kubeconfig(self.plane.operator_kubeconfig().unwrap())
            .gateway(
                &self.gateway.base_url(),
                self.gateway.account_id(),
                &self.gateway.api_key(),
            )
            .args(["--sweep-interval", "1s", "--settle-window", "1s"]);
        OperatorProcess::spawn(&options).await.unwrap()
    }

    async fn apply_to(&self, name: &str, role: &str) {
        let text = manifest(name, &format!("{{role: {role}}}"));
        self.plane.apply_yaml("default", &text).await.unwrap();
    }

    /// How often a change of that user was asked for.
    fn patches(&self, name: &str) -> usize {
        let journal = self.gateway.journal();
        let of_user = journal
            .iter()
            .filter(|one| one.verb == Verb::Patch && one.user.as_deref() == Some(name));
        of_user.count()
    }
}

/// Until that many lists of all users have been answered after now.
async fn until_sweeps(alone: &Alone, count: usize) {
    let begun = alone.gateway.last_seq();
    let swept = alone.gateway.journal_until(LONG, |entries| {
        let lists = entries
            .iter()
            .filter(|one| one.seq > begun && one.verb == Verb::List);
        lists.count() >= count
    });
    assert!(swept.await, "no sweeps");
}

/// Returns the Events of the default namespace, each as `OBJECT REASON`. The API server's own may name no object.
async fn events(alone: &Alone) -> Vec<String> {
    let events = alone.plane.get_json(&["events", "-n", "default"]);
    let events = events.await.unwrap();
    let events = events["items"].as_array().unwrap().iter();
    let events = events.map(|event| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&event["involvedObject"]["name"]);
        format!("{name} {}", text(&event["reason"]))
    });
    events.collect()
}

async fn until_role_changed(alone: &Alone, count: usize) {
    let waiting = until(Duration::from_secs(20), "the Events of alice", async || {
        let events = events(alone).await;
        let changes = events.iter().filter(|one| *one == "alice RoleChanged");
        if changes.count() >= count {
            Ok(())
        } else {
            Err(events.join(", "))
        }
    });
    waiting.await.unwrap();
}

/// The objects are those of the snapshot: a later spec is not enforced, an object that does not exist any more is
/// forgotten, and a new one is seen although its version is lower than those of before.
#[tokio::test]
async fn store_rewind_replaces_all_that_was_known() {
    let alone = Alone::start().await;
    for name in ["alice", "bob", "carol"] {
        alone.gateway.put_user(User::new(name, "user"));
    }
    alone.apply_to("alice", "contributor").await;
    let operator = alone.operator().await;
    until_ready_in(&alone.plane, "default", "alice").await;
    // Events come a moment after the status.
    until_role_changed(&alone, 1).await;
    alone.plane.snapshot().await.unwrap();

    alone.apply_to("alice", "inference-user").await;
    alone.apply_to("bob", "contributor").await;
    for name in ["alice", "bob"] {
        until_ready_in(&alone.plane, "default", name).await;
    }
    let (rest, maps) = (
        alone.plane.rest().unwrap(),
        "/api/v1/namespaces/default/configmaps",
    );
    for number in 0..AHEAD {
        let name = format!("ahead-{number}");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let (status, _) = rest.send("POST", maps, Some(&map)).await.unwrap();
        assert_eq!(status, 201);
    }
    alone.plane.restore().await.unwrap();

    alone.apply_to("carol", "contributor").await;
    until_ready_in(&alone.plane, "default", "carol").await;
    until(LONG, "alice as in the snapshot", async || {
        match alone.gateway.user("alice").unwrap().role {
            role if role == "contributor" => Ok(()),
            role => Err(role),
        }
    })
    .await
    .unwrap();
    until_ready_in(&alone.plane, "default", "alice").await;
    let before = ["alice", "bob"].map(|name| alone.patches(name));
    let taken = |user: &mut User| "user".clone_into(&mut user.role);
    assert!(alone.gateway.edit_user("bob", taken));
    until_sweeps(&alone, 3).await;
    let after = ["alice", "bob"].map(|name| alone.patches(name));
    assert_eq!(after, before, "changed for an object that does not exist");

    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    let rewinds = metrics
        .lines()
        .find(|line| line.contains("store_rewinds_total "));
    assert!(rewinds.unwrap().ends_with(" 1"), "{rewinds:?}");
    let logs = operator.logs();
    let warnings = logs.lines().filter(|line| line.contains("store went back"));
    assert_eq!(warnings.count(), 1, "{logs}");
    // What differs from the snapshot's spec is no drift.
    until_role_changed(&alone, 2).await;
    let drifted = events(&alone).await;
    assert!(
        !drifted.iter().any(|one| one.contains("Drift")),
        "{drifted:?}"
    );
}
