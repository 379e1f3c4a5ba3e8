//! The guards: no account is locked out, no right is given by mistake, no other account is touched, and
//! no fight is endless.

use fireworks_gateway_simulator::{Entry, Fault, Kind, Switches, User, Verb};
use rig::control_plane::OPERATOR_USER;
use rig::{Mark, Requests, until};
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start, brief, condition, manifest, ready};

/// Another actor gives alice the role that her object does not ask for.
fn change_back(stage: &Stage) {
    let edit = |user: &mut User| user.role = "contributor".into();
    assert!(stage.gateway.edit_user("alice", edit));
}

/// Waits until alice was repaired so often.
async fn until_repaired(stage: &Stage, repairs: usize) {
    let what = format!("repair {repairs}");
    let answer_applied = |one: &&Entry| one.status == Some(200);
    stage
        .until_journal(&what, |_| {
            stage.patches("alice").iter().filter(answer_applied).count() == repairs
        })
        .await;
}

#[tokio::test]
async fn last_admin_is_protected_until_there_is_another_one() {
    let stage = Stage::set("lastadmin").await;
    stage.user("alice", "admin");
    stage.user("bob", "user");
    let operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    let object = stage.until_reason("alice", "Protected").await;
    assert_eq!(ready(&object)["status"], "Unknown");
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    assert_eq!(object["status"]["guard"], "last-admin");
    assert_eq!(object["status"]["role"], "admin");
    let drift = json!([{"field": "role", "desired": "user", "actual": "admin"}]);
    assert_eq!(object["status"]["drift"], drift);
    stage.until_event("alice", "Protected").await;
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    let holds = "fireworks_user_operator_guard_holds{guard=\"last-admin\"} 1";
    assert!(metrics.contains(holds), "{metrics}");
    let mark = stage.mark();
    stage.until_sweeps(3).await;
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.writes(mark), Vec::new());
    assert_eq!(stage.all_patches().len(), 0);

    assert!(
        stage
            .gateway
            .edit_user("bob", |user| user.role = "admin".into())
    );
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"].get("guard"), None);
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
}

#[tokio::test]
async fn last_admin_is_demoted_once_the_operator_made_another() {
    let stage = Stage::set("lastadmin").await;
    stage.user("alice", "admin");
    stage.user("bob", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_reason("alice", "Protected").await;
    stage.apply("bob", "{role: admin}").await;
    stage.until_ready("bob").await;
    stage.until_ready("alice").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    assert_eq!(stage.gateway.user("bob").unwrap().role, "admin");
}

#[tokio::test]
async fn last_admin_of_two_demoted_at_once_is_protected() {
    let stage = Stage::set("lastadmin").await;
    for id in ["ann", "bea", "carl"] {
        stage.user(id, if id == "carl" { "user" } else { "admin" });
    }
    // Slow answers: both demotions are on their way before either has come back.
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 500 }).on(Verb::Patch).always());
    let all = ["ann", "bea"]
        .map(|id| manifest(id, "{role: user}"))
        .join("---\n");
    let operator = stage.operator().await;
    stage
        .plane
        .apply_yaml(&stage.namespace, &all)
        .await
        .unwrap();
    one_protected_one_in_sync(&stage, ["ann", "bea"]).await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 1);
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 1);
    let admins = stage
        .gateway
        .users()
        .into_iter()
        .filter(|user| user.role == "admin");
    assert_eq!(admins.count(), 1);
}

#[tokio::test]
async fn before_an_admin_of_a_large_account_is_demoted_all_users_are_listed() {
    let stage = Stage::set("lastadmin").await;
    // The first two of the seeded users are the account's only admins.
    stage.gateway.seed(450);
    let _operator = stage.operator().await;
    stage.apply("user-00000", "{role: user}").await;
    stage.until_ready("user-00000").await;
    let first = stage.patches("user-00000")[0].seq;
    let listed = |entry: &&Entry| entry.verb == Verb::List && entry.seq < first;
    let journal = stage.gateway.journal();
    let pages: Vec<_> = journal
        .iter()
        .filter(listed)
        .map(|one| one.query.clone().unwrap_or_default())
        .collect();
    let mut different = pages.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 3, "{pages:?}");

    stage.apply("user-00001", "{role: user}").await;
    stage.until_reason("user-00001", "Protected").await;
    assert_eq!(stage.all_patches().len(), 1);
    assert_eq!(stage.gateway.user("user-00001").unwrap().role, "admin");

    stage.apply("user-00007", "{role: admin}").await;
    stage.until_ready("user-00007").await;
    stage.until_ready("user-00001").await;
}

