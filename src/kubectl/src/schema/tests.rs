#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn check(text: &str) -> Vec<(String, String)> {
    let (trees, broken) = yaml::load(text);
    assert_eq!(broken, None, "{text}");
    let flaws = Schema::built_in().unwrap().check(&trees[0]);
    flaws
        .into_iter()
        .map(|flaw| (flaw.field, flaw.message))
        .collect()
}

fn fields(spec: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: alice}}\nspec: {spec}\n"
    );
    let fields = check(&text).into_iter().map(|(field, _)| field);
    fields.collect()
}

#[test]
fn object_that_follows_the_schema_has_no_flaw() {
    for spec in [
        "{role: user}",
        "{role: custom, permissionPreset: agent, displayName: \"Ada\u{200d}L\"}",
        "{role: user, permissionPreset: null, managementPolicy: null}",
    ] {
        assert_eq!(fields(spec), [""; 0], "{spec}");
    }
}

#[test]
fn each_kind_of_flaw_names_its_field() {
    for (spec, expected) in [
        ("{}", "spec.role"),
        ("{role: owner}", "spec.role"),
        ("{role: 1}", "spec.role"),
        ("{role: user, userId: a/b}", "spec.userId"),
        ("{role: user, displayName: ''}", "spec.displayName"),
        (
            "{role: user, displayName: \"a\\u200b\"}",
            "spec.displayName",
        ),
        ("{role: custom}", "spec.permissionPreset"),
        (
            "{role: user, permissionPreset: agent}",
            "spec.permissionPreset",
        ),
        ("{role: user, email: x}", "spec.email"),
        ("{role: user, role: user}", "spec.role"),
        ("[]", "spec"),
        ("null", "spec"),
    ] {
        assert_eq!(fields(spec), [expected], "{spec}");
    }
}

#[test]
fn slip_in_version_kind_or_name_is_a_flaw() {
    let flaws = check(
        "apiVersion: iam.fireworks.ai/v1\nkind: User\nmetadata: {name: Al_ice, label: x}\nspec: {role: user}",
    );
    let fields: Vec<_> = flaws.iter().map(|(field, _)| &**field).collect();
    assert_eq!(
        fields,
        ["apiVersion", "kind", "metadata.label", "metadata.name"]
    );
    let unnamed = check(&format!(
        "apiVersion: {API_VERSION}\nkind: {KIND}\nspec: {{role: user}}"
    ));
    assert_eq!(
        unnamed,
        [("metadata.name".to_owned(), "required".to_owned())]
    );
}

#[test]
fn no_message_repeats_a_value() {
    let text = format!(
        "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: a@b.example}}\n\
         spec: {{role: a@b.example, userId: a@b.example, expectEmail: 'a b@b.example', a@b.example: 1}}\n"
    );
    let flaws = check(&text);
    assert!(flaws.len() >= 3, "{flaws:?}");
    assert!(!format!("{flaws:?}").contains("b.example"), "{flaws:?}");
}

#[test]
fn position_of_a_field_is_its_own_or_that_of_what_holds_it() {
    let (trees, _) = yaml::load("spec:\n  role: user\nlist:\n- a: 1\n- b: 2\n");
    for (path, line) in [
        ("spec.role", Some(2)),
        ("spec.permissionPreset", Some(1)),
        ("list[1].b", Some(5)),
        ("metadata.name", None),
    ] {
        assert_eq!(position_of(&trees[0], path), line, "{path}");
    }
}
