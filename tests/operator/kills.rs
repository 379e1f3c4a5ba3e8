//! Killed from outside, or at two points by chance: SIGKILL at random instants of a roll-out, and double
//! crashes. The seed is printed; `CRASH_SEEDS=1,2,3` tries others.

use std::time::Duration;

use fastrand::Rng;
use fireworks_gateway_simulator::{Entry, User, Verb};
use operator_under_test::crash::Side;
use rig::until;
use serde_json::Value;

use crate::crash_points::{CrashFile, REPEATED, point, reached, until_reached};
use crate::stage::{LONG, Stage, Start, brief, manifest, manifests, ready};

/// The users of a roll-out.
const USERS: usize = 50;
/// Passes under way at once, so the most calls that one kill loses: the default of `--concurrency`.
const AT_ONCE: usize = 16;

/// Kills the operator `kills` times in the course of one roll-out, each time when that many changes more
/// have reached the gateway and a moment has passed.
async fn roll_out(seed: u64, kills: usize, latency: Duration) {
    let what = format!("seed {seed}, {kills} kills, latency {latency:?}");
    eprintln!("roll-out: {what}");
    let mut chance = Rng::with_seed(seed);
    let stage = Stage::set("roll-out").await;
    let names: Vec<String> = (0..USERS).map(|n| format!("user-{n:02}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    stage.gateway.set_latency(latency);
    stage
        .apply_all(&manifests(&names, "{role: contributor}"))
        .await;
    let mut operator = stage.operator_with(quick()).await;
    for kill in 0..kills {
        let done = |entries: &[Entry]| changed(entries).count();
        let left = USERS - done(&stage.gateway.journal());
        // Some are left for the kills that follow.
        let share = left / (kills - kill);
        let more = chance.usize(..=share);
        let enough = done(&stage.gateway.journal()) + more;
        let description = format!("{enough} changes ({what})");
        stage
            .until_journal(&description, |entries| done(entries) >= enough)
            .await;
        // A moment that nothing is waited for in: it makes the instant random.
        tokio::time::sleep(Duration::from_millis(chance.u64(..40))).await;
        operator.kill().unwrap();
        operator = stage.operator_with(quick()).await;
    }
    stage.until_all_ready().await;
    stage.until_sweeps(2).await;

    let patches = stage.all_patches();
    let effective: Vec<_> = changed(&patches).collect();
    assert_eq!(effective.len(), USERS, "{what}: {:#?}", brief(&patches));
    for name in &names {
        let user = stage.gateway.user(name).unwrap();
        assert_eq!(user.role, "contributor", "{what}: {name}");
        let calls = stage.patches(name).len();
        assert!(calls <= 1 + kills, "{what}: {calls} PATCHes for {name}");
    }
    let bound = USERS + AT_ONCE * kills;
    assert!(patches.len() <= bound, "{what}: {} PATCHes", patches.len());
    eprintln!("roll-out: {what}: {} PATCHes", patches.len());
}

/// The calls that changed a user.
fn changed(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    let is_change = |entry: &&Entry| entry.verb == Verb::Patch && !entry.changes.is_empty();
    entries.iter().filter(is_change)
}

fn quick() -> Start {
    Start {
        settle: "100ms",
        args: ["--requests-per-minute", "6000"]
            .map(str::to_owned)
            .to_vec(),
        ..Start::default()
    }
}

/// The seeds to try: these, or what `CRASH_SEEDS` names.
#[allow(clippy::disallowed_methods, reason = "a test has no `cli`")]
fn seeds(usual: &[u64]) -> Vec<u64> {
    match std::env::var("CRASH_SEEDS") {
        Ok(named) => {
            let seeds = named.split(',').map(str::trim).map(str::parse);
            seeds.collect::<Result<_, _>>().expect("seeds like 1,2,3")
        }
        Err(_) => usual.to_vec(),
    }
}

#[tokio::test]
async fn a_roll_out_killed_at_random_instants() {
    for seed in seeds(&[101, 102]) {
        roll_out(seed, 5, Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_roll_out_killed_at_more_random_instants() {
    for seed in seeds(&[103, 104]) {
        roll_out(seed, 5, Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_slow_roll_out_killed_at_random_instants() {
    for seed in seeds(&[201, 202]) {
        roll_out(seed, 5, Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_slow_roll_out_killed_at_more_random_instants() {
    for seed in seeds(&[203, 204]) {
        roll_out(seed, 5, Duration::from_millis(50)).await;
    }
}

/// Users who become admins at once, and the same for every crash point: each is passed twice.
#[tokio::test]
async fn two_changes_killed_at_the_second_passing_of_every_point() {
    let stage = Stage::set("second").await;
    stage.user("root", "admin");
    let mut names = vec![];
    for (number, request) in REPEATED.into_iter().enumerate() {
        for side in Side::ALL {
            let pair = [1, 2].map(|n| format!("{side}-{number}-{n}"));
            for name in &pair {
                stage.user(name, "user");
            }
            let point = point(side, 2, request);
            let crash = CrashFile::new();
            crash.arm(std::slice::from_ref(&point));
            let operator = stage.operator_with(crash.start(quick())).await;
            let since = stage.gateway.last_seq();
            stage.apply_all(&manifests(&pair, "{role: admin}")).await;
            if request.starts_with("getUser") {
                // One user is read alone only on request, once a minute; two at once would be listed.
                stage.force_read(&pair[0], "once").await;
                stage
                    .until_journal("the first read", |entries| {
                        entries.iter().any(|entry| {
                            entry.seq > since
                                && entry.verb == Verb::Get
                                && entry.status == Some(200)
                        })
                    })
                    .await;
                stage.force_read(&pair[1], "once").await;
            }
            until_reached(&operator, &point).await;
            names.extend(pair);
        }
    }
    let _operator = stage.operator_with(quick()).await;
    stage.until_all_ready().await;
    stage.until_sweeps(2).await;
    let patches = stage.all_patches();
    assert_eq!(
        changed(&patches).count(),
        names.len(),
        "{:#?}",
        brief(&patches)
    );
    for name in names {
        assert_eq!(stage.gateway.user(&name).unwrap().role, "admin");
        // One more for the one crash that may have lost it.
        assert!(stage.patches(&name).len() <= 2, "{:#?}", brief(&patches));
    }
}

/// What becomes of one user.
struct Part {
    name: &'static str,
    /// The spec before; none: there is no object yet.
    before: Option<&'static str>,
    after: &'static str,
    /// The role in the end; none: there is no such user.
    role: Option<&'static str>,
}

const CAST: [Part; 6] = [
    Part {
        name: "new",
        before: None,
        after: "{role: contributor}",
        role: Some("contributor"),
    },
    Part {
        name: "raised",
        before: Some("{role: user}"),
        after: "{role: admin}",
        role: Some("admin"),
    },
    Part {
        name: "special",
        before: Some("{role: user}"),
        after: "{role: custom, permissionPreset: agent}",
        role: Some("custom"),
    },
    Part {
        name: "renamed",
        before: Some("{role: user}"),
        after: "{role: user, displayName: New}",
        role: Some("user"),
    },
    Part {
        name: "lowered",
        before: Some("{role: admin}"),
        after: "{role: inference-user}",
        role: Some("inference-user"),
    },
    Part {
        name: "nobody",
        before: None,
        after: "{role: user}",
        role: None,
    },
];

/// All of that at once, and the operator dies up to twice in the course of it.
async fn killed_twice(seed: u64) {
    let mut chance = Rng::with_seed(seed);
    let points = [(); 2].map(|()| {
        let request = REPEATED[chance.usize(..REPEATED.len())];
        let side = Side::ALL[chance.usize(..2)];
        // A missing user is read once.
        let most = if request.starts_with("getUser") { 1 } else { 3 };
        point(side, chance.u32(1..=most), request)
    });
    let what = format!("seed {seed}: {points:?}");
    eprintln!("double crash: {what}");
    let stage = prepared().await;
    let mark = stage.gateway.last_seq();
    let mut kills = 0;
    stage.apply_all(&cast(|part| Some(part.after))).await;
    for point in &points {
        let crash = CrashFile::new();
        crash.arm(std::slice::from_ref(point));
        let operator = stage.operator_with(crash.start(quick())).await;
        // It dies, or is done before it comes there.
        let over = until(LONG, &what, async || {
            let is_dead = !operator.is_running().map_err(|error| error.to_string())?;
            if is_dead {
                Ok(true)
            } else {
                is_over(&stage).await.map(|()| false)
            }
        });
        if over.await.unwrap_or_else(|timeout| panic!("{timeout}")) {
            let place = reached(&operator);
            assert_eq!(place, Some(point.to_string()), "{}", operator.logs());
            kills += 1;
        }
    }
    let _operator = stage.operator_with(quick()).await;
    let over = until(LONG, &what, async || is_over(&stage).await);
    over.await.unwrap_or_else(|timeout| panic!("{timeout}"));
    stage.until_sweeps(2).await;
    is_over(&stage).await.expect("an end that lasts");
    for Part { name, role, .. } in &CAST {
        let patches = stage.patches_since(mark, name);
        let effective = changed(&patches).count();
        assert_eq!(
            effective,
            usize::from(role.is_some()),
            "{what}: {:#?}",
            brief(&patches)
        );
        assert!(
            patches.len() <= effective + kills,
            "{what}: {:#?}",
            brief(&patches)
        );
        let Some(user) = stage.gateway.user(name) else {
            continue;
        };
        assert_eq!(user.email, format!("{name}@example.com"), "{what}");
        let shown = if *name == "renamed" { "New" } else { "Old" };
        assert_eq!(user.display_name, shown, "{what}");
    }
}

/// The stage where all users are as before, and no operator runs.
async fn prepared() -> Stage {
    let stage = Stage::set("twice").await;
    stage.user("root", "admin");
    for Part { name, role, .. } in &CAST {
        if role.is_some() {
            let user = User::new(*name, "user").display_name("Old");
            let email = format!("{name}@example.com");
            stage.gateway.put_user(user.email(email));
        }
    }
    stage.apply_all(&cast(|part| part.before)).await;
    let _operator = stage.operator_with(quick()).await;
    stage.until_all_ready().await;
    stage
}

/// Manifests of those who have such a spec.
fn cast(spec: impl Fn(&Part) -> Option<&'static str>) -> String {
    let all = CAST
        .iter()
        .filter_map(|part| Some(manifest(part.name, spec(part)?)));
    all.collect::<Vec<_>>().join("---\n")
}

/// Whether all users are as after, and every object reports it at its generation.
async fn is_over(stage: &Stage) -> Result<(), String> {
    let objects = stage.objects().await.map_err(|error| error.to_string())?;
    for Part { name, role, .. } in &CAST {
        let reason = if role.is_some() {
            "InSync"
        } else {
            "UserNotFound"
        };
        let object = objects.iter().find(|one| one["metadata"]["name"] == *name);
        let object = object.unwrap_or(&Value::Null);
        let ready = ready(object);
        if ready["reason"] != reason
            || ready["observedGeneration"] != object["metadata"]["generation"]
        {
            return Err(format!("{name}: {}", object["status"]));
        }
        let user = stage.gateway.user(name);
        if user.as_ref().map(|user| user.role.as_str()) != *role {
            return Err(format!("{name} reports {reason}, and is {user:?}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn double_crashes_at_random_points() {
    for seed in seeds(&[1, 2, 3]) {
        killed_twice(seed).await;
    }
}

#[tokio::test]
async fn more_double_crashes_at_random_points() {
    for seed in seeds(&[4, 5, 6]) {
        killed_twice(seed).await;
    }
}
