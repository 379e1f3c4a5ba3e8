//! The `FireworksUser` custom resource: the fields of its spec and of its status, and their validation.
//!
//! Data, schema and CEL rules only: no client, no async, nothing of the remote API. Doc comments on
//! fields are what `kubectl explain` shows, so they are written for the engineer on call.

#![allow(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats these types where they cannot be reached"
)]
#![allow(
    clippy::doc_markdown,
    reason = "kubectl explain shows these comments as they are: backticks are noise there"
)]

pub mod conditions;
mod hash;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The `CustomResourceDefinition` as YAML. `examples/definition.rs` makes it of the types here: a schema is not built at run time.
pub const DEFINITION: &str = include_str!("../../../crds/fireworksusers.yaml");

/// Annotation that forces one read of the remote user: set it to any new value.
pub const RECONCILE_REQUESTED_AT: &str = "iam.fireworks.ai/reconcile-requested-at";

/// Annotation that lets the operator replace a role that it does not know: set it to that role.
pub const REPLACE_UNKNOWN_ROLE: &str = "iam.fireworks.ai/replace-unknown-role";

/// Annotation that lifts the limits of an inherited claim: set it to the user id.
pub const ACCEPT_CLAIM: &str = "iam.fireworks.ai/accept-claim";

/// Annotation that accepts a remote user which was created again: set it to the creation time that the condition names.
pub const ACCEPT_IDENTITY: &str = "iam.fireworks.ai/accept-identity";

/// Refuses characters of free text that cannot be seen. Not `\p{C}`: what that contains differs between versions of
/// Kubernetes, and it would refuse new emoji.
const INVISIBLE: &str = r"!self.matches('[\\x00-\\x1f\\x7f-\\x9f\\x{61c}\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{2069}\\x{feff}\\x{fff9}-\\x{fffb}\\x{e0000}-\\x{e007f}]')";

/// Refuses a space or a joiner as the first or last character of free text.
const EDGES: &str =
    r"!self.matches('^[\\s\\p{Z}\\x{200c}\\x{200d}]|[\\s\\p{Z}\\x{200c}\\x{200d}]$')";

/// Accepts an e-mail address: one @ between other characters, of which none is a space or a control character.
const EMAIL: &str =
    r"self.matches('^[^@\\s\\p{Z}\\x00-\\x1f\\x7f-\\x9f]+@[^@\\s\\p{Z}\\x00-\\x1f\\x7f-\\x9f]+$')";

/// Desired state of one user of the Fireworks account: its role, permission preset and display name.
/// The operator does not create users: until the user exists, by invitation or by a first single
/// sign-on login, the reason is UserNotFound.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[kube(
    group = "iam.fireworks.ai",
    version = "v1alpha1",
    kind = "FireworksUser",
    plural = "fireworksusers",
    singular = "fireworksuser",
    shortname = "fwuser",
    shortname = "fwusers",
    category = "fireworks",
    namespaced,
    status = "FireworksUserStatus",
    doc = "A user of a Fireworks AI account. The operator reconciles the remote user to match the spec: it sends a \
           PATCH with only the fields that differ, and reports the observed state in the status.",
    selectable = ".spec.role",
    selectable = ".spec.userId",
    printcolumn(name = "User", type_ = "string", json_path = ".status.userId", description = "Remote user id in effect"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role", description = "Desired role"),
    printcolumn(name = "Preset", type_ = "string", json_path = ".spec.permissionPreset", priority = 1, description = "Desired permission preset"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "State as returned by Fireworks"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status", description = "True: the remote user matches the spec"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason", description = "Reason of the condition Ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.userId) || self.metadata.name.size() <= 128")
        .message("metadata.name is the remote user id unless spec.userId is set, so it may have at most 128 characters; shorten it or set spec.userId")
        .field_path(".spec.userId")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.userId) == has(oldSelf.userId) && (!has(self.userId) || self.userId == oldSelf.userId)")
    .message("userId cannot be changed, set or removed after creation: delete this object and create another one")
    .field_path(".userId"))]
#[x_kube(validation = Rule::new("self.role != 'custom' || has(self.permissionPreset)")
    .message("permissionPreset is required when role is custom")
    .reason(Reason::FieldValueRequired)
    .field_path(".permissionPreset"))]
#[x_kube(validation = Rule::new("self.role == 'custom' || !has(self.permissionPreset)")
    .message("permissionPreset is only allowed when role is custom: remove it, or set role to custom")
    .reason(Reason::FieldValueForbidden)
    .field_path(".permissionPreset"))]
