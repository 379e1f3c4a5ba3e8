//! Manifests of the users that an account has. What is written is proven: the plan of the manifests, read back, has no change.

mod files;
mod glob;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fireworks_api::text;
use fireworks_api::wire::{Role, State, User, UserId};
use fireworks_core::user::desired;
use fireworks_crd::FireworksUserSpec;
use serde_json::{Value, json};

use crate::plan::{Action, Plan};
use crate::schema::{API_VERSION, KIND};
use crate::snapshot::{Snapshot, holds_address};
pub use files::{CannotWrite, Folder};
pub use glob::matches;

/// The longest name that is taken from a user id, in characters. The rest of a longer name is a hash.
const STEM_MAX: usize = 100;

/// Which users are imported, and how.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only ids that match one of these patterns; all if there are none.
    pub only: Vec<String>,
    /// Only users with one of these roles; all if there are none.
    pub roles: Vec<String>,
    /// The manifests only observe.
    pub observe: bool,
    /// The namespace that the manifests name, if they are to name one.
    pub namespace: Option<String>,
}

/// The manifests of an account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Manifests {
    /// The files, by the name of the object.
    pub files: BTreeMap<String, String>,
    /// The users that have none, each with the cause.
    pub unmanaged: Vec<(String, String)>,
    /// The number of users that the selection leaves out.
    pub left_out: usize,
}

/// Returns the manifests of the users of the snapshot.
#[must_use]
pub fn manifests(snapshot: &Snapshot, selection: &Selection) -> Manifests {
    let mut manifests = Manifests::default();
    let mut folded: BTreeSet<UserId> = BTreeSet::new();
    for user in snapshot.users.values() {
        if !selection.selects(user) {
            manifests.left_out += 1;
            continue;
        }
        let is_first = folded.insert(user.id.folded());
        let declared = if is_first {
            declare(user, snapshot.hidden_names.contains(&user.id))
        } else {
            Err("another user has the same id in other letter case".to_owned())
        };
        match declared {
            Ok(declared) => {
                let name = free_name(user.id.as_str(), &manifests.files);
                let text = declared.text(&name, user.id.as_str(), selection);
                manifests.files.insert(name, text);
            }
            Err(why) => manifests.unmanaged.push((shown(user.id.as_str()), why)),
        }
    }
    manifests
}

impl Selection {
    fn selects(&self, user: &User) -> bool {
        let is_named = |pattern: &String| matches(pattern, user.id.as_str());
        let has_role = |role: &String| role == user.role.as_str();
        (self.only.is_empty() || self.only.iter().any(is_named))
            && (self.roles.is_empty() || self.roles.iter().any(has_role))
    }
}

