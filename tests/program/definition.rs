//! The `CustomResourceDefinition` that the program prints.

use fireworks_crd::{DEFINITION, FireworksUser};
use kube::CustomResourceExt;

#[test]
fn crd_prints_the_committed_definition() {
    let program = env!("CARGO_BIN_EXE_fireworks-user-operator");
    let printed = std::process::Command::new(program)
        .arg("crd")
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    assert!(String::from_utf8(printed.stdout).unwrap() == DEFINITION);
}

#[test]
fn committed_definition_is_what_the_types_describe() {
    let described = serde_saphyr::to_string(&FireworksUser::crd()).unwrap();
    assert!(
        described == DEFINITION,
        "crds/fireworksusers.yaml is not what src/crd/src/lib.rs describes: run `make crds` and commit it"
    );
}
