//! The `CustomResourceDefinition` that the program prints.

/// The CRD in the repository is what the types of `src/crd` describe.
#[test]
fn crd_prints_the_committed_definition() {
    let program = env!("CARGO_BIN_EXE_fireworks-user-operator");
    let printed = std::process::Command::new(program)
        .arg("crd")
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crds/fireworksusers.yaml"
    );
    let committed = std::fs::read_to_string(file).unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        committed == printed,
        "crds/fireworksusers.yaml is not what src/crd/src/lib.rs describes: run `make crds` and commit it"
    );
}
