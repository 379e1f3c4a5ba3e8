//! `plan --format github`: annotations at file and line.

use std::fs;

use fireworks_gateway_simulator::{Settings, Simulator, User};

use crate::command::{manifest, program};

/// What a reviewer must see is annotated, and nothing else: bob only changes his name.
#[test]
fn admin_changes_holds_conflicts_and_invalid_manifests_are_annotated_at_their_lines() {
    let gateway = Simulator::start(Settings::default()).unwrap();
    for user in [
        User::new("root", "admin"),
        User::new("alice", "user"),
        User::new("bob", "user").display_name("::error::x%0A"),
        User::new("odd", "owner"),
    ] {
        gateway.put_user(user);
    }
    let folder = tempfile::tempdir().unwrap();
    let text = manifest("alice", "{role: admin}")
        + &manifest("bob", "{role: user, displayName: Bob}")
        + &manifest("odd", "{role: user}")
        + &manifest("carol", "{role: user}")
        + &manifest("other", "{role: user, userId: carol}")
        + &manifest("eve", "{role: emperor}")
        + "a: [";
    fs::write(folder.path().join("a,b.yaml"), text).unwrap();
    let args = ["plan", "-f", "a,b.yaml", "--format", "github"];
    let ended = program(args).within(folder.path()).account(&gateway).run();
    assert_eq!(ended.code, 3, "{ended:?}");
    let heads: Vec<_> = ended
        .out
        .lines()
        .map(|line| line.split("::").nth(1).unwrap())
        .collect();
    assert_eq!(
        &heads[1..],
        [
            "warning file=a%2Cb.yaml,line=1,title=admin changes",
            "warning file=a%2Cb.yaml,line=11,title=held by a guard",
            "error file=a%2Cb.yaml,line=16,title=two manifests manage one user",
            "error file=a%2Cb.yaml,line=21,title=two manifests manage one user",
            "error file=a%2Cb.yaml,line=26,title=invalid manifest",
        ],
        "{ended:?}"
    );
    assert!(
        heads[0].starts_with("error file=a%2Cb.yaml,line=3"),
        "{heads:?}"
    );
    assert!(
        ended.out.contains("default/alice: role: user -> admin\n"),
        "{ended:?}"
    );
}