pub struct FireworksUserSpec {
    /// Id of the remote user: the last part of its name accounts/ACCOUNT/users/USER. Unset means
    /// metadata.name. Cannot be changed, set or removed later: delete the object and create another
    /// one (the remote user stays as it is).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._~+-]{0,127}$') && !self.endsWith('.')")
        .message("userId must start with a letter or digit, hold only letters, digits and . _ ~ + -, and not end with a dot"))]
    pub user_id: Option<String>,

    /// Role of the user in the account, in Fireworks' own spelling. custom takes its permissions
    /// from permissionPreset. contributor and inference-user may have to be enabled for an account by
    /// Fireworks; until then they are refused (reason Rejected). The only remaining admin is never
    /// demoted (reason Protected). The operator may let only some namespaces grant admin and custom and
    /// take them away (elsewhere reason NamespaceNotAllowed).
    pub role: Role,

    /// Name of the permission preset that governs the user. Required when role is custom, forbidden
    /// otherwise. Fireworks does not publish the list of names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')")
        .message("permissionPreset must start with a letter or digit and hold only letters, digits and . _ -"))]
    pub permission_preset: Option<String>,

    /// Human-readable name. Unset means that the remote display name is not managed. Invisible characters
    /// are refused: control characters, bidirectional controls, and invisible separators; joiners are
    /// allowed between two other characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(INVISIBLE)
        .message("displayName must not contain control characters, bidirectional controls or invisible separators"))]
    #[x_kube(validation = Rule::new(EDGES)
        .message("displayName must not begin or end with a space or a joiner"))]
    pub display_name: Option<String>,

    /// Manage: the operator changes the remote user to match the spec. Observe: it never changes the
    /// remote user and reports differences in status.drift.
    #[serde(default)]
    pub management_policy: ManagementPolicy,

    /// Whether the object declares a service account. Default: false; a value that Fireworks does not return
    /// counts as false. While the remote user is of the other kind, no change is sent (reason Protected,
    /// guard service-account), even if all fields match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<bool>,

    /// E-mail address that the remote user must have, whatever the case of its letters. A user id can be freed
    /// and taken by another person: while the address of the remote user is another one, or two reads show
    /// none, no change is sent (reason Protected, guard identity-mismatch), even if all fields match. A user
    /// that was deleted and created again is accepted if it has this address. It is never sent, and shown in
    /// no status, Event or log. Unset: the identity is status.createTime alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new(EMAIL)
        .message("expectEmail must hold one @ between other characters, and no spaces or control characters"))]
    pub expect_email: Option<String>,

    /// Whether reconciliation is suspended: while true, no request is made for this object, and its remote
    /// user stays as it is. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Role of a user in the account, in Fireworks' own spelling.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, schemars::JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "a documented variant would turn the schema's enum into a oneOf"
)]
pub enum Role {
    Admin,
    User,
    Contributor,
    InferenceUser,
    Custom,
}

/// Whether the operator changes the remote user or only observes it.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, schemars::JsonSchema, Serialize,
)]
#[allow(
    missing_docs,
    reason = "a documented variant would turn the schema's enum into a oneOf"
)]
pub enum ManagementPolicy {
    #[default]
    Manage,
    Observe,
}

/// Observed state of the remote user, and whether it matches the spec.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct FireworksUserStatus {
    /// metadata.generation for which this status was written; -1 before the first reconciliation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Resource name of the remote user: accounts/ACCOUNT/users/USER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Remote user id in effect: spec.userId, or metadata.name if that is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,

    /// State as returned by Fireworks: STATE_UNSPECIFIED, CREATING, READY, UPDATING or DELETING;
    /// unknown values are passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,

    /// Status as returned by Fireworks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RemoteStatus>,

    /// Remote role, as last observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,

    /// Remote permission preset, as last observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_preset: Option<String>,

    /// Name of the guard that holds the change: wrong-account, service-account, unknown-role, identity-unknown,
    /// identity-changed, identity-mismatch, last-admin, canary or contested. Absent while no guard holds it;
    /// identity-unknown stays until the user is accepted, whatever the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,

    /// Claim of the object on the remote user. Held: it manages the user. Inherited: it took the user over from an
    /// object of another namespace, and changes no admin or custom user until the annotation
    /// iam.fireworks.ai/accept-claim names the user id. Waiting: another object manages the user. Absent where
    /// the object only observes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,

    /// Managed fields whose remote value differs and is not, or could not be, repaired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["field".into()]))]
    pub drift: Vec<Drift>,

    /// Identity of the remote user that is accepted: its creation time, as returned by Fireworks when this object
    /// first saw the user. Kept while the account has no such user. A user that was created again replaces it
    /// only once it is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<Timestamp>,

    /// Time of the last change of the remote user, as returned by Fireworks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<Timestamp>,

    /// Ready is always present: True if the remote user matches the spec, Unknown while the operator makes
    /// progress, False if the user does not match. Reconciling and Stalled are present only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What `status.claim` records.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ClaimStatus {
    /// The object holds the user.
    Held,
    /// The object holds the user and changes no admin or custom user before a person accepts that.
    Inherited,
    /// Another object holds the user.
    Waiting,
}

impl ClaimStatus {
    /// Returns the text of the field.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "Held",
            Self::Inherited => "Inherited",
            Self::Waiting => "Waiting",
        }
    }

    /// Returns the claim of that text.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::Held, Self::Inherited, Self::Waiting]
            .into_iter()
            .find(|one| one.as_str() == text)
    }
}

/// Status of the remote user in the form of google.rpc.Status.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteStatus {
    /// Name of the google.rpc code, such as OK or INTERNAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,

    /// Message of Fireworks, bounded; anything shaped like an e-mail address is redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One managed field whose remote value differs from the spec.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Field of the spec.
    pub field: String,

    /// Desired value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,

    /// Value as returned by Fireworks; absent if it is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}
