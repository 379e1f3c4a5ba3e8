//! What a spec asks for, as values that cannot be wrong, and how a remote user differs from it. Pure:
//! the spec goes in, [`Desired`] or one reason comes out. The schema refuses the same things; an object stored under a laxer one may hold
//! them all the same.

use std::ops::RangeInclusive;

use fireworks_api::email::EmailHash;
use fireworks_api::wire::{InvalidId, Role, User, UserId};
use fireworks_crd::{FireworksUserSpec, ManagementPolicy};
use jiff::Timestamp;

/// Longest preset and display name, in characters.
const TEXT_MAX: usize = 63;
/// The lengths of an e-mail address, in characters.
const EMAIL: RangeInclusive<usize> = 3..=254;

/// What one object wants of its remote user. `None` means: not ours to manage.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Desired {
    /// The remote user.
    pub user: UserId,
    /// The role, always ours.
    pub role: Role,
    /// The preset; there exactly while the role is custom.
    pub permission_preset: Option<Box<str>>,
    /// The display name.
    pub display_name: Option<Box<str>>,
    /// The user is declared to be a service account.
    pub service_account: bool,
    /// A hash of the e-mail that the user must have, if one is expected.
    pub expected_email: Option<EmailHash>,
    /// The creation time of a user that is accepted although it was created again.
    pub accepts_identity: Option<Timestamp>,
    /// The remote role that may be replaced although this version does not know it.
    pub replaces_role: Option<Box<str>>,
    /// Only watched, never changed.
    pub observe: bool,
    /// No call is made.
    pub suspended: bool,
}

/// Which managed fields differ.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Diff {
    /// The role.
    pub role: bool,
    /// The permission preset.
    pub permission_preset: bool,
    /// The display name.
    pub display_name: bool,
}

impl Diff {
    /// Nothing differs.
    #[must_use]
    pub fn is_empty(self) -> bool {
        !(self.role || self.permission_preset || self.display_name)
    }

    /// The spec's names of the fields that differ.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let named = [
            (self.role, "role"),
            (self.permission_preset, "permissionPreset"),
            (self.display_name, "displayName"),
        ];
        named
            .into_iter()
            .filter_map(|(differs, name)| differs.then_some(name))
    }
}

/// A text is no e-mail address. It is not repeated.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("must have 3 to 254 characters, one @ between others, and no spaces or control characters")]
pub struct NotAnEmail;

/// Why a spec cannot be followed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSpec {
    /// It does not decode.
    #[error("spec: {0}")]
    Undecodable(String),
    /// The user id breaks the rules.
    #[error("spec.userId: {0}")]
    UserId(InvalidId),
    /// The name serves as the user id and breaks its rules.
    #[error("metadata.name cannot serve as the user id ({0}): set spec.userId")]
    Name(InvalidId),
    /// Custom without a preset.
    #[error("spec.permissionPreset: required when role is custom")]
    PresetMissing,
    /// A preset without custom.
    #[error("spec.permissionPreset: only allowed when role is custom")]
    PresetForbidden,
    /// Not an e-mail address.
    #[error("spec.expectEmail: {0}")]
    ExpectEmail(#[from] NotAnEmail),
    /// Too short, too long, or characters that are not allowed.
    #[error("spec.{field}: must have 1 to {TEXT_MAX} characters, {more}")]
    Text {
        /// The field.
        field: &'static str,
        /// Which characters are allowed.
        more: &'static str,
    },
}

/// Which managed fields of the remote user differ from what is asked for. The preset counts only
/// while custom is asked for: otherwise Fireworks ignores it.
#[must_use]
pub fn diff(desired: &Desired, user: &User) -> Diff {
    Diff {
        role: desired.role != user.role,
        permission_preset: desired.role == Role::Custom
            && desired.permission_preset != user.permission_preset,
        display_name: desired.display_name.is_some() && desired.display_name != user.display_name,
    }
}

