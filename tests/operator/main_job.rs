//! The main job: what a manifest declares is what the account becomes, at the least cost.

use std::collections::BTreeMap;
use std::fmt::Write;

use fireworks_gateway_simulator::User;
use serde_json::{Value, json};

use crate::stage::{Stage, brief, manifest, ready};

const ROLES: [&str; 5] = ["admin", "user", "contributor", "inference-user", "custom"];

#[tokio::test]
async fn a_declared_role_becomes_the_remote_role_with_one_patch_and_one_status_write() {
    let stage = Stage::set("job").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    let object = stage.until_ready("alice").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].body, Some(json!({"role": "contributor"})));
    assert_eq!(stage.status_writes(mark).len(), 1);
    assert_eq!(object["status"]["state"], "READY");
    assert_eq!(object["status"]["name"], "accounts/acme/users/alice");
    assert_eq!(ready(&object)["reason"], "InSync");
}

/// A user of the account that no object here manages wholly: it has an e-mail address and a name of its own.
fn person(id: &str, role: &str) -> User {
    let user = User::new(id, role)
        .display_name(format!("Name of {id}"))
        .email(format!("{id}@example.com"));
    match role {
        "custom" => user.preset("agent"),
        _ => user,
    }
}

fn spec(role: &str) -> &'static str {
    match role {
        "admin" => "{role: admin}",
        "user" => "{role: user}",
        "contributor" => "{role: contributor}",
        "inference-user" => "{role: inference-user}",
        _ => "{role: custom, permissionPreset: agent}",
    }
}

/// The least that turns one role into the other.
fn least_body(from: &str, to: &str) -> Value {
    match (from, to) {
        (_, "custom") => json!({"role": "custom", "permissionPreset": "agent"}),
        ("custom", _) => json!({"role": to, "permissionPreset": ""}),
        _ => json!({"role": to}),
    }
}

#[tokio::test]
async fn every_role_becomes_every_other_by_one_least_patch_and_stays_itself_by_none() {
    let stage = Stage::set("pairs").await;
    stage.user("root", "admin");
    let mut manifests = String::new();
    for from in ROLES {
        for to in ROLES {
            let id = format!("{from}-to-{to}");
            stage.gateway.put_user(person(&id, from));
            write!(manifests, "---\n{}", manifest(&id, spec(to))).unwrap();
        }
    }
    let before: BTreeMap<_, _> = users_by_id(&stage);
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply_all(&manifests).await;
    stage.until_all_ready().await;
    // Whatever would come too often comes within the sweeps that follow.
    stage.until_sweeps(3).await;

    let after = users_by_id(&stage);
    let writes = stage.status_writes(mark);
    for from in ROLES {
        for to in ROLES {
            let id = format!("{from}-to-{to}");
            let (was, is) = (&before[&id], &after[&id]);
            let bodies: Vec<_> = stage.patches(&id).into_iter().map(|one| one.body).collect();
            let change = (from != to).then(|| Some(least_body(from, to)));
            let expected: Vec<_> = change.into_iter().collect();
            assert_eq!(bodies, expected, "{id}");
            let reported = writes.iter().filter(|write| write.name == id).count();
            assert_eq!(reported, 1, "status writes of {id}");
            let preset = if to == "custom" { "agent" } else { "" };
            assert_eq!((&*is.role, &*is.permission_preset), (to, preset), "{id}");
            assert_eq!(is.display_name, was.display_name, "{id}");
            assert_eq!(is.email, was.email, "{id}");
        }
    }
    assert_eq!(stage.all_patches().len(), 20);
    assert_eq!(writes.len(), 25);
    // Besides, at most one Event a change.
    let others = stage.writes(mark).into_iter();
    let others: Vec<_> = others
        .filter(|write| write.subresource != "status")
        .collect();
    assert!(others.iter().all(|write| write.resource == "events"));
    assert!(others.len() <= 20, "{} Events", others.len());
}

fn users_by_id(stage: &Stage) -> BTreeMap<String, User> {
    let users = stage.gateway.users().into_iter();
    users.map(|user| (user.id.clone(), user)).collect()
}

