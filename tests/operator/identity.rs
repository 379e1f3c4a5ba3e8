//! Identity: a person who takes over a user id that became free gets no power by the object of the person before, and users
//! that are created again for the same person need no approval.

use fireworks_gateway_simulator::{Switches, User};
use rig::until;
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start, condition, ready};

const ACCEPT: &str = "iam.fireworks.ai/accept-identity";
/// When the first and the second person of one id were created.
pub const FIRST: &str = "2026-01-02T03:04:05.678901Z";
pub const SECOND: &str = "2026-02-03T04:05:06.789Z";
/// As the message has it.
const SECOND_SHOWN: &str = "2026-02-03T04:05:06Z";

pub fn person(id: &str, role: &str, email: &str, created: &str) -> User {
    User {
        create_time: created.parse().ok(),
        ..User::new(id, role).email(email)
    }
}

async fn annotate(stage: &Stage, name: &str, time: &str) {
    let value = format!("{ACCEPT}={time}");
    let args = ["annotate", "fwuser", name, &value, "--overwrite"];
    stage.kubectl(&args).await.unwrap();
}

fn assert_held(object: &Value, guard: &str, names: &str) {
    assert_eq!(object["status"]["guard"], guard);
    assert_eq!(ready(object)["status"], "False");
    assert_eq!(condition(object, "Stalled")["status"], "True");
    let message = ready(object)["message"].as_str().unwrap();
    assert!(message.contains(names), "{message}");
}

/// The id is taken by another person. Whether the absence between was seen makes no difference.
pub fn take_over(stage: &Stage, id: &str, role: &str, email: &str) {
    stage.gateway.remove_user(id);
    stage.gateway.put_user(person(id, role, email, SECOND));
}

#[tokio::test]
async fn identity_changed_holds_an_admin_until_the_new_person_is_accepted() {
    let stage = Stage::set("identity").await;
    stage.user("root", "admin");
    for id in ["alice", "bob", "carol"] {
        let email = format!("{id}@people.example");
        stage.gateway.put_user(person(id, "user", &email, FIRST));
    }
    let operator = stage.operator().await;
    for name in ["alice", "bob"] {
        stage.apply(name, "{role: admin}").await;
    }
    stage.apply("carol", "{role: contributor}").await;
    for name in ["alice", "bob", "carol"] {
        let object = stage.until_ready(name).await;
        assert_eq!(object["status"]["createTime"], FIRST);
    }

    let seq = stage.gateway.last_seq();
    take_over(&stage, "alice", "user", "mallory@people.example");
    // Another actor has made this one an admin already: the fields match.
    take_over(&stage, "bob", "admin", "mallet@people.example");
    take_over(&stage, "carol", "user", "carla@people.example");
    for name in ["alice", "bob"] {
        let object = stage.until_reason(name, "Protected").await;
        assert_held(&object, "identity-changed", SECOND_SHOWN);
        assert_eq!(object["status"]["createTime"], FIRST);
    }
    // Neither role grants power.
    let is_accepted = |object: &Value| object["status"]["createTime"] == SECOND;
    stage.until_object("carol", "accepted", is_accepted).await;
    stage.until_ready("carol").await;
    stage.until_event("carol", "IdentityAccepted").await;

    annotate(&stage, "alice", FIRST).await;
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(3).await;
    for name in ["alice", "bob"] {
        assert!(stage.patches_since(seq, name).is_empty());
    }
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");

    annotate(&stage, "alice", SECOND_SHOWN).await;
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["createTime"], SECOND);
    assert_eq!(object["status"].get("guard"), None);
    stage.until_event("alice", "IdentityAccepted").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "admin");
    stage
        .apply("bob", "{role: admin, expectEmail: Mallet@people.example}")
        .await;
    stage.until_ready("bob").await;
    stage.until_event("bob", "IdentityAccepted").await;
    assert!(stage.patches_since(seq, "bob").is_empty());
}

