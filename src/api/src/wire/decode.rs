//! Turns the gateway's JSON into users, pages and error bodies, tolerating what protobuf JSON may do: absent, null and zero mean
//! the same, unknown fields and values appear, names come in either case style. The rows of a page are decoded one by one, so that
//! a broken one hides no other. Pure; memory is bounded by the input, since unknown fields are skipped unread.
//! A [`Flaw`] says in our own words why an answer is unusable; it never quotes the answer.

mod account;
mod email;
mod mend;
mod refusal;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{AccountId, Page, PageToken, Role, State, Status, User, UserId};
use crate::error::Code;
use crate::text;
pub use account::suspend_state;
use mend::{UNREADABLE, mended};
pub use refusal::{error_body, plain_words};

/// Why an answer cannot be used.
pub type Flaw = &'static str;

const NOT_JSON: Flaw = "the response is not the expected JSON";
const ERROR_BODY: Flaw = "a success status with an error body";
const WRONG_TYPE: Flaw = "a field of the user has the wrong type";
const UNREADABLE_FIELD: Flaw = "a field of the user holds bytes that are no text";

/// The most characters kept of one text: more than any value a manifest can ask for.
const TEXT_MAX: usize = 256;
/// The longest page token we are willing to send back, in bytes.
const TOKEN_MAX: usize = 4096;
/// The largest object that is mended, in bytes: far more than a page takes. To mend takes memory.
const MENDED_MAX: usize = 1024 * 1024;
/// The states of a user in the order of the API's enum: protobuf JSON may carry the number in place of the name.
const STATES: [&str; 5] = [
    "STATE_UNSPECIFIED",
    "CREATING",
    "READY",
    "UPDATING",
    "DELETING",
];
/// The gateway promises at most 200 rows a page.
const ROWS_MAX: usize = 1000;

/// The user in `body`, which must belong to `account`.
///
/// # Errors
/// Why the answer cannot be used.
pub fn user(body: &[u8], account: &AccountId) -> Result<User, Flaw> {
    match parse::<RawUser>(body) {
        Some(raw) if raw.error.is_stated(raw.name.is_absent()) => Err(ERROR_BODY),
        Some(raw) => raw.into_user(account),
        None => Err(NOT_JSON),
    }
}

/// The page in `body`; rows that are no user of `account` are counted, not returned.
///
/// # Errors
/// Why the answer cannot be used.
pub fn page(body: &[u8], account: &AccountId) -> Result<Page, Flaw> {
    let raw = parse::<RawPage>(body).ok_or(NOT_JSON)?;
    if raw.error.is_stated(raw.rows.is_none()) {
        return Err(ERROR_BODY);
    }
    let next = match raw.next {
        Loose::Absent => None,
        Loose::Text(token) if token.len() <= TOKEN_MAX && is_readable(&token) => {
            Some(PageToken(token))
        }
        _ => return Err("the page token cannot be used"),
    };
    let total = match raw.total {
        Loose::Number(total) => u64::try_from(total).ok(),
        // protobuf JSON writes 64-bit numbers as text.
        Loose::Text(total) => total.parse().ok(),
        _ => None,
    };
    let Rows {
        rows,
        mut malformed,
    } = raw.rows.unwrap_or_default();
    let mut users = Vec::with_capacity(rows.len());
    for row in rows {
        match row.into_user(account) {
            Ok(user) => users.push(user),
            Err(_) => malformed += 1,
        }
    }
    Ok(Page {
        users,
        malformed,
        next,
        total: total.filter(|total| *total > 0),
    })
}

/// Returns the object that `body` is, mended where it is no JSON as it stands.
fn parse<T: Fields>(body: &[u8]) -> Option<T> {
    let mut object = serde_json::from_slice(body);
    if object.is_err() && body.len() <= MENDED_MAX && body.trim_ascii_start().starts_with(b"{") {
        object = serde_json::from_str(&mended(body));
    }
    match object {
        Ok(Loose::Map(object)) => Some(object),
        Ok(_) | Err(_) => None,
    }
}

/// Whether all of a text could be read, which no name of the API spoils with control characters. What is unreadable is
/// good enough to be shown, and nothing to decide by.
fn is_readable(text: &str) -> bool {
    !text.contains(|one: char| one == UNREADABLE || one.is_control())
}

/// Any JSON value: what can be of use is kept, the rest is skipped without being stored.
/// Null, `""`, `0` and `false` are all `Absent`.
#[derive(Default)]
enum Loose<T> {
    #[default]
    Absent,
    Text(Box<str>),
    Number(i64),
    True,
    Map(T),
    Unusable,
}

