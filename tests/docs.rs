//! What the documents say is there is there: tests they name, files they point to.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

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
