//! One scenario run twice, with faults and without: in the end the account, the statuses and what was changed
//! at the gateway are the same, and the faulty run took no more PATCHes than its faults explain.

use std::collections::BTreeMap;

use fireworks_gateway_simulator::{Chaos, Fault, Kind, User, Verb};
use rig::until;
use serde_json::{Map, Value, json};

use crate::stage::{LONG, Stage, Start, brief, condition, manifest};

/// What happens to one remote user, always with one effective change in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plot {
    /// An object for a user that differs.
    New,
    /// Another role and a preset for a user that was in sync.
    Edited,
    /// Another actor changes a user that was in sync.
    Drifted,
    /// The object that owns the user goes, and another takes over.
    Inherited,
    /// The object goes and comes again with another spec.
    Remade,
    /// An object for an absent user, and then there is such a user.
    Appears,
}

const PLOTS: [Plot; 6] = [
    Plot::New,
    Plot::Edited,
    Plot::Drifted,
    Plot::Inherited,
    Plot::Remade,
    Plot::Appears,
];

/// A remote user and its part in the story.
struct Actor {
    id: String,
    plot: Plot,
    /// What befalls its first change.
    fault: Option<Kind>,
}

impl Actor {
    fn heir(&self) -> String {
        format!("{}.heir", self.id)
    }

    /// The objects that are there, and in sync or in conflict, before anything happens.
    fn before(&self) -> Vec<String> {
        match self.plot {
            Plot::New | Plot::Appears => vec![],
            Plot::Edited | Plot::Drifted | Plot::Inherited | Plot::Remade => {
                vec![manifest(&self.id, "{role: user}")]
            }
        }
    }

    /// The objects that come next, when the others have had a second's start.
    fn rival(&self) -> Option<String> {
        let spec = format!("{{role: contributor, userId: {}}}", self.id);
        (self.plot == Plot::Inherited).then(|| manifest(&self.heir(), &spec))
    }

    /// The object after what happens.
    fn after(&self) -> Option<String> {
        let spec = match self.plot {
            Plot::New | Plot::Appears => "{role: contributor}",
            Plot::Edited => "{role: custom, permissionPreset: agent}",
            Plot::Remade => "{role: user, displayName: Made again}",
            Plot::Drifted | Plot::Inherited => return None,
        };
        Some(manifest(&self.id, spec))
    }
}

/// What the story came to.
#[derive(Debug, PartialEq)]
struct Ending {
    users: BTreeMap<String, User>,
    statuses: BTreeMap<String, Value>,
    /// What changed, by user: field and new value, in order.
    changes: BTreeMap<String, Vec<(String, Value)>>,
}

/// The cast with a fault of its own for every actor: each kind meets each plot.
fn cast(kinds: &[Kind], plots: &[Plot]) -> Vec<Actor> {
    let pairs = kinds
        .iter()
        .enumerate()
        .flat_map(|(number, kind)| plots.iter().map(move |plot| (number, kind, plot)));
    let actor = |(number, kind, plot): (usize, &Kind, &Plot)| Actor {
        id: format!("{plot:?}.{}.{number}", kind.name()).to_lowercase(),
        plot: *plot,
        fault: Some(kind.clone()),
    };
    pairs.map(actor).collect()
}

/// Two of each plot, without faults of their own.
fn small_cast() -> Vec<Actor> {
    let twice = PLOTS.iter().chain(&PLOTS).enumerate();
    let actor = |(number, plot): (usize, &Plot)| Actor {
        id: format!("{plot:?}.{number}").to_lowercase(),
        plot: *plot,
        fault: None,
    };
    twice.map(actor).collect()
}

async fn apply(stage: &Stage, manifests: impl Iterator<Item = String>) {
    let all: Vec<_> = manifests.collect();
    if !all.is_empty() {
        stage.apply_all(&all.join("---\n")).await;
    }
}

async fn delete(stage: &Stage, names: Vec<&str>) {
    if !names.is_empty() {
        let args = [&["delete", "fireworksuser"], &names[..]].concat();
        stage.kubectl(&args).await.expect("deleted");
    }
}

