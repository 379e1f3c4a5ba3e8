//! The gateway's JSON, in and out: field names, read masks, a user as protobuf JSON, and the edit a request body asks
//! for. Pure; the rules that judge an edit live in `account`.

use serde_json::{Map, Value, json};

use crate::{
    answer::Refusal,
    settings::{Switches, UnsetStyle},
    user::User,
};

/// A field of the user message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the message's own")]
pub enum Field {
    Name,
    DisplayName,
    ServiceAccount,
    CreateTime,
    Role,
    Email,
    State,
    Status,
    UpdateTime,
    PermissionPreset,
}

impl Field {
    /// Every field, in the order of answers.
    pub const ALL: [Self; 10] = [
        Self::Name,
        Self::DisplayName,
        Self::ServiceAccount,
        Self::CreateTime,
        Self::Role,
        Self::Email,
        Self::State,
        Self::Status,
        Self::UpdateTime,
        Self::PermissionPreset,
    ];

    /// JSON name.
    #[must_use]
    pub fn json_name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::DisplayName => "displayName",
            Self::ServiceAccount => "serviceAccount",
            Self::CreateTime => "createTime",
            Self::Role => "role",
            Self::Email => "email",
            Self::State => "state",
            Self::Status => "status",
            Self::UpdateTime => "updateTime",
            Self::PermissionPreset => "permissionPreset",
        }
    }

    /// The field with this JSON or protobuf name: both spellings are accepted, as protobuf JSON prescribes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| {
            let json = field.json_name();
            name == json || name == snake_case(json)
        })
    }
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 2);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Which fields an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadMask(Option<Vec<Field>>);

impl ReadMask {
    /// Every field.
    pub const ALL: Self = Self(None);

    /// Reads a comma-separated list; empty or `*` is every field.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a field that does not exist.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text == "*" {
            return Ok(Self::ALL);
        }
        let fields = text
            .split(',')
            .map(|name| {
                Field::parse(name.trim()).ok_or_else(|| {
                    Refusal::invalid(format!("invalid read_mask: unknown field {name:?}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Some(fields)))
    }

    fn shows(&self, field: Field) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.contains(&field))
    }
}

/// The user as protobuf JSON.
#[must_use]
pub fn render(user: &User, account_id: &str, mask: &ReadMask, switches: &Switches) -> Value {
    let mut object = Map::new();
    for field in Field::ALL.into_iter().filter(|field| mask.shows(*field)) {
        let set = match field {
            Field::Name => Some(json!(resource_name(account_id, &user.id))),
            Field::DisplayName => text(&user.display_name),
            Field::ServiceAccount => user.service_account.then_some(Value::Bool(true)),
            Field::CreateTime => user.create_time.map(|time| json!(time.to_string())),
            Field::Role => text(&user.role),
            Field::Email if switches.no_email => None,
            Field::Email => text(&user.email),
            Field::State => text(&user.state),
            Field::Status => user
                .status
                .as_ref()
                .map(|status| json!({"code": status.code, "message": status.message})),
            Field::UpdateTime if switches.no_update_time => None,
            Field::UpdateTime => user.update_time.map(|time| json!(time.to_string())),
            Field::PermissionPreset => text(&user.permission_preset),
        };
        let zero = match field {
            Field::ServiceAccount => json!(false),
            Field::State => json!("STATE_UNSPECIFIED"),
            Field::Status | Field::CreateTime | Field::UpdateTime => Value::Null,
            _ => json!(""),
        };
        show(
            &mut object,
            field.json_name(),
            set,
            zero,
            switches.unset_style,
        );
    }
    if switches.extra_fields {
        object.insert("futureField".into(), json!({"nested": [1, null, "two"]}));
    }
    Value::Object(object)
}

/// The full resource name of a user.
#[must_use]
pub fn resource_name(account_id: &str, user_id: &str) -> String {
    format!("accounts/{account_id}/users/{user_id}")
}

fn text(value: &str) -> Option<Value> {
    (!value.is_empty()).then(|| json!(value))
}

/// Puts a field into an answer in the style chosen for unset ones.
pub(crate) fn show(
    object: &mut Map<String, Value>,
    name: &str,
    set: Option<Value>,
    zero: Value,
    style: UnsetStyle,
) {
    let value = match (set, style) {
        (Some(value), _) => value,
        (None, UnsetStyle::Absent) => return,
        (None, UnsetStyle::Zero) => zero,
        (None, UnsetStyle::Null) => Value::Null,
    };
    object.insert(name.into(), value);
}

/// What a request body asks to set: `None` where the body has no such key, an empty value where it clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the message's own")]
pub struct Edit {
    pub display_name: Option<String>,
    pub service_account: Option<bool>,
    pub role: Option<String>,
    pub email: Option<String>,
    pub permission_preset: Option<String>,
}

impl Edit {
    /// Reads a body. The mask is its keys; fields that only the gateway sets are ignored.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for anything but a JSON object, an unknown key or a value of the wrong type.
    pub fn parse(body: &[u8], switches: &Switches) -> Result<Self, Refusal> {
        let parsed: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::invalid(format!("proto: syntax error: {error}")))?;
        let Value::Object(object) = parsed else {
            return Err(Refusal::invalid("proto: syntax error: expected an object"));
        };
        let mut edit = Self::default();
        for (key, value) in &object {
            let field = Field::parse(key).ok_or_else(|| {
                Refusal::invalid(format!("could not find field {key:?} in \"User\""))
            })?;
            match field {
                Field::DisplayName => edit.display_name = Some(string(key, value)?),
                Field::ServiceAccount => edit.service_account = Some(boolean(key, value)?),
                Field::Role => edit.role = Some(string(key, value)?),
                Field::Email => edit.email = Some(string(key, value)?),
                Field::PermissionPreset => edit.permission_preset = Some(string(key, value)?),
                Field::Name if switches.reject_name_in_body => {
                    return Err(Refusal::invalid("field \"name\" cannot be updated"));
                }
                Field::Name
                | Field::CreateTime
                | Field::UpdateTime
                | Field::State
                | Field::Status => {}
            }
        }
        Ok(edit)
    }
}

fn string(key: &str, value: &Value) -> Result<String, Refusal> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong_type("string", key, other)),
    }
}

