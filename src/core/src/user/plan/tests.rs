//! What every plan must hold to, over generated users, specs and facts; and the decisions one by one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use std::sync::LazyLock;
use std::time::Duration;

use fireworks_api::email::EmailHash;
use fireworks_api::error::Kind;
use fireworks_api::wire::Status;
use fireworks_crd::conditions::Reason;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::builders;
use crate::claims::Possession;
use crate::grants::is_powerful;
use crate::user::desired::diff;
use crate::user::identity::{Approval, Identity};

/// Returns the plan by the rules of production.
fn plan(desired: &Desired, observed: &Observed) -> Plan {
    super::plan(desired, observed, Rules::default())
}

/// Repairs held back after the fifth within an hour.
fn repair_hold() -> RepairHold {
    // One moment for all: two of them are equal.
    static SINCE: LazyLock<Moment> = LazyLock::new(|| Moment::from_micros(1 << 40));
    RepairHold {
        repairs: 5,
        until: *SINCE,
        next_repair: Timestamp::UNIX_EPOCH,
    }
}

fn desired(role: Role) -> Desired {
    Desired {
        permission_preset: (role == Role::Custom).then(|| "agent".into()),
        ..builders::desired("alice", role)
    }
}

fn user(role: Role) -> User {
    User {
        permission_preset: (role == Role::Custom).then(|| "agent".into()),
        email: Some(EmailHash::of("alice@example.com")),
        ..builders::user("alice", role)
    }
}

fn seen(user: User) -> Observed {
    builders::observed(Sighting::Seen {
        user: Arc::new(user),
        freshness: Freshness::Fresh,
        sent_at: Moment::from_micros(1 << 40),
    })
}

fn unseen(sighting: Sighting) -> Observed {
    builders::observed(sighting)
}

/// What the gateway makes of a PATCH: a key that is there sets its field, empty clears it.
fn apply(before: &User, patch: &UserPatch) -> User {
    let set = |value: &Option<Box<str>>, old: &Option<Box<str>>| match value {
        None => old.clone(),
        Some(text) if text.is_empty() => None,
        Some(text) => Some(text.clone()),
    };
    User {
        role: patch.role.clone(),
        permission_preset: set(&patch.permission_preset, &before.permission_preset),
        display_name: set(&patch.display_name, &before.display_name),
        ..before.clone()
    }
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Admin),
        Just(Role::User),
        Just(Role::Contributor),
        Just(Role::InferenceUser),
        Just(Role::Custom),
    ]
}

fn any_text() -> impl Strategy<Value = Option<Box<str>>> {
    proptest::option::of("[a-c]{1,2}".prop_map(String::into_boxed_str))
}

prop_compose! {
    fn any_desired()(
        role in any_role(),
        preset in "[a-c]{1,2}",
        display_name in any_text(),
        observe in any::<bool>(),
        suspended in any::<bool>()
    ) -> Desired {
        let permission_preset = (role == Role::Custom).then(|| preset.into());
        Desired { permission_preset, display_name, observe, suspended, ..desired(role) }
    }
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        6 => Just(State::Ready),
        1 => Just(State::Unspecified),
        1 => Just(State::Creating),
        1 => Just(State::Updating),
        1 => Just(State::Deleting),
        1 => Just(State::Other("NEW".into())),
    ]
}

prop_compose! {
    fn any_user()(
        role in prop_oneof![8 => any_role(), 1 => Just(Role::Other("owner".into()))],
        permission_preset in any_text(),
        display_name in any_text(),
        state in any_state(),
        has_email in any::<bool>()
    ) -> User {
        let email = has_email.then(|| EmailHash::of("alice@example.com"));
        User { permission_preset, display_name, email, state, ..user(role) }
    }
}

