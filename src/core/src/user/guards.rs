//! The guards by name: what withholds a change although the spec asks for it, and which reason an object that is held
//! reports. [`GUARDS`] is the order in which they apply; the plan asks for them in three phases.

use fireworks_api::wire::Role;
use fireworks_crd::conditions::Reason;

use super::desired::Desired;
use super::facts::Observed;
use super::identity::Identity;
use super::plan::Finding;
use crate::account::{Mask, OtherAdmins};
use crate::claims::{Ownership, Possession};
use crate::grants::is_powerful;

/// A guard that holds a change. `status.guard`, the metric `guard_holds` and the docs use the same names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Guard {
    /// The object belonged to another account.
    WrongAccount,
    /// The object declares a service account and the user is none, or the other way round.
    ServiceAccount,
    /// The user has a role that this version does not know.
    UnknownRole,
    /// The settings of the operator protect the user: no object changes it.
    ProtectedUser,
    /// The namespace may neither grant a powerful role nor take one away.
    NamespaceNotAllowed,
    /// The account had no such user, and whose it is now is not known.
    IdentityUnknown,
    /// The user was created again: it may be another person.
    IdentityChanged,
    /// The user has not the e-mail that the object expects.
    IdentityMismatch,
    /// The object took the user over from another namespace, and no person has accepted that.
    InheritedPower,
    /// The change would leave the account without an admin.
    LastAdmin,
    /// Fireworks seems to clear fields that a PATCH does not name.
    Canary,
    /// Another actor keeps reverting the user.
    Contested,
}

impl Guard {
    /// Every guard, in the order in which they apply.
    pub const ALL: [Self; 12] = [
        Self::WrongAccount,
        Self::ServiceAccount,
        Self::UnknownRole,
        Self::ProtectedUser,
        Self::NamespaceNotAllowed,
        Self::IdentityUnknown,
        Self::IdentityChanged,
        Self::IdentityMismatch,
        Self::InheritedPower,
        Self::LastAdmin,
        Self::Canary,
        Self::Contested,
    ];

    /// Returns the name as `status.guard` shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongAccount => "wrong-account",
            Self::ServiceAccount => "service-account",
            Self::UnknownRole => "unknown-role",
            Self::ProtectedUser => "protected-user",
            Self::NamespaceNotAllowed => "namespace-not-allowed",
            Self::IdentityUnknown => "identity-unknown",
            Self::IdentityChanged => "identity-changed",
            Self::IdentityMismatch => "identity-mismatch",
            Self::InheritedPower => "inherited-power",
            Self::LastAdmin => "last-admin",
            Self::Canary => "canary",
            Self::Contested => "contested",
        }
    }

    /// Returns the guard of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|guard| guard.as_str() == name)
    }

    /// Returns whether it comes before that one in the order in which they apply.
    #[must_use]
    pub fn precedes(self, other: Self) -> bool {
        let mut until = Self::ALL.into_iter().take_while(|guard| *guard != other);
        until.any(|guard| guard == self)
    }

    /// Returns the reason of a held object. Tools give up at the first `Stalled`, so a hold that time or another object
    /// lifts is reported as progress.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::WrongAccount => Reason::Conflict,
            Self::ServiceAccount
            | Self::UnknownRole
            | Self::ProtectedUser
            | Self::IdentityUnknown
            | Self::IdentityChanged
            | Self::IdentityMismatch
            | Self::InheritedPower => Reason::ProtectedStalled,
            Self::NamespaceNotAllowed => Reason::NamespaceNotAllowed,
            Self::LastAdmin | Self::Canary => Reason::Protected,
            Self::Contested => Reason::Contested,
        }
    }
}

/// What the plan knows when it asks for a guard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The object only.
    Object,
    /// The remote user, which is neither deleted nor updated at the time.
    User,
    /// Which fields differ, and that the change may otherwise be sent.
    Change,
}