#[tokio::test]
async fn last_admin_of_two_in_a_large_account_stays() {
    let stage = Stage::set("lastadmin").await;
    stage.gateway.seed(450);
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 300 }).on(Verb::Patch).always());
    let names = ["user-00000", "user-00001"];
    let all = names.map(|id| manifest(id, "{role: user}")).join("---\n");
    stage
        .plane
        .apply_yaml(&stage.namespace, &all)
        .await
        .unwrap();
    let _operator = stage.operator().await;
    one_protected_one_in_sync(&stage, names).await;
    assert_eq!(
        stage.all_patches().len(),
        1,
        "{:#?}",
        brief(&stage.gateway.journal())
    );
}

#[tokio::test]
async fn last_admin_stays_after_a_kill_during_a_demotion() {
    let stage = Stage::set("lastadmin").await;
    for id in ["ann", "bea"] {
        stage.user(id, "admin");
    }
    let operator = stage.operator().await;
    let lost = Kind::Zombie {
        after_ms: None,
        hang: true,
    };
    let lost = stage
        .gateway
        .add_fault(Fault::new(lost).on(Verb::Patch).of("ann"));
    stage.apply("ann", "{role: user}").await;
    let sent = |all: &[Entry]| all.iter().any(|one| one.verb == Verb::Patch);
    stage.until_journal("the demotion", sent).await;
    operator.kill().unwrap();
    operator.wait_exit(LONG).await.unwrap();

    // Second thoughts: now the other one is to go. At Fireworks both are still admins.
    stage.apply("ann", "{role: admin}").await;
    stage.apply("bea", "{role: user}").await;
    let settle = Start {
        settle: "15s",
        ..Start::default()
    };
    let _operator = stage.operator_with(settle).await;
    stage.until_reason("bea", "Unconfirmed").await;
    assert!(stage.patches("bea").is_empty());
    stage.gateway.remove_fault(lost);
    stage.until_ready("bea").await;
    stage.until_ready("ann").await;
    let applied = |id: &str| stage.patches(id).last().and_then(|one| one.applied_ms);
    let (restored, demoted) = (applied("ann").unwrap(), applied("bea").unwrap());
    assert!(restored < demoted, "{:#?}", brief(&stage.gateway.journal()));
    assert_eq!(stage.gateway.user("ann").unwrap().role, "admin");
    assert_eq!(stage.gateway.user("bea").unwrap().role, "user");
}

#[tokio::test]
async fn wrong_account_is_a_conflict_and_its_user_is_never_changed() {
    let stage = Stage::set("account").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    stage.apply("alice", "{role: contributor}").await;
    stage
        .merge_status("alice", &json!({"name": "accounts/other/users/alice"}))
        .await;
    stage.apply("bob", "{role: user}").await;
    let _operator = stage.operator().await;
    let object = stage.until_reason("alice", "Conflict").await;
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert_eq!(object["status"]["guard"], "wrong-account");
    stage.until_event("alice", "Conflict").await;
    stage.until_ready("bob").await;

    stage
        .merge("alice", &json!({"spec": {"suspend": true}}))
        .await;
    stage.until_reason("alice", "Suspended").await;
    stage
        .merge(
            "alice",
            &json!({"spec": {"suspend": false, "role": "inference-user"}}),
        )
        .await;
    stage.until_reason("alice", "Conflict").await;
    stage.until_sweeps(2).await;
    let object = stage.object("alice").await;
    assert_eq!(object["status"]["name"], "accounts/other/users/alice");
    assert_eq!(stage.all_patches().len(), 0);

    stage.delete("alice").await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
}

#[tokio::test]
async fn contested_user_is_no_longer_repaired_after_five_repairs() {
    let stage = Stage::set("fight").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    for repairs in 1..=5 {
        change_back(&stage);
        until_repaired(&stage, repairs).await;
    }
    change_back(&stage);
    let object = stage.until_reason("alice", "Contested").await;
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    let message = ready(&object)["message"].as_str().unwrap();
    assert!(message.contains("repaired 5 times"), "{message}");
    assert!(message.contains(": next repair at 20"), "{message}");
    let drift = json!([{"field": "role", "desired": "user", "actual": "contributor"}]);
    assert_eq!(object["status"]["drift"], drift);
    let mark = stage.mark();
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), 5);
    assert_eq!(stage.status_writes(mark).len(), 0);

    // Once the other manager gives in, all is well.
    assert!(
        stage
            .gateway
            .edit_user("alice", |user| user.role = "user".into())
    );
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 5);
}

#[tokio::test]
async fn contested_is_noticed_although_each_repair_takes_fireworks_a_while() {
    let stage = Stage::set("fight").await;
    let switches = Switches {
        patch_updating_ms: Some(400),
        ..Switches::default()
    };
    stage.gateway.set_switches(switches);
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    change_back(&stage);
    for repairs in 1..=5 {
        until_repaired(&stage, repairs).await;
        // Fireworks is still carrying the repair out.
        change_back(&stage);
    }
    stage.until_reason("alice", "Contested").await;
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), 5);
}

