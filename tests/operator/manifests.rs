//! Which manifests the API server takes, and its message about those that it refuses: the field, and words
//! that a person can act on. No operator runs here: a bad manifest is refused before a controller sees it.

use std::fmt::Write;

use futures::StreamExt;

use crate::stage::{Stage, manifest};

const ROLES: &str =
    r#"supported values: "admin", "user", "contributor", "inference-user", "custom""#;
const POLICIES: &str = r#"supported values: "Manage", "Observe""#;
const PRESET_REQUIRED: &str = "Required value: permissionPreset is required when role is custom";
const PRESET_FORBIDDEN: &str = "Forbidden: permissionPreset is only allowed when role is custom: remove it, or set role to custom";
const USER_ID: &str = "userId must start with a letter or digit, hold only letters, digits and . _ ~ + -, and not end with a dot";
const FIXED: &str = "userId cannot be changed, set or removed after creation: delete this object and create another one";
const INVISIBLE: &str = "displayName must not contain control characters, bidirectional controls or invisible separators";
const EDGES: &str = "displayName must not begin or end with a space or a joiner";
const PRESET: &str =
    "permissionPreset must start with a letter or digit and hold only letters, digits and . _ -";
const EMAIL: &str =
    "expectEmail must hold one @ between other characters, and no spaces or control characters";
const TOO_LONG_NAME: &str = "metadata.name is the remote user id unless spec.userId is set, so it may have at most 128 characters";