/// A guard, when it is asked for, and its rule.
#[derive(Clone, Copy, Debug)]
pub struct GuardRule {
    /// The guard.
    pub guard: Guard,
    /// The phase of the plan at which it applies.
    pub phase: Phase,
    /// Returns the finding if the guard holds the change.
    pub holds: fn(&Desired, &Observed) -> Option<Finding>,
}

/// The guards in the order in which they apply. Each holds a change of a user, whatever the spec asks for.
pub const GUARDS: [GuardRule; 12] = [
    rule(Guard::WrongAccount, Phase::Object, wrong_account),
    rule(Guard::ServiceAccount, Phase::User, service_account),
    rule(Guard::UnknownRole, Phase::Change, unknown_role),
    rule(Guard::ProtectedUser, Phase::Change, protected_user),
    rule(
        Guard::NamespaceNotAllowed,
        Phase::Change,
        namespace_not_allowed,
    ),
    rule(Guard::IdentityUnknown, Phase::Change, identity_unknown),
    rule(Guard::IdentityChanged, Phase::User, identity_changed),
    rule(Guard::IdentityMismatch, Phase::User, identity_mismatch),
    rule(Guard::InheritedPower, Phase::Change, inherited_power),
    rule(Guard::LastAdmin, Phase::Change, last_admin),
    rule(Guard::Canary, Phase::Change, canary),
    rule(Guard::Contested, Phase::Change, contested),
];

const fn rule(
    guard: Guard,
    phase: Phase,
    holds: fn(&Desired, &Observed) -> Option<Finding>,
) -> GuardRule {
    GuardRule {
        guard,
        phase,
        holds,
    }
}

/// Returns what the first guard of that phase that applies has found.
pub(super) fn first(
    guards: &[GuardRule],
    phase: Phase,
    desired: &Desired,
    observed: &Observed,
) -> Option<Finding> {
    let mut asked = guards.iter().filter(|rule| rule.phase == phase);
    asked.find_map(|rule| (rule.holds)(desired, observed))
}

/// Returns whether the change would take the role `admin` from the user.
pub(super) fn demotes(desired: &Desired, observed: &Observed) -> bool {
    let user = observed.sighting.user();
    desired.role != Role::Admin && user.is_some_and(|user| user.role == Role::Admin)
}

fn wrong_account(_: &Desired, observed: &Observed) -> Option<Finding> {
    observed.other_account.then_some(Finding::OtherAccount)
}

fn service_account(desired: &Desired, observed: &Observed) -> Option<Finding> {
    let declared = desired.service_account;
    let differs = observed.sighting.user()?.service_account != declared;
    differs.then_some(Finding::ServiceAccount { declared })
}

fn unknown_role(desired: &Desired, observed: &Observed) -> Option<Finding> {
    let role = &observed.sighting.user()?.role;
    let Role::Other(name) = role else {
        return None;
    };
    let holds = !name.is_empty() && desired.replaces_role.as_ref() != Some(name);
    holds.then(|| Finding::UnknownRole(role.clone()))
}

fn protected_user(_: &Desired, observed: &Observed) -> Option<Finding> {
    observed.is_protected.then_some(Finding::ProtectedUser)
}

/// Each update names the role, so also one that differs in another field would grant the role again that another actor takes
/// away meanwhile.
fn namespace_not_allowed(desired: &Desired, observed: &Observed) -> Option<Finding> {
    let user = observed.sighting.user()?;
    let is_about_power = is_powerful(&desired.role) || is_powerful(&user.role);
    (is_about_power && !observed.may_grant).then_some(Finding::NamespaceNotAllowed)
}

fn identity_unknown(_: &Desired, observed: &Observed) -> Option<Finding> {
    let created = observed.sighting.user()?.create_time;
    let is_unknown = observed.identity == Identity::Unknown;
    is_unknown.then_some(Finding::IdentityUnknown(created))
}