fn of_plot(cast: &[Actor], plot: Plot) -> impl Iterator<Item = &Actor> {
    cast.iter().filter(move |actor| actor.plot == plot)
}

/// What every object's `Ready` reports, by name, at its own generation.
async fn reasons(stage: &Stage) -> Result<BTreeMap<String, String>, String> {
    let objects = stage.objects().await.map_err(|error| error.to_string())?;
    let reason = |object: Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let ready = condition(&object, "Ready");
        let is_now = ready["observedGeneration"] == object["metadata"]["generation"];
        let reason = ready["reason"].as_str().filter(|_| is_now);
        (name.to_owned(), reason.unwrap_or("nothing").to_owned())
    };
    Ok(objects.into_iter().map(reason).collect())
}

/// Waits until the objects that have another reason than `InSync` are exactly these.
async fn until_settled(stage: &Stage, what: &str, others: &BTreeMap<String, &str>) {
    let settled = until(LONG * 2, what, async || {
        let mut odd = reasons(stage).await?;
        odd.retain(|name, reason| {
            let wanted = others.get(name).copied().unwrap_or("InSync");
            // After a minute it is a conflict.
            let waits = wanted == "TakingOver" && reason == "Conflict";
            reason != wanted && !waits
        });
        if odd.is_empty() {
            Ok(())
        } else {
            Err(format!("{odd:?}"))
        }
    });
    if let Err(timeout) = settled.await {
        panic!("{timeout}\n{:#?}", brief(&stage.gateway.journal()));
    }
}

