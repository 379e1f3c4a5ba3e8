//! A document as a tree: what JSON can hold, with the line of each key, and with keys that occur twice.

use serde_json::{Map, Number, Value};

/// One node of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A mapping. Keys are in their order in the text, and may occur more than once.
    Map(Vec<Member>),
}

/// One member of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The key.
    pub key: String,
    /// The line of the key in its file, from 1.
    pub line: usize,
    /// The value.
    pub value: Tree,
}

impl Tree {
    /// Returns the value of that key, of several the last one; nothing where this is no mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.member(key).map(|entry| &entry.value)
    }

    /// Returns the member of that key, of several the last one.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().rev().find(|entry| entry.key == key)
    }

    /// Returns the members of a mapping; none where this is no mapping.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Map(entries) => entries,
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List(_) => &[],
        }
    }

    /// Returns the text, where this is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::List(_)
            | Self::Map(_) => None,
        }
    }

    /// Returns the name of its type, as a schema has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }

    /// Returns it as JSON: of a key that occurs twice the last value, and no entries without a value. A field that is null is
    /// absent for the API server too.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::from(*value),
            Self::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Self::Text(value) => Value::String(value.clone()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                let values = entries
                    .iter()
                    .filter(|entry| entry.value != Self::Null)
                    .map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(values.collect::<Map<_, _>>())
            }
        }
    }
}

impl Tree {
    /// Adds to the line of each key.
    pub fn move_lines(&mut self, by: usize) {
        match self {
            Self::Map(entries) => {
                for entry in entries {
                    entry.line += by;
                    entry.value.move_lines(by);
                }
            }
            Self::List(items) => {
                for item in items {
                    item.move_lines(by);
                }
            }
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) => {}
        }
    }
}
