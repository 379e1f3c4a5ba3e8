#![allow(clippy::unwrap_used, reason = "tests")]

use fireworks_api::wire::decode;
use jiff::Timestamp;

use super::*;
use crate::input::yaml;

fn snapshot(rows: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::new("acme".parse().unwrap(), Timestamp::UNIX_EPOCH);
    for row in rows {
        let mut row = row.clone();
        row["name"] = format!("accounts/acme/users/{}", row["name"].as_str().unwrap()).into();
        let user = decode::user(row.to_string().as_bytes(), &snapshot.account).unwrap();
        snapshot.users.insert(user.id.clone(), user);
    }
    snapshot
}

fn import(rows: &[Value]) -> Manifests {
    manifests(&snapshot(rows), &Selection::default())
}

fn spec(text: &str) -> Value {
    let (trees, broken) = yaml::load(text);
    assert_eq!(broken, None, "{text}");
    trees[0].to_json()["spec"].clone()
}

#[test]
fn manifest_declares_what_the_user_is() {
    let imported = import(&[
        json!({"name": "alice", "role": "custom", "permissionPreset": "agent", "displayName": "Ada \u{1f469}\u{200d}\u{1f4bb}"}),
        json!({"name": "ci", "role": "user", "serviceAccount": true}),
    ]);
    let alice = json!({"role": "custom", "permissionPreset": "agent", "displayName": "Ada \u{1f469}\u{200d}\u{1f4bb}"});
    assert_eq!(spec(&imported.files["alice"]), alice);
    assert_eq!(
        spec(&imported.files["ci"]),
        json!({"role": "user", "serviceAccount": true})
    );
    assert_eq!(imported.unmanaged, []);
}

#[test]
fn texts_that_yaml_takes_for_something_else_stay_texts() {
    let names = [
        "no",
        "1e3",
        "~",
        "2026-01-01",
        "#x",
        "a: b",
        "0x1F",
        "\"",
        "\\",
        "{a}",
        "- a",
        "null",
    ];
    for name in names {
        let imported = import(&[json!({"name": "a", "role": "user", "displayName": name})]);
        assert_eq!(spec(&imported.files["a"])["displayName"], name);
    }
}

#[test]
fn id_that_is_no_name_is_set_and_its_name_is_stable() {
    let imported = import(&[
        json!({"name": "Alice.L", "role": "user"}),
        json!({"name": "~", "role": "user"}),
        json!({"name": "x".repeat(128), "role": "user"}),
    ]);
    assert_eq!(imported.unmanaged.len(), 1, "{imported:?}");
    let (name, text) = imported.files.iter().next().unwrap();
    assert_eq!(name, "alice-l-b7a7afd8");
    assert_eq!(spec(text), json!({"role": "user", "userId": "Alice.L"}));
    assert_eq!(imported.files.len(), 2);
    assert!(imported.files.keys().all(|name| name.len() <= 128));
}

#[test]
fn what_cannot_be_declared_is_unmanaged_with_its_cause() {
    let imported = import(&[
        json!({"name": "a@b.example", "role": "user"}),
        json!({"name": "bob", "role": "owner"}),
        json!({"name": "carol"}),
        json!({"name": "dave", "role": "custom"}),
        json!({"name": "erin", "role": "user", "state": "DELETING"}),
        json!({"name": "Frank", "role": "user"}),
        json!({"name": "frank", "role": "user"}),
    ]);
    let unmanaged: Vec<_> = imported.unmanaged.iter().map(|(user, _)| &**user).collect();
    assert_eq!(
        unmanaged,
        ["<redacted>", "bob", "carol", "dave", "erin", "frank"]
    );
    assert_eq!(imported.files.len(), 1);
}

#[test]
fn display_name_that_cannot_be_declared_is_left_out_with_a_remark() {
    for name in [
        "a@b.example",
        " edge",
        "tab\there",
        &"x".repeat(64),
        "rtl\u{202e}",
    ] {
        let imported = import(&[json!({"name": "alice", "role": "user", "displayName": name})]);
        let text = &imported.files["alice"];
        assert!(text.starts_with("# displayName is not managed: "), "{text}");
        assert_eq!(spec(text), json!({"role": "user"}), "{name}");
        assert!(!text.contains("b.example"));
    }
}

#[test]
fn selection_leaves_out_other_ids_and_roles() {
    let rows = ["alice", "bob", "ci-bot"]
        .map(|id| json!({"name": id, "role": if id == "bob" { "admin" } else { "user" }}));
    let select = |only: &[&str], roles: &[&str]| {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let selection = Selection {
            only: texts(only),
            roles: texts(roles),
            observe: true,
            namespace: Some("team-a".to_owned()),
        };
        manifests(&snapshot(&rows), &selection)
    };
    let bots = select(&["*-bot", "x"], &[]);
    assert_eq!((bots.files.len(), bots.left_out), (1, 2));
    let text = &bots.files["ci-bot"];
    assert!(
        text.contains("  namespace: \"team-a\"\n")
            && text.ends_with("  managementPolicy: Observe\n")
    );
    assert_eq!(
        select(&[], &["admin"]).files.keys().collect::<Vec<_>>(),
        ["bob"]
    );
}
