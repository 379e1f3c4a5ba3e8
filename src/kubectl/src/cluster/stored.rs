//! The objects of a cluster, pruned to what decisions read.

use std::collections::BTreeSet;

use fireworks_crd::{ACCEPT_CLAIM, ACCEPT_IDENTITY, RECONCILE_REQUESTED_AT, REPLACE_UNKNOWN_ROLE};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The annotations that decisions read.
pub(crate) const ANNOTATIONS: [&str; 4] = [
    ACCEPT_CLAIM,
    ACCEPT_IDENTITY,
    RECONCILE_REQUESTED_AT,
    REPLACE_UNKNOWN_ROLE,
];
/// Where `kubectl apply` keeps the last manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The metadata that decisions read, annotations and managed fields aside.
const METADATA: [&str; 7] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
];

/// The objects that were listed.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The objects.
    pub(crate) objects: Vec<Stored>,
    /// The namespaces that were listed; nothing for all.
    pub(crate) namespaces: Option<BTreeSet<String>>,
}

/// One object of the cluster.
#[derive(Clone, Debug)]
pub struct Stored {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The object as JSON, which takes the least memory.
    pub(crate) text: String,
    /// The annotations that the last `kubectl apply` set, of those that decisions read.
    pub(crate) applied: Vec<&'static str>,
}

impl Listing {
    /// Returns the list of these objects. `namespaces` are those that were listed; nothing for all.
    #[must_use]
    pub fn of(objects: &[Value], namespaces: Option<BTreeSet<String>>) -> Self {
        let text = objects.iter().map(Value::to_string);
        let raw = text.filter_map(|text| RawValue::from_string(text).ok());
        Self {
            objects: raw.filter_map(|raw| Stored::of(&raw)).collect(),
            namespaces,
        }
    }

    /// Returns it as the list of all namespaces: no other one has objects.
    #[must_use]
    pub fn complete(self) -> Self {
        Self {
            namespaces: None,
            ..self
        }
    }
}

impl Stored {
    /// Returns the object; nothing for what has no name.
    pub(super) fn of(raw: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Object<'a> {
            metadata: Value,
            #[serde(borrow, default)]
            spec: Option<&'a RawValue>,
            #[serde(borrow, default)]
            status: Option<&'a RawValue>,
        }
        #[derive(Serialize)]
        struct Pruned<'a> {
            metadata: Map<String, Value>,
            spec: Option<&'a RawValue>,
            status: Option<&'a RawValue>,
        }
        let Object {
            metadata,
            spec,
            status,
        } = serde_json::from_str(raw.get()).ok()?;
        let text = |field: &str| metadata[field].as_str().map(str::to_owned);
        let (namespace, name) = (text("namespace").unwrap_or_default(), text("name")?);
        let applied = last_applied(&metadata);
        let pruned = Pruned {
            metadata: pruned(&metadata),
            spec,
            status,
        };
        Some(Self {
            namespace,
            name,
            text: serde_json::to_string(&pruned).ok()?,
            applied,
        })
    }
}

fn pruned(metadata: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    for name in METADATA {
        if let Some(value) = metadata.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    let annotation = |name: &str| {
        let value = metadata["annotations"].get(name)?;
        Some((name.to_owned(), value.clone()))
    };
    let annotations: Map<String, Value> = ANNOTATIONS.into_iter().filter_map(annotation).collect();
    kept.insert("annotations".to_owned(), annotations.into());
    let entries = metadata["managedFields"].as_array();
    let managed = entries.into_iter().flatten().filter(|entry| {
        let spec = entry["fieldsV1"].get("f:spec");
        spec.is_some() && entry["subresource"].as_str().unwrap_or_default().is_empty()
    });
    let managed = managed.map(|entry| {
        json!({"manager": entry["manager"], "time": entry["time"], "fieldsV1": {"f:spec": {}}})
    });
    kept.insert("managedFields".to_owned(), managed.collect());
    kept
}

fn last_applied(metadata: &Value) -> Vec<&'static str> {
    let Some(text) = metadata["annotations"][LAST_APPLIED].as_str() else {
        return Vec::new();
    };
    let manifest: Value = serde_json::from_str(text).unwrap_or_default();
    let annotations = &manifest["metadata"]["annotations"];
    let is_set = |name: &&str| annotations.get(*name).is_some();
    ANNOTATIONS.into_iter().filter(is_set).collect()
}
