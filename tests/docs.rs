//! What the documents say is there is there: tests they name, files they point to.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// What stands between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The files of code, and what is in them.
fn code() -> (Vec<PathBuf>, String) {
    let files: Vec<PathBuf> = ["src", "tests"]
        .into_iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .collect();
    let code = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    (files, code)
}

#[test]
fn every_test_that_the_page_on_performance_names_exists() {
    let page = fs::read_to_string(root().join("docs/performance.md")).unwrap();
    let (_, code) = code();
    let is_sentence = |name: &&str| name.matches('_').count() > 5 && !name.contains([' ', '/']);
    let tests: Vec<&str> = quoted(&page).filter(is_sentence).collect();
    assert!(tests.len() > 5, "only these were understood: {tests:?}");
    for test in tests {
        assert!(code.contains(&format!("fn {test}(")), "{test}");
    }
}

#[test]
fn every_test_and_file_that_the_page_on_reliability_names_exists() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let (files, code) = code();
    let (mut tests, mut missing) = (0, Vec::new());
    for name in quoted(&page) {
        let exists = match name.rsplit_once("::") {
            Some((module, "" | "…")) => files
                .iter()
                .any(|file| file.ends_with(format!("{module}.rs"))),
            Some((_, test)) if !test.contains(':') => {
                tests += 1;
                let module = format!("{test}.rs");
                code.contains(&format!("fn {test}("))
                    || files.iter().any(|file| file.ends_with(&module))
            }
            _ if name.starts_with('…') => {
                tests += 1;
                code.contains(&format!("fn {}(", name.trim_start_matches('…')))
            }
            _ if name.contains('/') => root().join(name).exists(),
            _ => true,
        };
        if !exists {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not there: {missing:#?}");
    assert!(tests > 50, "only {tests} names were understood as tests");
}

/// The words of `text` that begin so, without that beginning.
fn words_after<'a>(text: &'a str, beginning: &'a str) -> BTreeSet<&'a str> {
    let is_end = |letter: char| !(letter.is_ascii_lowercase() || letter == '_');
    let rests = text.split(beginning).skip(1);
    rests.filter_map(|rest| rest.split(is_end).next()).collect()
}

#[test]
fn the_page_on_operation_names_every_metric_and_no_other() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let code = fs::read_to_string(root().join("src/runtime/metrics.rs")).unwrap();
    let registered = code.split("registry.register(").skip(1);
    let registered: BTreeSet<&str> = registered
        .filter_map(|rest| rest.split('"').nth(1))
        .collect();
    let ends = ["_total", "_info"];
    let named = words_after(&page, "fireworks_user_operator_").into_iter();
    let named = named.map(|name| {
        ends.iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name)
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), registered);
    // In the table: an alert alone explains nothing.
    for name in registered {
        let row = format!("| `fireworks_user_operator_{name}");
        assert!(page.contains(&row), "{name}");
    }
}

#[test]
fn the_page_on_operation_names_every_event_and_no_other() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (_, events) = page.split_once("## Events").unwrap();
    let (events, _) = events.split_once("## ").unwrap();
    let rows = events.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<&str> = rows.filter_map(|row| quoted(row).next()).collect();
    let code = fs::read_to_string(root().join("src/reconcile/report/notes.rs")).unwrap();
    let texts = code.split('"').skip(1).step_by(2);
    let is_reason = |text: &&str| text.starts_with(char::is_uppercase) && !text.contains(' ');
    let told: BTreeSet<&str> = texts.filter(is_reason).collect();
    assert_eq!(named, told);
}
