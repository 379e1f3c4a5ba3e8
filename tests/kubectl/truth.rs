//! The plan of generated pairs of an account and manifests is what the operator's decisions then do to the simulator's
//! model, user by user and field by field.

mod drive;
mod pair;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use kubectl_fireworks::input::Input;
use kubectl_fireworks::plan::{self, Action, Declared, Item, Plan};
use kubectl_fireworks::schema::Schema;
use serde_json::Value;

use drive::Process;
use pair::Pair;

/// The number of pairs.
const PAIRS: u64 = 2_000;
/// Of 1,000 manifests at most that many may be uncertain.
const UNCERTAIN_MAX: usize = 50;
/// Why an item may be uncertain.
const CAUSES: [&str; 2] = [
    "the snapshot does not have the display name, which contains an e-mail address: it is not compared",
    "the snapshot has no e-mail addresses: spec.expectEmail is not compared",
];
/// What the pairs must cover, beside what all of them do.
const KINDS: [&str; 36] = [
    "absent user",
    "another e-mail",
    "creating",
    "deleting",
    "demotion",
    "duplicate",
    "expected e-mail",
    "few admins",
    "grant namespaces",
    "hidden name",
    "invalid manifest",
    "malformed page",
    "malformed row",
    "min admins",
    "no update time",
    "observe",
    "observe only",
    "omitted service accounts",
    "preset",
    "promotion",
    "remote error",
    "replaced unknown role",
    "same role",
    "service account",
    "snapshot file",
    "suspend",
    "touching patches",
    "unknown role",
    "unmanaged user",
    "unreadable user",
    "updating",
    "updating after a patch",
    "wrong service account",
    "hold: last-admin",
    "hold: protected-user",
    "hold: namespace-not-allowed",
];

/// What has become of the pairs so far.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<String, usize>,
    causes: BTreeSet<String>,
    items: usize,
    uncertain: usize,
    changes: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        for (kind, times) in other.kinds {
            *self.kinds.entry(kind).or_default() += times;
        }
        self.causes.extend(other.causes);
        self.items += other.items;
        self.uncertain += other.uncertain;
        self.changes += other.changes;
        self.wrong.extend(other.wrong);
    }
}

#[test]
fn planned_changes_and_holds_are_those_of_generated_pairs() {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Tally::default());
    let work = || {
        let schema = Schema::built_in().unwrap();
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= PAIRS {
                return all.lock().unwrap().add(tally);
            }
            look_at(seed, &schema, &mut tally);
        }
    };
    // Each pair is independent of the others.
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let tally = all.into_inner().unwrap();
    assert!(
        tally.wrong.is_empty(),
        "{} differ:\n{}",
        tally.wrong.len(),
        tally.wrong[..tally.wrong.len().min(30)].join("\n")
    );
    let missing = KINDS
        .iter()
        .filter(|kind| !tally.kinds.contains_key(**kind));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{missing:?} of {:?}", tally.kinds);
    assert!(tally.changes > 2_000, "{}", tally.changes);
    assert_eq!(tally.causes, BTreeSet::from(CAUSES.map(str::to_owned)));
    let share = tally.uncertain * 1_000 / tally.items;
    assert!(share <= UNCERTAIN_MAX, "{share} of 1,000 uncertain");
}

fn look_at(seed: u64, schema: &Schema, tally: &mut Tally) {
    let mut pair = Pair::generated(seed);
    let plan = planned(&mut pair, schema);
    let objects = pair.accepted();
    let process = Process::new(&mut pair.gateway, pair.settings.clone(), &objects, seed);
    let ended = process.run().into_iter();
    let ended = ended.map(|(key, one)| (key.to_string(), one)).collect();
    for kind in &pair.kinds {
        *tally.kinds.entry((*kind).to_owned()).or_default() += 1;
    }
    compare(seed, &pair, &plan, &ended, tally);
}

