//! Which manifests the API server takes, and its message about those that it refuses: the field, and words
//! that a person can act on. No operator runs here: a bad manifest is refused before a controller sees it.

mod specs;
mod validate;

use futures::StreamExt;

use crate::stage::{Stage, manifest};
use specs::{
    FIXED, PRESET_FORBIDDEN, PRESET_REQUIRED, REFUSED, ROLES, TAKEN, TOO_LONG_NAME, free_texts,
};

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

/// The operator's own check is held to the same table in `src/core/src/user/desired.rs`.
#[tokio::test]
async fn invalid_spec_texts_are_refused_by_the_schema() {
    let stage = Stage::set("freetext").await;
    let cases = free_texts();
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
