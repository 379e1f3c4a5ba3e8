//! `docs/api/fireworksuser.md` against the program: fields, reasons, guards, annotations, Events and examples.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_core::user::guards::Guard;
use fireworks_crd::FireworksUser;
use fireworks_crd::conditions::{ReadyState, Reason};
use serde_json::Value;

use super::{files, first_words, headings, quoted, root, rows, section, text};

const PAGE: &str = "docs/api/fireworksuser.md";

/// Returns the fields of `spec` or `status`, as the installed schema has them.
fn fields(part: &str) -> BTreeSet<String> {
    let crd: Value = serde_saphyr::from_str(&text("crds/fireworksusers.yaml")).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = schema["properties"][part]["properties"].as_object();
    let names = fields.unwrap().keys();
    names.map(|name| format!("{part}.{name}")).collect()
}

fn owned(names: BTreeSet<&str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Returns the statuses of `Ready` and the conditions beside it that a reason has, by reason.
fn conditions() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut by_reason: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for reason in Reason::ALL {
        let ready_state: ReadyState = reason.ready_state();
        let shown = by_reason.entry(reason.as_str()).or_default();
        shown.insert(format!("Ready={}", ready_state.ready()));
        shown.extend(ready_state.companion().map(|kind| format!("{kind}=True")));
    }
    by_reason
}

#[test]
fn every_spec_field_has_a_section_with_an_example() {
    let page = text(PAGE);
    let spec = section(&page, "## Spec");
    assert_eq!(owned(headings(spec)), fields("spec"));
    for name in headings(spec) {
        let section = section(&page, &format!("### `{name}`"));
        let field = name.trim_start_matches("spec.");
        assert!(section.contains("```yaml\n"), "{name} has no example");
        assert!(section.contains(&format!("\n  {field}: ")), "{name}");
        let requirement = ["**Required", "Optional."];
        assert!(
            requirement.iter().any(|word| section.contains(word)),
            "{name}"
        );
    }
}

#[test]
fn every_status_field_has_a_section() {
    let page = text(PAGE);
    let status = section(&page, "## Status");
    assert_eq!(owned(headings(status)), fields("status"));
}

#[test]
fn every_reason_has_a_section_with_its_conditions() {
    let page = text(PAGE);
    let expected = conditions();
    let reasons = section(&page, "## Reasons of `Ready`");
    let names: BTreeSet<&str> = expected.keys().copied().collect();
    assert_eq!(headings(reasons), names);
    for (reason, conditions) in expected {
        let section = section(&page, &format!("### `{reason}`"));
        let (head, _) = section.split_once("* **Meaning:**").expect(reason);
        let shown: BTreeSet<String> = quoted(head)
            .filter(|word| word.contains('='))
            .map(str::to_owned)
            .collect();
        assert_eq!(shown, conditions, "{reason}");
        for part in ["* **Cause:**", "* **What to do:**"] {
            assert!(section.contains(part), "{reason} lacks {part}");
        }
    }
}

#[test]
fn table_of_reasons_has_their_conditions() {
    let page = text(PAGE);
    let table = rows(section(&page, "## Reasons of `Ready`"));
    let in_table: BTreeMap<&str, BTreeSet<String>> = table
        .iter()
        .filter_map(|row| Some((quoted(row[0]).next()?, row)))
        .map(|(reason, row)| {
            let ready = row[1].split(" or ").map(|word| format!("Ready={word}"));
            let also = row[2].split(" or ").filter(|word| !word.is_empty());
            let also = also.map(|word| format!("{word}=True"));
            (reason, ready.chain(also).collect())
        })
        .collect();
    assert_eq!(in_table, conditions());
}

#[test]
fn every_guard_is_in_its_table_with_its_reason() {
    let page = text(PAGE);
    let table = rows(section(&page, "## Guards"));
    let in_table: BTreeSet<(&str, &str)> = table
        .iter()
        .filter_map(|row| Some((quoted(row[0]).next()?, quoted(row[1]).next()?)))
        .collect();
    let guards = Guard::ALL.into_iter();
    let expected = guards.map(|guard| (guard.as_str(), guard.reason().as_str()));
    assert_eq!(in_table, expected.collect());
}

#[test]
fn every_annotation_has_a_section() {
    let page = text(PAGE);
    let code = text("src/crd/src/lib.rs");
    let texts = code.split('"').skip(1).step_by(2);
    let defined: BTreeSet<&str> = texts
        .filter(|text| text.starts_with("iam.fireworks.ai/"))
        .collect();
    assert!(!defined.is_empty());
    assert_eq!(headings(section(&page, "## Annotations")), defined);
}

#[test]
fn every_event_is_in_its_table_and_no_other() {
    let page = text(PAGE);
    let in_table = first_words(&rows(section(&page, "## Events")));
    let code = text("src/core/src/user/events.rs");
    let texts = code.split('"').skip(1).step_by(2);
    let is_reason = |text: &&str| text.starts_with(char::is_uppercase) && !text.contains(' ');
    let published: BTreeSet<&str> = texts.filter(is_reason).collect();
    assert_eq!(in_table, published);
}

#[test]
fn example_objects_of_all_pages_can_be_decoded() {
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    let mut decoded = 0;
    for page in pages {
        let page_text = std::fs::read_to_string(&page).unwrap();
        for block in page_text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if !block.contains("kind: FireworksUser\n") || !block.contains("spec:\n") {
                continue;
            }
            // A block of a list item is indented.
            let indent = block.len() - block.trim_start_matches(' ').len();
            let lines = block
                .lines()
                .map(|line| line.get(indent..).unwrap_or_default());
            let object = lines.collect::<Vec<_>>().join("\n");
            let object: Result<FireworksUser, _> = serde_saphyr::from_str(&object);
            let object = object.unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(object.metadata.name.is_some());
            decoded += 1;
        }
    }
    assert!(decoded > 8, "only {decoded} examples were found");
}
