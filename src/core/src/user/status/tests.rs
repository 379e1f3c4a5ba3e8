//! What status says, and what a write of it holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use fireworks_api::email::EmailHash;
use fireworks_api::error::Kind;
use fireworks_api::wire::{AccountId, Role, Status, User};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Reason};
use serde_json::json;

use super::*;
use crate::account::Failure;
use crate::builders;
use crate::time::Moment;
use crate::user::desired::{Desired, Diff};
use crate::user::plan::Finding;
use crate::user::state::RepairHold;
use crate::user::status_patch::difference;

mod events;

fn desired() -> Desired {
    Desired {
        display_name: Some("Alice".into()),
        ..builders::desired("alice", Role::User)
    }
}

fn remote() -> User {
    User {
        display_name: Some("Alice".into()),
        email: Some(EmailHash::of("alice@example.com")),
        status: Some(Status {
            code: "OK".into(),
            message: "".into(),
        }),
        create_time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        update_time: Some("2026-01-02T00:00:00.123456789Z".parse().unwrap()),
        ..builders::user("alice", Role::User)
    }
}

fn status(
    previous: &FireworksUserStatus,
    finding: &Finding,
    user: Option<User>,
) -> FireworksUserStatus {
    let (account, desired) = (builders::account_id(), desired());
    let user = user.map(Arc::new);
    let seen = user.as_ref().map_or(Seen::Unknown, Seen::User);
    let facts = Facts {
        generation: 3,
        spec_manager: Some("argocd"),
        ..builders::facts(&account, Some(&desired), seen, finding)
    };
    builders::reported(previous, &facts)
}

#[test]
fn state_status_and_times_are_shown_as_returned() {
    let status = status(
        &FireworksUserStatus::default(),
        &Finding::InSync,
        Some(remote()),
    );
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["state"], "READY");
    assert_eq!(json["status"], json!({"code": "OK"}));
    assert_eq!(json["name"], "accounts/acme/users/alice");
    assert_eq!(json["role"], "user");
    assert_eq!(json["createTime"], "2026-01-01T00:00:00Z");
    assert_eq!(json["updateTime"], "2026-01-02T00:00:00.123456789Z");
    assert_eq!(json["observedGeneration"], 3);
    assert_eq!(json.get("drift"), None);
}

#[test]
fn last_admin_and_canary_hold_as_progress_and_name_the_guard() {
    for (finding, guard) in [
        (Finding::LastAdmin(1), "last-admin"),
        (Finding::DemotionsStopped(None), "last-admin"),
        (
            Finding::FieldCleared(Moment::from_micros(1 << 40)),
            "canary",
        ),
        (
            Finding::ChangesStopped(Moment::from_micros(1 << 40)),
            "canary",
        ),
    ] {
        let counts = status(&FireworksUserStatus::default(), &finding, Some(remote()));
        assert_eq!(counts.guard.as_deref(), Some(guard));
        let shown = counts.conditions.iter();
        let shown: Vec<_> = shown
            .map(|one| (&*one.type_, &*one.status, &*one.reason))
            .collect();
        assert_eq!(
            shown,
            [
                ("Ready", "Unknown", "Protected"),
                ("Reconciling", "True", "Protected")
            ]
        );
        let lifted = status(&counts, &Finding::InSync, Some(remote()));
        assert_eq!(lifted.guard, None);
        let unseen = status(&counts, &Finding::Throttled, None);
        assert_eq!(unseen.guard, None, "what is not seen now holds nothing");
    }
}

#[test]
fn the_same_facts_give_the_same_status() {
    for finding in [Finding::InSync, Finding::Unconfirmed, Finding::LastAdmin(1)] {
        let first = status(&FireworksUserStatus::default(), &finding, Some(remote()));
        assert_eq!(
            status(&first, &finding, Some(remote())),
            first,
            "{finding:?}"
        );
    }
}

