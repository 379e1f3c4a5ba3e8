//! `import`: what it writes is proven to change nothing, and there is never half of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fireworks_gateway_simulator::{Settings, Simulator};

use crate::command::{Ended, program};
use crate::nasty;

fn nasty() -> Simulator {
    let gateway = Simulator::start(Settings::default()).unwrap();
    nasty::fill(&gateway);
    gateway
}

fn import(gateway: &Simulator, folder: &Path, args: &[&str]) -> Ended {
    let args = [&["import", "-o", folder.to_str().unwrap()], args].concat();
    let ended = program(args).account(gateway).run();
    assert!(
        !format!("{ended:?}").contains("people.example"),
        "{ended:?}"
    );
    ended
}

/// The files below a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string());
        }
    }
    found
}

#[test]
fn import_of_a_nasty_account_is_valid_and_its_plan_changes_nothing() {
    let gateway = nasty();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("users");
    let ended = import(&gateway, &folder, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let all = gateway.users().len();
    let unmanaged = ended.err.matches("unmanaged: ").count();
    let written = files(&folder).len() - 1;
    assert_eq!(written + unmanaged, all, "{ended:?}");
    assert_eq!(unmanaged, 11, "{ended:?}");
    let text: String = files(&folder)
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    assert!(!text.contains("people.example"));
    let path = folder.to_str().unwrap();
    let valid = program(["validate", "-R", "-f", path]).run();
    assert_eq!(valid.code, 0, "{valid:?}");
    let plan = program(["plan", "-R", "-f", path]).account(&gateway).run();
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(
        plan.out.contains("; 0 requests to change users"),
        "{plan:?}"
    );
    assert!(gateway.journal().iter().all(|entry| entry.method == "GET"));
    let entries: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(
        entries.len(),
        1,
        "nothing is left beside the folder: {entries:?}"
    );
}

#[test]
fn import_is_the_same_each_time_and_overwrites_only_if_forced() {
    let gateway = nasty();
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join("a"), home.path().join("b"));
    assert_eq!(import(&gateway, &first, &[]).code, 0);
    assert_eq!(import(&gateway, &second, &[]).code, 0);
    let texts = |folder: &Path| -> Vec<String> {
        files(folder)
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect()
    };
    assert_eq!(texts(&first), texts(&second));
    let own = first.join("README");
    fs::write(&own, "mine").unwrap();
    let refused = import(&gateway, &first, &["--observe"]);
    assert_eq!((refused.code, &*refused.out), (3, ""), "{refused:?}");
    assert!(refused.err.contains("is not empty"), "{refused:?}");
    let forced = import(&gateway, &first, &["--observe", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert_eq!(fs::read_to_string(own).unwrap(), "mine");
    let ci = fs::read_to_string(first.join("users/ci.yaml")).unwrap();
    assert!(
        ci.ends_with("  serviceAccount: true\n  managementPolicy: Observe\n"),
        "{ci}"
    );
}

#[test]
fn import_that_fails_leaves_no_folder() {
    let gateway = nasty();
    gateway.set_api_keys(["another"]);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("users");
    let args = [
        "import",
        "-o",
        folder.to_str().unwrap(),
        "--base-url",
        &gateway.base_url(),
    ];
    let ended = program(args)
        .env("FIREWORKS_ACCOUNT_ID", gateway.account_id())
        .env("FIREWORKS_API_KEY", "wrong")
        .run();
    assert_eq!((ended.code, ended.err.lines().count()), (3, 1), "{ended:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn import_of_a_selection_leaves_out_the_others() {
    let gateway = nasty();
    let home = tempfile::tempdir().unwrap();
    let ended = import(
        &gateway,
        &home.path().join("x"),
        &["--only", "user-0000?", "--role", "admin"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.starts_with("2 manifests written to "),
        "{ended:?}"
    );
}