#[tokio::test]
async fn object_is_read_once_before_its_user_is_changed() {
    let stage = Stage::set("raise").await;
    for id in ["alice", "bob", "carl"] {
        stage.user(id, "user");
    }
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply("alice", "{role: admin}").await;
    stage
        .apply("bob", "{role: custom, permissionPreset: agent}")
        .await;
    stage.apply("carl", "{role: contributor}").await;
    for id in ["alice", "bob", "carl"] {
        stage.until_ready(id).await;
        assert_eq!(stage.patches(id).len(), 1);
        assert_eq!(reads(&stage, mark, id), 1, "{id}");
    }
}

/// How often the operator read that object by itself.
fn reads(stage: &Stage, since: Mark, name: &str) -> usize {
    let these = Requests::any()
        .by(OPERATOR_USER)
        .verb("get")
        .of("fireworksusers")
        .namespace(&stage.namespace)
        .name(name);
    stage.plane.audit_since(since).unwrap().count(&these)
}

async fn one_protected_one_in_sync(stage: &Stage, names: [&str; 2]) {
    let settled = until(LONG, "one demoted, one protected", async || {
        let mut reasons = Vec::new();
        for name in names {
            let object = stage.object(name).await;
            let reason: &Value = &ready(&object)["reason"];
            reasons.push(reason.as_str().unwrap_or_default().to_owned());
        }
        reasons.sort();
        if reasons == ["InSync", "Protected"] {
            Ok(())
        } else {
            Err(format!("{reasons:?}"))
        }
    });
    settled.await.unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// The gateway replaces the whole user, against its documents: two users are hurt, then nothing is changed, and object,
/// metric and Event report why.
#[tokio::test]
async fn canary_stops_changes_after_two_users_lost_a_field() {
    let stage = Stage::set("canary").await;
    stage.gateway.set_switches(Switches {
        full_replace_patch: true,
        ..Switches::default()
    });
    stage.user("root", "admin");
    let names = ["ann", "ben", "cat", "dan"];
    for name in names {
        let user = User::new(name, "user").display_name("Somebody");
        stage
            .gateway
            .put_user(user.email(format!("{name}@example.com")));
    }
    let all = names
        .map(|name| manifest(name, "{role: contributor}"))
        .join("---\n");
    let operator = stage.operator().await;
    stage.apply_all(&all).await;
    let hurt = |stage: &Stage| {
        let all = stage.gateway.users().into_iter();
        all.filter(|user| names.contains(&user.id.as_str()) && user.email.is_empty())
            .count()
    };
    let stopped = until(LONG, "two protected objects", async || {
        let objects = stage.objects().await.map_err(|error| error.to_string())?;
        let held = objects
            .iter()
            .filter(|object| ready(object)["reason"] == "Protected");
        if held.count() == 2 {
            Ok(objects)
        } else {
            Err(format!("{objects:?}"))
        }
    })
    .await
    .unwrap();
    let held = |object: &&serde_json::Value| object["status"]["guard"] == "canary";
    assert_eq!(stopped.iter().filter(held).count(), 2);
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 2);
    assert_eq!(hurt(&stage), 2);
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    assert!(
        metrics.contains("fireworks_user_operator_mutations_stopped 1"),
        "{metrics}"
    );
}

/// A user clears its own display name after the last sweep: what the canary could clear is read immediately before it, so
/// no change is held. One GET serves the whole epoch.
#[tokio::test]
async fn canary_reads_its_user_once_and_is_not_misled_by_an_edit() {
    let stage = Stage::set("canary").await;
    let names = ["ann", "ben", "cat"];
    for name in names {
        let user = User::new(name, "user").display_name("Somebody");
        stage
            .gateway
            .put_user(user.email(format!("{name}@example.com")));
    }
    let start = Start {
        sweep: "10m",
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    let all = |role: &str| {
        let spec = format!("{{role: {role}}}");
        names.map(|name| manifest(name, &spec)).join("---\n")
    };
    stage.apply_all(&all("user")).await;
    stage.until_all_ready().await;
    let seq = stage.gateway.last_seq();
    for name in names {
        let edit = |user: &mut User| user.display_name.clear();
        assert!(stage.gateway.edit_user(name, edit));
    }
    stage.apply_all(&all("contributor")).await;
    stage.until_all_ready().await;
    let calls = stage.calls_since(seq);
    let count = |verb| calls.iter().filter(|one| one.verb == verb).count();
    let made = (count(Verb::Get), count(Verb::Patch), count(Verb::List));
    assert_eq!(made, (1, 3, 0), "{:#?}", brief(&calls));
}
