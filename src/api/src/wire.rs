//! What travels between us and the gateway: the ids, a user as last answered, a page of users, and
//! the body of an update. No HTTP here and no decisions; `wire/decode.rs` turns bytes into these.
//! E-mail addresses never get this far: of an e-mail only a keyed hash is kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::email::EmailHash;

pub mod decode;
pub mod letter_case;

/// The most characters an id may have that we are asked to use.
const ID_MAX: usize = 128;
/// The most bytes an id may have that the gateway shows us.
const REMOTE_ID_MAX: usize = 256;

/// Why a text is no id. The text itself is not repeated: it may well be an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("an id must not be empty")]
    Empty,
    /// The id is too long to be real.
    #[error("an id must have at most {ID_MAX} characters")]
    TooLong,
    /// The first character is not a letter or digit.
    #[error("an id must start with an ASCII letter or digit")]
    Start,
    /// Some character is not allowed.
    #[error("an id may hold only ASCII letters, digits and . _ ~ + -")]
    Character,
    /// The last character is a dot.
    #[error("an id must not end in a dot")]
    End,
    /// A resource name was given where the bare id belongs.
    #[error("give the NAME alone, not accounts/NAME")]
    ResourceName,
    /// The gateway showed an id that cannot be one segment of a path.
    #[error("the id cannot be part of a path")]
    NotASegment,
}

fn check_id(text: &str) -> Result<(), InvalidId> {
    let first = text.chars().next().ok_or(InvalidId::Empty)?;
    if text.starts_with("accounts/") {
        return Err(InvalidId::ResourceName);
    }
    if !first.is_ascii_alphanumeric() {
        return Err(InvalidId::Start);
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._~+-".contains(&b))
    {
        return Err(InvalidId::Character);
    }
    if text.len() > ID_MAX {
        return Err(InvalidId::TooLong);
    }
    if text.ends_with('.') {
        Err(InvalidId::End)
    } else {
        Ok(())
    }
}

/// The id of an account, without `accounts/`: one safe path segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The bare id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The resource name of one of the account's users: `accounts/{account}/users/{user}`.
    #[must_use]
    pub fn user_name(&self, user: &UserId) -> String {
        format!("accounts/{self}/users/{user}")
    }

    /// Whether that resource name is one of a user of this account.
    #[must_use]
    pub fn holds(&self, user_name: &str) -> bool {
        user_name
            .strip_prefix("accounts/")
            .and_then(|rest| rest.strip_prefix(self.as_str()))
            .is_some_and(|rest| rest.starts_with("/users/"))
    }
}

impl FromStr for AccountId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        check_id(text).map(|()| Self(text.into()))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a user within its account: one path segment. Cheap to clone.
///
/// `parse` admits what a manifest may ask for; [`UserId::from_remote`] is wider. An id of the
/// second sort may look like an e-mail address: clean it before it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

/// A user of one of several accounts: an id names a user only within its account. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserRef {
    /// Its account.
    pub account: AccountId,
    /// Its id within the account.
    pub user: UserId,
}

impl UserId {
    /// The bare id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id in lower case: ids that differ in case alone are one when claims are compared.
    #[must_use]
    pub fn folded(&self) -> Self {
        if self.0.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Self(self.0.to_ascii_lowercase().into())
        } else {
            self.clone()
        }
    }

    /// An id as the gateway shows it in a row.
    ///
    /// # Errors
    /// Text that is empty, longer than 256 bytes, `.` or `..`, or holds a slash or a control
    /// character.
    pub fn from_remote(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(InvalidId::Empty);
        }
        let segment =
            !matches!(text, "." | "..") && !text.contains(|c: char| c == '/' || c.is_control());
        if segment && text.len() <= REMOTE_ID_MAX {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::NotASegment)
        }
    }
}

impl FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        check_id(text).map(|()| Self(text.into()))
    }
}

impl TryFrom<Arc<str>> for UserId {
    type Error = InvalidId;