/// A spec that is refused, the field that the refusal names, and what it contains about it.
type Refused = (&'static str, &'static str, &'static str);

const REFUSED: &[Refused] = &[
    // Role.
    ("{}", "spec.role", "Required value"),
    ("{role: null}", "spec.role", "Required value"),
    ("{role: Admin}", "spec.role", ROLES),
    ("{role: ''}", "spec.role", ROLES),
    ("{role: viewer}", "spec.role", ROLES),
    ("{role: inference_user}", "spec.role", ROLES),
    ("{role: 'user '}", "spec.role", ROLES),
    ("{role: 1}", "spec.role", "must be of type string"),
    ("{role: [user]}", "spec.role", "must be of type string"),
    // E-mail.
    ("{role: user, expectEmail: abc}", "spec.expectEmail", EMAIL),
    ("{role: user, expectEmail: ab@}", "spec.expectEmail", EMAIL),
    (
        "{role: user, expectEmail: '@ab'}",
        "spec.expectEmail",
        EMAIL,
    ),
    (
        "{role: user, expectEmail: a@b@c}",
        "spec.expectEmail",
        EMAIL,
    ),
    (
        "{role: user, expectEmail: a b@c.d}",
        "spec.expectEmail",
        EMAIL,
    ),
    (
        r#"{role: user, expectEmail: "a\u00a0@c.d"}"#,
        "spec.expectEmail",
        EMAIL,
    ),
    (
        r#"{role: user, expectEmail: "a@b.c\u0007"}"#,
        "spec.expectEmail",
        EMAIL,
    ),
    (
        "{role: user, expectEmail: ab}",
        "spec.expectEmail",
        "should be at least 3 chars long",
    ),
    (
        "{role: user, expectEmail: 5}",
        "spec.expectEmail",
        "must be of type string",
    ),
    // Preset: exactly with custom.
    ("{role: custom}", "spec.permissionPreset", PRESET_REQUIRED),
    (
        "{role: custom, permissionPreset: null}",
        "spec.permissionPreset",
        PRESET_REQUIRED,
    ),
    (
        "{role: custom, permissionPreset: ''}",
        "spec.permissionPreset",
        "should be at least 1 chars long",
    ),
    (
        "{role: admin, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: user, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: contributor, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: inference-user, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: custom, permissionPreset: 7}",
        "spec.permissionPreset",
        "must be of type string",
    ),
    // User id.
    (
        "{role: user, userId: ''}",
        "spec.userId",
        "should be at least 1 chars long",
    ),
    ("{role: user, userId: .alice}", "spec.userId", USER_ID),
    ("{role: user, userId: -alice}", "spec.userId", USER_ID),
    ("{role: user, userId: _alice}", "spec.userId", USER_ID),
    ("{role: user, userId: '~alice'}", "spec.userId", USER_ID),
    ("{role: user, userId: alice.}", "spec.userId", USER_ID),
    ("{role: user, userId: ..}", "spec.userId", USER_ID),
    ("{role: user, userId: a..}", "spec.userId", USER_ID),
    ("{role: user, userId: a/b}", "spec.userId", USER_ID),
    ("{role: user, userId: a%2Fb}", "spec.userId", USER_ID),
    ("{role: user, userId: 'a?b'}", "spec.userId", USER_ID),
    ("{role: user, userId: 'a#b'}", "spec.userId", USER_ID),
    ("{role: user, userId: 'a b'}", "spec.userId", USER_ID),
    ("{role: user, userId: ' alice'}", "spec.userId", USER_ID),
    (r#"{role: user, userId: "alice\n"}"#, "spec.userId", USER_ID),
    (
        "{role: user, userId: alice@example.com}",
        "spec.userId",
        USER_ID,
    ),
    ("{role: user, userId: älice}", "spec.userId", USER_ID),
    (
        "{role: user, userId: accounts/acme/users/alice}",
        "spec.userId",
        USER_ID,
    ),
    (
        "{role: user, userId: 7}",
        "spec.userId",
        "must be of type string",
    ),
    // Display name.
    (
        "{role: user, displayName: ''}",
        "spec.displayName",
        "should be at least 1 chars long",
    ),
    // Policy and suspend.
    (
        "{role: user, managementPolicy: observe}",
        "spec.managementPolicy",
        POLICIES,
    ),
    (
        "{role: user, managementPolicy: ''}",
        "spec.managementPolicy",
        POLICIES,
    ),
    (
        "{role: user, managementPolicy: Create}",
        "spec.managementPolicy",
        POLICIES,
    ),
    (
        "{role: user, suspend: 'yes'}",
        "spec.suspend",
        "must be of type boolean",
    ),
    // What is not in the schema: a slip of the pen must not pass for a setting.
    (
        "{role: user, displayname: Al}",
        "spec.displayname",
        "unknown field",
    ),
    (
        "{role: user, email: al@example.com}",
        "spec.email",
        "unknown field",
    ),
    (
        "{role: user, serviceAccount: 'yes'}",
        "spec.serviceAccount",
        "must be of type boolean",
    ),
    (
        "{role: custom, preset: agent}",
        "spec.preset",
        "unknown field",
    ),
    ("null", "spec", "Required value"),
    ("[]", "spec", "must be of type object"),
];

const TAKEN: &[&str] = &[
    "{role: user, serviceAccount: true}",
    "{role: user, serviceAccount: false}",
    "{role: admin}",
    "{role: user}",
    "{role: contributor}",
    "{role: inference-user}",
    "{role: custom, permissionPreset: agent}",
    "{role: user, permissionPreset: null, userId: null, displayName: null, suspend: null, managementPolicy: null}",
    "{role: user, expectEmail: null}",
    "{role: user, expectEmail: a@b}",
    "{role: admin, expectEmail: Alice.L+x@Mail.example.com}",
    "{role: user, expectEmail: 'ä@b.c'}",
    "{role: user, userId: a}",
    "{role: user, userId: '7'}",
    "{role: user, userId: Alice.L_x~y+z-}",
    "{role: user, userId: a..b}",
    "{role: user, managementPolicy: Manage, suspend: false}",
    "{role: user, managementPolicy: Observe, suspend: true}",
];

/// Applies each under a name of its own, a few at a time; what came of each, in order.
async fn apply_each<S: AsRef<str>>(stage: &Stage, specs: &[S]) -> Vec<Result<String, String>> {
    let apply = |(number, spec): (usize, &S)| {
        let (name, spec) = (format!("case-{number}"), spec.as_ref().to_owned());
        async move {
            let result = stage.try_apply(&name, &spec).await;
            result.map_err(|error| error.stderr)
        }
    };
    let cases = specs.iter().enumerate().map(apply);
    futures::stream::iter(cases).buffered(3).collect().await
}

/// The refusal names the field, and contains that about it.
#[track_caller]
fn assert_refusal(refusal: &str, field: &str, wording: &str, of: &str) {
    let text = refusal.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = [format!("{field}: "), format!("\"{field}\"")];
    assert!(
        names.iter().any(|name| text.contains(name.as_str())) && text.contains(wording),
        "{of}: not about {field}, or without {wording:?}: {text}"
    );
}

#[tokio::test]
async fn every_bad_spec_is_refused_with_its_field_and_what_to_do() {
    let stage = Stage::set("refused").await;
    let specs: Vec<_> = REFUSED.iter().map(|(spec, ..)| *spec).collect();
    let results = apply_each(&stage, &specs).await;
    assert_eq!(results.len(), REFUSED.len());
    for ((spec, field, wording), result) in REFUSED.iter().zip(results) {
        match result {
            Ok(_) => panic!("{spec} was accepted"),
            Err(refusal) => assert_refusal(&refusal, field, wording, spec),
        }
    }
    let stored = stage.kubectl(&["get", "fwusers", "-o", "name"]).await;
    assert_eq!(stored.unwrap(), "");
}

#[tokio::test]
async fn every_good_spec_is_taken_and_the_operator_understands_it() {
    let stage = Stage::set("taken").await;
    stage.user("root", "admin");
    let results = apply_each(&stage, TAKEN).await;
    for (spec, result) in TAKEN.iter().zip(results) {
        assert_eq!(result.err(), None, "{spec}");
    }
    let _operator = stage.operator().await;
    for (number, spec) in TAKEN.iter().enumerate() {
        let is_suspended = spec.contains("suspend: true");
        let reason = if is_suspended {
            "Suspended"
        } else {
            "UserNotFound"
        };
        stage.until_reason(&format!("case-{number}"), reason).await;
    }
}

/// Returns the text in quotes, with an escape for each character that is no plain letter.
fn escaped(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            out.push(letter);
        } else {
            write!(out, "\\U{:08x}", u32::from(letter)).unwrap();
        }
    }
    out + "\""
}

