//! What a change of identity leads to: the exact outcome for each combination, also after a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use fireworks_crd::FireworksUserStatus;

use super::*;
use crate::account::{Freshness, Sighting};
use crate::builders;
use crate::time::Moment;
use crate::user::events::identity_accepted;
use crate::user::facts::Observed;
use crate::user::plan::{Finding, Plan, ReadReason, plan};
use crate::user::status::{Facts, Seen};

const ALICE: &str = "alice@example.com";

fn at(second: u32) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + i64::from(second)).unwrap()
}

fn named(time: Option<Timestamp>) -> &'static str {
    match time {
        None => "-",
        Some(time) if time == at(1) => "t1",
        Some(time) if time == at(2) => "t2",
        Some(other) => panic!("unexpected time {other}"),
    }
}

fn user(role: Role, created: Option<Timestamp>, email: Option<&str>) -> User {
    User {
        create_time: created,
        email: email.map(EmailHash::of),
        permission_preset: (role == Role::Custom).then(|| "agent".into()),
        ..builders::user("alice", role)
    }
}

fn desired(role: Role, pin: Option<&str>) -> Desired {
    Desired {
        permission_preset: (role == Role::Custom).then(|| "agent".into()),
        expected_email: pin.map(EmailHash::of),
        ..builders::desired("alice", role)
    }
}

/// The status that a finding without a user leaves.
fn unseen(
    previous: &FireworksUserStatus,
    finding: &Finding,
    seen: Seen<'_>,
) -> FireworksUserStatus {
    let (account, desired) = (builders::account_id(), desired(Role::Admin, None));
    let facts = builders::facts(&account, Some(&desired), seen, finding);
    builders::reported(previous, &facts)
}

fn not_found() -> FireworksUserStatus {
    let (status, finding) = (FireworksUserStatus::default(), Finding::UserNotFound);
    unseen(&status, &finding, Seen::Nobody)
}

fn accepted(created: Timestamp) -> FireworksUserStatus {
    FireworksUserStatus {
        create_time: Some(created),
        ..FireworksUserStatus::default()
    }
}

/// What a pass makes of that user, after that status; and the status that follows.
fn pass(
    status: &FireworksUserStatus,
    desired: &Desired,
    user: &User,
    lacks_email: bool,
) -> (String, FireworksUserStatus) {
    let (account, user) = (builders::account_id(), Arc::new(user.clone()));
    let identity = identity(desired, status, Some(&user), lacks_email, Rules::default());
    let observed = Observed {
        identity,
        ..builders::observed(Sighting::Seen {
            user: user.clone(),
            freshness: Freshness::Fresh,
            sent_at: Moment::default(),
        })
    };
    let (outcome, finding) = match plan(desired, &observed, Rules::default()) {
        Plan::InSync => ("in sync", Finding::InSync),
        Plan::Update(_) => ("update", Finding::InSync),
        Plan::Hold(finding) => (finding.guard().expect("a guard").as_str(), finding),
        Plan::Read(read) if read.reason == ReadReason::Email => ("read", Finding::Throttled),
        other => panic!("unexpected plan {other:?}"),
    };
    let facts = Facts {
        identity,
        ..builders::facts(&account, Some(desired), Seen::User(&user), &finding)
    };
    let next = builders::reported(status, &facts);
    let event = identity_accepted(identity, &next).map_or("", |_| " event");
    let guard = match (finding.guard(), &next.guard) {
        (None, Some(guard)) => format!(" ({guard})"),
        (_, _) => String::new(),
    };
    let created = named(next.create_time);
    (format!("{outcome} {created}{event}{guard}"), next)
}

/// The status as another process reads it.
fn restarted(status: &FireworksUserStatus) -> FireworksUserStatus {
    serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap()
}

