//! The metadata of an object as it is decoded: of `managedFields`, which are most of what travels, only who set what is
//! looked at; of the annotations a hash of our own; labels and owners are passed over. Nothing that is dropped is ever
//! put into memory.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;

use fireworks_api::text;
use fireworks_crd::{ACCEPT_CLAIM, ACCEPT_IDENTITY, RECONCILE_REQUESTED_AT, REPLACE_UNKNOWN_ROLE};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The part of metadata that is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pruned {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) generation: Option<i64>,
    pub(super) creation_timestamp: Option<Time>,
    pub(super) deletion_timestamp: Option<Time>,
    annotations: Option<Own>,
    managed_fields: Option<Vec<ManagedFields>>,
}

/// One entry of `managedFields`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedFields {
    manager: Option<String>,
    subresource: Option<String>,
    time: Option<Time>,
    fields_v1: Option<OfSpec>,
}

/// Whether a field of the spec is among the fields.
#[derive(Deserialize)]
struct OfSpec {
    #[serde(rename = "f:spec")]
    spec: Option<IgnoredAny>,
}

/// The values of our own annotations.
#[derive(Default)]
struct Own {
    /// A hash of it.
    requested_at: Option<u64>,
    replaces_role: Option<Box<str>>,
    accepts_claim: Option<Box<str>>,
    accepts_identity: Option<Timestamp>,
}

/// No name is longer, in bytes: remote texts are cut at 256 characters.
const NAME_MAX: usize = 4 * 256;
/// No time in RFC 3339 is longer, in bytes.
const TIME_MAX: usize = 64;

impl Pruned {
    /// A hash of the value of our own annotation.
    pub(super) fn requested_at(&self) -> Option<u64> {
        self.annotations.as_ref()?.requested_at
    }

    /// The value of the annotation that lets an unknown role be replaced.
    pub(super) fn replaces_role(&self) -> Option<&str> {
        self.annotations.as_ref()?.replaces_role.as_deref()
    }

    /// The value of the annotation that accepts an inherited claim.
    pub(super) fn accepts_claim(&self) -> Option<&str> {
        self.annotations.as_ref()?.accepts_claim.as_deref()
    }

    /// The value of the annotation that accepts a user which was created again.
    pub(super) fn accepts_identity(&self) -> Option<Timestamp> {
        self.annotations.as_ref()?.accepts_identity
    }

    /// The manager of the newest entry that holds a field of the spec.
    pub(super) fn last_spec_manager(&self) -> Option<Box<str>> {
        let of_spec = self.managed_fields.iter().flatten().filter(|entry| {
            let owned = entry
                .fields_v1
                .as_ref()
                .and_then(|fields| fields.spec.as_ref());
            entry.subresource.as_deref().unwrap_or_default().is_empty() && owned.is_some()
        });
        let newest = of_spec.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
        let manager = newest.manager.as_deref();
        manager.map(|manager| text::clean(manager, 64).into())
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Annotations)
    }
}

/// Takes our own annotations from the map of all.
struct Annotations;

impl<'de> Visitor<'de> for Annotations {
    type Value = Own;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Own, M::Error> {
        let mut own = Own::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                RECONCILE_REQUESTED_AT => {
                    own.requested_at = Some(map.next_value_seed(Read(digest))?);
                }
                REPLACE_UNKNOWN_ROLE => own.replaces_role = map.next_value_seed(Read(name))?,
                ACCEPT_CLAIM => own.accepts_claim = map.next_value_seed(Read(name))?,
                ACCEPT_IDENTITY => own.accepts_identity = map.next_value_seed(Read(create_time))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(own)
    }
}

/// What is made of a text, which is not kept itself.
struct Read<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Read<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Read<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

/// The name of a role or of a user; nothing for a longer text.
fn name(text: &str) -> Option<Box<str>> {
    (text.len() <= NAME_MAX).then(|| text.into())
}

/// A time as Fireworks returns it; nothing for any other text.
fn create_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let is_short = text.len() <= TIME_MAX;
    is_short.then(|| text.parse().ok()).flatten()
}

/// The hash of a text, within this process.
pub(super) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
