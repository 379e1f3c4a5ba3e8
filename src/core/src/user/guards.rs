//! The guards by name: what withholds a change although the spec asks for it, and which reason an object that is held
//! reports. Whether a guard applies is decided by the plan.

use fireworks_crd::conditions::Reason;

/// A guard that holds a change. `status.guard`, the metric `guard_holds` and the docs use the same names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Guard {
    /// The object belonged to another account.
    WrongAccount,
    /// The object declares a service account and the user is none, or the other way round.
    ServiceAccount,
    /// The user has a role that this version does not know.
    UnknownRole,
    /// The change would leave the account without an admin.
    LastAdmin,
    /// Fireworks seems to clear fields that a PATCH does not name.
    Canary,
    /// Another actor keeps reverting the user.
    Contested,
}

impl Guard {
    /// Every guard, in the order in which they apply.
    pub const ALL: [Self; 6] = [
        Self::WrongAccount,
        Self::ServiceAccount,
        Self::UnknownRole,
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

    /// Returns the reason of a held object. Tools give up at the first `Stalled`, so a hold that time or another object
    /// lifts is reported as progress.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::WrongAccount => Reason::Conflict,
            Self::ServiceAccount | Self::UnknownRole => Reason::ProtectedStalled,
            Self::LastAdmin | Self::Canary => Reason::Protected,
            Self::Contested => Reason::Contested,
        }
    }
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
    fn service_account_and_unknown_role_wait_for_a_person() {
        for guard in [Guard::ServiceAccount, Guard::UnknownRole] {
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
