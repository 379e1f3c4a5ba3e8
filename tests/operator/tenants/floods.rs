//! A tenant that causes as much work as it can: annotations that force reads, objects that are created again and again, large
//! metadata. Others are not delayed by it.

use std::cell::Cell;

use fireworks_gateway_simulator::{Entry, Fault, Kind, User, Verb};
use futures::stream::{self, StreamExt};
use rig::until;
use serde_json::{Value, json};

use super::platform::Platform;
use super::tenant::Tenant;
use crate::clock::Clock;
use crate::stage::{LONG, Stage, Start, brief};
use crate::witness::Running;

const OBJECTS: usize = 50;
const VALUES: usize = 20;
/// Seconds for which the gateway asks to wait.
const PAUSE: u64 = 300;
const REQUESTED_AT: &str = "reconcile-requested-at";

/// Reads cost less than a list in an account of that size.
const USERS: usize = 12_000;

fn annotated(value: &str) -> Value {
    json!({format!("iam.fireworks.ai/{REQUESTED_AT}"): value})
}

fn gets_of(calls: &[Entry], user: &str) -> usize {
    let is_get = |call: &&Entry| call.verb == Verb::Get && call.user.as_deref() == Some(user);
    calls.iter().filter(is_get).count()
}

/// Fills the account with users without an e-mail address, each of which would be looked for in all that was shown. Returns
/// those that the tenant declares as they are.
fn fill(stage: &Stage) -> Vec<User> {
    let users = (0..USERS).map(|number| User::new(format!("user-{number:05}"), "user"));
    let users: Vec<_> = users.collect();
    for user in &users {
        stage.gateway.put_user(user.clone());
    }
    users.into_iter().take(OBJECTS).collect()
}

/// Sets `VALUES` values on each object, one after the other.
async fn annotate_all(tenant: &Tenant, users: &[User]) {
    for value in 0..VALUES {
        let value = format!("value-{value}");
        stream::iter(users)
            .for_each_concurrent(8, async |user| {
                tenant.annotate(&user.id, REQUESTED_AT, &value).await;
            })
            .await;
    }
}

/// Has the gateway pause the account with the next read, so that all requests wait for its end.
fn pause(stage: &Stage) {
    let retry_after = Some(PAUSE.to_string());
    let throttle = Kind::Throttle {
        retry_after,
        retry_after_ms: None,
    };
    stage.gateway.add_fault(Fault::new(throttle).on(Verb::Get));
}