/// The operator's own check is held to the same table in `src/core/src/user/desired.rs`.
#[tokio::test]
async fn invalid_spec_texts_are_refused_by_the_schema() {
    let stage = Stage::set("freetext").await;
    let table = include_str!("../free_text.json");
    let table: serde_json::Value = serde_json::from_str(table).unwrap();
    let mut cases = Vec::new();
    for (field, groups) in table.as_object().unwrap() {
        for (group, texts) in groups.as_object().unwrap() {
            let refusal = match (field.as_str(), group.as_str()) {
                (_, "accepted") => None,
                ("displayName", "invisible") => Some(INVISIBLE),
                ("displayName", _) => Some(EDGES),
                _ => Some(PRESET),
            };
            for text in texts.as_array().unwrap() {
                let role = if field == "displayName" {
                    "user"
                } else {
                    "custom"
                };
                // YAML allows no control characters but as escapes, also those that JSON allows.
                let text = escaped(text.as_str().unwrap());
                let spec = format!("{{role: {role}, {field}: {text}}}");
                cases.push((format!("spec.{field}"), spec, refusal));
            }
        }
    }
    let specs: Vec<_> = cases.iter().map(|(_, spec, _)| spec).collect();
    let results = apply_each(&stage, &specs).await;
    for ((field, spec, refusal), result) in cases.iter().zip(results) {
        match (refusal, result) {
            (None, result) => assert_eq!(result.err(), None, "{spec}"),
            (Some(_), Ok(_)) => panic!("{spec} was accepted"),
            (Some(words), Err(refusal)) => assert_refusal(&refusal, field, words, spec),
        }
    }
}