/// A value that is never an object of interest.
type Scalar = Loose<Nothing>;

impl<T> Loose<T> {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns the `google.rpc` code that the value is the number or the name of. OK, which is zero, is absent.
    fn to_code(&self) -> Option<Code> {
        match self {
            Self::Number(number) => Code::from_number(*number),
            Self::Text(name) => Code::from_name(name),
            _ => None,
        }
    }

    /// Whether the value states an error.
    fn is_error_code(&self) -> bool {
        self.to_code().is_some_and(|code| code != Code::Ok)
    }
}

/// An object read field by field; unlike a derived one it forgives a repeated key.
trait Fields: Default {
    /// Consumes the value of `key`.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    /// Consumes a list that stands in place of the object; `None` where that is of no use.
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de, T: Fields> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<T>(PhantomData<T>);

impl<'de, T: Fields> Visitor<'de> for LooseVisitor<T> {
    type Value = Loose<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(if value { Loose::True } else { Loose::Absent })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(if value == 0 {
            Loose::Absent
        } else {
            Loose::Number(value)
        })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(value) {
            Ok(0) => Loose::Absent,
            Ok(value) => Loose::Number(value),
            Err(_) => Loose::Unusable,
        })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Loose::Unusable)
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(if value.is_empty() {
            Loose::Absent
        } else {
            Loose::Text(value.into())
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(T::list(list)?.map_or(Loose::Unusable, Loose::Map))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut fields, mut readable) = (T::default(), true);
        while let Some(key) = map.next_key::<Box<str>>()? {
            // What it names would count as absent: no rows, no token, no role.
            readable &= is_readable(&key);
            fields.take(&key, &mut map)?;
        }
        Ok(if readable {
            Loose::Map(fields)
        } else {
            Loose::Unusable
        })
    }
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

#[derive(Default)]
struct Nothing;

impl Fields for Nothing {
    fn take<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        skip(map)
    }
}

/// Declares an object by its fields and the keys of each. Other keys are skipped, or are those of the field `rest`.
macro_rules! object {
    ($type:ident {
        $($field:ident: $kind:ty = $($key:literal)|+,)+
    } $(rest $rest:ident: $rest_kind:ty)?) => {
        #[derive(Default)]
        struct $type {
            $($field: $kind,)+
            $($rest: $rest_kind,)?
        }

        impl Fields for $type {
            fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $($($key)|+ => self.$field = map.next_value()?,)+
                    $(_ => self.$rest.take(key, map)?,)?
                    #[allow(unreachable_patterns, reason = "where there is no rest")]
                    _ => skip(map)?,
                }
                Ok(())
            }
        }
    };
}
use object;

object! {
    RawStatus {
        code: Scalar = "code",
        message: Scalar = "message",
    }
}

impl RawStatus {
    fn into_status(self) -> Result<Option<Status>, Flaw> {
        let code: Box<str> = match self.code {
            Loose::Absent => "".into(),
            Loose::Text(code) if !is_readable(&code) => return Err(UNREADABLE_FIELD),
            Loose::Text(code) => cut(code),
            Loose::Number(number) => Code::from_number(number)
                .map_or_else(|| number.to_string(), |code| code.name().into())
                .into(),
            _ => return Err(WRONG_TYPE),
        };
        let message: Box<str> = match self.message {
            Loose::Text(message) => text::clean(&message, text::MESSAGE_MAX).into(),
            _ => Box::default(),
        };
        Ok((!code.is_empty() || !message.is_empty()).then_some(Status { code, message }))
    }
}

/// What of an error body stands in an answer that should be none.
#[derive(Clone, Copy, Default)]
struct ErrorMarks {
    /// An object with a code or message under `error`, or a code that is an error.
    certain: bool,
    /// A value under `code`, `message` or `error`; a later version of the API may have such a field, too.
    possible: bool,
}

impl ErrorMarks {
    /// Whether this is an error body. One that holds nothing of what was asked for needs less evidence.
    fn is_stated(self, is_empty: bool) -> bool {
        self.certain || (self.possible && is_empty)
    }
}

impl Fields for ErrorMarks {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if !matches!(key, "code" | "message" | "error") {
            return skip(map);
        }
        let value: Loose<RawStatus> = map.next_value()?;
        self.possible |= !value.is_absent();
        self.certain |= match (key, &value) {
            ("error", Loose::Map(error)) => !error.code.is_absent() || !error.message.is_absent(),
            ("code", code) => code.is_error_code(),
            _ => false,
        };
        Ok(())
    }
}

