//! `validate`: exit codes, streams, and input that means harm.

use std::fs;

use crate::command::{manifest, program};

#[test]
fn valid_manifests_exit_with_0_and_print_nothing() {
    let text = manifest("alice", "{role: user}") + "kind: Secret\n";
    let ended = program(["validate", "-f", "-"]).input(text).run();
    assert_eq!((ended.code, &*ended.out), (0, ""), "{ended:?}");
    assert_eq!(
        ended.err,
        "1 FireworksUsers in 1 files checked, 0 invalid; 1 documents of other kinds skipped\n"
    );
}

#[test]
fn invalid_manifests_exit_with_1_and_are_all_listed() {
    let text = manifest("alice", "{role: owner}") + &manifest("bob", "{role: user}");
    let text = text + &manifest("carol", "{role: custom}") + &manifest("Bob", "{role: user}");
    let ended = program(["validate", "-f", "-"]).input(text.clone()).run();
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(
        lines[0],
        "standard input:4: alice: spec.role: must be one of admin, user, contributor, inference-user, custom"
    );
    assert!(
        lines[1].contains("bob: metadata.name: Bob at standard input:16 manages the same user")
    );
    assert!(lines[2].starts_with("standard input:14 (document 3): carol: spec.permissionPreset: "));
    assert!(
        lines[3].contains("Bob: metadata.name: must have"),
        "{lines:#?}"
    );
    let zero = program(["validate", "-f", "-", "--exit-zero"])
        .input(text)
        .run();
    assert_eq!((zero.code, zero.out), (0, ended.out));
}

#[test]
fn file_that_cannot_be_read_exits_with_3_and_the_others_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.yaml"),
        manifest("alice", "{role: owner}"),
    )
    .unwrap();
    fs::write(folder.path().join("b.yaml"), "spec: [").unwrap();
    let ended = program(["validate", "-f", ".", "-f", "none.yaml"])
        .within(folder.path())
        .run();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.out.starts_with("./a.yaml:4: alice: spec.role: "),
        "{ended:?}"
    );
    let problems: Vec<_> = ended.err.lines().collect();
    assert!(
        problems[0].starts_with("error: ./b.yaml:1: not YAML: "),
        "{problems:?}"
    );
    assert_eq!(
        problems[1],
        "error: none.yaml: cannot be read: no such file or directory"
    );
}

#[test]
fn github_format_is_one_annotation_per_problem() {
    let text = manifest("alice", "{role: owner}") + "spec: [";
    let ended = program(["validate", "-f", "-", "--format", "github"])
        .input(text)
        .run();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended
            .out
            .lines()
            .all(|line| line.starts_with("::error file=standard input,line="))
    );
    assert_eq!(ended.out.lines().count(), 2, "{ended:?}");
}

/// An alias bomb, a key twice, and deep nesting: each is one clear line, and the manifest beside it is checked.
#[test]
fn hostile_documents_are_one_line_each() {
    let level = |level: usize| {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{uses}]\n")
    };
    let bomb: String = (1..12).map(level).collect();
    let bomb = format!("a0: &a0 [x, x, x]\n{bomb}");
    let deep = "- ".repeat(100_000);
    let text = format!(
        "{bomb}---\n{deep}\n---\n{}",
        manifest("alice", "{role: user, role: admin}")
    );
    let ended = program(["validate", "-f", "-"]).input(text).run();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.err.matches("error: ").count(), 2, "{ended:?}");
    assert!(ended.err.contains("aliases copy more than") && ended.err.contains("(document 2)"));
    assert!(
        ended
            .out
            .ends_with("(document 3): alice: spec.role: occurs more than once\n"),
        "{ended:?}"
    );
}

#[test]
fn wrong_command_line_exits_with_2_and_repeats_no_value() {
    for args in [
        &["validate"][..],
        &["validate", "-f", "x", "--format", "secret-value"],
        &["validate", "-f", "x", "--api-key", "secret-value"],
        &["secret-value"],
        &[],
    ] {
        let ended = program(args).run();
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?} {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{args:?} {ended:?}");
        assert!(!ended.err.contains("secret-value"), "{ended:?}");
    }
}
