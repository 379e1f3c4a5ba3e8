//! An object as it arrives from the API server: decoded field by field, so that one object that cannot be decoded stops
//! nobody, and pruned while it is decoded. Lives for as long as an event of the watch or an answer is looked at.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::metadata::Pruned;
use super::{Undecodable, Watched};
use crate::claims::ObjectKey;
use crate::crd::{FireworksUser, FireworksUserSpec, FireworksUserStatus};
use crate::fireworks::text;

/// One object from the API server.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// What a watch asks of any object: its name and its version.
    metadata: ObjectMeta,
    /// What is kept of it.
    pub object: Watched,
}

impl<'de> Deserialize<'de> for Arrived {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            metadata: Pruned,
            #[serde(default)]
            spec: Value,
            #[serde(default)]
            status: Value,
        }
        let raw = Raw::deserialize(deserializer)?;
        let status = FireworksUserStatus::deserialize(raw.status).unwrap_or_default();
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let metadata = raw.metadata;
        let object = Watched {
            key: ObjectKey {
                namespace: text(&metadata.namespace).into(),
                name: text(&metadata.name).into(),
            },
            uid: text(&metadata.uid).into(),
            version: text(&metadata.resource_version).into(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_being_deleted: metadata.deletion_timestamp.is_some(),
            requested_at: metadata.requested_at().map(Into::into),
            spec: decode_spec(&raw.spec),
            // A status is plain data: it always serialises.
            status: serde_json::to_string(&status).unwrap_or_default().into(),
            spec_manager: metadata.last_spec_manager(),
        };
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Arrived::deserialize(deserializer).map(|arrived| arrived.object)
    }
}

fn decode_spec(spec: &Value) -> Result<FireworksUserSpec, Undecodable> {
    let text = |field: &str| spec.get(field).and_then(Value::as_str).map(str::to_owned);
    let (user_id, policy) = (text("userId"), text("managementPolicy"));
    FireworksUserSpec::deserialize(spec).map_err(|error| Undecodable {
        message: text::clean(&error.to_string(), text::MESSAGE_MAX),
        user_id,
        observe: policy.as_deref() == Some("Observe"),
    })
}

impl Resource for Arrived {
    type DynamicType = ();
    type Scope = <FireworksUser as Resource>::Scope;

    fn kind(dt: &()) -> Cow<'_, str> {
        FireworksUser::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        FireworksUser::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        FireworksUser::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        FireworksUser::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