#[derive(Default)]
struct RawUser {
    name: Scalar,
    role: Scalar,
    permission_preset: Scalar,
    display_name: Scalar,
    email: Option<crate::email::EmailHash>,
    service_account: bool,
    state: Scalar,
    status: Loose<RawStatus>,
    create_time: Scalar,
    update_time: Scalar,
    error: ErrorMarks,
}

impl Fields for RawUser {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = map.next_value()?,
            "role" => self.role = map.next_value()?,
            "permissionPreset" | "permission_preset" => {
                self.permission_preset = map.next_value()?;
            }
            "displayName" | "display_name" => self.display_name = map.next_value()?,
            "email" => self.email = email::hash(&map.next_value()?),
            "serviceAccount" | "service_account" => {
                self.service_account = matches!(map.next_value::<Scalar>()?, Loose::True);
            }
            "state" => self.state = map.next_value()?,
            "status" => self.status = map.next_value()?,
            "createTime" | "create_time" => self.create_time = map.next_value()?,
            "updateTime" | "update_time" => self.update_time = map.next_value()?,
            _ => self.error.take(key, map)?,
        }
        Ok(())
    }
}

impl RawUser {
    /// A wrong type is a flaw only in a field that something is decided by.
    fn into_user(self, account: &AccountId) -> Result<User, Flaw> {
        let Loose::Text(name) = self.name else {
            return Err("the user has no name");
        };
        Ok(User {
            id: user_id(&name, account)?,
            role: Role::from(&*readable_text(self.role)?.unwrap_or_default()),
            permission_preset: readable_text(self.permission_preset)?,
            display_name: optional_text(self.display_name)?,
            email: self.email,
            service_account: self.service_account,
            state: match self.state {
                Loose::Number(number) => State::from(&*enum_name(&STATES, number)),
                state => State::from(&*readable_text(state)?.unwrap_or_default()),
            },
            status: match self.status {
                Loose::Absent => None,
                Loose::Map(status) => status.into_status()?,
                _ => return Err(WRONG_TYPE),
            },
            create_time: time(self.create_time),
            update_time: time(self.update_time),
        })
    }
}

object! {
    RawPage {
        rows: Option<Rows> = "users",
        next: Scalar = "nextPageToken" | "next_page_token",
        total: Scalar = "totalSize" | "total_size",
    }
    rest error: ErrorMarks
}

#[derive(Default)]
struct Rows {
    rows: Vec<RawUser>,
    malformed: usize,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor;
        impl<'de> Visitor<'de> for RowsVisitor {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of users")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows, A::Error> {
                let mut found = Rows::default();
                while let Some(row) = seq.next_element::<&RawValue>()? {
                    match parse(row.get().as_bytes()) {
                        Some(row) => found.rows.push(row),
                        None => found.malformed += 1,
                    }
                    // Small rows can take a hundred times their size on the wire.
                    if found.rows.len() + found.malformed > ROWS_MAX {
                        return Err(A::Error::custom("more rows than a page can hold"));
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_seq(RowsVisitor)
    }
}

fn user_id(name: &str, account: &AccountId) -> Result<UserId, Flaw> {
    let id = name
        .strip_prefix("accounts/")
        .and_then(|rest| rest.strip_prefix(account.as_str()))
        .and_then(|rest| rest.strip_prefix("/users/"))
        .ok_or("the response is about another account")?;
    let id = UserId::from_remote(id).ok();
    // Part of an id is another user's id.
    id.filter(|id| is_readable(id.as_str()))
        .ok_or("the user's id cannot be used")
}

fn readable_text(value: Scalar) -> Result<Option<Box<str>>, Flaw> {
    let text = optional_text(value)?;
    if text.as_deref().is_none_or(is_readable) {
        Ok(text)
    } else {
        Err(UNREADABLE_FIELD)
    }
}

fn optional_text(value: Scalar) -> Result<Option<Box<str>>, Flaw> {
    match value {
        Loose::Absent => Ok(None),
        Loose::Text(text) => Ok(Some(cut(text))),
        _ => Err(WRONG_TYPE),
    }
}

/// Returns the name that the number stands for in an enum of these names; an unknown number as it is.
fn enum_name(names: &[&'static str], number: i64) -> Cow<'static, str> {
    let name = usize::try_from(number).ok();
    match name.and_then(|index| names.get(index)) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

fn cut(text: Box<str>) -> Box<str> {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => text[..end].into(),
        None => text,
    }
}

fn time(value: Scalar) -> Option<jiff::Timestamp> {
    match value {
        Loose::Text(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