/// The outcomes with a matching pin, with a pin that does not match, without a pin, and with a pin where two reads show no
/// e-mail.
type Outcomes = [&'static str; 4];

/// Passes over a user with that role at Fireworks, and the spec's; then after a restart.
fn check(
    what: &str,
    roles: [Role; 2],
    history: (&FireworksUserStatus, Option<Timestamp>),
    expected: Outcomes,
) {
    let [remote, wanted] = roles;
    let (status, created) = history;
    let cases = [
        (Some(ALICE), Some("Alice@Example.com")),
        (Some("bob@example.com"), Some(ALICE)),
        (Some(ALICE), None),
        (None, Some(ALICE)),
    ];
    for ((email, pin), expected) in cases.into_iter().zip(expected) {
        let what = format!("{what}, {remote:?} to {wanted:?}, e-mail {email:?}, pin {pin:?}");
        let (desired, user) = (
            desired(wanted.clone(), pin),
            user(remote.clone(), created, email),
        );
        let mut status = status.clone();
        if email.is_none() {
            let (outcome, next) = pass(&status, &desired, &user, false);
            assert!(outcome.starts_with("read "), "{what}: {outcome}");
            status = next;
        }
        let (outcome, next) = pass(&status, &desired, &user, email.is_none());
        assert_eq!(outcome, expected, "{what}");
        // What status records is what the next process decides by, in which no read was made yet.
        let again = expected.replace(" event", "");
        let mut status = restarted(&next);
        if email.is_none() {
            let (outcome, next) = pass(&status, &desired, &user, false);
            assert!(outcome.starts_with("read "), "{what}, restarted: {outcome}");
            status = next;
        }
        let (outcome, _) = pass(&status, &desired, &user, email.is_none());
        assert_eq!(outcome, again, "{what}, restarted");
    }
}

#[test]
fn identity_without_power_has_these_outcomes() {
    let (roles, none) = (|| [Role::User, Role::User], FireworksUserStatus::default());
    let held = [
        "in sync t1",
        "identity-mismatch t1",
        "in sync t1",
        "identity-mismatch t1",
    ];
    check("same", roles(), (&accepted(at(1)), Some(at(1))), held);
    check(
        "absent in the answer",
        roles(),
        (&accepted(at(1)), None),
        held,
    );
    let changed = [
        "in sync t2 event",
        "identity-mismatch t1",
        "in sync t2 event",
        "identity-mismatch t1",
    ];
    check("changed", roles(), (&accepted(at(1)), Some(at(2))), changed);
    let first = [
        "in sync t2",
        "identity-mismatch -",
        "in sync t2",
        "identity-mismatch -",
    ];
    check("unknown before", roles(), (&none, Some(at(2))), first);
    check(
        "not found before",
        roles(),
        (&not_found(), Some(at(2))),
        first,
    );
    let (wanted, status) = ([Role::Contributor, Role::InferenceUser], accepted(at(1)));
    let changed = [
        "update t2 event",
        "identity-mismatch t1",
        "update t2 event",
        "identity-mismatch t1",
    ];
    check("changed", wanted, (&status, Some(at(2))), changed);
}

#[test]
fn identity_that_gains_power_has_these_outcomes() {
    let none = FireworksUserStatus::default();
    for wanted in [Role::Admin, Role::Custom] {
        let roles = || [Role::User, wanted.clone()];
        let same = [
            "update t1",
            "identity-mismatch t1",
            "update t1",
            "identity-mismatch t1",
        ];
        check("same", roles(), (&accepted(at(1)), Some(at(1))), same);
        check(
            "absent in the answer",
            roles(),
            (&accepted(at(1)), None),
            same,
        );
        let changed = [
            "update t2 event",
            "identity-mismatch t1",
            "identity-changed t1",
            "identity-mismatch t1",
        ];
        check("changed", roles(), (&accepted(at(1)), Some(at(2))), changed);
        let first = [
            "update t2",
            "identity-mismatch -",
            "update t2",
            "identity-mismatch -",
        ];
        check("unknown before", roles(), (&none, Some(at(2))), first);
    }
    let absent = [
        "update t2",
        "identity-mismatch -",
        "identity-unknown -",
        "identity-mismatch -",
    ];
    check(
        "not found before",
        [Role::User, Role::Admin],
        (&not_found(), Some(at(2))),
        absent,
    );
    // Without a creation time nothing can be named: only the pin lifts the hold.
    let unnamed = user(Role::User, None, Some(ALICE));
    for (pin, expected) in [
        (Some(ALICE), "update -"),
        (Some("bob@example.com"), "identity-mismatch -"),
        (None, "identity-unknown -"),
    ] {
        let (outcome, _) = pass(&not_found(), &desired(Role::Admin, pin), &unnamed, false);
        assert_eq!(outcome, expected);
    }
    let custom = [
        "update t2",
        "identity-mismatch -",
        "update t2",
        "identity-mismatch -",
    ];
    check(
        "not found before",
        [Role::User, Role::Custom],
        (&not_found(), Some(at(2))),
        custom,
    );
}

#[test]
fn identity_that_keeps_or_loses_power_has_these_outcomes() {
    let none = FireworksUserStatus::default();
    for role in [Role::Admin, Role::Custom] {
        let roles = || [role.clone(), role.clone()];
        let same = [
            "in sync t1",
            "identity-mismatch t1",
            "in sync t1",
            "identity-mismatch t1",
        ];
        check("same", roles(), (&accepted(at(1)), Some(at(1))), same);
        check(
            "absent in the answer",
            roles(),
            (&accepted(at(1)), None),
            same,
        );
        // Ready is False although the fields match.
        let changed = [
            "in sync t2 event",
            "identity-mismatch t1",
            "identity-changed t1",
            "identity-mismatch t1",
        ];
        check("changed", roles(), (&accepted(at(1)), Some(at(2))), changed);
        let first = [
            "in sync t2",
            "identity-mismatch -",
            "in sync t2",
            "identity-mismatch -",
        ];
        check("unknown before", roles(), (&none, Some(at(2))), first);
        let changed = [
            "update t2 event",
            "identity-mismatch t1",
            "identity-changed t1",
            "identity-mismatch t1",
        ];
        check(
            "changed",
            [role, Role::User],
            (&accepted(at(1)), Some(at(2))),
            changed,
        );
    }
    // Another actor made the user an admin: nothing is granted, and nothing is accepted.
    let absent = [
        "in sync t2",
        "identity-mismatch -",
        "in sync - (identity-unknown)",
        "identity-mismatch -",
    ];
    check(
        "not found before",
        [Role::Admin, Role::Admin],
        (&not_found(), Some(at(2))),
        absent,
    );
}

#[test]
fn identity_changed_is_lifted_by_the_annotation_that_names_its_second() {
    let user = user(Role::User, Some(at(2)), None);
    let annotated = |time: Option<Timestamp>| Desired {
        accepts_identity: time,
        ..desired(Role::Admin, None)
    };
    for (wrong, time) in [
        ("none", None),
        ("the former user", Some(at(1))),
        ("a later one", Some(at(3))),
    ] {
        let (outcome, _) = pass(&accepted(at(1)), &annotated(time), &user, false);
        assert_eq!(outcome, "identity-changed t1", "{wrong}");
        let (outcome, _) = pass(&not_found(), &annotated(time), &user, false);
        assert_eq!(outcome, "identity-unknown -", "{wrong}");
    }
    let within = at(2)
        .checked_add(jiff::SignedDuration::from_millis(999))
        .unwrap();
    for time in [at(2), within] {
        let (outcome, next) = pass(&accepted(at(1)), &annotated(Some(time)), &user, false);
        assert_eq!(outcome, "update t2 event");
        // Once it is recorded the annotation may go.
        assert_eq!(pass(&next, &annotated(None), &user, false).0, "update t2");
        assert_eq!(
            pass(&not_found(), &annotated(Some(time)), &user, false).0,
            "update t2"
        );
    }
    // A pin that does not match is not lifted by it.
    let pinned = Desired {
        expected_email: Some(EmailHash::of(ALICE)),
        ..annotated(Some(at(2)))
    };
    let (outcome, _) = pass(&accepted(at(1)), &pinned, &user, true);
    assert_eq!(outcome, "identity-mismatch t1");
}

#[test]
fn identity_is_compared_in_whole_seconds() {
    let within = at(1)
        .checked_add(jiff::SignedDuration::from_millis(999))
        .unwrap();
    let (desired, user) = (
        desired(Role::Admin, None),
        user(Role::User, Some(within), None),
    );
    // What was recorded stays as it is: no status is written.
    assert_eq!(
        pass(&accepted(at(1)), &desired, &user, false).0,
        "update t1"
    );
}

#[test]
fn identity_mismatch_follows_an_edit_of_the_pin_between_sweeps() {
    let changed = user(Role::User, Some(at(2)), Some(ALICE));
    let (outcome, status) = pass(
        &accepted(at(1)),
        &desired(Role::Custom, None),
        &changed,
        false,
    );
    assert_eq!(outcome, "identity-changed t1");
    let wrong = desired(Role::Custom, Some("bob@example.com"));
    let (outcome, status) = pass(&status, &wrong, &changed, false);
    assert_eq!(outcome, "identity-mismatch t1");
    let (outcome, status) = pass(&status, &desired(Role::Custom, None), &changed, false);
    assert_eq!(
        outcome, "identity-changed t1",
        "that the pin goes approves nothing"
    );
    let (outcome, status) = pass(
        &status,
        &desired(Role::Custom, Some(ALICE)),
        &changed,
        false,
    );
    assert_eq!(outcome, "update t2 event");
    let (outcome, _) = pass(&status, &desired(Role::Custom, None), &changed, false);
    assert_eq!(outcome, "update t2", "it was accepted with the pin");

    let (outcome, status) = pass(
        &not_found(),
        &desired(Role::Admin, Some("bob@example.com")),
        &changed,
        false,
    );
    assert_eq!(outcome, "identity-mismatch -");
    let (outcome, _) = pass(&status, &desired(Role::Admin, None), &changed, false);
    assert_eq!(
        outcome, "identity-unknown -",
        "the account did not have the user"
    );
}

#[test]
fn identity_is_kept_across_absence_and_reads_without_a_creation_time() {
    let gone = unseen(&accepted(at(1)), &Finding::UserNotFound, Seen::Nobody);
    assert_eq!(gone.create_time, Some(at(1)));
    let (desired, unnamed) = (desired(Role::Admin, None), user(Role::User, None, None));
    let (outcome, status) = pass(&gone, &desired, &unnamed, false);
    assert_eq!(outcome, "update t1");
    let back = user(Role::User, Some(at(2)), None);
    assert_eq!(
        pass(&status, &desired, &back, false).0,
        "identity-changed t1"
    );
    let same = user(Role::User, Some(at(1)), None);
    assert_eq!(pass(&gone, &desired, &same, false).0, "update t1");
}

/// Whatever is reported between the absence and the user, the hold outlasts it.
#[test]
fn identity_unknown_is_remembered_by_status_whatever_is_reported_meanwhile() {
    let wanted = desired(Role::Admin, None);
    let there = Arc::new(user(Role::User, Some(at(2)), Some(ALICE)));
    for finding in [
        Finding::Suspended { matches: false },
        Finding::Throttled,
        Finding::Stale,
        Finding::Internal("x"),
        Finding::InvalidSpec("x".into()),
        Finding::IdentityMismatch { is_shown: true },
    ] {
        let status = restarted(&unseen(&not_found(), &finding, Seen::Unknown));
        assert!(status.guard.is_some(), "{finding:?}");
        assert_eq!(
            pass(&status, &wanted, &there, false).0,
            "identity-unknown -",
            "{finding:?}"
        );
    }
    // Guards that apply before.
    let account = builders::account_id();
    for finding in [
        Finding::ServiceAccount { declared: false },
        Finding::UnknownRole(Role::Other("owner".into())),
        Finding::RemoteUpdating(fireworks_api::wire::State::Creating),
    ] {
        let facts = Facts {
            identity: Identity::Unknown,
            ..builders::facts(&account, Some(&wanted), Seen::User(&there), &finding)
        };
        let status = restarted(&builders::reported(&not_found(), &facts));
        assert_eq!(
            pass(&status, &wanted, &there, false).0,
            "identity-unknown -",
            "{finding:?}"
        );
    }
    // The absence of a user that is not to be an admin leaves no trace once the user is there.
    let plain = desired(Role::User, None);
    let (outcome, status) = pass(&not_found(), &plain, &there, false);
    assert_eq!(
        (outcome.as_str(), status.guard.as_deref()),
        ("in sync t2", None)
    );
    assert_eq!(pass(&status, &wanted, &there, false).0, "update t2");
}
