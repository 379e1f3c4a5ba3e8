//! The metadata of an object as it is decoded: of `managedFields`, which are most of what travels, only who set what is
//! looked at; of the annotations a hash of our own; labels and owners are passed over. Nothing that is dropped is ever
//! put into memory.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::crd::RECONCILE_REQUESTED_AT;
use crate::fireworks::text;

/// The part of metadata that somebody asks for.
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
    managed_fields: Option<Vec<Entry>>,
}

/// One entry of `managedFields`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    manager: Option<String>,
    subresource: Option<String>,
    time: Option<Time>,
    fields_v1: Option<OfSpec>,
}

/// Whether a field of the spec is among the fields.
struct OfSpec(bool);

/// A hash of the value of our own annotation.
struct Own(Option<u64>);

impl Pruned {
    /// A hash of the value of our own annotation.
    pub(super) fn requested_at(&self) -> Option<u64> {
        self.annotations.as_ref()?.0
    }

    /// The manager of the newest entry that holds a field of the spec.
    pub(super) fn last_spec_manager(&self) -> Option<Box<str>> {
        let of_spec = self.managed_fields.iter().flatten().filter(|entry| {
            let owned = entry.fields_v1.as_ref().is_some_and(|fields| fields.0);
            entry.subresource.as_deref().unwrap_or_default().is_empty() && owned
        });
        let newest = of_spec.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
        let manager = newest.manager.as_deref();
        manager.map(|manager| text::clean(manager, 64).into())
    }
}

impl<'de> Deserialize<'de> for OfSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = deserializer.deserialize_map(Find::<IgnoredAny>::named("f:spec"))?;
        Ok(Self(found.is_some()))
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let find = Find::<Digest>::named(RECONCILE_REQUESTED_AT);
        let found = deserializer.deserialize_map(find)?;
        Ok(Self(found.map(|Digest(hash)| hash)))
    }
}

/// A hash of a text that is not kept.
struct Digest(u64);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hashed;

        impl Visitor<'_> for Hashed {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Digest, E> {
                Ok(Digest(digest(text)))
            }
        }

        deserializer.deserialize_str(Hashed)
    }
}

/// The hash of a text, within this process.
pub(super) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Takes the value of one key from a map and passes over the others.
struct Find<V> {
    pub(super) name: &'static str,
    value: PhantomData<V>,
}

impl<V> Find<V> {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            value: PhantomData,
        }
    }
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for Find<V> {
    type Value = Option<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Option<V>, M::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.name {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
