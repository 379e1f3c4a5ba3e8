//! The body of a status write: a JSON merge patch of what differs. Works on JSON text, so that what stays as it is, which
//! is most of a status, is compared and never taken apart. Knows no field of a status but by its name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A status write, based on that version of the object.
#[derive(Serialize)]
pub struct Body<'a> {
    metadata: Metadata<'a>,
    status: Difference<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    resource_version: &'a str,
}

impl<'a> Body<'a> {
    /// That which turns the status `old` into `new`, both as JSON.
    ///
    /// # Errors
    /// One of the two is not JSON.
    pub fn new(resource_version: &'a str, old: &'a str, new: &'a str) -> serde_json::Result<Self> {
        Ok(Self {
            metadata: Metadata { resource_version },
            status: difference(old, new)?,
        })
    }
}

/// What differs between two objects: each field that is new or another one, and null for one that vanishes.
pub type Difference<'a> = BTreeMap<Name<'a>, Part<'a>>;

/// The name of a field.
#[derive(Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a field is to be.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Part<'a> {
    /// That value.
    Replace(&'a RawValue),
    /// The object it is, but for what differs.
    Merge(Difference<'a>),
    /// Gone.
    Remove(()),
}

/// The JSON merge patch that turns the object `old` into `new`.
///
/// # Errors
/// One of them is no JSON object.
pub fn difference<'a>(old: &'a str, new: &'a str) -> serde_json::Result<Difference<'a>> {
    let mut old: Fields<'a> = serde_json::from_str(old)?;
    let new: Fields<'a> = serde_json::from_str(new)?;
    let mut patch = Difference::new();
    for (name, value) in new {
        let part = match old.remove(&name) {
            Some(before) if before.get() == value.get() => continue,
            Some(before) if is_object(before) && is_object(value) => {
                Part::Merge(difference(before.get(), value.get())?)
            }
            _ => Part::Replace(value),
        };
        patch.insert(name, part);
    }
    patch.extend(old.into_keys().map(|name| (name, Part::Remove(()))));
    Ok(patch)
}

type Fields<'a> = BTreeMap<Name<'a>, &'a RawValue>;

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}
