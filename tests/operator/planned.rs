//! `kubectl fireworks plan` shows what the operator then does, user by user and field by field.

use std::collections::BTreeMap;

use fireworks_client::Settings;
use fireworks_client::key::ApiKeys;
use fireworks_core::grants::Grants;
use fireworks_core::world;
use fireworks_gateway_simulator::User;
use futures::{StreamExt as _, stream};
use kubectl_fireworks::input::Input;
use kubectl_fireworks::plan::{self, Declared, Plan};
use kubectl_fireworks::reader::Reader;
use kubectl_fireworks::schema::Schema;
use kubectl_fireworks::snapshot;
use rig::until;
use serde_json::Value;

use crate::stage::{LONG, Stage, Start, manifest, ready};

/// The number of pairs of an account and manifests, and of those at a time.
const PAIRS: u64 = 50;
const AT_A_TIME: usize = 5;
const ROLES: [&str; 5] = ["admin", "user", "contributor", "inference-user", "custom"];
const NAMES: [&str; 3] = ["Ada", "Ada L", "李雷"];
/// A user that no object changes, by the operator's flag.
const PROTECTED: &str = "u-3";

fn pick<'a>(random: &mut fastrand::Rng, all: &[&'a str]) -> &'a str {
    all[random.usize(..all.len())]
}

/// Puts a user into the account, or none.
fn put_user(stage: &Stage, id: &str, random: &mut fastrand::Rng) {
    let role = match random.u8(..10) {
        0 if id != PROTECTED => return,
        1 => "owner",
        _ => pick(random, &ROLES),
    };
    let mut user = User::new(id, role).email(format!("{id}@people.example"));
    if role == "custom" {
        user = user.preset("agent");
    }
    if random.bool() {
        user = user.display_name(pick(random, &NAMES));
    }
    if random.u8(..10) == 0 {
        user = user.service_account();
    }
    stage.gateway.put_user(user);
}

fn spec(id: &str, random: &mut fastrand::Rng) -> String {
    let role = pick(random, &ROLES);
    let mut fields = vec![format!("role: {role}")];
    if role == "custom" {
        let preset = pick(random, &["agent", "read-only"]);
        fields.push(format!("permissionPreset: {preset}"));
    }
    if random.bool() {
        fields.push(format!("displayName: {}", pick(random, &NAMES)));
    }
    match random.u8(..20) {
        0 | 1 => fields.push("managementPolicy: Observe".to_owned()),
        2 => fields.push("suspend: true".to_owned()),
        3 => fields.push("serviceAccount: true".to_owned()),
        4 => fields.push(format!("expectEmail: {id}@people.example")),
        5 => fields.push("expectEmail: another@people.example".to_owned()),
        _ => {}
    }
    format!("{{{}}}", fields.join(", "))
}

/// The settings of the operator in which pairs differ.
struct Flags {
    grants: Grants,
    observe_only: bool,
    args: Vec<String>,
}