    /// As `parse`, without a copy of the text.
    fn try_from(text: Arc<str>) -> Result<Self, InvalidId> {
        check_id(&text).map(|()| Self(text))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a user may do in the account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything, also managing users.
    Admin,
    /// The ordinary member.
    User,
    /// A member who may not manage resources of others.
    Contributor,
    /// May only call models.
    InferenceUser,
    /// What the permission preset says.
    Custom,
    /// A role this version does not know; empty when the gateway gave none.
    Other(Box<str>),
}

impl Role {
    /// The gateway's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
            Self::Contributor => "contributor",
            Self::InferenceUser => "inference-user",
            Self::Custom => "custom",
            Self::Other(role) => role,
        }
    }
}

impl From<&str> for Role {
    fn from(text: &str) -> Self {
        match text {
            "admin" => Self::Admin,
            "user" => Self::User,
            "contributor" => Self::Contributor,
            "inference-user" => Self::InferenceUser,
            "custom" => Self::Custom,
            other => Self::Other(other.into()),
        }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where the gateway is with a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not said: absent, null, empty, or `STATE_UNSPECIFIED`.
    Unspecified,
    /// Being made.
    Creating,
    /// Settled.
    Ready,
    /// A change is under way.
    Updating,
    /// Going away.
    Deleting,
    /// A state this version does not know.
    Other(Box<str>),
}

impl State {
    /// The gateway's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unspecified => "STATE_UNSPECIFIED",
            Self::Creating => "CREATING",
            Self::Ready => "READY",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Other(state) => state,
        }
    }
}

impl From<&str> for State {
    fn from(text: &str) -> Self {
        match text {
            "" | "STATE_UNSPECIFIED" => Self::Unspecified,
            "CREATING" => Self::Creating,
            "READY" => Self::Ready,
            "UPDATING" => Self::Updating,
            "DELETING" => Self::Deleting,
            other => Self::Other(other.into()),
        }
    }
}

/// What the gateway says about a user's health: a `google.rpc.Status`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// The code's name, such as `OK` or `INTERNAL`; a code this version does not know survives.
    pub code: Box<str>,
    /// The gateway's words, already fit to be shown (see [`super::text::clean`]).
    pub message: Box<str>,
}

impl Status {
    /// Whether nothing is wrong: the code is absent or `OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(&*self.code, "" | "OK")
    }
}

/// A user as the gateway answered it. Absent, null and empty mean the same and are `None`.
///
/// Texts are the gateway's own, cut at 256 characters (more than any value a manifest can ask
/// for, so a cut never hides a difference). Clean them before they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// Its id within the account.
    pub id: UserId,
    /// What it may do.
    pub role: Role,
    /// The preset that governs a `custom` role.
    pub permission_preset: Option<Box<str>>,
    /// The name people see.
    pub display_name: Option<Box<str>>,
    /// A hash of its e-mail address, if one is set; the address itself is not kept.
    pub email: Option<EmailHash>,
    /// Whether a program, not a person, uses it.
    pub service_account: bool,
    /// Where the gateway is with it.
    pub state: State,
    /// What the gateway says about its health.
    pub status: Option<Status>,
    /// When it was made; `None` also when the text is no time.
    pub create_time: Option<jiff::Timestamp>,
    /// When it last changed; `None` also when the text is no time.
    pub update_time: Option<jiff::Timestamp>,
}

/// Where the next page starts: opaque, to be sent back as it came. At most 4 KiB.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PageToken(Box<str>);

impl PageToken {
    /// The token as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of an account's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows that could be read, in the gateway's order.
    pub users: Vec<User>,
    /// How many rows could not: nothing follows from them, not even absence.
    pub malformed: usize,
    /// Where the next page starts; `None` on the last.
    pub next: Option<PageToken>,
    /// How many users the account has, where the gateway says so.
    pub total: Option<u64>,
}

