//! A tenant of a shared cluster as an attacker: it has rights on the objects of its own namespace, as RBAC grants them, and
//! tries to change users of the platform, or to get power. The operator runs with `--grant-namespace` for the platform.

mod floods;
mod forged;
mod platform;
pub mod tenant;

use fireworks_gateway_simulator::User;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::identity::{FIRST, SECOND, person, take_over};
use crate::other_namespace::claim;
use crate::stage::{Stage, Start, ready};
use platform::{Platform, TENANTS};
use tenant::Tenant;

/// A wait is reported after this number of seconds.
const REPORTED: u64 = 10;
/// For this number of seconds a user is kept for the namespace of its former holder.
const RELEASED: u64 = 61;

/// What a tenant wants of that user.
fn wants(user: &str) -> Value {
    json!({"userId": user, "role": TENANTS})
}

fn wants_with(user: &str, field: &str, value: impl Into<Value>) -> Value {
    let mut spec = wants(user);
    spec[field] = value.into();
    spec
}

/// Waits until these objects of the tenant record that another object has the user.
async fn until_all_wait(clock: &mut Clock, tenant: &Tenant, names: &[&str]) {
    clock.pass(REPORTED).await;
    for name in names {
        let object = tenant.until_claim(name, "Waiting").await;
        let message = ready(&object)["message"].as_str().unwrap();
        assert!(!message.contains("platform"), "{message}");
    }
}

/// The texts of the Events `Conflict` about an object of the platform.
async fn conflicts(stage: &Stage, name: &str) -> Vec<String> {
    let mut events = stage.events(name).await;
    events.retain(|event| event["reason"] == "Conflict");
    let note = |event: &Value| event["note"].as_str().unwrap().to_owned();
    events.iter().map(note).collect()
}

/// Objects that are suspended before and after the platform's are there, and resumed while those are deleted and created again;
/// objects that change between `Observe` and `Manage` meanwhile; further objects, also with the id in another letter case. The
/// holder has one Event about all that.
#[tokio::test]
async fn tenant_takes_no_user_whose_object_the_platform_creates_again() {
    let mut clock = Clock::new();
    let stage = Stage::set("platform").await;
    for id in ["alice", "bob", "carol"] {
        stage.user(id, "user");
    }
    // Another user for Fireworks, which no object declares.
    stage.gateway.put_user(User::new("ALICE", "admin"));
    stage.user("root", "admin");
    let tenant = Tenant::create(&stage).await;
    let platform = Platform::of(&stage);
    let start = clock.start(tenant.start(Start::default()));
    let _operator = stage.operator_with(start).await;
    let suspended = |user: &str| wants_with(user, "suspend", true);
    for user in ["bob", "carol"] {
        platform.holds(user, "inference-user").await;
    }
    tenant.create_object("alice", suspended("alice")).await;
    tenant.until_reason("alice", "Suspended").await;
    platform.holds("alice", "inference-user").await;
    tenant.create_object("bob", suspended("bob")).await;
    let observes = wants_with("carol", "managementPolicy", "Observe");
    tenant.create_object("carol", observes).await;
    tenant.until_reason("bob", "Suspended").await;
    tenant.until_reason("carol", "Drifted").await;
    stage.until_event("bob", "Conflict").await;
    tenant.create_object("upper", wants("ALICE")).await;

    for user in ["alice", "bob", "carol"] {
        stage.delete(user).await;
    }
    let policy = |policy: &str| json!({"managementPolicy": policy});
    for name in ["alice", "bob"] {
        tenant.edit(name, json!({"suspend": false})).await;
    }
    for step in ["Manage", "Observe", "Manage"] {
        tenant.edit("carol", policy(step)).await;
    }
    tenant.create_object("late", wants("alice")).await;
    tenant.create_object("title", wants("Alice")).await;
    stage.until_sweeps(2).await;
    for user in ["alice", "bob", "carol"] {
        let object = platform.holds(user, "user").await;
        assert_eq!(claim(&object), "Held", "{user}");
    }
    for _ in 0..2 {
        tenant.edit("carol", policy("Observe")).await;
        tenant.until_reason("carol", "Drifted").await;
        tenant.edit("carol", policy("Manage")).await;
    }
    let all = ["alice", "bob", "carol", "upper", "late", "title"];
    until_all_wait(&mut clock, &tenant, &all).await;
    stage.until_event("carol", "Conflict").await;
    stage.until_sweeps(2).await;
    platform.assert_untouched();
    for user in ["bob", "carol"] {
        let texts = conflicts(&stage, user).await;
        let text = format!(
            "an object of another namespace claims user {user}, too: this object keeps managing it"
        );
        assert_eq!(texts, [text]);
    }
}

