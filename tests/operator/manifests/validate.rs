//! `kubectl fireworks validate` reports what the API server does, for each manifest the same fields.

use std::collections::BTreeSet;

use futures::StreamExt;
use kubectl_fireworks::input::Input;
use kubectl_fireworks::schema::Schema;
use kubectl_fireworks::validate;
use serde_json::Value;

use super::specs::{REFUSED, TAKEN, free_texts};
use crate::stage::{Stage, manifest};

/// Specs whose text is not what it looks like.
const SPECS: &[&str] = &[
    "{role: user, displayName: no}",
    "{role: user, displayName: 'no'}",
    "{role: user, displayName: y}",
    "{role: user, displayName: On}",
    "{role: user, displayName: 1e3}",
    "{role: user, displayName: 0x1F}",
    "{role: user, displayName: 1_000}",
    "{role: user, displayName: 0o7}",
    "{role: user, displayName: 08}",
    "{role: user, displayName: .inf}",
    "{role: user, displayName: .nan}",
    "{role: user, displayName: 1.}",
    "{role: user, displayName: 12:30}",
    "{role: user, displayName: 2026-01-01}",
    "{role: user, displayName: ~}",
    "{role: user, displayName: !!str 7}",
    "{role: user, suspend: yes}",
    "{role: user, suspend: OFF}",
    "{role: user, suspend: 1}",
    "{role: user, userId: -1}",
    "{role: user, userId: +a}",
    "{role: user, userId: &id alice, displayName: *id}",
    "{<<: {role: user, suspend: true}, displayName: A}",
    "{<<: [{role: user}, {suspend: true}], displayName: A}",
    "{<<: {role: user}, role: admin}",
    "{role: admin, <<: {role: user}}",
    "{role: admin, <<: {role: user, suspend: true}}",
    "{role: owner, <<: {role: user}}",
    "{<<: {role: user}, role: owner}",
    "{<<: [{role: user}, {role: admin}]}",
    "{<<: [{role: user, suspend: true}, {role: admin}], displayName: A}",
    "{<<: {role: user}, <<: {suspend: true}}",
    "{<<: {role: user}, <<: {role: user}}",
    "{<<: {<<: {role: user}, role: admin}}",
    "{<<: {<<: {role: user}}, suspend: true}",
    "{<<: {rolle: user}, role: admin}",
    "{'<<': {role: user}, role: admin}",
    "{role: user, '<<': {suspend: true}}",
    "{<<: {role: owner}, suspend: true}",
    "{<<: {role: null}, role: user}",
    "{<<: {}, role: user}",
    "{<<: [], role: user}",
    "{role: user, role: user}",
    "{role: user, Role: user}",
    "{role: user, userId: a/b, displayName: ' x', permissionPreset: 'a b'}",
    "{role: custom, userId: '', displayName: ''}",
    "{role: owner, userId: a/b}",
    "{role: user, expectEmail: a b@c.d, permissionPreset: x}",
    "{role: user, true: 1}",
    "{role: user, managementPolicy: [Manage]}",
    "{role: user, serviceAccount: {a: 1}}",
    "7",
    "''",
];

/// Whole objects.
const OBJECTS: &[&str] = &[
    "metadata: {name: Alice}\nspec: {role: user}",
    "metadata: {name: a_b}\nspec: {role: user}",
    "metadata: {name: a..b}\nspec: {role: user}",
    "metadata: {name: -a}\nspec: {role: user}",
    "metadata: {name: 'a.b-c'}\nspec: {role: user}",
    "metadata: {generateName: team-}\nspec: {role: user}",
    "metadata: {generateName: Team-}\nspec: {role: user}",
    "metadata: {}\nspec: {role: user}",
    "metadata: {name: ''}\nspec: {role: user}",
    "metadata: {name: alice, label: {}}\nspec: {role: user}",
    "metadata: {name: alice}",
    "metadata: {name: alice}\nspec: {role: user}\nstatus: {state: READY, conditions: []}",
    "metadata: {name: alice}\nspec: {role: user}\nstatus: {states: READY}",
    "metadata: {name: alice}\nspec: {role: user}\nstatus: {conditions: [{kind: Ready}]}",
    "metadata: {name: alice}\nspec: {role: user}\nspecs: {}",
    "metadata: {name: alice}\nspec: {role: user}\nspec: {role: admin}",
];

