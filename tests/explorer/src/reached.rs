//! Which reasons and guards the scenarios report: the explorer's column of the table in `docs/testing.md`.

use std::collections::BTreeSet;

use fireworks_core::rules::Rules;

use crate::scenario::Scenario;
use crate::search::{Settings, search};

/// The scenarios in their order, and reasons and guards that are reported within the first [`STATES`] states of each.
const REACHED: [(&str, &str); 39] = [
    (
        "second thoughts about a refused value",
        "InSync Rejected Throttled",
    ),
    (
        "a user moves after a refusal",
        "NotApplied Throttled Unconfirmed",
    ),
    ("a second manager", "InSync Throttled Unconfirmed"),
    (
        "no read succeeds for long",
        "InSync RemoteUnavailable Throttled Unconfirmed",
    ),
    (
        "a repair that waits",
        "InSync RemoteUnavailable Throttled Unauthenticated",
    ),
    (
        "single reads fail before the first change",
        "InSync RemoteUnavailable Throttled",
    ),
    (
        "the account is suspended for a while",
        "AccountSuspended InSync Throttled Unconfirmed",
    ),
    (
        "a value is refused",
        "InSync Rejected Throttled Unconfirmed",
    ),
    (
        "a value is not stored as asked",
        "InSync NotApplied Throttled Unconfirmed",
    ),
    (
        "a key that may not, and a revoked one",
        "InSync PermissionDenied RemoteUnavailable Throttled Unauthenticated Unconfirmed",
    ),
    ("an object of another account", "Conflict wrong-account"),
    (
        "observed, suspended, and back",
        "Drifted InSync Suspended SuspendedInSync Throttled Unconfirmed",
    ),
    (
        "the user goes and comes back, and is busy",
        "InSync RemoteDeleting RemoteError RemoteUnavailable RemoteUpdating Throttled Unconfirmed UserNotFound",
    ),
    (
        "two admins, both to be demoted",
        "InSync Protected Throttled Unconfirmed last-admin",
    ),
    (
        "the other admin is a service account",
        "InSync Protected ProtectedStalled RemoteError Throttled Unconfirmed last-admin service-account",
    ),
    (
        "a namespace that may not grant",
        "InSync NamespaceNotAllowed Throttled Unconfirmed namespace-not-allowed",
    ),
    (
        "a protected user",
        "InSync ProtectedStalled Throttled Unconfirmed protected-user",
    ),
    (
        "two admins are to be left",
        "InSync Protected Throttled Unconfirmed last-admin",
    ),
    (
        "a user clears its name before the first change",
        "InSync Throttled",
    ),
    (
        "another person takes over the id of an admin",
        "InSync ProtectedStalled Throttled UserNotFound identity-changed",
    ),
    (
        "a user appears after the object that makes it an admin",
        "InSync ProtectedStalled Throttled UserNotFound identity-unknown",
    ),
    (
        "a user with a pin is created again",
        "InSync ProtectedStalled Throttled identity-changed identity-mismatch",
    ),
    (
        "reads of the user are forbidden",
        "InSync ReadRefused RemoteUnavailable Throttled Unconfirmed",
    ),
    (
        "another writer removes the status",
        "InSync Throttled Unconfirmed",
    ),
    ("the API server is away", "InSync Throttled Unconfirmed"),
    // Without objects nothing is reported.
    ("lists fail, or single reads, or both", ""),
    (
        "lists fail, or single reads, or both, of a large account",
        "",
    ),
    ("reads are forced by annotation", "InSync Unconfirmed"),
    (
        "two accounts with a user of the same id",
        "Protected Throttled Unauthenticated last-admin",
    ),
    (
        "two instances, and each demotes an admin",
        "InSync Protected Throttled Unconfirmed last-admin",
    ),
    (
        "two objects claim one user",
        "Conflict InSync TakingOver Throttled Unconfirmed",
    ),
    ("a tenant writes that it holds the user", ""),
    ("objects of two namespaces come, go and change", ""),
    (
        "an object of another namespace waits for the user",
        "Conflict InSync ProtectedStalled TakingOver Throttled inherited-power",
    ),
    (
        "an object of another namespace, and the holder observes",
        "Conflict InSync ProtectedStalled TakingOver Throttled inherited-power",
    ),
    (
        "reads fail for long",
        "InSync RemoteUnavailable Throttled Unconfirmed",
    ),
    (
        "stale reads without updateTime",
        "InSync Throttled Unconfirmed",
    ),
    (
        "another actor changes the user",
        "InSync Throttled Unconfirmed",
    ),
    (
        "changes are lost, late and repeated",
        "InSync Throttled Unconfirmed",
    ),
];

/// The number of states that are searched of each scenario.
const STATES: usize = 20_000;

#[test]
fn scenarios_report_the_reasons_and_guards_listed_and_no_others() {
    let all = Scenario::all();
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
    assert_eq!(REACHED.map(|(name, _)| name)[..], names);
    let listed = REACHED.map(|(_, names)| names).join(" ");
    let listed: BTreeSet<&str> = listed.split_whitespace().collect();
    let (mut missing, mut unlisted) = (Vec::new(), Vec::new());
    for (scenario, (name, names)) in all.iter().zip(REACHED) {
        let settings = Settings {
            faulty: STATES / 10,
            states: STATES,
            threads: 2,
            rules: Rules::default(),
        };
        let reached = search(scenario, settings).reached;
        let expected = names.split_whitespace().map(str::to_owned);
        missing.extend(
            expected
                .filter(|one| !reached.contains(one))
                .map(|one| (name, one)),
        );
        let others = reached
            .into_iter()
            .filter(|one| !listed.contains(one.as_str()));
        unlisted.extend(others.map(|one| (name, one)));
    }
    assert!(missing.is_empty(), "not reported: {missing:?}");
    assert!(unlisted.is_empty(), "reported and not listed: {unlisted:?}");
}
