//! A `FireworksUser` as the API server sends it: what a watch asks of any object, and what is kept of this one.

use std::borrow::Cow;

use fireworks_core::user::object::CachedUser;
use fireworks_crd::FireworksUser;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use operator_runtime::watch::Versioned;
use serde::{Deserialize, Deserializer};

/// One object from the API server.
#[derive(Clone, Debug)]
pub struct ApiObject {
    /// Its name and its version.
    metadata: ObjectMeta,
    /// What is kept of it.
    pub object: CachedUser,
}

impl<'de> Deserialize<'de> for ApiObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = CachedUser::deserialize(deserializer)?;
        let metadata = ObjectMeta {
            name: Some(object.key.name.to_string()),
            namespace: Some(object.key.namespace.to_string()),
            resource_version: Some(object.version.to_string()),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

impl Versioned for ApiObject {
    fn version(&self) -> &str {
        &self.object.version
    }
}

impl Resource for ApiObject {
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

/// Returns the object as an Event names it.
#[must_use]
pub fn reference(object: &CachedUser) -> ObjectReference {
    ObjectReference {
        api_version: Some(FireworksUser::api_version(&()).into_owned()),
        kind: Some(FireworksUser::kind(&()).into_owned()),
        namespace: Some(object.key.namespace.to_string()),
        name: Some(object.key.name.to_string()),
        uid: Some(object.uid.to_string()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reference_names_kind_version_and_uid() {
        let raw = json!({"metadata": {"name": "alice", "namespace": "ns", "uid": "u1"}, "spec": {"role": "user"}});
        let object: CachedUser =
            serde_json::from_value(raw).unwrap_or_else(|error| unreachable!("{error}"));
        let reference = reference(&object);
        assert_eq!(reference.kind.as_deref(), Some("FireworksUser"));
        assert_eq!(
            reference.api_version.as_deref(),
            Some("iam.fireworks.ai/v1alpha1")
        );
        assert_eq!(reference.uid.as_deref(), Some("u1"));
    }
}
