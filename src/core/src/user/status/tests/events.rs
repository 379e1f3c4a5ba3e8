//! The Events of a change and of a transition.

use fireworks_api::wire::UserPatch;

use super::*;
use crate::user::events::{AppliedUpdate, notes};
use crate::user::plan::{Cause, Update};

#[test]
fn a_change_is_one_event_and_a_repair_two() {
    let done = |cause, role| AppliedUpdate {
        update: Update {
            user: "alice".parse().unwrap(),
            patch: UserPatch {
                role: Role::User,
                permission_preset: None,
                display_name: None,
            },
            diff: Diff {
                role,
                display_name: !role,
                ..Diff::default()
            },
            before: Arc::new(User {
                role: Role::Admin,
                ..remote()
            }),
            cause,
        },
        after: Arc::new(remote()),
    };
    let reasons = |done: &AppliedUpdate, before| -> Vec<&str> {
        let notes = notes(Some(done), before, Reason::InSync, &"".into(), true);
        notes.into_iter().map(|note| note.reason).collect()
    };
    assert_eq!(
        reasons(&done(Cause::SpecChange, true), None),
        ["RoleChanged"]
    );
    assert_eq!(reasons(&done(Cause::SpecChange, false), None), ["Updated"]);
    let drift = reasons(&done(Cause::Drift, true), Some("InSync"));
    assert_eq!(drift, ["DriftDetected", "DriftCorrected"]);
    let found = reasons(&done(Cause::Found, true), Some("InSync"));
    assert_eq!(found, ["RoleChanged"], "a former process saw the match");
}

#[test]
fn only_a_transition_is_an_event() {
    let count = |before, reason| notes(None, before, reason, &"why".into(), true).len();
    assert_eq!(count(Some("InSync"), Reason::UserNotFound), 1);
    assert_eq!(count(Some("UserNotFound"), Reason::UserNotFound), 0);
    assert_eq!(count(None, Reason::InSync), 0);
    assert_eq!(count(Some("InSync"), Reason::RemoteUnavailable), 0);
    assert_eq!(count(None, Reason::Rejected), 1);
    assert_eq!(count(None, Reason::ReadRefused), 0, "no update was tried");
}

#[test]
fn drift_detected_only_after_a_match_was_seen() {
    for reason in [Reason::Drifted, Reason::Contested] {
        let of = |has_matched| notes(None, Some("InSync"), reason, &"why".into(), has_matched);
        assert!(of(false).is_empty(), "{reason:?}");
        assert_eq!(of(true).len(), 1, "{reason:?}");
    }
}