#[tokio::test]
async fn texts_may_be_as_long_as_documented_and_not_longer() {
    let stage = Stage::set("lengths").await;
    // Characters count, not bytes.
    let name = |length| format!("{{role: user, displayName: {}}}", "ä".repeat(length));
    let preset = |length| format!("{{role: custom, permissionPreset: {}}}", "a".repeat(length));
    let id = |length| format!("{{role: user, userId: {}}}", "a".repeat(length));
    let cases = [
        ("spec.displayName", name(63), name(64)),
        ("spec.permissionPreset", preset(63), preset(64)),
        ("spec.userId", id(128), id(129)),
    ];
    for (field, longest, longer) in &cases {
        let results = apply_each(&stage, &[longest, longer]).await;
        assert_eq!(results[0].as_ref().err(), None, "{longest}");
        let refusal = results[1].as_ref().unwrap_err();
        assert_refusal(refusal, field, "Too long: may not be more than", longer);
        stage
            .kubectl(&["delete", "fwusers", "--all"])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_a_user_id_needs_one() {
    let stage = Stage::set("longname").await;
    let (fits, long) = ("a".repeat(128), "a".repeat(129));
    stage.apply(&fits, "{role: user}").await;
    let refusal = stage.try_apply(&long, "{role: user}").await.unwrap_err();
    assert_refusal(
        &refusal.stderr,
        "spec.userId",
        TOO_LONG_NAME,
        "129 characters",
    );
    stage.apply(&long, "{role: user, userId: alice}").await;
}

#[tokio::test]
async fn the_user_of_an_object_never_changes() {
    let stage = Stage::set("fixed").await;
    // As `kubectl` has applied it before, so that it leaves out what a manifest no longer has.
    for (name, spec) in [
        ("given", "{role: user, userId: alice}"),
        ("unset", "{role: user}"),
    ] {
        stage.try_apply(name, spec).await.unwrap();
    }
    let changes = [
        ("given", "{role: user, userId: bob}"),
        ("given", "{role: user, userId: Alice}"),
        ("given", "{role: user}"),
        ("given", "{role: user, userId: null}"),
        ("unset", "{role: user, userId: alice}"),
        // What is in effect already is a change all the same: an object names its user from the start.
        ("unset", "{role: user, userId: unset}"),
    ];
    for (name, spec) in changes {
        let refusal = stage.try_apply(name, spec).await.unwrap_err();
        assert_refusal(&refusal.stderr, "spec.userId", FIXED, spec);
    }
    for (name, spec) in [
        ("given", "{role: admin, userId: alice, displayName: Al}"),
        ("unset", "{role: custom, permissionPreset: agent}"),
        ("unset", "{role: user, suspend: true}"),
    ] {
        stage.try_apply(name, spec).await.unwrap();
    }
}

#[tokio::test]
async fn an_edit_is_held_to_the_same_rules_as_a_new_object() {
    let stage = Stage::set("edited").await;
    let spec = "{role: custom, permissionPreset: agent}";
    stage.try_apply("alice", spec).await.unwrap();
    for (spec, field, wording) in [
        (
            "{role: user, permissionPreset: agent}",
            "spec.permissionPreset",
            PRESET_FORBIDDEN,
        ),
        ("{role: custom}", "spec.permissionPreset", PRESET_REQUIRED),
        ("{role: owner}", "spec.role", ROLES),
    ] {
        let refusal = stage.try_apply("alice", spec).await.unwrap_err();
        assert_refusal(&refusal.stderr, field, wording, spec);
    }
    // A patch that only turns the role forgets the preset, and is refused for it.
    let patch = r#"{"spec":{"role":"user"}}"#;
    let turn = ["patch", "fwuser", "alice", "--type=merge", "-p", patch];
    let refusal = stage.kubectl(&turn).await.unwrap_err();
    assert_refusal(
        &refusal.stderr,
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
        patch,
    );
}

#[tokio::test]
async fn an_object_that_was_not_reconciled_yet_shows_it() {
    let stage = Stage::set("fresh").await;
    stage.apply("alice", "{role: user}").await;
    let alice = stage.object("alice").await;
    assert_eq!(
        alice["status"],
        serde_json::json!({"observedGeneration": -1})
    );
    assert_eq!(alice["metadata"]["generation"], 1);
    assert_eq!(alice["spec"]["managementPolicy"], "Manage");

    // Nor can a manifest bring a status of its own.
    let forged = manifest("bob", "{role: user}")
        + "status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True', reason: InSync, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]}\n";
    stage.apply_all(&forged).await;
    let bob = stage.object("bob").await;
    assert_eq!(bob["status"], serde_json::json!({"observedGeneration": -1}));
    let wait = [
        "wait",
        "--for=condition=Ready",
        "fwuser/bob",
        "--timeout=0s",
    ];
    stage.kubectl(&wait).await.unwrap_err();
}