/// The body of an update. The gateway changes exactly the fields that are present: an absent one
/// is kept, a present empty one is cleared. The user is named by the path alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserPatch {
    /// Always sent: the gateway requires it.
    pub role: Role,
    /// `Some("")` clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_preset: Option<Box<str>>,
    /// `Some("")` clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    #[test]
    fn ids_we_are_asked_to_use_are_plain_path_segments() {
        for good in ["a", "Alice-2", "a.b_c~d+e", &"x".repeat(128)] {
            assert_eq!(good.parse::<UserId>().unwrap().as_str(), good);
            assert_eq!(good.parse::<AccountId>().unwrap().to_string(), good);
        }
        for (bad, why) in [
            ("", InvalidId::Empty),
            (".", InvalidId::Start),
            ("..", InvalidId::Start),
            ("-a", InvalidId::Start),
            ("ab.", InvalidId::End),
            ("a/b", InvalidId::Character),
            ("a%2fb", InvalidId::Character),
            ("a@b.c", InvalidId::Character),
            ("é", InvalidId::Start),
            ("a\n", InvalidId::Character),
            (&"x".repeat(129), InvalidId::TooLong),
            ("accounts/acme", InvalidId::ResourceName),
        ] {
            assert_eq!(bad.parse::<UserId>(), Err(why), "{bad:?}");
            assert_eq!(bad.parse::<AccountId>(), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn remote_ids_are_wider_but_still_one_segment() {
        for good in [
            "alice@example.com",
            "a b",
            "é",
            "-x",
            "...",
            "%2e%2e",
            &"x".repeat(256),
        ] {
            assert_eq!(UserId::from_remote(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a\u{0}", "a\nb", &"x".repeat(257)] {
            assert!(UserId::from_remote(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn name_of_a_user_contains_its_account() {
        let id: UserId = "alice".parse().unwrap();
        assert_eq!(
            "acme".parse::<AccountId>().unwrap().user_name(&id),
            "accounts/acme/users/alice"
        );
    }

    #[test]
    fn an_account_holds_the_names_of_its_own_users_and_of_no_account_with_a_similar_id() {
        let acme: AccountId = "acme".parse().unwrap();
        assert!(acme.holds("accounts/acme/users/alice"));
        for other in [
            "accounts/acme2/users/alice",
            "accounts/other/users/acme",
            "",
        ] {
            assert!(!acme.holds(other), "{other}");
        }
    }

    #[test]
    fn roles_and_states_survive_a_round_trip_known_or_not() {
        for role in [
            "admin",
            "user",
            "contributor",
            "inference-user",
            "custom",
            "owner",
            "",
            "Admin",
        ] {
            assert_eq!(Role::from(role).as_str(), role);
        }
        assert_eq!(Role::from("Admin"), Role::Other("Admin".into()));
        for state in [
            "STATE_UNSPECIFIED",
            "CREATING",
            "READY",
            "UPDATING",
            "DELETING",
            "FROZEN",
        ] {
            assert_eq!(State::from(state).as_str(), state);
        }
        assert_eq!(State::from(""), State::Unspecified);
        assert_eq!(State::from("FROZEN"), State::Other("FROZEN".into()));
    }

    #[test]
    fn a_patch_holds_the_role_and_only_the_fields_that_were_given() {
        let patch = |preset: Option<&str>, name: Option<&str>| {
            let patch = UserPatch {
                role: Role::InferenceUser,
                permission_preset: preset.map(Into::into),
                display_name: name.map(Into::into),
            };
            serde_json::to_string(&patch).unwrap()
        };
        assert_eq!(patch(None, None), r#"{"role":"inference-user"}"#);
        assert_eq!(
            patch(Some(""), None),
            r#"{"role":"inference-user","permissionPreset":""}"#
        );
        assert_eq!(
            patch(Some("agent"), Some("Al")),
            r#"{"role":"inference-user","permissionPreset":"agent","displayName":"Al"}"#
        );
    }
}
