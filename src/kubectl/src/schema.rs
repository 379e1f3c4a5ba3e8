//! The schema of the custom resource, applied to a manifest as the API server applies it to a new object: unknown and
//! repeated fields, types, values, lengths, required fields, and the CEL rules.

mod rules;

use std::collections::HashMap;

use fireworks_crd::DEFINITION;
use serde_json::Value;

use crate::input::tree::Tree;
use crate::input::yaml;
use rules::Rules;

/// The version that is served.
pub const API_VERSION: &str = "iam.fireworks.ai/v1alpha1";
/// The kind.
pub const KIND: &str = "FireworksUser";

/// The longest name of an object.
const NAME_MAX: usize = 253;
/// The fields of an object beside those of its schema.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];
/// The fields of `metadata`.
const OF_METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The embedded definition cannot be used: a mistake of the build.
#[derive(Debug, thiserror::Error)]
#[error("the built-in definition of FireworksUser cannot be used: {0}")]
pub struct Unusable(String);

/// What is wrong with a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flaw {
    /// The path of the field.
    pub field: String,
    /// What is wrong. No value is repeated.
    pub message: String,
    /// The rules are not evaluated: the API server does not go on to them either.
    is_blocking: bool,
}

/// The schema.
pub struct Schema {
    root: Value,
    rules: Rules,
}

impl Schema {
    /// Returns the schema that is built in.
    ///
    /// # Errors
    /// [`Unusable`] where it does not decode or a rule does not compile; a test shows that it does not happen.
    pub fn built_in() -> Result<Self, Unusable> {
        let (documents, broken) = yaml::load(DEFINITION);
        let definition = documents.first().filter(|_| broken.is_none());
        let definition = definition.ok_or_else(|| Unusable("it is not YAML".to_owned()))?;
        let mut definition = definition.to_json();
        let root = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema");
        let root = root.map(Value::take);
        let root = root.ok_or_else(|| Unusable("it has no schema".to_owned()))?;
        let rules = Rules::of(&root).map_err(Unusable)?;
        Ok(Self { root, rules })
    }

    /// Returns what is wrong with the object; nothing where the API server would accept it.
    #[must_use]
    pub fn check(&self, object: &Tree) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        identity(object, &mut flaws);
        metadata(object, &mut flaws);
        repeated(object, "", &mut flaws);
        unknown(&self.root, object, "", &mut flaws);
        value(&self.root, object, "", &mut flaws);
        if !flaws.iter().any(|flaw| flaw.is_blocking) {
            self.rules.check(&self.root, object, &mut flaws);
        }
        flaws
    }
}

impl Flaw {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            is_blocking: false,
        }
    }

    fn blocking(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            is_blocking: true,
            ..Self::new(field, message)
        }
    }
}

/// Checks `apiVersion` and `kind`: a slip of the pen must not pass for an object of another kind.
fn identity(object: &Tree, flaws: &mut Vec<Flaw>) {
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        if object.get(field).and_then(Tree::text) != Some(expected) {
            flaws.push(Flaw::new(field, format!("must be {expected}")));
        }
    }
}

/// Checks the name. The rest of metadata is the API server's to check.
fn metadata(object: &Tree, flaws: &mut Vec<Flaw>) {
    let metadata = object.get("metadata").unwrap_or(&Tree::Null);
    if !matches!(metadata, Tree::Map(_) | Tree::Null) {
        let message = wrong_type("object", metadata);
        return flaws.push(Flaw::blocking("metadata", message));
    }
    for entry in metadata.members() {
        if !OF_METADATA.contains(&entry.key.as_str()) {
            let field = format!("metadata.{}", shown(&entry.key));
            flaws.push(Flaw::new(field, "unknown field"));
        }
    }
    let is_given = |field: &str| {
        !matches!(metadata.get(field), None | Some(Tree::Null))
            && metadata.get(field).and_then(Tree::text) != Some("")
    };
    for field in ["name", "generateName"] {
        let path = format!("metadata.{field}");
        match metadata.get(field) {
            None | Some(Tree::Null) => {}
            Some(Tree::Text(name)) if name.is_empty() => {}
            Some(Tree::Text(name)) => {
                // What follows a prefix is made of letters and digits.
                let is_prefix = field == "generateName";
                let name = name.strip_suffix('-').filter(|_| is_prefix).unwrap_or(name);
                if !is_dns_subdomain(name) {
                    let message = "must have at most 253 lower-case letters, digits, - and ., and begin and end with a \
                                   letter or digit, as must each part between two dots";
                    flaws.push(Flaw::new(path, message));
                    // The API server has made the name of the prefix by then.
                    if is_prefix && !is_given("name") {
                        flaws.push(Flaw::new("metadata.name", message));
                    }
                }
            }
            Some(other) => flaws.push(Flaw::blocking(path, wrong_type("string", other))),
        }
    }
    if !is_given("name") && !is_given("generateName") {
        flaws.push(Flaw::blocking("metadata.name", "required"));
    }
}