/// Runs the scenario; `arm` places the faults once the account is in sync.
async fn run_case(stage: &Stage, cast: &[Actor], arm: impl FnOnce(&Stage)) -> Ending {
    for actor in cast.iter().filter(|actor| actor.plot != Plot::Appears) {
        stage.user(&actor.id, "user");
    }
    stage.user("warm", "user");
    apply(stage, cast.iter().flat_map(Actor::before)).await;
    // The first change of a process goes alone; here that is this one.
    stage.apply("warm", "{role: contributor}").await;
    let args = ["--requests-per-minute", "6000"].map(str::to_owned);
    let start = Start {
        args: args.to_vec(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    until_settled(stage, "the start", &BTreeMap::new()).await;
    // So that a heir is younger, on the API server's clock of whole seconds.
    stage.until_sweeps(3).await;
    apply(stage, cast.iter().filter_map(Actor::rival)).await;
    let absent = of_plot(cast, Plot::Appears).map(|actor| (actor.id.clone(), "UserNotFound"));
    let rivals = of_plot(cast, Plot::Inherited).map(|actor| (actor.heir(), "TakingOver"));
    let mut waiting: BTreeMap<String, &str> = rivals.collect();
    until_settled(stage, "the rivals", &waiting).await;
    let since = stage.gateway.last_seq();
    arm(stage);

    let appear: Vec<_> = of_plot(cast, Plot::Appears).collect();
    apply(stage, appear.iter().filter_map(|actor| actor.after())).await;
    waiting.extend(absent);
    until_settled(stage, "nobody", &waiting).await;
    let gone = of_plot(cast, Plot::Inherited).chain(of_plot(cast, Plot::Remade));
    delete(stage, gone.map(|actor| actor.id.as_str()).collect()).await;
    for actor in &appear {
        stage.user(&actor.id, "user");
    }
    for actor in of_plot(cast, Plot::Drifted) {
        let edited = |user: &mut User| "inference-user".clone_into(&mut user.role);
        assert!(stage.gateway.edit_user(&actor.id, edited));
    }
    let rest = cast.iter().filter(|actor| actor.plot != Plot::Appears);
    apply(stage, rest.filter_map(Actor::after)).await;
    // An object that is in sync reports that while its user drifts and is repaired.
    stage
        .until_journal("every repair", |entries| {
            of_plot(cast, Plot::Drifted).all(|actor| {
                let of_user = |entry: &&_| is_change_of(entry, &actor.id);
                entries.iter().any(|entry| of_user(&entry))
            })
        })
        .await;
    until_settled(stage, "the end", &BTreeMap::new()).await;
    stage.until_sweeps(3).await;
    until_settled(stage, "the end of the end", &BTreeMap::new()).await;
    ending(stage, since).await
}

fn is_change_of(entry: &fireworks_gateway_simulator::Entry, user: &str) -> bool {
    entry.verb == Verb::Patch && entry.user.as_deref() == Some(user) && !entry.changes.is_empty()
}

async fn ending(stage: &Stage, since: u64) -> Ending {
    let timeless = |user: User| User {
        create_time: None,
        update_time: None,
        ..user
    };
    let users = stage.gateway.users().into_iter().map(timeless);
    let objects = stage.objects().await.unwrap();
    let status = |object: Value| {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        (name, without_times(&object["status"]))
    };
    let mut changes: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for entry in stage.gateway.journal_since(since) {
        let of_user = changes.entry(entry.user.unwrap_or_default()).or_default();
        let seen = entry.changes.into_iter().map(|one| (one.field, one.to));
        of_user.extend(seen);
    }
    changes.retain(|_, all| !all.is_empty());
    Ending {
        users: users.map(|user| (user.id.clone(), user)).collect(),
        statuses: objects.into_iter().map(status).collect(),
        changes,
    }
}

/// The status without what differs from one run to the next.
fn without_times(status: &Value) -> Value {
    match status {
        Value::Object(fields) => {
            let timeless = fields.iter().filter(|(name, _)| !name.ends_with("Time"));
            let timeless = timeless.map(|(name, value)| (name.clone(), without_times(value)));
            Value::Object(timeless.collect::<Map<_, _>>())
        }
        Value::Array(all) => json!(all.iter().map(without_times).collect::<Vec<_>>()),
        other => other.clone(),
    }
}

/// The PATCHes of each user, and how many of them a fault hit.
fn counts(stage: &Stage, id: &str) -> (usize, usize) {
    let patches = stage.patches(id);
    let hit = patches.iter().filter(|entry| entry.fault.is_some()).count();
    (patches.len(), hit)
}

/// Runs the scenario with faults and without, and compares.
async fn compare(prefix: &str, cast: &[Actor], arm: impl FnOnce(&Stage)) {
    let (calm, faulty) = (Stage::set("calm").await, Stage::set(prefix).await);
    let (expected, actual) =
        tokio::join!(run_case(&calm, cast, |_| ()), run_case(&faulty, cast, arm));
    let journal = || brief(&faulty.gateway.journal());
    for (id, user) in &expected.users {
        let (without, _) = counts(&calm, id);
        let (with, hit) = counts(&faulty, id);
        assert!(
            without <= with && with <= without + hit,
            "{id}: {with} PATCHes, {hit} hit, {without} without faults: {:#?}",
            journal()
        );
        assert_eq!(actual.users.get(id), Some(user), "{:#?}", journal());
        let changes = (actual.changes.get(id), expected.changes.get(id));
        assert_eq!(changes.0, changes.1, "{id}: {:#?}", journal());
    }
    for (name, status) in &expected.statuses {
        assert_eq!(
            actual.statuses.get(name),
            Some(status),
            "{name}: {:#?}",
            journal()
        );
    }
    assert_eq!(actual, expected);
    assert!(
        faulty
            .gateway
            .journal()
            .iter()
            .any(|entry| entry.fault.is_some()),
        "no fault hit anything"
    );
}

fn on_changes(cast: &[Actor]) -> impl FnOnce(&Stage) {
    let fault = |actor: &Actor| {
        let kind = actor.fault.clone()?;
        Some(Fault::new(kind).on(Verb::Patch).of(&actor.id))
    };
    let faults: Vec<_> = cast.iter().filter_map(fault).collect();
    move |stage| stage.gateway.set_faults(faults)
}

/// A code under an HTTP status with another meaning.
fn mismatched(code: i64, status: u16) -> Kind {
    Kind::Error {
        code,
        status: Some(status),
        shape: fireworks_gateway_simulator::ErrorShape::Wrapped,
        message: None,
    }
}

fn raw(status: u16, body: &str, applied: bool) -> Kind {
    Kind::Raw {
        status,
        content_type: "text/plain".to_owned(),
        body: fireworks_gateway_simulator::RawBody::Text(body.to_owned()),
        applied,
    }
}

/// What fails a call without showing what became of it, or so that nothing did.
fn failures() -> Vec<Kind> {
    vec![
        Kind::error(13),
        mismatched(14, 400),
        Kind::Html502,
        raw(500, "out of order", false),
        Kind::ApplyThenDrop,
        Kind::DropBeforeApply,
        Kind::Zombie {
            after_ms: Some(300),
            hang: false,
        },
    ]
}

/// Answers to calls that were carried out, and cannot be trusted.
fn spoilt() -> Vec<Kind> {
    vec![
        raw(200, "", true),
        Kind::InvalidJson,
        Kind::Truncated,
        Kind::GzipBomb,
        Kind::Oversized {
            bytes: Some(5 << 20),
        },
        Kind::WrongUser {
            id: "somebody".to_owned(),
        },
    ]
}

#[tokio::test]
async fn changes_that_fail_end_as_if_they_had_not() {
    let cast = cast(&failures(), &PLOTS);
    compare("failures", &cast, on_changes(&cast)).await;
}

#[tokio::test]
async fn changes_whose_answers_are_spoilt_end_as_if_they_were_not() {
    let cast = cast(&spoilt(), &PLOTS);
    compare("spoilt", &cast, on_changes(&cast)).await;
}

#[tokio::test]
async fn changes_that_take_their_time_end_as_if_they_did_not() {
    let kinds = [
        Kind::Throttle {
            retry_after: Some("1".to_owned()),
            retry_after_ms: None,
        },
        Kind::Delay { ms: 300 },
        Kind::SlowBody { every_ms: 2 },
        Kind::StuckUpdating {
            for_ms: Some(1_500),
        },
        Kind::ReplicaLag { for_ms: 800 },
        Kind::Ignored,
    ];
    let mut all = cast(&kinds, &PLOTS);
    let hanging = [
        Kind::Hang { applied: false },
        Kind::Hang { applied: true },
        Kind::HangInBody,
    ];
    all.extend(cast(&hanging, &[Plot::Edited]));
    compare("slow", &all, on_changes(&all)).await;
}

#[tokio::test]
async fn reads_that_fail_end_as_if_they_had_not() {
    let cast = small_cast();
    let redirect = Kind::Redirect {
        status: 307,
        location: "http://127.0.0.1:9/elsewhere".to_owned(),
    };
    let omitted = Kind::OmittedUsers {
        ids: cast.iter().map(|actor| actor.id.clone()).collect(),
    };
    let both = [failures(), spoilt(), vec![redirect]].concat();
    let lists = [Kind::DuplicatedRows, Kind::RepeatedToken, omitted];
    compare("reads", &cast, move |stage| {
        // Every second one, so that a wait for a good one is short.
        let every_second = |kinds: Vec<Kind>, verb| {
            for (kind, nth) in kinds.into_iter().zip((1..).step_by(2)) {
                stage
                    .gateway
                    .add_fault(Fault::new(kind).on(verb).from_nth(nth));
            }
        };
        every_second(both.clone(), Verb::Get);
        let mixed = both.into_iter().chain(lists);
        every_second(mixed.collect(), Verb::List);
    })
    .await;
}

/// A third of all calls fail, as the seed will have it.
async fn chaos(seed: u64) {
    eprintln!("chaos: seed {seed}");
    let kinds = [failures(), spoilt()].concat();
    let chaos = Chaos {
        seed,
        per_mille: 330,
        kinds,
        verbs: vec![Verb::List, Verb::Get, Verb::Patch],
        first: 4,
    };
    compare("chaos", &small_cast(), move |stage| {
        stage.gateway.set_chaos(Some(chaos));
    })
    .await;
}

#[tokio::test]
async fn whatever_fails_by_chance_the_end_is_the_same() {
    for seed in [1, 2] {
        chaos(seed).await;
    }
}
