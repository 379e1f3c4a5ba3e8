//! A `FireworksUser` as this process keeps it: only what passes ask for. One is kept for each object, so that its size is
//! most of what the process takes: names are shared with the index, and status stays text until a pass wants it. How it
//! is decoded is in `object/decode.rs`.

mod decode;
mod metadata;

use std::sync::Arc;

use fireworks_api::email::EmailHash;
use fireworks_api::wire::{AccountId, UserId, UserRef};
use fireworks_crd::conditions::{self, Reason};
use fireworks_crd::{ClaimStatus, FireworksUserSpec, FireworksUserStatus, ManagementPolicy};
use jiff::Timestamp;

use crate::claims::{Claim, ObjectKey, Recorded};
use crate::user::desired::{self, Desired, InvalidSpec, NotAnEmail};
use crate::user::guards::Guard;

/// One object as watched.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CachedUser {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The UID.
    pub uid: Arc<str>,
    /// The resourceVersion.
    pub version: Box<str>,
    /// The generation of the spec.
    pub generation: i64,
    created: Option<Timestamp>,
    /// Its deletion was requested.
    pub is_being_deleted: bool,
    /// A hash of the value of the annotation that forces a read: the value may be as large as an object.
    pub requested_at: Option<u64>,
    /// None where all of it has its default, as in most objects.
    optional: Option<Box<Optional>>,
    /// The spec without that e-mail, or why it does not decode.
    pub spec: Result<FireworksUserSpec, Undecodable>,
    /// The status as JSON: less than half of what it takes when it is decoded.
    status: Box<str>,
    /// The reason that status reports, of whatever generation; none where there is no status, or one of another writer.
    pub reported: Option<Reason>,
    /// The guard that holds the change according to status.
    pub guard: Option<Guard>,
    /// Who last set a field of the spec, as its managed fields show.
    pub spec_manager: Option<Box<str>>,
}

/// What few objects have: kept apart, it takes nothing in the others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Optional {
    /// The value of the annotation that lets an unknown role be replaced.
    replaces_role: Option<Box<str>>,
    /// The value of the annotation that accepts an inherited claim.
    accepts_claim: Option<Box<str>>,
    /// The value of the annotation that accepts a user which was created again.
    accepts_identity: Option<Timestamp>,
    /// A hash of the e-mail that the spec expects.
    expected_email: Result<Option<EmailHash>, NotAnEmail>,
}

impl Optional {
    /// That of an object which has nothing of it.
    const NONE: Self = Self {
        replaces_role: None,
        accepts_claim: None,
        accepts_identity: None,
        expected_email: Ok(None),
    };
}

/// A spec that does not decode, and what can be read of it all the same.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Undecodable {
    /// What is wrong, cleaned and bounded.
    pub message: String,
    /// The user it would speak of.
    pub user_id: Option<String>,
    /// It only observes.
    pub observe: bool,
}

impl CachedUser {
    /// The status; one that does not decode counts as none, since it is ours to write.
    #[must_use]
    pub fn status(&self) -> FireworksUserStatus {
        serde_json::from_str(&self.status).unwrap_or_default()
    }