/// Reads a spec. `observe_only` is the operator's own setting; it makes every object observe.
///
/// # Errors
/// [`InvalidSpec`] names the field.
pub fn desired(
    name: &str,
    spec: &FireworksUserSpec,
    observe_only: bool,
) -> Result<Desired, InvalidSpec> {
    let user = user_id(name, spec.user_id.as_deref())?;
    let role = role(spec.role);
    let permission_preset = match (&role, spec.permission_preset.as_deref()) {
        (Role::Custom, None) => return Err(InvalidSpec::PresetMissing),
        (Role::Custom, Some(preset)) if is_preset_name(preset) => Some(preset.into()),
        (Role::Custom, Some(_)) => {
            return Err(InvalidSpec::Text {
                field: "permissionPreset",
                more: "only letters, digits and . _ -, and begin with a letter or digit",
            });
        }
        (_, Some(_)) => return Err(InvalidSpec::PresetForbidden),
        (_, None) => None,
    };
    let display_name = match spec.display_name.as_deref() {
        None => None,
        Some(text) if is_free_text(text) => Some(text.into()),
        Some(_) => {
            let more = "none of them invisible, and no space or joiner at either end";
            return Err(InvalidSpec::Text {
                field: "displayName",
                more,
            });
        }
    };
    Ok(Desired {
        user,
        role,
        permission_preset,
        display_name,
        service_account: spec.service_account.unwrap_or(false),
        expected_email: expected_email(spec.expect_email.as_deref())?,
        accepts_identity: None,
        replaces_role: None,
        observe: observe_only || spec.management_policy == ManagementPolicy::Observe,
        suspended: spec.suspend.unwrap_or(false),
    })
}

/// The remote user that an object of that name and `userId` speaks of.
///
/// # Errors
/// [`InvalidSpec`] names the field that breaks the rules.
fn user_id(name: &str, user_id: Option<&str>) -> Result<UserId, InvalidSpec> {
    match user_id {
        Some(id) => id.parse().map_err(InvalidSpec::UserId),
        None => name.parse().map_err(InvalidSpec::Name),
    }
}

/// Returns the hash of the e-mail that is expected, if one is.
///
/// # Errors
/// [`NotAnEmail`] where the text is none.
pub(super) fn expected_email(address: Option<&str>) -> Result<Option<EmailHash>, NotAnEmail> {
    match address {
        Some(address) if is_email(address) => Ok(Some(EmailHash::of(address))),
        Some(_) => Err(NotAnEmail),
        None => Ok(None),
    }
}

/// Whether the text is fit to be an e-mail address: the rule of the schema.
fn is_email(text: &str) -> bool {
    let is_unfit = |c: char| c.is_whitespace() || c.is_control();
    let is_one_pair = |(name, domain): (&str, &str)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@')
    };
    EMAIL.contains(&text.chars().count())
        && !text.contains(is_unfit)
        && text.split_once('@').is_some_and(is_one_pair)
}

fn role(role: fireworks_crd::Role) -> Role {
    match role {
        fireworks_crd::Role::Admin => Role::Admin,
        fireworks_crd::Role::User => Role::User,
        fireworks_crd::Role::Contributor => Role::Contributor,
        fireworks_crd::Role::InferenceUser => Role::InferenceUser,
        fireworks_crd::Role::Custom => Role::Custom,
    }
}

/// Whether the text has a permitted length, in characters.
fn is_within_bounds(text: &str) -> bool {
    (1..=TEXT_MAX).contains(&text.chars().count())
}

/// Whether the text is fit to name a permission preset. Names are not published; these characters are those that
/// Fireworks allows in ids, so that no name can move a terminal's cursor or break a line of a log.
fn is_preset_name(text: &str) -> bool {
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    begins_well && is_within_bounds(text) && text.chars().all(is_allowed)
}

/// Whether the text is fit to be shown to people: the rules `INVISIBLE` and `EDGES` of the schema.
fn is_free_text(text: &str) -> bool {
    let is_edge = |c: char| c.is_whitespace() || is_joiner(c);
    is_within_bounds(text)
        && !text.starts_with(is_edge)
        && !text.ends_with(is_edge)
        && !text.chars().any(is_invisible)
}

