//! What flags allow objects to grant: in which namespaces, to which users, and how many admins must be left. Pure.

use std::collections::BTreeSet;

use fireworks_api::wire::{Role, UserId};

/// The limits of what objects may change at Fireworks, the same for all objects of the account.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Grants {
    /// Empty: all.
    namespaces: BTreeSet<Box<str>>,
    /// In lower case.
    protected_users: BTreeSet<Box<str>>,
    min_admins: usize,
}

impl Default for Grants {
    fn default() -> Self {
        Self::new([], [], 1)
    }
}

impl Grants {
    /// Returns the limits by which powerful roles are granted in these namespaces, in all if there are none; these users are
    /// changed by no object; and demotions leave that many admins, at least one.
    #[must_use]
    pub fn new<'a>(
        namespaces: impl IntoIterator<Item = &'a str>,
        protected_users: impl IntoIterator<Item = &'a UserId>,
        min_admins: usize,
    ) -> Self {
        let protected_users = protected_users.into_iter();
        Self {
            namespaces: namespaces.into_iter().map(Box::from).collect(),
            protected_users: protected_users.map(folded).collect(),
            min_admins: min_admins.max(1),
        }
    }

    /// Returns whether objects of the namespace may grant a powerful role, change a user that has one, or take it away.
    #[must_use]
    pub fn allow(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }

    /// Returns whether no object may change the user. Upper and lower case do not matter.
    #[must_use]
    pub fn protect(&self, user: &UserId) -> bool {
        !self.protected_users.is_empty() && self.protected_users.contains(&folded(user))
    }

    /// Returns the number of counted admins that demotions leave.
    #[must_use]
    pub fn min_admins(&self) -> usize {
        self.min_admins
    }
}

/// Returns whether the role may be as powerful as `admin`: `admin` itself, `custom`, whose presets are not published, and a
/// role that this version does not know. An absent role is none of these.
#[must_use]
pub fn is_powerful(role: &Role) -> bool {
    match role {
        Role::Admin | Role::Custom => true,
        Role::User | Role::Contributor | Role::InferenceUser => false,
        Role::Other(name) => !name.is_empty(),
    }
}

/// Returns the number of other admins that a demotion needs: of an admin who counts, the minimum; of another, any one.
#[must_use]
pub fn other_admins_needed(is_counted: bool, min_admins: usize) -> usize {
    if is_counted { min_admins } else { 1 }
}

fn folded(user: &UserId) -> Box<str> {
    user.as_str().to_lowercase().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(text: &str) -> UserId {
        text.parse().unwrap()
    }

    #[test]
    fn grant_namespace_allows_all_until_one_is_listed() {
        assert!(Grants::default().allow("team-a"));
        let grants = Grants::new(["team-a"], [], 1);
        assert!(grants.allow("team-a"));
        for other in ["team-b", "team", "TEAM-A", ""] {
            assert!(!grants.allow(other), "{other}");
        }
    }

    #[test]
    fn protected_user_is_compared_case_folded() {
        let listed = id("Robot.Key");
        let grants = Grants::new([], [&listed], 1);
        for user in ["Robot.Key", "robot.key", "ROBOT.KEY"] {
            assert!(grants.protect(&id(user)), "{user}");
        }
        assert!(!grants.protect(&id("robot-key")));
        assert!(!Grants::default().protect(&listed));
    }

    #[test]
    fn min_admins_is_at_least_one_and_concerns_counted_admins() {
        assert_eq!(Grants::default().min_admins(), 1);
        assert_eq!(Grants::new([], [], 0).min_admins(), 1);
        assert_eq!(other_admins_needed(true, 3), 3);
        assert_eq!(other_admins_needed(false, 3), 1);
    }

    #[test]
    fn powerful_roles_are_admin_custom_and_unknown_ones() {
        for role in [Role::Admin, Role::Custom, Role::Other("owner".into())] {
            assert!(is_powerful(&role), "{role:?}");
        }
        let absent = Role::Other("".into());
        for role in [Role::User, Role::Contributor, Role::InferenceUser, absent] {
            assert!(!is_powerful(&role), "{role:?}");
        }
    }
}
