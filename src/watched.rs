//! A `FireworksUser` as this process keeps it: decoded field by field, so that one object that cannot
//! be decoded stops nobody, and pruned while it is decoded: of `managedFields` one name is kept, of
//! the annotations our own, of the labels none.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::claims::{ObjectKey, Stake};
use crate::conditions;
use crate::crd::{
    FireworksUser, FireworksUserSpec, FireworksUserStatus, ManagementPolicy, RECONCILE_REQUESTED_AT,
};
use crate::fireworks::text;
use crate::reconcile::desired::{self, Desired, InvalidSpec};

/// One object as watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Pruned metadata.
    pub metadata: ObjectMeta,
    /// The spec, or why it does not decode.
    pub spec: Result<FireworksUserSpec, Undecodable>,
    /// The status; one that does not decode counts as none, since it is ours to write.
    pub status: FireworksUserStatus,
    /// Who last set a field of the spec, as its managed fields tell.
    pub spec_manager: Option<Box<str>>,
}

/// A spec that does not decode, and what can be read of it all the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Undecodable {
    /// What is wrong, cleaned and bounded.
    pub message: String,
    /// The user it would speak of.
    pub user_id: Option<String>,
    /// It only observes.
    pub observe: bool,
}

impl Watched {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self.metadata.namespace.clone().unwrap_or_default(),
            name: self.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The generation of the spec.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Whether somebody asked for its deletion.
    #[must_use]
    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether status says Ready of the spec as it is.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        conditions::is_ready_at(&self.status.conditions, self.generation())
    }

    /// The value of the annotation that forces a read.
    #[must_use]
    pub fn requested_at(&self) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(RECONCILE_REQUESTED_AT).map(String::as_str)
    }

    /// What the object asks for.
    ///
    /// # Errors
    /// [`InvalidSpec`] names the field.
    pub fn desired(&self, observe_only: bool) -> Result<Desired, InvalidSpec> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        match &self.spec {
            Ok(spec) => desired::desired(name, spec, observe_only),
            Err(broken) => Err(InvalidSpec::Undecodable(broken.message.clone())),
        }
    }

    /// What the object has to do with its remote user; nothing once it is being deleted. A spec that
    /// cannot be followed keeps the claim that can be read from it, and makes no calls.
    #[must_use]
    pub fn stake(&self, observe_only: bool) -> Option<Stake> {
        if self.is_being_deleted() {
            return None;
        }
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let (user_id, observe, suspended) = match &self.spec {
            Ok(spec) => (
                spec.user_id.as_deref(),
                spec.management_policy == ManagementPolicy::Observe,
                spec.suspend.unwrap_or(false),
            ),
            Err(broken) => (broken.user_id.as_deref(), broken.observe, false),
        };
        Some(Stake {
            user: desired::user_id(name, user_id).ok()?,
            created: self.metadata.creation_timestamp.as_ref()?.0,
            uid: self.uid().to_owned(),
            claims: !observe && !observe_only,
            reads: !suspended && self.desired(observe_only).is_ok(),
        })
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            metadata: ObjectMeta,
            #[serde(default)]
            spec: Value,
            #[serde(default)]
            status: Value,
        }
        let Raw {
            mut metadata,
            spec,
            status,
        } = Raw::deserialize(deserializer)?;
        let spec_manager = metadata
            .managed_fields
            .take()
            .and_then(|fields| last_spec_manager(&fields));
        metadata.labels = None;
        metadata.finalizers = None;
        metadata.owner_references = None;
        metadata.generate_name = None;
        metadata.self_link = None;
        metadata.annotations = metadata.annotations.and_then(|mut all| {
            let own = all.remove_entry(RECONCILE_REQUESTED_AT);
            own.map(|entry| [entry].into())
        });
        Ok(Self {
            metadata,
            spec: decode_spec(&spec),
            status: FireworksUserStatus::deserialize(status).unwrap_or_default(),
            spec_manager,
        })
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

/// The manager of the newest entry that holds a field of the spec.
fn last_spec_manager(fields: &[ManagedFieldsEntry]) -> Option<Box<str>> {
    let of_spec = fields.iter().filter(|entry| {
        let owned = entry
            .fields_v1
            .as_ref()
            .and_then(|fields| fields.0.get("f:spec"));
        entry.subresource.as_deref().unwrap_or_default().is_empty() && owned.is_some()
    });
    let newest = of_spec.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    newest
        .manager
        .as_deref()
        .map(|manager| text::clean(manager, 64).into())
}

impl Resource for Watched {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn watched(spec: Value) -> Watched {
        serde_json::from_value(json!({
            "apiVersion": "iam.fireworks.ai/v1alpha1",
            "kind": "FireworksUser",
            "metadata": {
                "name": "alice", "namespace": "ns", "uid": "u1", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"a": "b"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "iam.fireworks.ai/reconcile-requested-at": "now"
                },
                "managedFields": [
                    {"manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:role": {}}}},
                    {"manager": "argocd", "operation": "Apply", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:role": {}}}},
                    {"manager": "fireworks-user-operator", "operation": "Update", "subresource": "status", "time": "2026-01-03T00:00:00Z", "fieldsV1": {"f:status": {}}}
                ]
            },
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn what_nobody_needs_is_not_kept() {
        let object = watched(json!({"role": "user"}));
        assert_eq!(object.metadata.managed_fields, None);
        assert_eq!(object.metadata.labels, None);
        assert_eq!(object.metadata.annotations.as_ref().unwrap().len(), 1);
        assert_eq!(object.requested_at(), Some("now"));
        assert_eq!(object.spec_manager.as_deref(), Some("argocd"));
    }

    #[test]
    fn an_undecodable_spec_keeps_its_claim_and_makes_no_calls() {
        let object = watched(json!({"role": "owner", "userId": "Alice"}));
        let stake = object.stake(false).unwrap();
        assert_eq!(
            (stake.user.as_str(), stake.claims, stake.reads),
            ("Alice", true, false)
        );
        assert!(
            object
                .desired(false)
                .unwrap_err()
                .to_string()
                .contains("owner")
        );
    }

    #[test]
    fn an_object_being_deleted_gives_up_its_claim() {
        let mut object = watched(json!({"role": "user"}));
        assert!(object.stake(false).is_some());
        object.metadata.deletion_timestamp = object.metadata.creation_timestamp.clone();
        assert_eq!(object.stake(false), None);
    }

    #[test]
    fn a_status_that_does_not_decode_counts_as_none() {
        let mut raw = json!({"metadata": {"name": "a"}, "spec": {"role": "user"}});
        raw["status"] = json!({"conditions": "broken"});
        let object: Watched = serde_json::from_value(raw).unwrap();
        assert_eq!(object.status, FireworksUserStatus::default());
    }
}