/// What a manifest declares of a user, and what it leaves out.
struct Declares {
    fields: Vec<(&'static str, Value)>,
    remarks: Vec<String>,
}

/// Returns what the manifest of the user declares.
fn declare(user: &User, is_name_hidden: bool) -> Result<Declares, String> {
    if user.id.as_str().parse::<UserId>().is_err() {
        return Err("the id has characters that a manifest cannot have".to_owned());
    }
    if user.state == State::Deleting {
        return Err("Fireworks is deleting the user".to_owned());
    }
    let mut fields = vec![("role", json!(user.role.as_str()))];
    match (&user.role, user.permission_preset.as_deref()) {
        (Role::Other(role), _) if role.is_empty() => return Err("the user has no role".to_owned()),
        (Role::Other(role), _) => {
            return Err(format!("role {} is not known to this version", shown(role)));
        }
        (Role::Custom, None) => return Err("role custom without a permission preset".to_owned()),
        (Role::Custom, Some(preset)) => fields.push(("permissionPreset", json!(preset))),
        (_, _) => {}
    }
    if !is_valid(&fields) {
        return Err("its permission preset has characters that a manifest cannot have".to_owned());
    }
    let mut remarks = Vec::new();
    match user.display_name.as_deref() {
        None if is_name_hidden => remarks.push(HIDDEN.to_owned()),
        None => {}
        Some(name) if holds_address(name) => remarks.push(HIDDEN.to_owned()),
        Some(name) => {
            fields.push(("displayName", json!(name)));
            if !is_valid(&fields) {
                fields.pop();
                let why = "displayName is not managed: it is too long, or has characters that a manifest cannot have";
                remarks.push(why.to_owned());
            }
        }
    }
    if user.service_account {
        fields.push(("serviceAccount", json!(true)));
    }
    Ok(Declares { fields, remarks })
}

const HIDDEN: &str = "displayName is not managed: it contains an e-mail address";

/// Returns whether the operator could follow the spec. Its rules are those of the schema.
fn is_valid(fields: &[(&'static str, Value)]) -> bool {
    let spec: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let spec = serde_json::from_value::<FireworksUserSpec>(Value::Object(spec));
    spec.is_ok_and(|spec| desired::desired("name", &spec, false).is_ok())
}

impl Declares {
    /// Returns the file. Each text is quoted, so that none is taken for a number, a date or a boolean.
    fn text(&self, name: &str, id: &str, selection: &Selection) -> String {
        let mut lines: Vec<String> = self.remarks.iter().map(|why| format!("# {why}")).collect();
        lines.push(format!("apiVersion: {API_VERSION}"));
        lines.push(format!("kind: {KIND}"));
        lines.push("metadata:".to_owned());
        lines.push(format!("  name: {}", quoted(name)));
        if let Some(namespace) = &selection.namespace {
            lines.push(format!("  namespace: {}", quoted(namespace)));
        }
        lines.push("spec:".to_owned());
        if name != id {
            lines.push(format!("  userId: {}", quoted(id)));
        }
        for (field, value) in &self.fields {
            let value = value.as_str().map_or_else(|| value.to_string(), quoted);
            lines.push(format!("  {field}: {value}"));
        }
        if selection.observe {
            lines.push("  managementPolicy: Observe".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

/// Returns a name for the object: the id where it can be one, else what is left of it with a hash. It is the same for the same
/// id in every import.
fn free_name(id: &str, used: &BTreeMap<String, String>) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: char| is_plain(c) || c == '-';
    let is_name = id.starts_with(is_plain) && id.ends_with(is_plain) && id.chars().all(is_inner);
    if is_name && id.len() <= STEM_MAX && !used.contains_key(id) {
        return id.to_owned();
    }
    let stem: String = id.to_ascii_lowercase().chars().take(STEM_MAX).collect();
    let stem = stem.replace(|c| !is_inner(c), "-");
    let stem = Some(stem.trim_matches('-')).filter(|stem| !stem.is_empty());
    let stem = stem.unwrap_or("user");
    let hash = hash(id);
    let short = format!("{stem}-{:08x}", hash >> 32);
    if used.contains_key(&short) {
        format!("{stem}-{hash:016x}")
    } else {
        short
    }
}

/// The FNV-1a hash of a text: the same in every process and version.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Returns the text as YAML in double quotes. What is not surely visible is written by its number.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out + "\""
}

/// Returns what the plan of the imported manifests would do all the same; nothing where it does nothing.
#[must_use]
pub fn differences(plan: &Plan) -> Vec<String> {
    let is_quiet = |action: Action| match action {
        Action::InSync | Action::Wait => true,
        Action::Change
        | Action::Hold
        | Action::Conflict
        | Action::Invalid
        | Action::Unread
        | Action::Drift
        | Action::Absent
        | Action::Suspended
        | Action::Refused
        | Action::Deleted => false,
    };
    let loud = plan.items.iter().filter(|item| !is_quiet(item.action));
    loud.map(|item| format!("{}: {} {}", item.name, item.action.as_str(), item.message))
        .collect()
}

fn shown(text: &str) -> String {
    text::clean(text, text::MESSAGE_MAX)
}

#[cfg(test)]
mod tests;
