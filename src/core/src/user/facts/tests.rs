//! What the facts make of status and account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use fireworks_api::error::Kind;
use jiff::Timestamp;

use super::*;
use crate::builders;
use crate::claims::Possession;
use crate::user::identity::Identity;
use crate::user::plan::Finding;
use crate::user::status::Seen;

/// Returns the facts by the rules of production.
fn facts(gathered: Gathered<'_>) -> Observed {
    super::facts(gathered, Rules::default())
}

fn remote() -> Arc<User> {
    Arc::new(builders::user("alice", Role::User))
}

/// The status that reports that finding of the user.
fn reported(finding: &Finding, user: &Arc<User>) -> FireworksUserStatus {
    let account = builders::account_id();
    let facts = builders::facts(&account, None, Seen::User(user), finding);
    builders::reported(&FireworksUserStatus::default(), &facts)
}

const STALE_AFTER: Duration = Duration::from_mins(30);

/// The facts of an object with that status, in a process that has run for long.
fn facts_of(status: &FireworksUserStatus, sighting: Sighting, is_stale: bool) -> Observed {
    let view = View {
        sighting,
        is_stale,
        stale_after: STALE_AFTER,
        lacks_email: false,
        settles_at: None,
        failure: None,
    };
    facts_of_view(status, view)
}

fn facts_of_view(status: &FireworksUserStatus, view: View) -> Observed {
    facts(Gathered {
        view,
        status,
        generation: 1,
        object_state: &ObjectState {
            generation: 1,
            ..ObjectState::default()
        },
        has_matched: false,
        is_suspended: false,
        settled_from: None,
        ownership: Ownership::Mine(Possession::Held),
        may_take_over_now: true,
        other_account: false,
        identity: Identity::Accepted,
        running_for: STALE_AFTER + Duration::from_secs(1),
        contested: None,
        is_protected: false,
        may_grant: true,
        other_admins: OtherAdmins::Known(1),
        mask: Mask::Trusted,
        denial: Denial {
            stands: true,
            since: None,
        },
        time: Timestamp::UNIX_EPOCH,
    })
}

#[test]
fn a_refused_update_in_status_is_a_refusal_and_a_refused_read_is_none() {
    let user = remote();
    for kind in [Kind::Rejected, Kind::Denied] {
        let failure = Arc::new(Failure {
            kind,
            message: "list users: 400 INVALID_ARGUMENT: no".to_owned(),
        });
        let refusal = |finding: &Finding| {
            let sighting = Sighting::Seen {
                user: user.clone(),
                freshness: Freshness::Fresh,
                sent_at: Moment::from_micros(1 << 40),
            };
            let observed = facts_of(&reported(finding, &user), sighting, false);
            assert_eq!(observed.refusal.is_some(), observed.refused_at_generation);
            observed.refusal
        };
        let refused = refusal(&Finding::Refused(failure.clone())).unwrap();
        let hour = Hour::of(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        assert_eq!(refused.hour, hour);
        assert_eq!(refusal(&Finding::Failed(failure)), None);
    }
}

#[test]
fn a_user_missed_by_one_list_was_seen_until_then() {
    let status = reported(&Finding::InSync, &remote());
    for is_stale in [false, true] {
        let observed = facts_of(&status, Sighting::Suspected, is_stale);
        assert_eq!(observed.silent_too_long, is_stale);
    }
}

/// Returns whether the outage that this finding reported goes on.
fn trouble_stands(
    finding: &Finding,
    is_unclear: bool,
    is_stale: bool,
    failure: Option<Kind>,
) -> bool {
    let user = remote();
    let status = reported(finding, &user);
    let freshness = if is_stale {
        Freshness::Stale
    } else {
        Freshness::Fresh
    };
    let view = View {
        sighting: Sighting::Seen {
            user,
            freshness,
            sent_at: Moment::default(),
        },
        is_stale,
        stale_after: STALE_AFTER,
        lacks_email: false,
        settles_at: is_unclear.then(Moment::default),
        failure: failure.map(|kind| {
            Arc::new(Failure {
                kind,
                message: "x".into(),
            })
        }),
    };
    facts_of_view(&status, view).trouble_stands
}

#[test]
fn throttled_replaces_remote_unavailable_only_after_the_outage() {
    let (outage, pause) = (Some(Kind::Transient), Some(Kind::Throttled));
    let unconfirmed = &Finding::Unconfirmed;
    assert!(trouble_stands(unconfirmed, true, false, None));
    assert!(!trouble_stands(unconfirmed, false, true, outage));
    let unavailable = &Finding::Stale;
    assert!(trouble_stands(unavailable, false, false, outage));
    assert!(!trouble_stands(unavailable, true, false, pause));
    assert!(!trouble_stands(unavailable, true, false, None));
    assert!(trouble_stands(unavailable, false, true, None));
    for finding in [Finding::InSync, Finding::Throttled] {
        assert!(!trouble_stands(&finding, true, true, outage));
    }
}

/// A conflict that status reports stays one, and begins no wait again.
#[test]
fn taking_over_ends_with_a_conflict_of_this_generation() {
    let older = crate::claims::ObjectKey {
        namespace: "ns".into(),
        name: "older".into(),
    };
    for (finding, may) in [
        (Finding::Owned(Some(older.clone())), false),
        (Finding::TakingOver(Some(older)), true),
        (Finding::InSync, true),
    ] {
        let status = reported(&finding, &remote());
        assert_eq!(facts_of(&status, Sighting::Never, false).may_take_over, may);
    }
}