/// Emoji and Persian words need them, between two other characters.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Control characters, bidirectional controls, invisible separators, and tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> FireworksUserSpec {
        serde_json::from_value(json).unwrap()
    }

    fn refused(json: serde_json::Value) -> String {
        desired("alice", &spec(json), false)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_name_is_the_user_id_unless_the_spec_gives_one() {
        let plain = desired("alice", &spec(serde_json::json!({"role": "user"})), false).unwrap();
        assert_eq!(plain.user.as_str(), "alice");
        let given = serde_json::json!({"role": "user", "userId": "Alice_L"});
        assert_eq!(
            desired("alice", &spec(given), false).unwrap().user.as_str(),
            "Alice_L"
        );
    }

    #[test]
    fn what_the_schema_refuses_is_refused_here_too_with_the_field_named() {
        let cases = [
            (
                serde_json::json!({"role": "custom"}),
                "spec.permissionPreset",
            ),
            (
                serde_json::json!({"role": "user", "permissionPreset": "agent"}),
                "spec.permissionPreset",
            ),
            (
                serde_json::json!({"role": "custom", "permissionPreset": ""}),
                "spec.permissionPreset",
            ),
            (
                serde_json::json!({"role": "user", "displayName": " x"}),
                "spec.displayName",
            ),
            (
                serde_json::json!({"role": "user", "displayName": "x\u{7}"}),
                "spec.displayName",
            ),
            (
                serde_json::json!({"role": "user", "displayName": "x".repeat(64)}),
                "spec.displayName",
            ),
            (
                serde_json::json!({"role": "user", "userId": "../admin"}),
                "spec.userId",
            ),
            (
                serde_json::json!({"role": "user", "userId": "a."}),
                "spec.userId",
            ),
        ];
        for (json, field) in cases {
            let message = refused(json.clone());
            assert!(message.contains(field), "{json}: {message}");
        }
    }

    /// The same table is applied to a real API server in `tests/operator/manifests.rs`.
    #[test]
    fn invalid_spec_texts_follow_the_table_of_the_schema() {
        let table = include_str!("../../../../tests/free_text.json");
        let table: serde_json::Value = serde_json::from_str(table).unwrap();
        let is_valid = |field: &str, text: &serde_json::Value| {
            let json = if field == "displayName" {
                serde_json::json!({"role": "user", "displayName": text})
            } else {
                serde_json::json!({"role": "custom", "permissionPreset": text})
            };
            desired("alice", &spec(json), false).is_ok()
        };
        for (field, groups) in table.as_object().unwrap() {
            for (group, texts) in groups.as_object().unwrap() {
                for text in texts.as_array().unwrap() {
                    let valid = is_valid(field, text);
                    assert_eq!(valid, group == "accepted", "{field} {group}: {text}");
                }
            }
        }
    }

    /// The same cases are applied to a real API server in `tests/operator/manifests.rs`.
    #[test]
    fn expected_email_follows_the_rule_of_the_schema() {
        let spec = |email: &str| spec(serde_json::json!({"role": "user", "expectEmail": email}));
        let long = |name: usize| format!("{}@b.c", "a".repeat(name));
        for good in ["a@b", "Alice@Example.com", "ä+x@b.c", &long(250)] {
            let pinned = desired("alice", &spec(good), false).unwrap();
            assert_eq!(pinned.expected_email, Some(EmailHash::of(good)));
        }
        let bad = [
            "",
            "ab",
            "a@",
            "@ab",
            "abc",
            "a@b@c",
            "a b@c.d",
            "a\u{a0}@c.d",
            "a@b.c\u{7}",
        ];
        for bad in bad.into_iter().chain([long(251).as_str()]) {
            let refused = desired("alice", &spec(bad), false);
            assert_eq!(
                refused,
                Err(InvalidSpec::ExpectEmail(NotAnEmail)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn observe_only_makes_every_object_observe() {
        let manage = spec(serde_json::json!({"role": "user"}));
        assert!(!desired("a", &manage, false).unwrap().observe);
        assert!(desired("a", &manage, true).unwrap().observe);
    }
}
