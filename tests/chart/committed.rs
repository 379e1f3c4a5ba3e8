//! What is committed beside the chart follows from it, the chart is well formed, and its own unit tests pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::helm::{HELMS, chart, documents, program, repository, sets};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => vec![path],
        })
        .collect()
}

#[test]
fn what_is_rendered_from_the_chart_is_what_is_committed() {
    let fresh = tempfile::tempdir().unwrap();
    let deploy = repository().join("deploy");
    let render = Command::new(deploy.join("render.sh"))
        .arg(fresh.path())
        .output()
        .unwrap();
    assert!(render.status.success(), "{render:?}");
    let rendered = files(fresh.path());
    assert_eq!(rendered.len(), 7, "{rendered:?}");
    for file in rendered {
        let name = file.strip_prefix(fresh.path()).unwrap();
        let committed = fs::read_to_string(deploy.join(name)).unwrap_or_default();
        assert!(
            committed == fs::read_to_string(&file).unwrap(),
            "deploy/{} does not follow from deploy/chart: run `make manifests` and commit it",
            name.display()
        );
    }
}

#[test]
fn chart_and_program_are_of_one_version() {
    let chart = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    for field in ["version", "appVersion"] {
        let line = format!("{field}: {}", env!("CARGO_PKG_VERSION"));
        assert!(chart.lines().any(|found| found == line), "no line {line:?}");
    }
}

#[test]
fn the_crd_of_the_chart_is_that_of_the_repository() {
    let parse = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    let crd = fs::read_to_string(repository().join("crds/fireworksusers.yaml")).unwrap();
    let rendered = documents(&crate::helm::rendered("helm", &sets(&[])));
    let rendered = crate::helm::the("CustomResourceDefinition", &rendered);
    assert_eq!(rendered["spec"], parse(&crd)["spec"]);
}

#[test]
fn neither_helm_finds_anything_wrong_with_the_chart() {
    for helm in HELMS {
        let lint = program(helm)
            .args(["lint", "--strict"])
            .arg(chart())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(lint.status.success(), "{helm}: {printed}");
    }
}

#[test]
fn the_unit_tests_of_the_chart_pass() {
    let tests = program("helm-unittest").arg(chart()).output().unwrap();
    let printed = String::from_utf8_lossy(&tests.stdout).into_owned();
    assert!(tests.status.success(), "{printed}");
    assert!(printed.contains("6 passed, 6 total"), "{printed}");
}

#[test]
fn the_values_that_the_pages_name_exist() {
    let values = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&values).unwrap();
    let sections = values.as_object().unwrap();
    let mut named = 0;
    for page in [
        "README.md",
        "docs/adopt.md",
        "docs/install.md",
        "docs/operations.md",
        "docs/quickstart.md",
        "docs/security.md",
        "docs/troubleshooting.md",
        "deploy/chart/README.md",
    ] {
        let text = fs::read_to_string(repository().join(page)).unwrap();
        let words = text.split(|c: char| c.is_whitespace() || "`'=,:|".contains(c));
        for word in words {
            let Some((section, _)) = word.split_once('.') else {
                continue;
            };
            let section = sections.get(section);
            if section.is_some_and(serde_json::Value::is_object) {
                let pointer = format!("/{}", word.trim_end_matches('.').replace('.', "/"));
                assert!(values.pointer(&pointer).is_some(), "{page}: {word}");
                named += 1;
            }
        }
    }
    assert!(named > 50, "only {named} values were found");
}