impl Flags {
    fn of(seed: u64, namespace: &str) -> Self {
        let granting = match seed % 5 {
            1 => Some(namespace),
            2 => Some("elsewhere"),
            _ => None,
        };
        let observe_only = seed % 10 == 3;
        let mut args = vec!["--protected-user", PROTECTED];
        if let Some(granting) = granting {
            args.extend(["--grant-namespace", granting]);
        }
        if observe_only {
            args.push("--observe-only");
        }
        Self {
            grants: Grants::new(granting, &[PROTECTED.parse().unwrap()], 1),
            observe_only,
            args: args.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Fills the account, and returns the manifests of that number of users.
fn generated(stage: &Stage, objects: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    for admin in ["root-a", "root-b", "root-c"] {
        stage.user(admin, "admin");
    }
    let mut text = String::new();
    for number in 0..objects {
        let id = format!("u-{number}");
        put_user(stage, &id, &mut random);
        text += &manifest(&id, &spec(&id, &mut random));
        text += "---\n";
    }
    text
}

/// A reader of the account of the simulator.
pub fn reader(stage: &Stage) -> Reader {
    let settings = Settings {
        base_url: stage.gateway.base_url().parse().unwrap(),
        account: stage.gateway.account_id().parse().unwrap(),
        ca_file: None,
        https_proxy: None,
        wall_clock: || jiff::Timestamp::UNIX_EPOCH,
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keys = ApiKeys::fixed(stage.gateway.api_key()).unwrap();
    Reader::new(settings, keys).unwrap()
}

async fn planned(stage: &Stage, text: &str, flags: &Flags) -> Plan {
    let input = Input::read(&["-".into()], false, &mut text.as_bytes());
    let schema = Schema::built_in().unwrap();
    let declared = Declared::of(&input, &schema, &stage.namespace);
    let snapshot = snapshot::fetch(&mut reader(stage), &declared.users()).await;
    let settings = world::Settings {
        grants: flags.grants.clone(),
        observe_only: flags.observe_only,
        ..builders::settings()
    };
    plan::plan(declared, &snapshot, &settings)
}

/// The reason and the guard that each object is planned to report.
fn expected(plan: &Plan) -> BTreeMap<String, (String, Option<String>)> {
    let of = |item: &plan::Item| (item.name.clone(), (item.reason.clone(), item.guard.clone()));
    plan.items.iter().map(of).collect()
}

/// The same as the operator reports it.
fn reported(list: &Value) -> BTreeMap<String, (String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of = |object: &Value| {
        let name = text(&object["metadata"]["name"]).unwrap();
        let reason = text(&ready(object)["reason"]).unwrap_or_default();
        (name, (reason, text(&object["status"]["guard"])))
    };
    list["items"].as_array().unwrap().iter().map(of).collect()
}

/// Waits until the objects report what was planned.
async fn until_reported(stage: &Stage, plan: &Plan) {
    let expected = expected(plan);
    until(LONG, "what was planned", async || {
        let every = ["fwusers", "-n", &stage.namespace];
        let list = stage.plane.get_json(&every);
        let reported = reported(&list.await.map_err(|error| error.to_string())?);
        let differs =
            |(name, one): &(&String, &(String, Option<String>))| reported.get(*name) != Some(*one);
        let differing: Vec<_> = expected.iter().filter(differs).collect();
        if differing.is_empty() {
            Ok(())
        } else {
            Err(format!("planned {differing:?}, reported {reported:?}"))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// The fields that each user gets, and their values.
type Changes = BTreeMap<String, Vec<(String, String)>>;

/// The changes that were made.
fn made(stage: &Stage) -> Changes {
    let mut made = Changes::new();
    for entry in stage.all_patches() {
        assert_eq!(entry.status, Some(200), "{entry:?}");
        let fields = entry.changes.iter();
        let changes = fields.filter(|change| change.field != "updateTime");
        let changes = changes.map(|change| {
            let to = change.to.as_str().unwrap_or_default();
            (change.field.clone(), to.to_owned())
        });
        made.entry(entry.user.unwrap()).or_default().extend(changes);
    }
    for changes in made.values_mut() {
        changes.sort();
    }
    made
}

/// The changes that are planned.
fn would_be(plan: &Plan) -> Changes {
    let mut would_be = Changes::new();
    for item in plan.items.iter().filter(|item| !item.changes.is_empty()) {
        let changes = item.changes.iter().map(|change| {
            let to = change.to.clone().unwrap_or_default();
            (change.field.to_owned(), to)
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort();
        would_be.insert(item.user.clone(), changes);
    }
    would_be
}

/// Plans a generated pair, lets the operator have the manifests, and compares. Returns the number of changed users.
async fn plan_and_apply(objects: usize, seed: u64) -> usize {
    let stage = Stage::set("planned").await;
    let flags = Flags::of(seed, &stage.namespace);
    let text = generated(&stage, objects, seed);
    let plan = planned(&stage, &text, &flags).await;
    let reads = stage.gateway.journal();
    assert!(reads.iter().all(|entry| entry.method == "GET"), "{reads:?}");
    assert_eq!(plan.items.len(), objects);
    stage.apply_all(&text).await;
    let start = Start {
        args: flags.args,
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    until_reported(&stage, &plan).await;
    let made = made(&stage);
    assert_eq!(made, would_be(&plan), "seed {seed}");
    assert_eq!(plan.requests, made.len(), "seed {seed}");
    made.len()
}

#[tokio::test]
async fn plan_shows_what_the_operator_then_does() {
    let changed = plan_and_apply(60, 0).await;
    assert!(changed > 15, "{changed}");
}

#[tokio::test]
async fn plans_of_generated_pairs_show_what_the_operator_then_does() {
    let pairs = stream::iter(1..=PAIRS).map(|seed| plan_and_apply(8, seed));
    let pairs = pairs.buffer_unordered(AT_A_TIME);
    let changed: usize = pairs.fold(0, async |sum, changed| sum + changed).await;
    assert!(changed > 100, "{changed}");
}