fn identity_changed(_: &Desired, observed: &Observed) -> Option<Finding> {
    match observed.identity {
        Identity::Changed(created) => Some(Finding::IdentityChanged(created)),
        Identity::Unseen
        | Identity::Accepted
        | Identity::Renewed(_)
        | Identity::EmailUnread
        | Identity::Unknown
        | Identity::Mismatch { .. } => None,
    }
}

fn identity_mismatch(_: &Desired, observed: &Observed) -> Option<Finding> {
    match observed.identity {
        Identity::Mismatch { is_shown } => Some(Finding::IdentityMismatch { is_shown }),
        Identity::Unseen
        | Identity::Accepted
        | Identity::Renewed(_)
        | Identity::EmailUnread
        | Identity::Unknown
        | Identity::Changed(_) => None,
    }
}

fn inherited_power(desired: &Desired, observed: &Observed) -> Option<Finding> {
    let is_inherited = observed.ownership == Ownership::Mine(Possession::Inherited);
    let user = observed.sighting.user()?;
    let is_about_power = is_powerful(&desired.role) || is_powerful(&user.role);
    (is_inherited && is_about_power).then_some(Finding::InheritedPower)
}

fn last_admin(desired: &Desired, observed: &Observed) -> Option<Finding> {
    if !demotes(desired, observed) {
        return None;
    }
    match observed.other_admins {
        OtherAdmins::TooFew(needed) => Some(Finding::LastAdmin(needed)),
        OtherAdmins::Stopped(until) => Some(Finding::DemotionsStopped(until)),
        OtherAdmins::Known(_)
        | OtherAdmins::NotListed
        | OtherAdmins::Busy
        | OtherAdmins::Unsettled(_) => None,
    }
}

fn canary(_: &Desired, observed: &Observed) -> Option<Finding> {
    match observed.mask {
        Mask::UserStopped(until) => Some(Finding::FieldCleared(until)),
        Mask::Stopped(until) => Some(Finding::ChangesStopped(until)),
        Mask::Trusted | Mask::Unread | Mask::Busy(_) => None,
    }
}

fn contested(_: &Desired, observed: &Observed) -> Option<Finding> {
    observed.contested.map(Finding::Contested)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fireworks_crd::conditions::ReadyState;

    #[test]
    fn guard_names_are_unique_and_read_back() {
        for guard in Guard::ALL {
            assert_eq!(Guard::named(guard.as_str()), Some(guard));
        }
        assert_eq!(Guard::named("somewhere-else"), None);
    }

    #[test]
    fn guard_precedes_those_after_it_only() {
        assert!(Guard::UnknownRole.precedes(Guard::IdentityUnknown));
        assert!(!Guard::IdentityUnknown.precedes(Guard::IdentityUnknown));
        assert!(!Guard::LastAdmin.precedes(Guard::IdentityUnknown));
    }

    #[test]
    fn guard_rules_are_in_the_order_of_the_names() {
        assert_eq!(GUARDS.map(|rule| rule.guard), Guard::ALL);
    }

    #[test]
    fn namespace_not_allowed_is_stalled() {
        let reason = Guard::NamespaceNotAllowed.reason();
        assert_eq!(reason.as_str(), "NamespaceNotAllowed");
        assert_eq!(reason.ready_state(), ReadyState::Stalled);
    }

    #[test]
    fn protected_stalled_is_the_reason_of_guards_that_a_person_lifts() {
        for guard in [
            Guard::ServiceAccount,
            Guard::UnknownRole,
            Guard::ProtectedUser,
            Guard::InheritedPower,
            Guard::IdentityUnknown,
            Guard::IdentityChanged,
            Guard::IdentityMismatch,
        ] {
            assert_eq!(guard.reason().as_str(), "Protected");
            assert_eq!(guard.reason().ready_state(), ReadyState::Stalled);
        }
    }

    #[test]
    fn last_admin_and_canary_are_progress_not_stalled() {
        for guard in [Guard::LastAdmin, Guard::Canary] {
            assert_eq!(guard.reason().as_str(), "Protected");
            assert_eq!(guard.reason().ready_state(), ReadyState::Progressing);
        }
    }
}
