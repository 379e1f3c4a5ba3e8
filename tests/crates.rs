//! What each crate of `src/` may use, as Cargo resolves it: a crate cannot import what it does not depend on. And which files
//! belong to a crate: one that no module declares is not compiled, and its tests never run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates of the program.
const OURS: [&str; 8] = [
    "fireworks-api",
    "fireworks-client",
    "fireworks-core",
    "fireworks-crd",
    "fireworks-user-operator",
    "kubectl-fireworks",
    "operator-runtime",
    "retry-backoff",
];

/// Returns the crates that `package` is built with, directly or not, without what only tests and build scripts use.
fn dependencies(package: &str) -> BTreeSet<String> {
    let tree = tree(package, "normal,no-proc-macro");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let found: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(found.contains(package), "{tree}");
    found
}

/// Returns the dependencies of `package` by these edges, one a line.
fn tree(package: &str, edges: &str) -> String {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let arguments = [
        "tree",
        "--locked",
        "--offline",
        "--prefix",
        "none",
        "--edges",
        edges,
        "--package",
        package,
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn ours(package: &str) -> Vec<String> {
    let used = dependencies(package).into_iter();
    used.filter(|name| OURS.contains(&name.as_str()) && name != package)
        .collect()
}

fn uses_none_of(package: &str, refused: &[&str]) {
    let used = dependencies(package);
    for name in refused {
        assert!(!used.contains(*name), "{package} must not use {name}");
    }
}

/// What decides has no I/O, no async, no logs and no randomness of its own.
#[test]
fn core_decides_without_io_async_logs_and_randomness() {
    uses_none_of(
        "fireworks-core",
        &[
            "fastrand",
            "futures",
            "hyper",
            "kube-client",
            "kube-runtime",
            "mio",
            "rand",
            "reqwest",
            "rustls",
            "tokio",
            "tracing",
        ],
    );
    assert_eq!(
        ours("fireworks-core"),
        ["fireworks-api", "fireworks-crd", "retry-backoff"]
    );
}

#[test]
fn remote_api_is_data_without_kubernetes() {
    uses_none_of(
        "fireworks-api",
        &[
            "futures",
            "k8s-openapi",
            "kube-core",
            "reqwest",
            "tokio",
            "tracing",
        ],
    );
    assert_eq!(ours("fireworks-api"), [""; 0]);
}

#[test]
fn custom_resource_is_data_without_a_client() {
    uses_none_of(
        "fireworks-crd",
        &["futures", "kube-client", "reqwest", "tokio", "tracing"],
    );
    assert_eq!(ours("fireworks-crd"), [""; 0]);
}

#[test]
fn gateway_client_does_not_know_kubernetes() {
    uses_none_of(
        "fireworks-client",
        &["k8s-openapi", "kube-client", "kube-core"],
    );
    assert_eq!(ours("fireworks-client"), ["fireworks-api"]);
}

#[test]
fn runtime_knows_no_kind_and_no_remote_service() {
    uses_none_of("operator-runtime", &["reqwest"]);
    assert_eq!(ours("operator-runtime"), ["retry-backoff"]);
}

/// The commands for people read manifests, the account, and lists of objects. They neither watch nor are an operator.
#[test]
fn commands_for_people_have_nothing_of_an_operator() {
    uses_none_of(
        "kubectl-fireworks",
        &["axum", "kube-runtime", "native-tls", "openssl-sys"],
    );
    assert_eq!(
        ours("kubectl-fireworks"),
        [
            "fireworks-api",
            "fireworks-client",
            "fireworks-core",
            "fireworks-crd",
            "retry-backoff",
        ]
    );
}

/// The clients of the gateway and of the API server have methods that change something: only the types for reading, which have
/// none, use them.
#[test]
fn commands_for_people_reach_the_clients_only_for_reading() {
    let root = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../src/kubectl/src"
    ));
    let using = |texts: &[&str]| {
        let uses = |file: &PathBuf| {
            let text = fs::read_to_string(file).unwrap();
            texts.iter().any(|one| text.contains(one))
        };
        let mut using: Vec<_> = sources(root).into_iter().filter(uses).collect();
        using.sort();
        using
    };
    let gateway = ["fireworks_client::Client", "fireworks_client::{Client"];
    assert_eq!(using(&gateway), [root.join("reader.rs")]);
    let cluster = ["cluster/access.rs", "cluster/error.rs", "cluster.rs"];
    assert_eq!(using(&["kube::"]), cluster.map(|file| root.join(file)));
    // Of the client of the API server only this is called, with a request for a list.
    let text = fs::read_to_string(root.join("cluster.rs")).unwrap();
    assert_eq!(text.matches("self.client").count(), 1);
    assert!(text.contains("self.client.send(request)"));
    assert!(text.contains("request.list(params)"));
}

/// What the commands for people need does not make the operator larger.
#[test]
fn operator_has_nothing_of_the_commands_for_people() {
    uses_none_of(
        "fireworks-user-operator",
        &["antlr4rust", "cel", "clap_complete", "kubectl-fireworks"],
    );
}

/// Time moves in tests only: the clock of the shipped program cannot be stopped.
#[test]
fn program_is_built_without_a_clock_that_can_be_stopped() {
    let tree = tree("fireworks-user-operator", "normal,features");
    assert!(tree.contains("tokio feature \"time\""), "{tree}");
    assert!(!tree.contains("tokio feature \"test-util\""), "{tree}");
}

/// Returns the Rust and Cargo files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "bin" | "target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|is| is == "rs") || name == "Cargo.toml" {
            found.push(path);
        }
    }
    found
}

/// Returns whether `file` is declared by the module above it, or is where a crate begins.
fn is_compiled(file: &Path, named: &BTreeSet<PathBuf>) -> bool {
    let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap());
    let stem = stem.to_str().unwrap();
    let is_target = (folder.ends_with("tests") || folder.ends_with("examples"))
        && folder.parent().unwrap().join("Cargo.toml").exists();
    if matches!(stem, "lib" | "main" | "build") || is_target || named.contains(file) {
        return true;
    }
    let above = [
        folder.join("lib.rs"),
        folder.join("main.rs"),
        folder.with_extension("rs"),
    ];
    above.iter().any(|parent| {
        let text = fs::read_to_string(parent).unwrap_or_default();
        let name = format!("{stem};");
        text.lines().any(|line| {
            let mut words = line.split(' ').rev();
            words.next() == Some(&name) && words.next() == Some("mod")
        })
    })
}

#[test]
fn every_file_belongs_to_a_crate() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .unwrap();
    let files: Vec<_> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .collect();
    let mut named = BTreeSet::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for path in text
            .split("path = \"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            let path = file.parent().unwrap().join(path);
            named.extend(path.canonicalize());
        }
    }
    let rust = files
        .iter()
        .filter(|file| file.extension().is_some_and(|is| is == "rs"));
    let left_out: Vec<_> = rust.filter(|file| !is_compiled(file, &named)).collect();
    assert!(left_out.is_empty(), "no module declares {left_out:#?}");
}