#[test]
fn other_words_of_the_remote_are_no_change() {
    let failed = |id: u32| {
        let message = format!("get user alice: 503 UNAVAILABLE: request {id}");
        Finding::Failed(Arc::new(Failure {
            kind: Kind::Transient,
            message,
        }))
    };
    let first = status(&FireworksUserStatus::default(), &failed(1), None);
    assert_eq!(status(&first, &failed(2), None), first);
    let says = |message: &str| User {
        status: Some(Status {
            code: "INTERNAL".into(),
            message: message.into(),
        }),
        ..remote()
    };
    let error = |user: &User| Finding::RemoteError(Arc::new(user.clone()));
    let (one, two) = (says("trace 1"), says("trace 2"));
    let first = status(
        &FireworksUserStatus::default(),
        &error(&one),
        Some(one.clone()),
    );
    assert_eq!(status(&first, &error(&two), Some(two.clone())), first);
    let message = &conditions::find(&first.conditions, "Ready")
        .unwrap()
        .message;
    assert!(
        message.contains("INTERNAL") && message.contains("trace 1"),
        "{message}"
    );
}

#[test]
fn e_mail_addresses_and_control_characters_are_never_shown() {
    let hostile = User {
        display_name: Some("Al\u{7}ice <alice@example.com>".into()),
        role: Role::Other("x\ny".into()),
        ..remote()
    };
    let drifted = Diff {
        role: true,
        display_name: true,
        ..Diff::default()
    };
    let status = status(
        &FireworksUserStatus::default(),
        &Finding::Drifted(drifted),
        Some(hostile),
    );
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("example.com"), "{text}");
    assert!(text.contains("<redacted>"), "{text}");
    assert!(
        !text.contains("\\u0007") && !text.contains("x\\ny"),
        "{text}"
    );
    assert_eq!(status.drift.len(), 2);
    assert_eq!(status.drift[0].field, "role");
}

#[test]
fn a_user_that_is_gone_leaves_no_remote_fields_and_one_that_is_unknown_leaves_the_last() {
    let before = status(
        &FireworksUserStatus::default(),
        &Finding::InSync,
        Some(remote()),
    );
    let (account, desired): (AccountId, _) = (builders::account_id(), desired());
    let with = |seen| {
        let facts = Facts {
            generation: 4,
            ..builders::facts(&account, Some(&desired), seen, &Finding::UserNotFound)
        };
        builders::reported(&before, &facts)
    };
    let gone = with(Seen::Nobody);
    assert_eq!(
        (gone.state, gone.role, gone.update_time),
        (None, None, None)
    );
    assert_eq!(gone.user_id.as_deref(), Some("alice"));
    assert_eq!(with(Seen::Unknown).state.as_deref(), Some("READY"));
}

#[test]
fn drift_shows_field_by_field_what_is_wanted_and_what_is_there() {
    let drifted = User {
        role: Role::Custom,
        permission_preset: Some("reader".into()),
        display_name: None,
        ..remote()
    };
    let shown = |user: &User, desired: &Desired| -> serde_json::Value {
        let status = status_of(desired, user);
        serde_json::to_value(status.drift).unwrap()
    };
    assert_eq!(
        shown(&drifted, &desired()),
        json!([
            {"field": "role", "desired": "user", "actual": "custom"},
            {"field": "displayName", "desired": "Alice"},
        ])
    );
    let custom = Desired {
        role: Role::Custom,
        permission_preset: Some("agent".into()),
        display_name: None,
        ..desired()
    };
    assert_eq!(
        shown(&drifted, &custom),
        json!([{"field": "permissionPreset", "desired": "agent", "actual": "reader"}])
    );
    let status = status_of(&custom, &drifted);
    assert_eq!(status.permission_preset.as_deref(), Some("reader"));
}

fn status_of(desired: &Desired, user: &User) -> FireworksUserStatus {
    let (account, user): (AccountId, _) = (builders::account_id(), Arc::new(user.clone()));
    let facts = Facts {
        generation: 3,
        ..builders::facts(
            &account,
            Some(desired),
            Seen::User(&user),
            &Finding::Throttled,
        )
    };
    builders::reported(&FireworksUserStatus::default(), &facts)
}