#[tokio::test]
async fn each_edit_of_a_spec_costs_one_patch_of_what_it_changed_and_one_status_write() {
    let stage = Stage::set("edits").await;
    stage
        .gateway
        .put_user(person("alice", "user").display_name("Al"));
    let _operator = stage.operator().await;
    let edits = [
        ("{role: user, displayName: Al}", None),
        (
            "{role: user, displayName: Alice Liddell}",
            Some(json!({"role": "user", "displayName": "Alice Liddell"})),
        ),
        (
            "{role: custom, permissionPreset: agent, displayName: Alice Liddell}",
            Some(json!({"role": "custom", "permissionPreset": "agent"})),
        ),
        (
            "{role: custom, permissionPreset: billing, displayName: Alice Liddell}",
            Some(json!({"role": "custom", "permissionPreset": "billing"})),
        ),
        (
            "{role: contributor, displayName: Alice}",
            Some(json!({"role": "contributor", "permissionPreset": "", "displayName": "Alice"})),
        ),
        // No longer managed is not: cleared.
        ("{role: contributor}", None),
    ];
    for (spec, body) in edits {
        let (mark, since) = (stage.mark(), stage.gateway.last_seq());
        stage.apply("alice", spec).await;
        stage.until_ready("alice").await;
        stage.until_sweeps(1).await;
        let sent = stage.patches_since(since, "alice").into_iter();
        let bodies: Vec<_> = sent.map(|one| one.body).collect();
        assert_eq!(bodies, Vec::from_iter(body.map(Some)), "{spec}");
        assert_eq!(stage.status_writes(mark).len(), 1, "{spec}");
    }
    let alice = stage.gateway.user("alice").unwrap();
    assert_eq!(alice.display_name, "Alice");
    assert_eq!(alice.permission_preset, "");
    assert_eq!(alice.email, "alice@example.com");
}

#[tokio::test]
async fn a_preset_that_fireworks_ignores_is_left_alone() {
    let stage = Stage::set("preset").await;
    stage
        .gateway
        .put_user(User::new("bob", "user").preset("old"));
    let _operator = stage.operator().await;
    stage.apply("bob", "{role: user}").await;
    stage.until_ready("bob").await;
    stage.until_sweeps(2).await;
    assert_eq!(brief(&stage.all_patches()), Vec::<String>::new());
    assert_eq!(stage.gateway.user("bob").unwrap().permission_preset, "old");
}

#[tokio::test]
async fn the_patch_goes_to_the_user_that_the_spec_names_and_status_shows_it() {
    let stage = Stage::set("userid").await;
    stage.user("Alice.L+ops~1", "user");
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage
        .apply("alice", "{userId: Alice.L+ops~1, role: contributor}")
        .await;
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["userId"], "Alice.L+ops~1");
    assert_eq!(
        object["status"]["name"],
        "accounts/acme/users/Alice.L+ops~1"
    );
    let named = stage.gateway.user("Alice.L+ops~1").unwrap();
    assert_eq!(named.role, "contributor");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    assert_eq!(stage.all_patches().len(), 1);
}

#[tokio::test]
async fn status_shows_the_remote_user_as_it_was_returned() {
    let stage = Stage::set("status").await;
    stage
        .gateway
        .put_user(person("alice", "custom").status("OK", "all is well"));
    let _operator = stage.operator().await;
    stage
        .apply("alice", "{role: custom, permissionPreset: billing}")
        .await;
    let object = stage.until_ready("alice").await;
    let (status, remote) = (&object["status"], stage.gateway.user("alice").unwrap());
    assert_eq!(status["role"], "custom");
    assert_eq!(status["permissionPreset"], "billing");
    assert_eq!(status["state"], "READY");
    assert_eq!(
        status["status"],
        json!({"code": "OK", "message": "all is well"})
    );
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(Some(time(&status["createTime"])), remote.create_time);
    assert_eq!(Some(time(&status["updateTime"])), remote.update_time);
    assert_eq!(status["drift"], Value::Null);
    // In sync, nothing but Ready is reported.
    assert_eq!(status["conditions"].as_array().unwrap().len(), 1);
    assert_eq!(
        ready(&object)["observedGeneration"],
        object["metadata"]["generation"]
    );
    // An address of a person is in no object.
    assert!(!object.to_string().contains("@example.com"));
}
