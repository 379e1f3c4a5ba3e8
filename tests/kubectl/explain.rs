//! `plan --explain`: facts and guards of one user.

use fireworks_core::user::guards::GUARDS;
use fireworks_gateway_simulator::{Settings, Simulator, User};

use crate::command::{Ended, manifest, program};

fn gateway() -> Simulator {
    let gateway = Simulator::start(Settings::default()).unwrap();
    for user in [
        User::new("root", "admin"),
        User::new("alice", "user"),
        User::new("odd", "owner").display_name("\u{1b}[31mOdd\u{202e}"),
    ] {
        gateway.put_user(user.clone().email(format!("{}@people.example", user.id)));
    }
    gateway
}

fn explain(gateway: &Simulator, user: &str, manifests: &str, args: &[&str]) -> Ended {
    let args = [&["plan", "-f", "-", "--explain", user], args].concat();
    let ended = program(args).account(gateway).input(manifests).run();
    let harmful = ["people.example", "\u{1b}", "\u{202e}", &gateway.api_key()];
    let all = format!("{}{}", ended.out, ended.err);
    for part in harmful {
        assert!(!all.contains(part), "{ended:?}");
    }
    ended
}

/// The guards of the explanation, each with what it finds.
fn guards(ended: &Ended) -> Vec<(&str, &str)> {
    let lines = ended.out.lines();
    let lines = lines.skip_while(|line| !line.starts_with("guards in the order"));
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    lines
        .map(|line| (line[2..24].trim(), line[32..].trim()))
        .collect()
}

#[test]
fn explain_shows_every_guard_of_the_table_in_its_order() {
    let gateway = gateway();
    let ended = explain(
        &gateway,
        "ALICE",
        &manifest("alice", "{role: contributor}"),
        &[],
    );
    assert_eq!(ended.code, 1, "{ended:?}");
    let names: Vec<_> = guards(&ended).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, GUARDS.map(|rule| rule.guard.as_str()));
    assert!(
        guards(&ended)
            .iter()
            .all(|(_, found)| *found == "does not hold"),
        "{ended:?}"
    );
    assert!(
        ended
            .out
            .contains("outcome: change\n  role: user -> contributor\n"),
        "{ended:?}"
    );
}

/// The first guard in the order of the plan decides; one after it is not asked, and shown where it would hold too.
#[test]
fn explain_names_the_guard_that_decides_and_others_that_would_hold() {
    let gateway = gateway();
    let ended = explain(
        &gateway,
        "root",
        &manifest("root", "{role: user}"),
        &["--grant-namespace", "platform"],
    );
    assert_eq!(ended.code, 4, "{ended:?}");
    let held: Vec<_> = guards(&ended)
        .into_iter()
        .filter(|(_, found)| found.contains("hold: ") || found.starts_with("HOLDS: "))
        .map(|(name, found)| (name, found.split(':').next().unwrap()))
        .collect();
    assert_eq!(
        held,
        [
            ("namespace-not-allowed", "HOLDS"),
            ("last-admin", "not asked; would hold")
        ],
        "{ended:?}"
    );
    assert!(
        ended
            .out
            .contains("\n  guard             namespace-not-allowed\n"),
        "{ended:?}"
    );
}

/// No guard is asked about a user that matches, is absent or is suspended beyond those of the phases before.
#[test]
fn explain_shows_which_guards_are_not_asked() {
    let gateway = gateway();
    for (spec, expected) in [("{role: user, suspend: true}", 0), ("{role: user}", 4)] {
        let ended = explain(&gateway, "alice", &manifest("alice", spec), &[]);
        let all = guards(&ended);
        let asked = all.iter().filter(|(_, found)| *found == "does not hold");
        assert_eq!(asked.count(), expected, "{ended:?}");
    }
    let absent = explain(
        &gateway,
        "missing",
        &manifest("missing", "{role: user}"),
        &[],
    );
    assert!(absent.out.contains("\n  no such user\n"), "{absent:?}");
    let asked = guards(&absent)
        .iter()
        .filter(|(_, found)| *found == "does not hold")
        .count();
    assert_eq!(asked, 1, "{absent:?}");
    assert!(absent.out.contains("\noutcome: absent\n"), "{absent:?}");
}

#[test]
fn explain_of_unknown_undeclared_and_contested_users_is_one_clear_answer() {
    let gateway = gateway();
    let alice = manifest("alice", "{role: contributor}");
    let unknown = explain(&gateway, "missing", &alice, &[]);
    assert_eq!(unknown.code, 0, "{unknown:?}");
    assert!(
        unknown
            .out
            .ends_with("outcome: neither the account nor a manifest has the user: check the id\n")
    );
    let undeclared = explain(&gateway, "odd", &alice, &[]);
    assert_eq!(undeclared.code, 0, "{undeclared:?}");
    assert!(
        undeclared.out.contains("\n  role              owner\n"),
        "{undeclared:?}"
    );
    assert!(
        undeclared
            .out
            .ends_with("outcome: no manifest declares the user: the operator does not change it\n"),
        "{undeclared:?}"
    );
    let both = alice + &manifest("other", "{role: user, userId: Alice}");
    let contested = explain(&gateway, "alice", &both, &[]);
    assert_eq!(contested.code, 4, "{contested:?}");
    assert_eq!(
        contested.out.matches("\noutcome: conflict\n").count(),
        2,
        "{contested:?}"
    );
    let both = ["plan", "-f", "-", "--explain", "alice", "--format", "json"];
    assert_eq!(program(both).account(&gateway).run().code, 2);
}
