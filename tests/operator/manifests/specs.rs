//! Specs that the API server refuses, each with the field and the words of its refusal, and specs that it accepts.

use std::fmt::Write;

pub const ROLES: &str =
    r#"supported values: "admin", "user", "contributor", "inference-user", "custom""#;
const POLICIES: &str = r#"supported values: "Manage", "Observe""#;
pub const PRESET_REQUIRED: &str =
    "Required value: permissionPreset is required when role is custom";
pub const PRESET_FORBIDDEN: &str = "Forbidden: permissionPreset is only allowed when role is custom: remove it, or set role to custom";
const USER_ID: &str = "userId must start with a letter or digit, hold only letters, digits and . _ ~ + -, and not end with a dot";
pub const FIXED: &str = "userId cannot be changed, set or removed after creation: delete this object and create another one";
const INVISIBLE: &str = "displayName must not contain control characters, bidirectional controls or invisible separators";
const EDGES: &str = "displayName must not begin or end with a space or a joiner";
const PRESET: &str =
    "permissionPreset must start with a letter or digit and hold only letters, digits and . _ -";
const EMAIL: &str =
    "expectEmail must hold one @ between other characters, and no spaces or control characters";
pub const TOO_LONG_NAME: &str = "metadata.name is the remote user id unless spec.userId is set, so it may have at most 128 characters";