    /// Whether status says Ready of the spec as it is.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        conditions::is_ready_at(&self.status().conditions, self.generation)
    }

    /// What status records of the claim. A version before `status.claim` left only the reason of `Ready`.
    #[must_use]
    pub fn recorded_claim(&self) -> Recorded {
        let status = self.status();
        match status.claim.as_deref().and_then(ClaimStatus::named) {
            Some(ClaimStatus::Held) => return Recorded::Held,
            Some(ClaimStatus::Inherited) => return Recorded::Inherited,
            Some(ClaimStatus::Waiting) => return Recorded::Waiting,
            None => {}
        }
        match conditions::reason_at(&status.conditions, self.generation).and(self.reported) {
            Some(reason) if reason.names_another_claim() => Recorded::WaitingByReason,
            None
            | Some(
                Reason::Suspended
                | Reason::SuspendedInSync
                | Reason::InvalidSpec
                | Reason::InternalError,
            ) => Recorded::Nothing,
            Some(_) => Recorded::HolderByReason,
        }
    }

    /// What the object asks for.
    ///
    /// # Errors
    /// [`InvalidSpec`] names the field.
    pub fn desired(&self, observe_only: bool) -> Result<Desired, InvalidSpec> {
        match &self.spec {
            Ok(spec) => {
                let optional = self.optional();
                Ok(Desired {
                    expected_email: optional.expected_email?,
                    accepts_identity: optional.accepts_identity,
                    replaces_role: optional.replaces_role.clone(),
                    ..desired::desired(&self.key.name, spec, observe_only)?
                })
            }
            Err(broken) => Err(InvalidSpec::Undecodable(broken.message.clone())),
        }
    }

    /// What the object has to do with its remote user; nothing once it is being deleted. A spec that
    /// cannot be followed keeps the claim that can be read from it, and makes no calls.
    #[must_use]
    pub fn claim(&self, account: &AccountId, observe_only: bool) -> Option<Claim> {
        if self.is_being_deleted {
            return None;
        }
        let (user_id, observe, suspended) = match &self.spec {
            Ok(spec) => (
                spec.user_id.as_deref(),
                spec.management_policy == ManagementPolicy::Observe,
                spec.suspend.unwrap_or(false),
            ),
            Err(broken) => (broken.user_id.as_deref(), broken.observe, false),
        };
        // By default the name is the id, and is in memory once.
        let user = user_id.map_or_else(|| self.key.name.clone().try_into(), str::parse);
        let user: UserId = user.ok()?;
        let accepts = |id: &str| id.eq_ignore_ascii_case(user.as_str());
        Some(Claim {
            accepts: self
                .optional()
                .accepts_claim
                .as_deref()
                .is_some_and(accepts),
            user: UserRef {
                account: account.clone(),
                user,
            },
            created: self.created?,
            uid: self.uid.clone(),
            claims: !observe && !observe_only,
            reads: !suspended && self.desired(observe_only).is_ok(),
        })
    }

    fn optional(&self) -> &Optional {
        self.optional.as_deref().unwrap_or(&Optional::NONE)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn watched(spec: Value) -> CachedUser {
        serde_json::from_value(json!({
            "apiVersion": "iam.fireworks.ai/v1alpha1",
            "kind": "FireworksUser",
            "metadata": {
                "name": "alice", "namespace": "ns", "uid": "u1", "generation": 3, "resourceVersion": "77",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"a": "b"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "iam.fireworks.ai/reconcile-requested-at": "now",
                    "iam.fireworks.ai/replace-unknown-role": "owner",
                    "iam.fireworks.ai/accept-identity": "2026-01-02T03:04:05Z"
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
    fn what_is_asked_for_is_kept() {
        let object = watched(json!({"role": "user"}));
        assert_eq!(object.key.to_string(), "ns/alice");
        assert_eq!((&*object.uid, &*object.version), ("u1", "77"));
        assert_eq!((object.generation, object.is_being_deleted), (3, false));
        assert_eq!(object.requested_at, Some(metadata::digest("now")));
        let replaced = object.desired(false).unwrap().replaces_role;
        assert_eq!(replaced.as_deref(), Some("owner"));
        let accepted = object.desired(false).unwrap().accepts_identity;
        assert_eq!(accepted, "2026-01-02T03:04:05Z".parse().ok());
        assert_eq!(object.spec_manager.as_deref(), Some("argocd"));
    }

    #[test]
    fn replace_unknown_role_longer_than_any_role_is_not_kept() {
        let annotated = |role: String| {
            let raw = json!({
                "metadata": {"name": "a", "annotations": {"iam.fireworks.ai/replace-unknown-role": role}},
                "spec": {"role": "user"},
            });
            let object: CachedUser = serde_json::from_value(raw).unwrap();
            object.desired(false).unwrap().replaces_role
        };
        assert!(annotated("r".repeat(256)).is_some());
        assert_eq!(annotated("r".repeat(1025)), None);
    }

    #[test]
    fn expected_email_is_kept_as_a_hash_only() {
        let spec = json!({"role": "user", "expectEmail": "Alice.L@Example.com"});
        let object = watched(spec);
        let expected = object.desired(false).unwrap().expected_email;
        assert_eq!(expected, Some(EmailHash::of("alice.l@example.com")));
        assert!(!format!("{object:?}").contains("xample.com"));
        let broken =
            watched(json!({"role": "user", "userId": "al", "expectEmail": "a b@example.com"}));
        let invalid = broken.desired(false).unwrap_err().to_string();
        assert!(
            invalid.starts_with("spec.expectEmail: must have"),
            "{invalid}"
        );
        assert!(!format!("{broken:?} {invalid}").contains("example.com"));
        let claim = broken.claim(&acme(), false).unwrap();
        assert_eq!((claim.user.user.as_str(), claim.reads), ("al", false));
    }

    #[test]
    fn accept_identity_that_is_no_time_is_not_kept() {
        for text in ["yesterday", "", &"2".repeat(10_000)] {
            let annotations = json!({"iam.fireworks.ai/accept-identity": text});
            let raw = json!({"metadata": {"name": "a", "annotations": annotations}, "spec": {"role": "user"}});
            let object: CachedUser = serde_json::from_value(raw).unwrap();
            assert_eq!(object.desired(false).unwrap().accepts_identity, None);
        }
    }

    fn acme() -> AccountId {
        "acme".parse().unwrap()
    }

    #[test]
    fn an_undecodable_spec_keeps_its_claim_and_makes_no_calls() {
        let object = watched(json!({"role": "owner", "userId": "Alice"}));
        let claim = object.claim(&acme(), false).unwrap();
        assert_eq!(
            (claim.user.user.as_str(), claim.claims, claim.reads),
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
        assert!(object.claim(&acme(), false).is_some());
        object.is_being_deleted = true;
        assert_eq!(object.claim(&acme(), false), None);
    }

    #[test]
    fn a_status_is_kept_as_it_is() {
        let status = json!({
            "observedGeneration": 3, "name": "accounts/acme/users/alice", "userId": "alice", "state": "READY",
            "status": {"code": "OK"}, "role": "user", "createTime": "2026-01-01T00:00:00.123456789Z",
            "guard": "last-admin", "drift": [{"field": "role", "desired": "user", "actual": "admin"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "InSync", "message": "m",
                "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        });
        let mut raw = json!({"metadata": {"name": "a", "generation": 3}, "spec": {"role": "user"}});
        raw["status"] = status.clone();
        let object: CachedUser = serde_json::from_value(raw).unwrap();
        assert_eq!(serde_json::to_value(object.status()).unwrap(), status);
        assert!(object.is_ready());
        assert_eq!(object.reported, Some(Reason::InSync));
        assert_eq!(object.guard, Some(Guard::LastAdmin));
    }

    #[test]
    fn large_annotation_is_kept_as_a_hash() {
        let value = "x".repeat(250_000);
        let annotations = json!({"iam.fireworks.ai/reconcile-requested-at": value, "other": value});
        let raw = json!({"metadata": {"name": "a", "annotations": annotations}, "spec": {"role": "user"}});
        let object: CachedUser = serde_json::from_value(raw).unwrap();
        assert_eq!(object.requested_at, Some(metadata::digest(&value)));
        assert_ne!(object.requested_at, Some(metadata::digest("x")));
    }

    #[test]
    fn large_spec_and_status_are_not_kept() {
        let text = "x".repeat(250_000);
        let raw = json!({
            "metadata": {"name": "a"},
            "spec": {"role": "user", "displayName": text},
            "status": {"status": {"code": "OK", "message": text}},
        });
        let object: CachedUser = serde_json::from_value(raw).unwrap();
        assert!(object.spec.as_ref().unwrap_err().message.len() < 100);
        assert_eq!(object.status(), FireworksUserStatus::default());
    }

    #[test]
    fn a_status_that_does_not_decode_counts_as_none() {
        let mut raw = json!({"metadata": {"name": "a"}, "spec": {"role": "user"}});
        raw["status"] = json!({"conditions": "broken"});
        let object: CachedUser = serde_json::from_value(raw).unwrap();
        assert_eq!(object.status(), FireworksUserStatus::default());
        assert_eq!((object.reported, object.guard), (None, None));
    }
}