fn boolean(key: &str, value: &Value) -> Result<bool, Refusal> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        other => Err(wrong_type("bool", key, other)),
    }
}

fn wrong_type(kind: &str, key: &str, value: &Value) -> Refusal {
    Refusal::invalid(format!(
        "proto: invalid value for {kind} field {key}: {value}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn styled(unset_style: UnsetStyle) -> Value {
        let switches = Switches {
            unset_style,
            ..Switches::default()
        };
        render(
            &User::new("alice", "user"),
            "acme",
            &ReadMask::ALL,
            &switches,
        )
    }

    #[test]
    fn unset_fields_are_shown_in_three_styles() {
        let absent = styled(UnsetStyle::Absent);
        assert_eq!(absent.get("displayName"), None);
        assert_eq!(absent["name"], "accounts/acme/users/alice");
        let zero = styled(UnsetStyle::Zero);
        assert_eq!(zero["displayName"], "");
        assert_eq!(zero["serviceAccount"], false);
        assert_eq!(zero["createTime"], Value::Null);
        let null = styled(UnsetStyle::Null);
        assert_eq!(null.get("permissionPreset"), Some(&Value::Null));
        assert_eq!(null.get("serviceAccount"), Some(&Value::Null));
    }

    #[test]
    fn both_spellings_of_a_key_enter_the_mask() {
        let edit = Edit::parse(
            br#"{"role":"user","display_name":"A","permissionPreset":null}"#,
            &Switches::default(),
        )
        .unwrap();
        assert_eq!(edit.display_name.as_deref(), Some("A"));
        assert_eq!(edit.permission_preset.as_deref(), Some(""));
        assert_eq!(edit.email, None);
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_and_read_only_fields_ignored() {
        let parse = |body: &[u8]| Edit::parse(body, &Switches::default());
        assert!(parse(br#"{"rolle":"user"}"#).is_err());
        assert!(parse(br#"{"role":["user"]}"#).is_err());
        assert!(parse(br#"{"serviceAccount":"yes"}"#).is_err());
        assert!(parse(b"[]").is_err());
        assert!(parse(b"").is_err());
        assert_eq!(
            parse(br#"{"state":"READY","updateTime":"x","name":"n"}"#),
            Ok(Edit::default())
        );
    }

    #[test]
    fn a_name_in_the_body_is_refused_with_the_switch() {
        let strict = Switches {
            reject_name_in_body: true,
            ..Switches::default()
        };
        assert!(Edit::parse(br#"{"role":"user","name":"n"}"#, &strict).is_err());
    }

    #[test]
    fn a_read_mask_shows_only_its_fields() {
        let mask = ReadMask::parse("name, display_name").unwrap();
        let user = User::new("alice", "user").display_name("Alice");
        let shown = render(&user, "acme", &mask, &Switches::default());
        assert_eq!(
            shown,
            json!({"name": "accounts/acme/users/alice", "displayName": "Alice"})
        );
        assert!(ReadMask::parse("name,shoeSize").is_err());
    }
}
