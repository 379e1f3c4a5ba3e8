//! `kubectl fireworks plan -f … --from-cluster` shows what the running operator does when the manifests are applied, and only
//! lists objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fireworks_core::grants::Grants;
use fireworks_core::world;
use jiff::Timestamp;
use kubectl_fireworks::cluster::{Cluster, Listing, Settings};
use kubectl_fireworks::input::Input;
use kubectl_fireworks::plan::{self, Action, Declared, Item, Manifests, Plan};
use kubectl_fireworks::schema::Schema;
use kubectl_fireworks::snapshot;
use rig::{Mark, until};
use serde_json::Value;

use crate::counts::Time as Clock;
use crate::other_namespace::{Namespace, claim};
use crate::planned::reader;
use crate::stage::{LONG, Stage, manifest, ready};

/// A user that no object changes, by the operator's flag.
const PROTECTED: &str = "frank";

/// What an object reports: the reason of `Ready` and the guard.
type Report = (String, Option<String>);

async fn listed(kubeconfig: &Path, namespaces: &BTreeSet<String>) -> Listing {
    let settings = Settings {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..Settings::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::connect(&settings).await.unwrap();
    cluster.list(namespaces).await.unwrap()
}

/// Plans the manifests onto the objects of both namespaces, as an operator that watches no other one.
async fn planned(stage: &Stage, other: &Namespace, text: &str) -> Plan {
    let namespaces = [stage.namespace.clone(), other.namespace.clone()];
    let listing = listed(stage.plane.admin_kubeconfig(), &namespaces.into()).await;
    let input = Input::read(&["-".into()], false, &mut text.as_bytes());
    let schema = Schema::built_in().unwrap();
    let manifests = Manifests {
        input: &input,
        schema: &schema,
        namespace: &stage.namespace,
    };
    // Later than all objects of the cluster.
    let created = Timestamp::MAX;
    let declared = Declared::onto(listing.complete(), Some(manifests), created);
    let snapshot = snapshot::fetch(&mut reader(stage), &declared.users()).await;
    let settings = world::Settings {
        grants: Grants::new([], &[PROTECTED.parse().unwrap()], 1),
        ..builders::settings()
    };
    plan::plan(declared, &snapshot, &settings)
}

/// Creates the objects of the platform and of the tenant, and waits until the operator has reported them.
async fn fill(stage: &Stage, tenant: &Namespace, time: &Clock) {
    for (name, spec) in [
        ("alice", "{role: contributor}"),
        ("bob", "{role: contributor}"),
        ("carol", "{role: contributor}"),
        ("dave", "{role: contributor}"),
        ("erin", "{role: contributor}"),
        ("frank", "{role: contributor}"),
    ] {
        stage.user(name, "user");
        stage.apply(name, spec).await;
    }
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        stage.until_ready(name).await;
    }
    stage.until_reason("frank", "Protected").await;
    for (name, spec) in [
        ("alice", "{role: user}"),
        ("bob", "{role: custom, permissionPreset: agent}"),
        ("carol", "{role: inference-user}"),
    ] {
        tenant.apply(name, spec).await;
        let object = tenant.until_reason(name, "TakingOver").await;
        assert_eq!(claim(&object), "Waiting");
    }
    // The tenant inherits a user, and may not give it power.
    stage.delete("bob").await;
    stage.until_sweeps(2).await;
    time.hurry(60);
    let object = tenant.until_reason("bob", "Protected").await;
    assert_eq!(claim(&object), "Inherited");
}

/// The manifests of the platform: one edited, one new, one under another name, and two that are gone.
fn manifests() -> String {
    [
        manifest("alice", "{role: contributor}"),
        manifest("dave", "{role: inference-user}"),
        manifest("erin-l", "{userId: erin, role: user}"),
        manifest("frank", "{role: contributor}"),
        manifest("gina", "{role: contributor}"),
    ]
    .join("---\n")
}

fn title(item: &Item) -> String {
    format!("{}/{}", item.namespace, item.name)
}

fn actions(plan: &Plan) -> BTreeMap<String, &'static str> {
    let action = |item: &Item| (title(item), item.action.as_str());
    plan.items.iter().map(action).collect()
}

fn reports(plan: &Plan) -> BTreeMap<String, Report> {
    let items = plan.items.iter();
    let left = items.filter(|item| item.action != Action::Deleted);
    left.map(|item| (title(item), (item.reason.clone(), item.guard.clone())))
        .collect()
}

