//! The requests that the operator sends, as its hook records them: no right in the chart is unused and none is missing, and the
//! gateway's operations are those of its contract and of the architecture page.

use std::collections::BTreeSet;
use std::path::Path;

use fireworks_gateway_simulator::{Switches, User, Verb};
use rig::{KubeFault, until};
use serde_json::Value;

use crate::crash_points::RecordFile;
use crate::kube_faults::{behind_proxy, through, whole_lists};
use crate::stage::LONG;

fn text(file: &str) -> String {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    std::fs::read_to_string(root.join(file)).unwrap()
}

/// Returns the verbs and resources of all requests that an operator sends while users are declared, changed and missing, the
/// API server cannot stream lists, and the account is suspended.
async fn recorded() -> BTreeSet<(String, String)> {
    let (stage, proxy) = behind_proxy("recorded").await;
    stage.user("alice", "user");
    let record = RecordFile::new();
    let older = proxy.fault(whole_lists(), KubeFault::Unstreamed);
    let operator = stage.operator_with(record.start(through(&proxy))).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    stage.until_event("alice", "RoleChanged").await;
    stage.apply("bob", "{role: user}").await;
    stage.until_reason("bob", "UserNotFound").await;
    stage.gateway.set_switches(Switches {
        suspend_state: Some("UNPAID".to_owned()),
        ..stage.gateway.switches()
    });
    let drifted = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user("alice", drifted));
    stage
        .until_journal("a read of the account", |calls| {
            calls.iter().any(|call| call.verb == Verb::Account)
        })
        .await;
    older.heal();
    drop(operator);
    // One that streams its lists.
    let _operator = stage.operator_with(record.start(through(&proxy))).await;
    until(LONG, "a watch", async || {
        let requests = record.requests();
        let is_watch = |request: &String| request == "watch fireworksusers";
        if requests.iter().any(is_watch) {
            Ok(())
        } else {
            Err(requests.join(", "))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    let requests = record.requests();
    let words = requests.iter().map(|request| {
        let mut words = request.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    });
    words.collect()
}

/// Returns the verbs and resources that the shipped `ClusterRole` allows.
fn allowed() -> BTreeSet<(String, String)> {
    let manifests = text("deploy/install.yaml");
    let role = manifests
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap())
        .find(|document| {
            document["kind"] == "ClusterRole"
                && document["metadata"]["name"] == "fireworks-user-operator"
        })
        .unwrap();
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().unwrap().iter();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut allowed = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for resource in words(rule, "resources") {
            let verbs = words(rule, "verbs").into_iter();
            allowed.extend(verbs.map(|verb| (verb, resource.clone())));
        }
    }
    allowed
}

/// Returns the operations in the gateway's contract.
fn contract() -> BTreeSet<String> {
    let openapi = text("tests/gateway/openapi.yaml");
    let lines = openapi.lines().map(str::trim);
    let ids = lines.filter_map(|line| line.strip_prefix("operationId: "));
    ids.map(str::to_owned).collect()
}

/// Returns the operations that the architecture page lists.
fn documented() -> BTreeSet<String> {
    let page = text("docs/architecture.md");
    let (_, rest) = page.split_once("## Requests to the gateway\n").unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let quoted = section.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

#[tokio::test]
async fn recorded_requests_are_those_allowed_and_documented() {
    let recorded = recorded().await;
    let (gateway, kubernetes): (BTreeSet<_>, BTreeSet<_>) = recorded
        .into_iter()
        .partition(|(_, resource)| ["users", "accounts"].contains(&&**resource));
    assert_eq!(kubernetes, allowed(), "the rights in deploy/install.yaml");
    let operations: BTreeSet<String> = gateway.into_iter().map(|(verb, _)| verb).collect();
    let contract = contract();
    assert!(
        operations.is_subset(&contract),
        "{operations:?}: {contract:?}"
    );
    assert_eq!(operations, documented(), "docs/architecture.md");
}
