//! Tests and files that the pages name.

use std::path::PathBuf;

use super::{between_marks, files, quoted, root, text};

/// Returns the source files, and what is in them.
fn code() -> (Vec<PathBuf>, String) {
    let sources: Vec<PathBuf> = ["src", "tests"]
        .into_iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .collect();
    let code = sources
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    (sources, code)
}

#[test]
fn tests_named_by_benchmarks_exist() {
    let page = text("docs/benchmarks.md");
    let (_, code) = code();
    let is_test = |name: &&str| name.matches('_').count() > 5 && !name.contains([' ', '/']);
    let tests: Vec<&str> = quoted(&page).filter(is_test).collect();
    assert!(tests.len() > 5, "only these were found: {tests:?}");
    for test in tests {
        assert!(code.contains(&format!("fn {test}(")), "{test}");
    }
}

#[test]
fn tests_and_files_named_by_reliability_exist() {
    let page = text("docs/reliability.md");
    let (sources, code) = code();
    let (mut tests, mut missing) = (0, Vec::new());
    for name in quoted(&page) {
        let exists = match name.rsplit_once("::") {
            Some((module, "" | "…")) => {
                let module = format!("{module}.rs");
                sources.iter().any(|file| file.ends_with(&module))
            }
            Some((_, test)) if !test.contains(':') => {
                tests += 1;
                let module = format!("{test}.rs");
                code.contains(&format!("fn {test}("))
                    || sources.iter().any(|file| file.ends_with(&module))
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

#[test]
fn paths_named_by_pages_for_contributors_exist() {
    let mut named = 0;
    for page in ["docs/testing.md", "CONTRIBUTING.md"] {
        let page_text = text(page);
        let is_path = |name: &&str| {
            let beginnings = ["src/", "tests/", "deploy/", "docs/", "benches/", "crds/"];
            beginnings.iter().any(|start| name.starts_with(start)) && !name.contains(' ')
        };
        for name in quoted(&page_text).filter(is_path) {
            assert!(root().join(name).exists(), "{page}: {name}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} paths were found");
}

#[test]
fn benchmarks_page_has_the_marks_that_make_writes_between() {
    let makefile = text("Makefile");
    let recipe = makefile.split("\nbench-page:").nth(1).unwrap();
    let recipe = recipe.split("\n\n").next().unwrap();
    assert!(
        recipe.trim_end().ends_with("docs/benchmarks.md"),
        "{recipe}"
    );
    let page = text("docs/benchmarks.md");
    for part in ["figures", "micro"] {
        let start = format!("<!-- {part} -->");
        assert!(recipe.contains(&start), "{part}");
        assert!(!between_marks(&page, part).trim().is_empty(), "{part}");
    }
}