#[test]
fn drift_reported_of_an_older_spec_is_not_reported_of_a_newer_one() {
    let drifted = User {
        role: Role::Admin,
        ..remote()
    };
    let reported = status(
        &FireworksUserStatus::default(),
        &Finding::Throttled,
        Some(drifted),
    );
    assert_eq!(reported.drift.len(), 1);
    let unseen = status(&reported, &Finding::Throttled, None);
    assert_eq!(unseen.drift, reported.drift, "the same spec");
    let older = FireworksUserStatus {
        observed_generation: Some(2),
        ..reported
    };
    let unseen = status(&older, &Finding::Throttled, None);
    assert_eq!(unseen.drift, []);
    assert_eq!(unseen.role.as_deref(), Some("admin"), "as last seen");
}

#[test]
fn another_code_of_the_remote_brings_its_own_words() {
    let says = |code: &str, message: &str| User {
        status: Some(Status {
            code: code.into(),
            message: message.into(),
        }),
        ..remote()
    };
    let shown = |before: &FireworksUserStatus, user: User| {
        let status = status(before, &Finding::InSync, Some(user));
        let remote = status.status.clone().unwrap();
        (status, (remote.code.unwrap(), remote.message))
    };
    let words = |code: &str, message: Option<&str>| (code.to_owned(), message.map(str::to_owned));
    let (first, said) = shown(&FireworksUserStatus::default(), says("INTERNAL", "one"));
    assert_eq!(said, words("INTERNAL", Some("one")));
    let (_, said) = shown(&first, says("ABORTED", "two"));
    assert_eq!(said, words("ABORTED", Some("two")));
    let (silent, said) = shown(&first, says("INTERNAL", ""));
    assert_eq!(said, words("INTERNAL", None));
    let (_, said) = shown(&silent, says("INTERNAL", "three"));
    assert_eq!(said, words("INTERNAL", Some("three")));
}

#[test]
fn contested_drifted_and_not_applied_name_the_manager_and_the_fields() {
    let words = |finding: &Finding| {
        let status = status(&FireworksUserStatus::default(), finding, Some(remote()));
        let ready = conditions::find(&status.conditions, "Ready").unwrap();
        ready.message.clone()
    };
    let contested = words(&Finding::Contested(RepairHold {
        repairs: 5,
        until: Moment::from_micros(1 << 40),
        next_repair: "2026-01-02T03:04:05.6Z".parse().unwrap(),
    }));
    for part in [
        "another actor",
        "last set by argocd",
        "5 times",
        "next repair at 2026-01-02T03:04:05Z",
    ] {
        assert!(contested.contains(part), "{contested}");
    }
    let diff = Diff {
        role: true,
        display_name: true,
        ..Diff::default()
    };
    for finding in [Finding::Drifted(diff), Finding::NotApplied(diff)] {
        let words = words(&finding);
        assert!(words.ends_with("differs in role, displayName"), "{words}");
    }
}

#[test]
fn wrong_account_is_a_conflict_and_keeps_the_name_that_shows_it() {
    let before = FireworksUserStatus {
        name: Some("accounts/old/users/alice".into()),
        ..FireworksUserStatus::default()
    };
    let after = status(&before, &Finding::OtherAccount, Some(remote()));
    assert_eq!(after.name, before.name);
    assert_eq!(
        conditions::reason_at(&after.conditions, 3),
        Some("Conflict")
    );
}

/// An account id that is corrected later must leave no trace in the objects.
#[test]
fn the_name_is_set_once_a_user_was_seen() {
    let fresh = FireworksUserStatus::default();
    let unseen = status(&fresh, &Finding::Throttled, None);
    assert_eq!(unseen.name, None);
    let (account, desired): (AccountId, _) = (builders::account_id(), desired());
    let absent = |previous: &FireworksUserStatus| {
        let facts = Facts {
            generation: 3,
            ..builders::facts(
                &account,
                Some(&desired),
                Seen::Nobody,
                &Finding::UserNotFound,
            )
        };
        builders::reported(previous, &facts)
    };
    assert_eq!(absent(&unseen).name, None);
    let seen = status(&unseen, &Finding::InSync, Some(remote()));
    assert_eq!(seen.name.as_deref(), Some("accounts/acme/users/alice"));
    assert_eq!(absent(&seen).name, seen.name, "it was seen before");
}