/// Waits until that number of changes wait for a permit.
async fn until_changes_wait(operator: &Running, number: &str) {
    let series = format!("rate_limiter_waiting{{class=\"spec_change\"}} {number}");
    until(LONG, "the change to wait", async || {
        let (_, text) = operator.admin_get("/metrics").await.unwrap();
        let waits = text.lines().any(|line| line.ends_with(&series));
        if waits { Ok(()) } else { Err(text) }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// Changes the victim, and waits until that was sent.
async fn change(stage: &Stage, platform: &Platform<'_>, role: &str) {
    let before = stage.gateway.last_seq();
    platform.edit("victim", role).await;
    let is_change = |call: &Entry| call.seq > before && call.verb == Verb::Patch;
    stage
        .until_journal("the change", |calls| calls.iter().any(is_change))
        .await;
}

#[tokio::test]
async fn annotations_of_a_tenant_force_one_read_a_minute_and_delay_no_change_of_others() {
    let mut clock = Clock::new();
    let stage = Stage::set("platform").await;
    stage.user("victim", "user");
    let users = fill(&stage);
    let tenant = Tenant::create(&stage).await;
    let platform = Platform::of(&stage);
    let start = clock.start(tenant.start(Start {
        sweep: "1h",
        args: ["--requests-per-minute", "120"].map(str::to_owned).to_vec(),
        ..Start::default()
    }));
    let operator = stage.operator_with(start).await;
    // Not the first change of the process, which takes a read more.
    platform.holds("victim", "inference-user").await;
    for user in &users {
        tenant
            .create_object(&user.id, json!({"role": user.role}))
            .await;
    }
    for user in &users {
        tenant.until_reason(&user.id, "InSync").await;
    }

    let began = elapsed(&stage, &clock);
    pause(&stage);
    annotate_all(&tenant, &users).await;
    stage
        .until_journal("a pause", |calls| {
            calls.iter().any(|call| call.status == Some(429))
        })
        .await;
    until_changes_wait(&operator, "0").await;
    platform.edit("victim", "user").await;
    until_changes_wait(&operator, "1").await;
    let paused = stage.gateway.last_seq();
    clock.pass(PAUSE + 60).await;
    let calls = stage.calls_since(paused);
    let place = calls.iter().position(|call| call.verb == Verb::Patch);
    assert!(
        place.is_some_and(|place| place <= 2),
        "{:#?}",
        brief(&calls)
    );
    assert!(
        calls.len() >= OBJECTS,
        "the reads waited too: {:#?}",
        brief(&calls)
    );
    // Values that came after the read of the first one are owed one.
    clock.pass(60).await;
    let calls = stage.calls_since(paused);
    // None leaves in the pause.
    let most = most_reads(elapsed(&stage, &clock) - began - PAUSE * 1_000);
    for user in &users {
        let reads = gets_of(&calls, &user.id);
        let is_right = (1..=most).contains(&reads);
        assert!(is_right, "{}: {reads} of {most}", user.id);
    }
    created_again_and_again(&stage, &clock, &tenant, &users[0]).await;
    platform.assert_untouched();
}

/// The milliseconds that have passed for the operator.
fn elapsed(stage: &Stage, clock: &Clock) -> u64 {
    stage.gateway.elapsed_ms() + clock.steps().moved_ms()
}

/// The most reads of one user that annotations may force in that number of milliseconds.
fn most_reads(passed: u64) -> usize {
    1 + usize::try_from(passed / 60_000).unwrap()
}

/// An object that observes a user is created with the annotation, and deleted once that was seen.
async fn created_again_and_again(stage: &Stage, clock: &Clock, tenant: &Tenant, user: &User) {
    let (mark, began) = (stage.gateway.last_seq(), elapsed(stage, clock));
    let spec = json!({"role": user.role, "userId": user.id, "managementPolicy": "Observe"});
    for value in 0..VALUES {
        let annotations = annotated(&value.to_string());
        tenant
            .create_annotated("again", annotations, spec.clone())
            .await;
        tenant.until_reason("again", "InSync").await;
        tenant.delete("again").await;
    }
    let reads = gets_of(&stage.calls_since(mark), &user.id);
    let most = most_reads(elapsed(stage, clock) - began);
    assert!(reads <= most, "{reads} for {VALUES} objects");
}

/// 125 objects of 250 kB are as much as fills the watch of the operator for a while.
#[tokio::test]
async fn large_metadata_of_a_tenant_stops_no_change_of_others() {
    const LARGE: usize = 125;
    let stage = Stage::set("platform").await;
    stage.user("victim", "user");
    let names: Vec<_> = (0..LARGE).map(|number| format!("large-{number}")).collect();
    for name in &names {
        stage.gateway.put_user(User::new(name, "user"));
    }
    let tenant = Tenant::create(&stage).await;
    let platform = Platform::of(&stage);
    let start = tenant.start(Start {
        sweep: "1h",
        ..Start::default()
    });
    let _operator = stage.operator_with(start).await;
    platform.holds("victim", "inference-user").await;
    let annotations = json!({"example.com/note": "x".repeat(250_000)});
    let (is_over, edits) = (Cell::new(false), Cell::new(0));
    let flood = async {
        stream::iter(&names)
            .for_each_concurrent(4, async |name| {
                let spec = json!({"role": "user"});
                tenant
                    .create_annotated(name, annotations.clone(), spec)
                    .await;
            })
            .await;
        is_over.set(true);
    };
    let edit = async {
        let mut roles = ["user", "inference-user"].into_iter().cycle();
        while !is_over.get() {
            change(&stage, &platform, roles.next().unwrap()).await;
            edits.set(edits.get() + 1);
        }
    };
    futures::join!(flood, edit);
    assert!(edits.get() >= 3, "{} edits", edits.get());
    for name in &names {
        tenant.until_reason(name, "InSync").await;
    }
    platform.assert_untouched();
}