fn any_sighting() -> impl Strategy<Value = Sighting> {
    let freshness = prop_oneof![
        Just(Freshness::Fresh),
        Just(Freshness::Aged),
        Just(Freshness::Stale)
    ];
    let seen = (any_user(), freshness).prop_map(|(user, freshness)| Sighting::Seen {
        user: Arc::new(user),
        freshness,
        sent_at: Moment::from_micros(1 << 40),
    });
    prop_oneof![
        8 => seen,
        1 => Just(Sighting::Never),
        1 => Just(Sighting::Suspected),
        1 => Just(Sighting::Absent),
    ]
}

fn any_identity() -> impl Strategy<Value = Identity> {
    prop_oneof![
        12 => Just(Identity::Accepted),
        1 => Just(Identity::Renewed(Approval::Email)),
        1 => Just(Identity::EmailUnread),
        1 => Just(Identity::Unknown),
        1 => Just(Identity::Changed(Timestamp::UNIX_EPOCH)),
        1 => any::<bool>().prop_map(|is_shown| Identity::Mismatch { is_shown }),
    ]
}

fn any_admins() -> impl Strategy<Value = OtherAdmins> {
    prop_oneof![
        Just(OtherAdmins::TooFew(1)),
        Just(OtherAdmins::Known(1)),
        Just(OtherAdmins::NotListed),
        Just(OtherAdmins::Busy),
        Just(OtherAdmins::Unsettled(Moment::from_micros(1 << 40))),
    ]
}

prop_compose! {
    fn any_observed()(
        sighting in any_sighting(),
        flags in any::<[bool; 8]>(),
        is_protected in prop::bool::weighted(0.1),
        may_grant in prop::bool::weighted(0.8),
        tries in 0_u8..4,
        other_admins in any_admins(),
        identity in any_identity()
    ) -> Observed {
        let failure = Failure { kind: Kind::Transient, message: "x".into() };
        Observed {
            sighting,
            unsettled_until: flags[0].then(|| Moment::from_micros(1 << 40)),
            possibly_in_flight_until: (flags[0] && flags[4]).then(|| Moment::from_micros(1 << 40)),
            failure: flags[1].then(|| Arc::new(failure)),
            ownership: if flags[2] { Ownership::Mine(Possession::Held) } else { Ownership::Of(Some(key())) },
            may_take_over: flags[6],
            other_account: flags[3] && flags[4],
            identity,
            ready_at_generation: flags[5],
            refused_at_generation: false,
            has_matched: flags[5],
            converged_at_generation: flags[5],
            matched_at_generation: flags[5],
            silent_too_long: flags[6],
            refusal: None,
            tries,
            contested: (flags[7] && flags[4]).then(repair_hold),
            is_protected,
            may_grant,
            other_admins,
            mask: if flags[6] { Mask::Trusted } else { Mask::Stopped(Moment::from_micros(1 << 40)) },
            trouble_stands: false,
        }
    }
}

fn key() -> ObjectKey {
    ObjectKey {
        namespace: "ns".into(),
        name: "older".into(),
    }
}