/// Two objects whose user ids are swapped by deleting and creating them again, with the operator running and without.
#[tokio::test]
async fn tenant_gains_nothing_by_swapping_user_ids() {
    let (mut clock, mut later) = (Clock::new(), Clock::new());
    let stage = Stage::set("platform").await;
    for (id, role) in [
        ("alice", "user"),
        ("ada", "admin"),
        ("dave", "user"),
        ("root", "admin"),
    ] {
        stage.user(id, role);
    }
    let tenant = Tenant::create(&stage).await;
    let platform = Platform::of(&stage);
    let start = clock.start(tenant.start(Start::default()));
    let operator = stage.operator_with(start).await;
    platform.holds("alice", "inference-user").await;
    platform.holds("ada", "admin").await;
    // The tenant's own user, which it may manage.
    tenant.create_object("own", wants("dave")).await;
    tenant.until_reason("own", "InSync").await;
    tenant.create_object("one", wants("alice")).await;
    tenant.create_object("two", wants("ada")).await;
    until_all_wait(&mut clock, &tenant, &["one", "two"]).await;
    let swap = async |ids: [(&str, &str); 3]| {
        for (name, _) in ids {
            tenant.delete(name).await;
        }
        for (name, user) in ids {
            tenant.create_object(name, wants(user)).await;
        }
    };
    swap([("own", "alice"), ("one", "ada"), ("two", "dave")]).await;
    tenant.until_reason("two", "InSync").await;
    until_all_wait(&mut clock, &tenant, &["own", "one"]).await;

    operator.kill().unwrap();
    drop(operator);
    swap([("own", "ada"), ("one", "dave"), ("two", "alice")]).await;
    let start = later.start(tenant.start(Start::default()));
    let _operator = stage.operator_with(start).await;
    tenant.until_reason("one", "InSync").await;
    until_all_wait(&mut later, &tenant, &["own", "two"]).await;
    let object = platform.holds("alice", "user").await;
    assert_eq!(claim(&object), "Held");
    platform.holds("ada", "admin").await;
    // Once the platform has given them up, those without power go to the tenant.
    platform.gives_up("alice");
    for user in ["alice", "ada"] {
        stage.delete(user).await;
    }
    stage.until_sweeps(2).await;
    platform.assert_untouched();
    later.pass(RELEASED).await;
    let object = tenant.until_reason("two", "InSync").await;
    assert_eq!(claim(&object), "Inherited");
    tenant.annotate("own", "accept-claim", "ada").await;
    tenant.until_reason("own", "NamespaceNotAllowed").await;
    stage.until_sweeps(2).await;
    platform.assert_untouched();
}

/// Objects that asked for admin before that was restricted, and one of a user that the platform has dismissed: another person
/// who gets the id, or loses the role, is not made an admin, whatever the tenant accepts.
#[tokio::test]
async fn tenant_grants_no_power_by_an_old_object_or_a_freed_id() {
    let mut clock = Clock::new();
    let stage = Stage::set("platform").await;
    stage.user("root", "admin");
    for id in ["ada", "eve", "boss"] {
        let user = person(id, "user", &format!("{id}@people.example"), FIRST);
        stage.gateway.put_user(user);
    }
    let tenant = Tenant::create(&stage).await;
    let operator = stage
        .operator_with(tenant.start_without_restriction(Start::default()))
        .await;
    for id in ["ada", "eve"] {
        tenant.create_object(id, json!({"role": "admin"})).await;
        tenant.until_reason(id, "InSync").await;
    }
    drop(operator);
    let platform = Platform::of(&stage);
    let start = clock.start(tenant.start(Start::default()));
    let _operator = stage.operator_with(start).await;
    platform.holds("boss", "admin").await;
    tenant.create_object("boss", json!({"role": "admin"})).await;

    take_over(&stage, "ada", "user", "mallory@people.example");
    let demote = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user("eve", demote));
    let held = tenant.until_reason("ada", "Protected").await;
    assert_eq!(held["status"]["guard"], "identity-changed");
    tenant.until_reason("eve", "NamespaceNotAllowed").await;
    stage.gateway.remove_user("boss");
    stage.until_reason("boss", "UserNotFound").await;
    platform.gives_up("boss");
    stage.delete("boss").await;
    let other = person("boss", "user", "mallet@people.example", SECOND);
    stage.gateway.put_user(other);
    clock.pass(RELEASED).await;
    tenant.until_claim("boss", "Inherited").await;

    for id in ["ada", "boss"] {
        tenant.annotate(id, "accept-claim", id).await;
        tenant.annotate(id, "accept-identity", SECOND).await;
    }
    for id in ["ada", "boss"] {
        tenant.until_reason(id, "NamespaceNotAllowed").await;
    }
    stage.until_sweeps(2).await;
    platform.assert_untouched();
    for id in ["ada", "eve", "boss"] {
        assert_eq!(stage.gateway.user(id).unwrap().role, "user", "{id}");
    }
}
