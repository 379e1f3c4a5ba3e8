//! `kubectl fireworks plan` shows what the operator then does, user by user and field by field.

use std::collections::BTreeMap;

use fireworks_client::Settings;
use fireworks_client::key::ApiKeys;
use fireworks_core::grants::Grants;
use fireworks_core::world;
use fireworks_gateway_simulator::User;
use kubectl_fireworks::input::Input;
use kubectl_fireworks::plan::{self, Declared, Plan};
use kubectl_fireworks::reader::Reader;
use kubectl_fireworks::schema::Schema;
use kubectl_fireworks::snapshot;
use rig::until;
use serde_json::Value;

use crate::stage::{LONG, Stage, Start, manifest, ready};

/// The number of objects.
const OBJECTS: usize = 60;
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

/// Fills the account, and returns manifests for it.
fn generated(stage: &Stage) -> String {
    let mut random = fastrand::Rng::with_seed(17);
    for admin in ["root-a", "root-b", "root-c"] {
        stage.user(admin, "admin");
    }
    let mut text = String::new();
    for number in 0..OBJECTS {
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

async fn planned(stage: &Stage, text: &str) -> Plan {
    let input = Input::read(&["-".into()], false, &mut text.as_bytes());
    let schema = Schema::built_in().unwrap();
    let declared = Declared::of(&input, &schema, &stage.namespace);
    let snapshot = snapshot::fetch(&mut reader(stage), &declared.users()).await;
    let settings = world::Settings {
        grants: Grants::new([], &[PROTECTED.parse().unwrap()], 1),
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

#[tokio::test]
async fn plan_shows_what_the_operator_then_does() {
    let stage = Stage::set("planned").await;
    let text = generated(&stage);
    let plan = planned(&stage, &text).await;
    let reads = stage.gateway.journal();
    assert!(reads.iter().all(|entry| entry.method == "GET"), "{reads:?}");
    stage.apply_all(&text).await;
    let args = ["--protected-user", PROTECTED];
    let start = Start {
        args: args.map(str::to_owned).to_vec(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    let expected = expected(&plan);
    assert_eq!(expected.len(), OBJECTS);
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
    let mut made: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for entry in stage.all_patches() {
        assert_eq!(entry.status, Some(200), "{entry:?}");
        let changes = entry.changes.iter().map(|change| {
            let to = change.to.as_str().unwrap_or_default();
            (change.field.clone(), to.to_owned())
        });
        made.entry(entry.user.unwrap()).or_default().extend(changes);
    }
    let mut would_be: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for item in plan.items.iter().filter(|item| !item.changes.is_empty()) {
        let changes = item.changes.iter().map(|change| {
            let to = change.to.clone().unwrap_or_default();
            (change.field.to_owned(), to)
        });
        would_be.insert(item.user.clone(), changes.collect());
    }
    for changes in made.values_mut().chain(would_be.values_mut()) {
        changes.retain(|(field, _)| field != "updateTime");
        changes.sort();
    }
    assert_eq!(made, would_be);
    assert_eq!(plan.requests, made.len());
    assert!(made.len() > OBJECTS / 4, "{}", made.len());
}