fn objects() -> Vec<String> {
    let lengths = [63, 64].into_iter().flat_map(|length| {
        let (name, preset) = ("ä".repeat(length), "a".repeat(length));
        [
            format!("{{role: user, displayName: {name}}}"),
            format!("{{role: custom, permissionPreset: {preset}}}"),
            format!("{{role: user, userId: {}}}", "a".repeat(length + 65)),
            format!(
                "{{role: user, expectEmail: {}@b.c}}",
                "a".repeat(length + 187)
            ),
        ]
    });
    let specs = REFUSED.iter().map(|(spec, ..)| (*spec).to_owned());
    let specs = specs
        .chain(TAKEN.iter().chain(SPECS).map(|spec| (*spec).to_owned()))
        .chain(free_texts().into_iter().map(|(_, spec, _)| spec))
        .chain(lengths);
    let names = [128, 129, 253, 254].map(|length| {
        let spec = if length == 253 {
            "{role: user, userId: al}"
        } else {
            "{role: user}"
        };
        manifest(&"a".repeat(length), spec)
    });
    let header = "apiVersion: iam.fireworks.ai/v1alpha1\nkind: FireworksUser\n";
    let whole = OBJECTS.iter().map(|object| format!("{header}{object}\n"));
    specs
        .map(|spec| manifest("alice", &spec))
        .chain(names)
        .chain(whole)
        .collect()
}

/// The fields that the API server refuses; nothing where it accepts the object. Of unknown fields and of keys that occur twice
/// it reports no others.
fn refused(status: u16, answer: &Value) -> (BTreeSet<String>, bool) {
    let message = answer["message"].as_str().unwrap_or_default();
    match status {
        201 => (BTreeSet::new(), false),
        422 => {
            let causes = answer["details"]["causes"].as_array().unwrap();
            let fields = causes.iter().filter_map(|cause| cause["field"].as_str());
            let fields = fields.filter(|field| *field != "<nil>");
            (fields.map(str::to_owned).collect(), false)
        }
        400 => {
            let quoted = message.split(['"', '\\']).filter(|part| !part.is_empty());
            let after = |part: &str| ["field ", "key "].iter().any(|word| part.ends_with(word));
            let parts: Vec<&str> = quoted.collect();
            let named = parts.windows(2).filter(|pair| after(pair[0]));
            (named.map(|pair| pair[1].to_owned()).collect(), true)
        }
        _ => panic!("{status}: {answer}"),
    }
}

fn found(schema: &Schema, object: &str) -> BTreeSet<String> {
    let input = Input::read(&["-".into()], false, &mut object.as_bytes());
    assert!(input.problems.is_empty(), "{object}: {:?}", input.problems);
    assert_eq!(input.manifests.len(), 1, "{object}");
    let problems = validate::check(&input, schema, "default");
    problems.into_iter().map(|problem| problem.field).collect()
}

/// The API server is asked for a creation in a dry run, with unknown fields refused.
#[tokio::test]
async fn validate_reports_the_fields_that_the_api_server_refuses() {
    let stage = Stage::set("validate").await;
    let rest = stage.plane.rest().unwrap();
    let path = format!("{}?dryRun=All&fieldValidation=Strict", stage.objects_path());
    let objects = objects();
    assert!(objects.len() >= 150, "{}", objects.len());
    let ask = |object: &String| rest.send_text("POST", &path, ("application/yaml", object.clone()));
    let answers = futures::stream::iter(objects.iter().map(ask)).buffered(8);
    let answers: Vec<_> = answers.collect().await;
    let schema = Schema::built_in().unwrap();
    let mut differing = Vec::new();
    for (object, answer) in objects.iter().zip(answers) {
        let (status, answer) = answer.unwrap();
        let (expected, is_first_only) = refused(status, &answer);
        let found = found(&schema, object);
        let is_found = |field: &String| {
            let end = format!(".{field}");
            found.iter().any(|one| one == field || one.ends_with(&end))
        };
        let agrees = if is_first_only {
            // What is no JSON at all is refused as a whole.
            !found.is_empty() && expected.iter().all(is_found)
        } else {
            found == expected
        };
        if !agrees {
            differing.push(format!(
                "{object}{found:?} but {status} {expected:?}: {}",
                answer["message"]
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}