/// A spec that is refused, the field that the refusal names, and what it contains about it.
pub type Refused = (&'static str, &'static str, &'static str);

pub const REFUSED: &[Refused] = &[
    // Role.
    ("{}", "spec.role", "Required value"),
    ("{role: null}", "spec.role", "Required value"),
    ("{role: Admin}", "spec.role", ROLES),
    ("{role: ''}", "spec.role", ROLES),
    ("{role: viewer}", "spec.role", ROLES),
    ("{role: inference_user}", "spec.role", ROLES),
    ("{role: 'user '}", "spec.role", ROLES),
    ("{role: 1}", "spec.role", "must be of type string"),
    ("{role: [user]}", "spec.role", "must be of type string"),
    // E-mail.
    ("{role: user, expectEmail: abc}", "spec.expectEmail", EMAIL),
    ("{role: user, expectEmail: ab@}", "spec.expectEmail", EMAIL),
    (
        "{role: user, expectEmail: '@ab'}",
        "spec.expectEmail",
        EMAIL,
    ),
    (
        "{role: user, expectEmail: a@b@c}",
        "spec.expectEmail",
        EMAIL,
    ),
    (
        "{role: user, expectEmail: a b@c.d}",
        "spec.expectEmail",
        EMAIL,
    ),
    (
        r#"{role: user, expectEmail: "a\u00a0@c.d"}"#,
        "spec.expectEmail",
        EMAIL,
    ),
    (
        r#"{role: user, expectEmail: "a@b.c\u0007"}"#,
        "spec.expectEmail",
        EMAIL,
    ),
    (
        "{role: user, expectEmail: ab}",
        "spec.expectEmail",
        "should be at least 3 chars long",
    ),
    (
        "{role: user, expectEmail: 5}",
        "spec.expectEmail",
        "must be of type string",
    ),
    // Preset: exactly with custom.
    ("{role: custom}", "spec.permissionPreset", PRESET_REQUIRED),
    (
        "{role: custom, permissionPreset: null}",
        "spec.permissionPreset",
        PRESET_REQUIRED,
    ),
    (
        "{role: custom, permissionPreset: ''}",
        "spec.permissionPreset",
        "should be at least 1 chars long",
    ),
    (
        "{role: admin, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: user, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: contributor, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: inference-user, permissionPreset: agent}",
        "spec.permissionPreset",
        PRESET_FORBIDDEN,
    ),
    (
        "{role: custom, permissionPreset: 7}",
        "spec.permissionPreset",
        "must be of type string",
    ),
    // User id.
    (
        "{role: user, userId: ''}",
        "spec.userId",
        "should be at least 1 chars long",
    ),
    ("{role: user, userId: .alice}", "spec.userId", USER_ID),
    ("{role: user, userId: -alice}", "spec.userId", USER_ID),
    ("{role: user, userId: _alice}", "spec.userId", USER_ID),
    ("{role: user, userId: '~alice'}", "spec.userId", USER_ID),
    ("{role: user, userId: alice.}", "spec.userId", USER_ID),
    ("{role: user, userId: ..}", "spec.userId", USER_ID),
    ("{role: user, userId: a..}", "spec.userId", USER_ID),
    ("{role: user, userId: a/b}", "spec.userId", USER_ID),
    ("{role: user, userId: a%2Fb}", "spec.userId", USER_ID),
    ("{role: user, userId: 'a?b'}", "spec.userId", USER_ID),
    ("{role: user, userId: 'a#b'}", "spec.userId", USER_ID),
    ("{role: user, userId: 'a b'}", "spec.userId", USER_ID),
    ("{role: user, userId: ' alice'}", "spec.userId", USER_ID),
    (r#"{role: user, userId: "alice\n"}"#, "spec.userId", USER_ID),
    (
        "{role: user, userId: alice@example.com}",
        "spec.userId",
        USER_ID,
    ),
    ("{role: user, userId: älice}", "spec.userId", USER_ID),
    (
        "{role: user, userId: accounts/acme/users/alice}",
        "spec.userId",
        USER_ID,
    ),
    (
        "{role: user, userId: 7}",
        "spec.userId",
        "must be of type string",
    ),
    // Display name.
    (
        "{role: user, displayName: ''}",
        "spec.displayName",
        "should be at least 1 chars long",
    ),
    // Policy and suspend.
    (
        "{role: user, managementPolicy: observe}",
        "spec.managementPolicy",
        POLICIES,
    ),
    (
        "{role: user, managementPolicy: ''}",
        "spec.managementPolicy",
        POLICIES,
    ),
    (
        "{role: user, managementPolicy: Create}",
        "spec.managementPolicy",
        POLICIES,
    ),
    (
        "{role: user, suspend: 'yes'}",
        "spec.suspend",
        "must be of type boolean",
    ),
    // What is not in the schema: a slip of the pen must not pass for a setting.
    (
        "{role: user, displayname: Al}",
        "spec.displayname",
        "unknown field",
    ),
    (
        "{role: user, email: al@example.com}",
        "spec.email",
        "unknown field",
    ),
    (
        "{role: user, serviceAccount: 'yes'}",
        "spec.serviceAccount",
        "must be of type boolean",
    ),
    (
        "{role: custom, preset: agent}",
        "spec.preset",
        "unknown field",
    ),
    ("null", "spec", "Required value"),
    ("[]", "spec", "must be of type object"),
];

pub const TAKEN: &[&str] = &[
    "{role: user, serviceAccount: true}",
    "{role: user, serviceAccount: false}",
    "{role: admin}",
    "{role: user}",
    "{role: contributor}",
    "{role: inference-user}",
    "{role: custom, permissionPreset: agent}",
    "{role: user, permissionPreset: null, userId: null, displayName: null, suspend: null, managementPolicy: null}",
    "{role: user, expectEmail: null}",
    "{role: user, expectEmail: a@b}",
    "{role: admin, expectEmail: Alice.L+x@Mail.example.com}",
    "{role: user, expectEmail: 'ä@b.c'}",
    "{role: user, userId: a}",
    "{role: user, userId: '7'}",
    "{role: user, userId: Alice.L_x~y+z-}",
    "{role: user, userId: a..b}",
    "{role: user, managementPolicy: Manage, suspend: false}",
    "{role: user, managementPolicy: Observe, suspend: true}",
];

/// Returns the text in quotes, with an escape for each character that is no plain letter.
fn escaped(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            out.push(letter);
        } else {
            write!(out, "\\U{:08x}", u32::from(letter)).unwrap();
        }
    }
    out + "\""
}

/// Returns the specs of the table of free text: the field, the spec, and the words of the refusal where there is one.
pub fn free_texts() -> Vec<(String, String, Option<&'static str>)> {
    let table = include_str!("../../free_text.json");
    let table: serde_json::Value = serde_json::from_str(table).unwrap();
    let mut cases = Vec::new();
    for (field, groups) in table.as_object().unwrap() {
        for (group, texts) in groups.as_object().unwrap() {
            let refusal = match (field.as_str(), group.as_str()) {
                (_, "accepted") => None,
                ("displayName", "invisible") => Some(INVISIBLE),
                ("displayName", _) => Some(EDGES),
                _ => Some(PRESET),
            };
            for text in texts.as_array().unwrap() {
                let role = if field == "displayName" {
                    "user"
                } else {
                    "custom"
                };
                // YAML allows no control characters but as escapes, also those that JSON allows.
                let text = escaped(text.as_str().unwrap());
                let spec = format!("{{role: {role}, {field}: {text}}}");
                cases.push((format!("spec.{field}"), spec, refusal));
            }
        }
    }
    cases
}
