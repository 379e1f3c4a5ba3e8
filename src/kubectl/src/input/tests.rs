#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::empty;
use std::os::unix::fs::symlink;

use super::*;

const ALICE: &str = "apiVersion: iam.fireworks.ai/v1alpha1\nkind: FireworksUser\nmetadata: {name: alice}\nspec: {role: user}\n";

fn read(text: &str) -> Input {
    Input::read(&["-".into()], false, &mut text.as_bytes())
}

fn titles(input: &Input) -> Vec<String> {
    input.manifests.iter().map(Manifest::title).collect()
}

fn problems(input: &Input) -> Vec<String> {
    input.problems.iter().map(ToString::to_string).collect()
}

fn alice(name: &str) -> String {
    ALICE.replace("alice", name)
}

#[test]
fn other_kinds_are_skipped_and_lists_are_opened() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: iam.fireworks.ai/v1alpha1, kind: FireworksUser, metadata: {{name: bob, namespace: a}}}}\n- {{kind: Secret}}\n---\n# nothing\n---\n{ALICE}"
    );
    let input = read(&list);
    assert_eq!(titles(&input), ["a/bob", "alice"]);
    assert_eq!((input.skipped, input.problems.len()), (1, 0));
    assert_eq!(input.manifests[0].place.document, 1);
    assert_eq!(
        (
            input.manifests[1].place.document,
            input.manifests[1].place.line
        ),
        (2, 9)
    );
}

#[test]
fn json_is_read_as_documents_and_as_lists() {
    let one = |name: &str| {
        format!(
            "{{\"apiVersion\":\"iam.fireworks.ai/v1alpha1\",\"kind\":\"FireworksUser\",\"metadata\":{{\"name\":\"{name}\"}}}}"
        )
    };
    let list = format!(
        "{{\"kind\":\"FireworksUserList\",\"items\":[{}]}}",
        one("carol")
    );
    let input = read(&format!("{}\n{}\n{list}", one("alice"), one("bob")));
    assert_eq!(titles(&input), ["alice", "bob", "carol"]);
}

#[test]
fn broken_document_hides_no_other() {
    let input = read(&format!(
        "{ALICE}---\nspec: [1\nrole: x\n---\n{}",
        alice("bob")
    ));
    assert_eq!(titles(&input), ["alice", "bob"]);
    let problems = problems(&input);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("standard input:") && problems[0].contains("(document 2)"),
        "{problems:?}"
    );
}

#[test]
fn input_of_more_than_16_mib_is_refused() {
    let mut large = io::repeat(b'#').take(100 * 1024 * 1024);
    let input = Input::read(&["-".into()], false, &mut large);
    assert_eq!(problems(&input), ["standard input: is larger than 16 MiB"]);
    // The rest of it was not read.
    assert_eq!(large.limit(), 100 * 1024 * 1024 - FILE_MAX - 1);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let input = Input::read(&["-".into()], false, &mut [0xff, 0xfe].as_slice());
    assert_eq!(problems(&input), ["standard input: is not UTF-8"]);
}

#[test]
fn folder_is_read_in_order_and_deeper_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("deep")).unwrap();
    for (file, name) in [
        ("b.yml", "b"),
        ("a.yaml", "a"),
        ("deep/c.json", "c"),
        ("d.txt", "d"),
    ] {
        fs::write(root.join(file), alice(name)).unwrap();
    }
    let flat = Input::read(&[root.into()], false, &mut empty());
    assert_eq!(titles(&flat), ["a", "b"]);
    let deep = Input::read(&[root.into()], true, &mut empty());
    assert_eq!(titles(&deep), ["a", "b", "c"]);
    assert_eq!((deep.files, deep.problems.len()), (3, 0));
}

#[test]
fn link_that_leaves_its_folder_is_refused() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = folder.path();
    fs::write(outside.path().join("x.yaml"), ALICE).unwrap();
    fs::write(root.join("real.yaml"), ALICE).unwrap();
    symlink(root.join("real.yaml"), root.join("inside.yaml")).unwrap();
    symlink(outside.path().join("x.yaml"), root.join("out.yaml")).unwrap();
    symlink(outside.path(), root.join("folder")).unwrap();
    let input = Input::read(&[root.into()], true, &mut empty());
    assert_eq!(titles(&input), ["alice", "alice"]);
    let problems = problems(&input);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].ends_with("out.yaml: a link that leaves the folder"));
    // A link that was named itself is followed.
    let named = Input::read(&[root.join("out.yaml")], false, &mut empty());
    assert_eq!(titles(&named), ["alice"]);
}

#[test]
fn file_that_is_not_there_is_one_problem() {
    let input = Input::read(&["/nowhere/x.yaml".into()], false, &mut empty());
    assert_eq!(
        problems(&input),
        ["/nowhere/x.yaml: cannot be read: no such file or directory"]
    );
}