#[tokio::test]
async fn identity_unknown_is_held_across_restarts_until_the_annotation_names_the_user() {
    let stage = Stage::set("identity").await;
    stage.user("root", "admin");
    let operator = stage.operator().await;
    stage.apply("alice", "{role: admin}").await;
    stage
        .apply("bob", "{role: admin, expectEmail: bob@people.example}")
        .await;
    stage.apply("carol", "{role: contributor}").await;
    for name in ["alice", "bob", "carol"] {
        stage.until_reason(name, "UserNotFound").await;
    }
    for id in ["alice", "bob", "carol"] {
        let email = format!("{id}@people.example");
        stage.gateway.put_user(person(id, "user", &email, SECOND));
    }
    let object = stage.until_reason("alice", "Protected").await;
    assert_held(&object, "identity-unknown", SECOND_SHOWN);
    assert_eq!(object["status"].get("createTime"), None);
    for name in ["bob", "carol"] {
        stage.until_ready(name).await;
    }

    // What is reported in between does not lift it.
    stage.apply("alice", "{role: admin, suspend: true}").await;
    let object = stage.until_reason("alice", "Suspended").await;
    assert_eq!(object["status"]["guard"], "identity-unknown");
    drop(operator);
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: admin}").await;
    let object = stage.until_reason("alice", "Protected").await;
    assert_held(&object, "identity-unknown", SECOND_SHOWN);
    annotate(&stage, "alice", FIRST).await;
    stage.until_sweeps(2).await;
    assert!(stage.patches("alice").is_empty());

    annotate(&stage, "alice", SECOND_SHOWN).await;
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["createTime"], SECOND);
    assert_eq!(stage.patches("alice").len(), 1);
    for (id, role) in [
        ("alice", "admin"),
        ("bob", "admin"),
        ("carol", "contributor"),
    ] {
        assert_eq!(stage.gateway.user(id).unwrap().role, role);
    }
}

#[tokio::test]
async fn identity_mismatch_is_held_for_every_role_and_where_no_email_is_shown() {
    let stage = Stage::set("identity").await;
    stage.user("root", "admin");
    for id in ["alice", "bob"] {
        let email = format!("{id}@people.example");
        stage.gateway.put_user(person(id, "user", &email, FIRST));
    }
    let operator = stage.operator().await;
    stage
        .apply(
            "alice",
            "{role: contributor, expectEmail: mallory@people.example}",
        )
        .await;
    let object = stage.until_reason("alice", "Protected").await;
    assert_held(&object, "identity-mismatch", "spec.expectEmail");
    assert!(stage.patches("alice").is_empty());
    stage
        .apply(
            "alice",
            "{role: contributor, expectEmail: ALICE@people.example}",
        )
        .await;
    stage.until_ready("alice").await;
    stage.apply("bob", "{role: contributor}").await;
    stage.until_ready("bob").await;

    let seq = stage.gateway.last_seq();
    let hide = |no_email| {
        stage.gateway.set_switches(Switches {
            no_email,
            ..Switches::default()
        });
    };
    hide(true);
    // All fields match.
    let object = stage.until_reason("alice", "Protected").await;
    assert_held(&object, "identity-mismatch", "showed no e-mail");
    assert_eq!(ready(&stage.object("bob").await)["status"], "True");
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(2).await;
    let object = stage.object("alice").await;
    assert_held(&object, "identity-mismatch", "showed no e-mail");
    hide(false);
    stage.until_ready("alice").await;
    for name in ["alice", "bob"] {
        assert!(stage.patches_since(seq, name).is_empty());
    }
}

/// SCIM removes and creates all users of a group: the pins match, so none is held.
#[tokio::test]
async fn identity_of_100_users_that_scim_creates_again_is_accepted_by_their_pins() {
    let stage = Stage::set("identity").await;
    let names: Vec<String> = (0..100).map(|number| format!("user-{number:03}")).collect();
    let email = |name: &str| format!("{name}@people.example");
    for name in &names {
        let user = person(name, "user", &email(name), FIRST);
        stage.gateway.put_user(user);
    }
    let fast = Start {
        args: vec!["--requests-per-minute".into(), "6000".into()],
        ..Start::default()
    };
    let operator = stage.operator_with(fast).await;
    let spec = |name: &String| json!({"role": "custom", "permissionPreset": "agent", "expectEmail": email(name)});
    let objects = names.iter().map(|name| (name.clone(), spec(name)));
    stage.create_each(objects).await;
    stage.until_all_ready().await;

    let mark = stage.mark();
    for name in &names {
        take_over(&stage, name, "user", &email(name));
    }
    until(LONG, "all users to have their role again", async || {
        let users = stage.gateway.users();
        let others = users.iter().filter(|user| user.role != "custom").count();
        if others == 0 {
            Ok(())
        } else {
            Err(format!("{others} have not"))
        }
    })
    .await
    .unwrap();
    stage.until_all_ready().await;
    let writes = stage.status_writes(mark);
    assert!(!writes.is_empty());
    for name in &names {
        let reasons = stage.reasons_written(mark, name);
        assert!(
            !reasons.contains(&"Protected".to_owned()),
            "{name}: {reasons:?}"
        );
        let is_accepted = |object: &Value| object["status"]["createTime"] == SECOND;
        let object = stage.until_object(name, "accepted", is_accepted).await;
        assert_eq!(object["status"].get("guard"), None);
    }
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    let holds = metrics.lines().filter(|line| line.contains("guard_holds{"));
    let held: Vec<&str> = holds.filter(|line| !line.ends_with(" 0")).collect();
    assert!(held.is_empty(), "{held:?}");
}