fn is_dns_subdomain(name: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(is_alphanumeric)
            && bytes.last().is_some_and(is_alphanumeric)
            && bytes
                .iter()
                .all(|byte| is_alphanumeric(byte) || *byte == b'-')
    };
    name.len() <= NAME_MAX && name.split('.').all(is_label)
}

/// Finds the keys that occur twice, wherever they are.
fn repeated(tree: &Tree, path: &str, flaws: &mut Vec<Flaw>) {
    let mut occurred: HashMap<&str, usize> = HashMap::new();
    for member in tree.members() {
        let path = joined(path, &member.key);
        let times = occurred.entry(&member.key).or_default();
        *times += 1;
        if *times == 2 {
            flaws.push(Flaw::new(path.clone(), "occurs more than once"));
        }
        repeated(&member.value, &path, flaws);
    }
    if let Tree::List(items) = tree {
        for (number, item) in items.iter().enumerate() {
            repeated(item, &format!("{path}[{number}]"), flaws);
        }
    }
}

/// Finds the fields that the schema does not have.
fn unknown(schema: &Value, tree: &Tree, path: &str, flaws: &mut Vec<Flaw>) {
    for member in tree.members() {
        let field = joined(path, &member.key);
        let is_of_every_object = OF_EVERY_OBJECT.contains(&member.key.as_str());
        match schema["properties"].get(&member.key) {
            Some(schema) => unknown(schema, &member.value, &field, flaws),
            None if path.is_empty() && is_of_every_object => {}
            None => flaws.push(Flaw::new(field, "unknown field")),
        }
    }
    if let Tree::List(items) = tree {
        for (number, item) in items.iter().enumerate() {
            unknown(&schema["items"], item, &format!("{path}[{number}]"), flaws);
        }
    }
}

/// Checks a value that is not null, and what is in it. Of a new object the API server drops the status.
fn value(schema: &Value, tree: &Tree, path: &str, flaws: &mut Vec<Flaw>) {
    let expected = schema["type"].as_str().unwrap_or_default();
    let is_of_type = match expected {
        "number" => matches!(tree, Tree::Int(_) | Tree::Float(_)),
        expected => tree.kind() == expected,
    };
    if !is_of_type {
        return flaws.push(Flaw::blocking(path, wrong_type(expected, tree)));
    }
    if let Some(text) = tree.text() {
        check_text(schema, text, path, flaws);
    }
    if let Tree::List(items) = tree {
        for (number, item) in items.iter().enumerate() {
            value(&schema["items"], item, &format!("{path}[{number}]"), flaws);
        }
    }
    let required = schema["required"].as_array();
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (name, schema) in properties {
        if path.is_empty() && name == "status" {
            continue;
        }
        let field = joined(path, name);
        match tree.get(name) {
            Some(Tree::Null) if schema["nullable"] == true => {}
            // A null that the schema does not allow counts as absent.
            None | Some(Tree::Null) => {
                let is_required = required.is_some_and(|all| all.iter().any(|one| one == name));
                if is_required {
                    flaws.push(Flaw::blocking(field, "required"));
                }
            }
            Some(tree) => value(schema, tree, &field, flaws),
        }
    }
}

fn check_text(schema: &Value, text: &str, path: &str, flaws: &mut Vec<Flaw>) {
    if let Some(values) = schema["enum"].as_array()
        && !values.iter().any(|one| one == text)
    {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
        let message = format!("must be one of {}", values.join(", "));
        flaws.push(Flaw::blocking(path, message));
    }
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
        flaws.push(Flaw::new(
            path,
            format!("must have at least {least} characters"),
        ));
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        flaws.push(Flaw::blocking(
            path,
            format!("must have at most {most} characters"),
        ));
    }
}

fn wrong_type(expected: &str, tree: &Tree) -> String {
    format!("must be of type {expected}, not {}", tree.kind())
}

/// Returns the path of a field of that name. A name that is no plain word may be anything: it is cleaned.
fn joined(path: &str, name: &str) -> String {
    let name = shown(name);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

fn shown(name: &str) -> String {
    fireworks_api::text::clean(name, 64)
}

/// Returns the line of the field of that path, or of the deepest one above it that is there.
#[must_use]
pub fn position_of(object: &Tree, path: &str) -> Option<usize> {
    let (mut tree, mut line) = (object, None);
    for part in path.split('.') {
        let (name, index) = part.split_once('[').map_or((part, None), |(name, rest)| {
            (name, rest.trim_end_matches(']').parse::<usize>().ok())
        });
        let Some(entry) = tree.member(name) else {
            break;
        };
        (tree, line) = (&entry.value, Some(entry.line));
        if let (Some(index), Tree::List(items)) = (index, tree) {
            match items.get(index) {
                Some(item) => tree = item,
                None => break,
            }
        }
    }
    line
}

#[cfg(test)]
mod tests;