proptest! {
    #[test]
    fn plan_after_act_is_in_sync(desired in any_desired(), before in any_user()) {
        let desired = Desired { observe: false, suspended: false, ..desired };
        if let Plan::Update(update) = plan(&desired, &seen(before.clone())) {
            let after = User { state: State::Ready, ..apply(&before, &update.patch) };
            prop_assert_eq!(plan(&desired, &seen(after)), Plan::InSync);
        }
    }

    #[test]
    fn a_patch_holds_the_role_and_managed_fields_that_changed_and_nothing_else(
        desired in any_desired(), observed in any_observed(),
    ) {
        if let Plan::Update(update) = plan(&desired, &observed) {
            let body = serde_json::to_value(&update.patch).unwrap();
            let before = &update.before;
            for (field, value) in body.as_object().unwrap() {
                let text = value.as_str().unwrap();
                match field.as_str() {
                    "role" => prop_assert_eq!(text, desired.role.as_str()),
                    "permissionPreset" => {
                        let leaves = before.role == Role::Custom && desired.role != Role::Custom;
                        prop_assert_eq!(text, desired.permission_preset.as_deref().unwrap_or(""));
                        prop_assert!(leaves || before.permission_preset != desired.permission_preset);
                        prop_assert!(leaves || desired.role == Role::Custom);
                    }
                    "displayName" => {
                        prop_assert_eq!(Some(text), desired.display_name.as_deref());
                        prop_assert_ne!(&before.display_name, &desired.display_name);
                    }
                    other => prop_assert!(false, "unexpected key {}", other),
                }
            }
            prop_assert!(body.get("role").is_some());
        }
    }

    #[test]
    fn there_is_no_patch_when_nothing_differs(desired in any_desired(), observed in any_observed()) {
        if let Plan::Update(update) = plan(&desired, &observed) {
            prop_assert!(!diff(&desired, &update.before).is_empty());
            prop_assert_ne!(apply(&update.before, &update.patch), (*update.before).clone());
        }
    }

    #[test]
    fn observed_suspended_foreign_and_owned_objects_never_change_anything(
        desired in any_desired(), observed in any_observed(),
    ) {
        let forbidden = desired.observe
            || desired.suspended
            || observed.other_account
            || observed.ownership != Ownership::Mine(Possession::Held);
        if forbidden {
            let is_update = matches!(plan(&desired, &observed), Plan::Update(_));
            prop_assert!(!is_update);
        }
    }

    #[test]
    fn the_last_admin_is_never_demoted(desired in any_desired(), observed in any_observed()) {
        if let Plan::Update(update) = plan(&desired, &observed)
            && update.before.role == Role::Admin && update.patch.role != Role::Admin {
                prop_assert!(matches!(observed.other_admins, OtherAdmins::Known(1..)));
            }
    }

    #[test]
    fn protected_user_is_never_changed(desired in any_desired(), observed in any_observed()) {
        if let Plan::Update(_) = plan(&desired, &observed) {
            prop_assert!(!observed.is_protected);
        }
    }

    #[test]
    fn namespace_not_allowed_changes_no_power(desired in any_desired(), observed in any_observed()) {
        if let Plan::Update(update) = plan(&desired, &observed) {
            let roles = [&update.before.role, &update.patch.role];
            prop_assert!(observed.may_grant || !roles.into_iter().any(is_powerful));
        }
    }

    #[test]
    fn nothing_is_changed_before_the_identity_is_accepted(
        desired in any_desired(), observed in any_observed(),
    ) {
        let counts = plan(&desired, &observed);
        let is_accepted = matches!(observed.identity, Identity::Accepted | Identity::Renewed(_));
        prop_assert!(is_accepted || !matches!(counts, Plan::Update(_)));
        let may_match = is_accepted || observed.identity == Identity::Unknown;
        prop_assert!(may_match || counts != Plan::InSync);
    }

    #[test]
    fn nothing_is_changed_once_the_mask_is_broken(desired in any_desired(), observed in any_observed()) {
        if let Plan::Update(_) = plan(&desired, &observed) {
            prop_assert_eq!(observed.mask, Mask::Trusted);
        }
    }

    #[test]
    fn in_sync_means_seen_fresh_enough_settled_and_equal(
        desired in any_desired(), observed in any_observed(),
    ) {
        if plan(&desired, &observed) == Plan::InSync {
            let Sighting::Seen { user, freshness, .. } = &observed.sighting else {
                return Err(TestCaseError::fail("in sync without having seen the user"));
            };
            prop_assert!(diff(&desired, user).is_empty());
            prop_assert!(observed.unsettled_until.is_none());
            prop_assert!(observed.possibly_in_flight_until.is_none());
            prop_assert!(*freshness == Freshness::Fresh || observed.ready_at_generation);
            prop_assert!(matches!(user.state, State::Ready | State::Unspecified));
        }
    }

    #[test]
    fn nothing_is_changed_while_fireworks_works_on_the_user(
        desired in any_desired(), observed in any_observed(),
    ) {
        if let Plan::Update(update) = plan(&desired, &observed) {
            let busy = matches!(update.before.state, State::Creating | State::Updating | State::Deleting);
            prop_assert!(!busy);
        }
    }
}

mod decisions;
mod guarded;