#[test]
fn an_account_that_is_not_found_is_named() {
    let failure = Failure {
        kind: Kind::NotFound,
        message: "list users: 404 NOT_FOUND: no".to_owned(),
    };
    let finding = Finding::Failed(Arc::new(failure));
    let status = status(&FireworksUserStatus::default(), &finding, None);
    let words = &status.conditions[0].message;
    assert!(
        words.starts_with("account acme not found: check FIREWORKS_ACCOUNT_ID"),
        "{words}"
    );
}

#[test]
fn a_merge_patch_holds_what_differs_and_null_for_what_vanishes() {
    let old = json!({"a": 1, "gone": {"x": 1}, "deep": {"keep": 1, "gone": 2}, "list": [1]});
    let new = json!({"a": 1, "deep": {"keep": 1, "new": 3}, "list": [2]});
    let (old, new) = (old.to_string(), new.to_string());
    let patch = serde_json::to_value(difference(&old, &new).unwrap()).unwrap();
    let expected = json!({"gone": null, "deep": {"gone": null, "new": 3}, "list": [2]});
    assert_eq!(patch, expected);
}

/// An upgrade costs no write that only adds the name of the guard.
#[test]
fn guard_alone_is_not_worth_a_write() {
    let finding = Finding::OtherAccount;
    let named = status(&FireworksUserStatus::default(), &finding, None);
    assert_eq!(named.guard.as_deref(), Some("wrong-account"));
    let unnamed = FireworksUserStatus {
        guard: None,
        ..named.clone()
    };
    assert!(!is_worth_a_write(&unnamed, &named, false));
    assert!(!is_worth_a_write(&named, &named, false));
    assert!(is_worth_a_write(&named, &unnamed, false), "it is cleared");
    let mut other = unnamed.clone();
    other.conditions[0].message.push('!');
    assert!(is_worth_a_write(&other, &named, false));
    other = unnamed.clone();
    other.observed_generation = Some(0);
    assert!(is_worth_a_write(&other, &named, false));
    let other_guard = FireworksUserStatus {
        guard: Some("canary".to_owned()),
        ..named.clone()
    };
    assert!(is_worth_a_write(&other_guard, &named, false));
}

#[test]
fn internal_error_is_progress_and_names_the_missing_right() {
    let status = status(
        &FireworksUserStatus::default(),
        &Finding::ReadForbidden,
        None,
    );
    let shown = status.conditions.iter();
    let shown: Vec<_> = shown
        .map(|one| (&*one.type_, &*one.status, &*one.reason))
        .collect();
    assert_eq!(
        shown,
        [
            ("Ready", "Unknown", "InternalError"),
            ("Reconciling", "True", "InternalError")
        ]
    );
    let message = &status.conditions[0].message;
    assert!(message.contains("get on fireworksusers"), "{message}");
}

/// The message decides nothing, but for a status written before the reason was there.
#[test]
fn read_refused_has_a_reason_of_its_own() {
    for kind in [Kind::Rejected, Kind::Denied] {
        let failure = Arc::new(Failure {
            kind,
            message: "get user alice: 403 PERMISSION_DENIED: no".to_owned(),
        });
        let finding = Finding::Failed(failure);
        let status = status(&FireworksUserStatus::default(), &finding, None);
        let mut ready = status.conditions[0].clone();
        assert_eq!(
            (&*ready.status, &*ready.reason, reason_of(&ready)),
            ("False", "ReadRefused", "ReadRefused")
        );
        ready.reason = "PermissionDenied".to_owned();
        ready.message = "Fireworks refuses to show the user: 403 PERMISSION_DENIED: no".to_owned();
        assert_eq!(reason_of(&ready), "ReadRefused", "of an older version");
        ready.message = "the API key may not do this: no".to_owned();
        assert_eq!(reason_of(&ready), "PermissionDenied");
    }
}
