//! How a difference between spec and remote user is shown. Values are cleaned before they are shown, so that two that
//! differ can look alike: then what differs is named. Pure.

use fireworks_api::text::{self, Unseen};
use fireworks_api::wire::User;
use fireworks_crd::Drift;

use super::status::{Facts, Seen, bounded};
use crate::user::desired::{self, Desired, Diff};

/// Returns the managed fields that differ, redacted.
pub(super) fn of(desired: &Desired, user: &User) -> Vec<Drift> {
    let entry = |field: &str| {
        let (wanted, actual) = values(field, desired, user);
        Drift {
            field: field.to_owned(),
            desired: wanted.map(bounded),
            actual: actual.map(|actual| shown(wanted, actual)),
        }
    };
    desired::diff(desired, user).fields().map(entry).collect()
}

/// Returns the names of the fields that differ, for a message; what cannot be seen is named.
pub(super) fn fields(diff: Diff, facts: &Facts<'_>) -> String {
    let named = |field: &str| {
        let (Some(desired), Seen::User(user)) = (facts.desired, facts.seen) else {
            return field.to_owned();
        };
        let (wanted, actual) = values(field, desired, user);
        match unseen(wanted, actual.unwrap_or_default()) {
            Some(unseen) => format!("{field} ({})", words(unseen)),
            None => field.to_owned(),
        }
    };
    diff.fields().map(named).collect::<Vec<_>>().join(", ")
}

/// Returns a remote name fit to be shown; characters that do not show are mentioned.
pub(super) fn named(remote: &str) -> String {
    let shown = bounded(remote);
    match text::unseen(&shown, remote) {
        Some(Unseen::Invisible | Unseen::WhiteSpace) => {
            format!("{shown} (with invisible characters)")
        }
        Some(Unseen::Redacted) | None => shown,
    }
}

/// Returns the value asked for and the remote one; an empty value is none.
fn values<'a>(
    field: &str,
    desired: &'a Desired,
    user: &'a User,
) -> (Option<&'a str>, Option<&'a str>) {
    let (wanted, actual) = match field {
        "role" => (Some(desired.role.as_str()), Some(user.role.as_str())),
        "permissionPreset" => (
            desired.permission_preset.as_deref(),
            user.permission_preset.as_deref(),
        ),
        _ => (
            desired.display_name.as_deref(),
            user.display_name.as_deref(),
        ),
    };
    let value = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
    (value(wanted), value(actual))
}

fn shown(wanted: Option<&str>, actual: &str) -> String {
    let shown = bounded(actual);
    match unseen(wanted, actual) {
        Some(unseen) if shown.is_empty() => format!("({})", words(unseen)),
        Some(unseen) => format!("{shown} ({})", words(unseen)),
        None => shown,
    }
}

fn unseen(wanted: Option<&str>, actual: &str) -> Option<Unseen> {
    text::unseen(wanted.unwrap_or_default(), actual)
}

fn words(unseen: Unseen) -> &'static str {
    match unseen {
        Unseen::Invisible => "differs only in invisible characters",
        Unseen::WhiteSpace => "differs only in white space",
        Unseen::Redacted => "differs; both values are redacted",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::builders;
    use crate::user::messages;
    use crate::user::plan::Finding;
    use fireworks_api::wire::Role;
    use fireworks_crd::conditions::Reason;

    fn desired(role: Role, name: &str) -> Desired {
        Desired {
            display_name: Some(name.into()),
            observe: true,
            ..builders::desired("alice", role)
        }
    }

    /// The messages of an observed and of a refused difference, and the value that the entry of that field shows.
    fn report(desired: &Desired, user: User, field: &str) -> (Vec<String>, String) {
        let (account, user) = (builders::account_id(), Arc::new(user));
        let diff = desired::diff(desired, &user);
        let message = |finding| {
            let facts = builders::facts(&account, Some(desired), Seen::User(&user), &finding);
            messages::describe(&facts).1.render()
        };
        let findings = [Finding::Drifted(diff), Finding::NotApplied(diff)];
        let drift = of(desired, &user);
        let entry = drift.iter().find(|entry| entry.field == field).unwrap();
        let actual = entry.actual.clone().unwrap();
        (findings.into_iter().map(message).collect(), actual)
    }

    #[test]
    fn drifted_reports_name_what_cannot_be_seen() {
        const INVISIBLE: &str = "differs only in invisible characters";
        const SPACE: &str = "differs only in white space";
        const REDACTED: &str = "differs; both values are redacted";
        for (wanted, actual, shown, words) in [
            ("Alice", "Al\u{200b}ice", "Alice", INVISIBLE),
            ("Alice", "Alice\u{fe0f}", "Alice\u{fe0f}", INVISIBLE),
            ("Alice", "\u{3164}Alice", "\u{3164}Alice", INVISIBLE),
            ("Al\u{200d}ice", "Alice", "Alice", INVISIBLE),
            ("Alice L", "Alice  L", "Alice L", SPACE),
            ("Alice L", "Alice\u{a0}L ", "Alice L", SPACE),
            ("Alice L", "Alice\tL\u{200b}", "Alice L", SPACE),
            ("a@example.com", "b@example.com", "<redacted>", REDACTED),
            ("Al <a@b.c>", "Al <d@b.c>", "Al <<redacted>>", REDACTED),
        ] {
            let user = User {
                display_name: Some(actual.into()),
                ..builders::user("alice", Role::User)
            };
            let (messages, entry) = report(&desired(Role::User, wanted), user, "displayName");
            for message in messages {
                let named = format!("differs in displayName ({words})");
                assert!(message.ends_with(&named), "{actual:?}: {message}");
            }
            assert_eq!(entry, format!("{shown} ({words})"));
        }
    }

    #[test]
    fn drifted_reports_of_visible_differences_stay_plain() {
        for (actual, shown) in [("Bob", "Bob"), ("b@example.com", "<redacted>")] {
            let user = User {
                display_name: Some(actual.into()),
                ..builders::user("alice", Role::User)
            };
            let (messages, entry) = report(&desired(Role::User, "Alice"), user, "displayName");
            assert!(messages[0].ends_with("differs in displayName"));
            assert_eq!(entry, shown);
        }
    }

    /// The message asks for an annotation with that name: what looks like a known role is none.
    #[test]
    fn unknown_role_with_invisible_characters_is_named_so() {
        let role = Role::Other("admin\u{200b}".into());
        let user = builders::user("alice", role.clone());
        let (_, entry) = report(&desired(Role::Admin, "Alice"), user, "role");
        assert_eq!(entry, "admin (differs only in invisible characters)");
        let account = builders::account_id();
        let message = |role: &Role| {
            let finding = Finding::UnknownRole(role.clone());
            let facts = builders::facts(&account, None, Seen::Unknown, &finding);
            messages::describe(&facts)
        };
        let (reason, text) = message(&role);
        assert_eq!(reason, Reason::ProtectedStalled);
        let text = text.render();
        assert!(
            text.contains("role admin (with invisible characters)"),
            "{text}"
        );
        let text = message(&Role::Other("owner".into())).1.render();
        assert!(text.contains("role owner, which"), "{text}");
    }
}