async fn until_reported(stage: &Stage, other: &Namespace, expected: &BTreeMap<String, Report>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let waited = until(LONG, "what was planned", async || {
        let mut reported = BTreeMap::new();
        for namespace in [&stage.namespace, &other.namespace] {
            let list = stage
                .rest()
                .get(&crate::stage::objects_path(namespace))
                .await;
            let list = list.map_err(|error| error.to_string())?;
            for object in list["items"].as_array().unwrap() {
                let name = object["metadata"]["name"].as_str().unwrap();
                let reason = text(&ready(object)["reason"]).unwrap_or_default();
                let report = (reason, text(&object["status"]["guard"]));
                reported.insert(format!("{namespace}/{name}"), report);
            }
        }
        if reported == *expected {
            Ok(())
        } else {
            Err(format!("planned {expected:#?}, reported {reported:#?}"))
        }
    });
    waited.await.unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// Of the command the API server has seen one list of each namespace since then, and nothing else.
fn assert_only_lists(stage: &Stage, tenant: &Namespace, mark: Mark) {
    let requests = stage.plane.audit_since(mark).unwrap().requests;
    let ours = requests
        .iter()
        .filter(|one| one.user_agent.starts_with("kubectl-fireworks/"));
    let ours: Vec<_> = ours
        .map(|one| (&*one.verb, &*one.resource, &*one.namespace))
        .collect();
    let list = |namespace| ("list", "fireworksusers", namespace);
    let mut expected = [list(&*stage.namespace), list(&*tenant.namespace)];
    expected.sort_unstable();
    assert_eq!(ours, expected);
}

/// The changes of users that the gateway has answered since that call: user, field and new value.
fn made(stage: &Stage, seq: u64) -> Vec<(String, String, String)> {
    let mut made = Vec::new();
    for entry in stage.all_patches().into_iter().filter(|one| one.seq > seq) {
        assert_eq!(entry.status, Some(200), "{entry:?}");
        let user = entry.user.unwrap();
        let changes = entry.changes.iter().filter(|one| one.field != "updateTime");
        made.extend(changes.map(|change| {
            let to = change.to.as_str().unwrap_or_default().to_owned();
            (user.clone(), change.field.clone(), to)
        }));
    }
    made.sort();
    made
}

#[tokio::test]
async fn plan_onto_a_cluster_shows_what_the_running_operator_then_does() {
    let stage = Stage::set("platform").await;
    let tenant = Namespace::create(&stage, "tenant").await;
    let time = Clock::new();
    let mut start = tenant.start(time.start());
    let protected = ["--protected-user".to_owned(), PROTECTED.to_owned()];
    start.args.extend(protected);
    let _operator = stage.operator_with(start).await;
    fill(&stage, &tenant, &time).await;
    stage.user("gina", "user");

    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());
    let plan = planned(&stage, &tenant, &manifests()).await;
    assert_only_lists(&stage, &tenant, mark);

    let (platform, tenants) = (&stage.namespace, &tenant.namespace);
    let expected = BTreeMap::from([
        (format!("{platform}/alice"), "in-sync"),
        (format!("{platform}/carol"), "deleted"),
        (format!("{platform}/dave"), "change"),
        (format!("{platform}/erin"), "deleted"),
        (format!("{platform}/erin-l"), "change"),
        (format!("{platform}/frank"), "hold"),
        (format!("{platform}/gina"), "change"),
        (format!("{tenants}/alice"), "conflict"),
        (format!("{tenants}/bob"), "hold"),
        (format!("{tenants}/carol"), "change"),
    ]);
    assert_eq!(actions(&plan), expected);
    // Of another namespace only that much is shown.
    let waiting = plan
        .items
        .iter()
        .find(|item| item.action == Action::Conflict);
    let message = &waiting.unwrap().message;
    assert!(!message.contains(platform.as_str()), "{message}");

    stage.apply_all(&manifests()).await;
    stage.delete("carol").await;
    stage.delete("erin").await;
    stage.until_sweeps(2).await;
    // Another minute: the clock counts all of them.
    time.hurry(120);
    until_reported(&stage, &tenant, &reports(&plan)).await;
    let changes = plan.items.iter().flat_map(|item| {
        let changes = item.changes.iter();
        changes.map(|change| {
            let to = change.to.clone().unwrap_or_default();
            (item.user.clone(), change.field.to_owned(), to)
        })
    });
    let mut planned: Vec<_> = changes.collect();
    planned.sort();
    assert_eq!(made(&stage, seq), planned);
    assert_eq!(plan.requests, 4);
}

#[tokio::test]
async fn cluster_of_501_objects_is_listed_in_two_pages() {
    let stage = Stage::set("listed").await;
    let names: Vec<_> = (0..501).map(|number| format!("user-{number}")).collect();
    stage
        .create_all(&names, &serde_json::json!({"role": "user"}))
        .await;
    let mark = stage.mark();
    let kubeconfig = stage.plane.operator_kubeconfig().unwrap();
    let listing = listed(kubeconfig, &[stage.namespace.clone()].into()).await;
    let declared = Declared::onto(listing, None, Timestamp::UNIX_EPOCH);
    assert_eq!(declared.users().len(), names.len());
    let requests = stage.plane.audit_since(mark).unwrap().requests;
    let ours = requests.iter().filter(|one| {
        let is_ours = one.user_agent.starts_with("kubectl-fireworks/");
        is_ours && one.namespace == stage.namespace
    });
    let verbs: Vec<_> = ours.map(|one| &*one.verb).collect();
    assert_eq!(verbs, ["list", "list"]);
}
