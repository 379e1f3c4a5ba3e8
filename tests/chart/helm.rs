//! The two helms as a user runs them, and the documents they print. Knows no test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Both are to do the same.
pub const HELMS: [&str; 2] = ["helm", "helm3"];

pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub fn chart() -> PathBuf {
    repository().join("deploy/chart")
}

/// One of the programs that `tests/controlplane/helm/build.sh` builds, which finds nothing of the user's own helm.
pub fn program(name: &str) -> Command {
    let binary = repository().join("tests/controlplane/bin").join(name);
    assert!(
        binary.is_file(),
        "{} is not there: `make helm` builds it",
        binary.display()
    );
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .current_dir(repository());
    command
}

/// `helm template` as of a release in `fireworks-system`, with these `--set`s.
pub fn template(helm: &str, sets: &[String]) -> Output {
    let mut command = program(helm);
    command
        .args(["template", "fireworks-user-operator"])
        .arg(chart());
    command.args(["--namespace", "fireworks-system"]);
    // The one value without a default; of two `--set`s of one value the last counts.
    command.args(["--set", "image.repository=fireworks-user-operator"]);
    for set in sets {
        command.args(["--set", set]);
    }
    command.output().unwrap()
}

/// [`template`], where it has to work.
#[track_caller]
pub fn rendered(helm: &str, sets: &[String]) -> String {
    let output = template(helm, sets);
    assert!(
        output.status.success(),
        "{helm} template {sets:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A document, and the template it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Document {
    /// The file's name in `templates/`.
    pub template: String,
    /// As rendered.
    pub yaml: String,
}

impl Document {
    pub fn value(&self) -> Value {
        serde_saphyr::from_str(&self.yaml).unwrap()
    }
}

/// What `helm template` printed, a document each.
pub fn documents(rendered: &str) -> Vec<Document> {
    let document = |text: &str| {
        let text = text.trim_start_matches("---").trim();
        let (source, yaml) = text.split_once('\n')?;
        let template = source.rsplit_once('/')?.1.to_owned();
        assert!(source.starts_with("# Source: "), "{text}");
        Some(Document {
            template,
            yaml: yaml.to_owned(),
        })
    };
    rendered.split("\n---\n").filter_map(document).collect()
}

/// The one document of this kind.
#[track_caller]
pub fn the(kind: &str, documents: &[Document]) -> Value {
    let found: Vec<Value> = documents
        .iter()
        .map(Document::value)
        .filter(|value| value["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "documents of kind {kind}");
    found.into_iter().next().unwrap()
}

pub fn sets(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
