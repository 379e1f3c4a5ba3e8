//! What each crate of `src/` may use, as Cargo resolves it: a crate cannot import what it does not depend on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::process::Command;

/// The crates of the program.
const OURS: [&str; 7] = [
    "fireworks-api",
    "fireworks-client",
    "fireworks-core",
    "fireworks-crd",
    "fireworks-user-operator",
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

/// Time moves in tests only: the clock of the shipped program cannot be stopped.
#[test]
fn program_is_built_without_a_clock_that_can_be_stopped() {
    let tree = tree("fireworks-user-operator", "normal,features");
    assert!(tree.contains("tokio feature \"time\""), "{tree}");
    assert!(!tree.contains("tokio feature \"test-util\""), "{tree}");
}