fn planned(pair: &mut Pair, schema: &Schema) -> Plan {
    let text = pair.text();
    let input = Input::read(&["-".into()], false, &mut text.as_bytes());
    assert!(input.problems.is_empty(), "{:?}", input.problems);
    let declared = Declared::of(&input, schema, "default");
    let snapshot = pair.snapshot(&declared.users());
    plan::plan(declared, &snapshot, &pair.settings)
}

/// Compares each manifest with what has become of its object, and the changes with those of the account.
fn compare(
    seed: u64,
    pair: &Pair,
    plan: &Plan,
    ended: &BTreeMap<String, Value>,
    tally: &mut Tally,
) {
    let mut unplanned: BTreeSet<&String> = pair.gateway.changed.keys().collect();
    let mut requests = 0;
    for item in &plan.items {
        let user = item.user.to_lowercase();
        let made = pair.gateway.changed.get(&user);
        unplanned.remove(&user);
        tally.items += 1;
        let causes = item.uncertain.iter().flat_map(|causes| causes.split("; "));
        tally.causes.extend(causes.map(str::to_owned));
        requests += usize::from(!item.changes.is_empty());
        if item.uncertain.is_some() {
            tally.uncertain += 1;
            continue;
        }
        if item.action == Action::Conflict {
            assert!(pair.kinds.contains("duplicate"));
            continue;
        }
        let guard = item.guard.as_ref().map(|guard| format!("hold: {guard}"));
        if let Some(guard) = guard {
            *tally.kinds.entry(guard).or_default() += 1;
        }
        tally.changes += item.changes.len();
        let object = ended.get(&format!("{}/{}", item.namespace, item.name));
        let (planned, done) = (outline(item), outcome(item, object, made));
        if planned != done {
            let differs = format!("seed {seed}: {item:?}\n  planned {planned}\n  done    {done}");
            tally.wrong.push(differs);
        }
    }
    if !unplanned.is_empty() {
        tally.wrong.push(format!(
            "seed {seed}: {unplanned:?} are changed and not planned"
        ));
    }
    assert_eq!(plan.requests, requests, "seed {seed}");
}

/// Returns what the plan shows of the manifest.
fn outline(item: &Item) -> String {
    let mut changes: Vec<_> = item
        .changes
        .iter()
        .map(|change| {
            let value = |text: &Option<String>| text.clone().unwrap_or_default();
            format!(
                "{}: {:?} to {:?}",
                change.field,
                value(&change.from),
                value(&change.to)
            )
        })
        .collect();
    changes.sort();
    format!("{} {:?} {changes:?}", failure_or(&item.reason), item.guard)
}

/// Returns the same of what has become of its object and its user.
fn outcome(
    item: &Item,
    object: Option<&Value>,
    made: Option<&Vec<fireworks_gateway_simulator::Change>>,
) -> String {
    let status = object.map_or(&Value::Null, |object| &object["status"]);
    let conditions = status["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|one| one["type"] == "Ready");
    let reason = ready
        .and_then(|ready| ready["reason"].as_str())
        .unwrap_or_default();
    let guard = status["guard"]
        .as_str()
        .filter(|_| item.action == Action::Hold);
    let of_spec = made.into_iter().flatten().filter(|change| {
        ["role", "permissionPreset", "displayName"].contains(&change.field.as_str())
    });
    let mut changes: Vec<_> = of_spec
        .map(|change| format!("{}: {} to {}", change.field, change.from, change.to))
        .map(|change| change.replace(pair::ADDRESS, "<redacted>"))
        .collect();
    changes.sort();
    format!("{} {guard:?} {changes:?}", failure_or(reason))
}

/// Returns the reason; one for all failed reads, since which of several is reported depends on which came last.
fn failure_or(reason: &str) -> &str {
    match reason {
        "MalformedResponse" | "RemoteUnavailable" => "failed read",
        other => other,
    }
}
