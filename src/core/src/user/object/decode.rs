//! An object as it arrives from the API server: decoded field by field, so that one object that cannot be decoded stops
//! no other, and pruned while it is decoded. Lives for as long as an event of the watch or an answer is looked at.

use std::borrow::Cow;

use fireworks_api::text;
use fireworks_crd::FireworksUserSpec;
use fireworks_crd::conditions::Reason;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use super::metadata::Pruned;
use super::{CachedUser, Optional, Undecodable};
use crate::claims::ObjectKey;
use crate::user::desired;
use crate::user::guards::Guard;

impl<'de> Deserialize<'de> for CachedUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            metadata: Pruned,
            #[serde(default)]
            spec: Text,
            #[serde(default)]
            status: Text,
        }
        let raw = Raw::deserialize(deserializer)?;
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let metadata = raw.metadata;
        let Text(status) = Some(raw.status)
            .filter(|status| status.0.len() <= STATUS_MAX)
            .unwrap_or_default();
        let (reported, guard) = reported(&status);
        let mut spec = decode_spec(&raw.spec.0);
        let address = spec.as_mut().map(|spec| spec.expect_email.take());
        let address = address.unwrap_or_default();
        let optional = Optional {
            replaces_role: metadata.replaces_role().map(Into::into),
            accepts_claim: metadata.accepts_claim().map(Into::into),
            accepts_identity: metadata.accepts_identity(),
            expected_email: desired::expected_email(address.as_deref()),
        };
        Ok(Self {
            key: ObjectKey {
                namespace: text(&metadata.namespace).into(),
                name: text(&metadata.name).into(),
            },
            uid: text(&metadata.uid).into(),
            version: text(&metadata.resource_version).into(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_being_deleted: metadata.deletion_timestamp.is_some(),
            requested_at: metadata.requested_at(),
            optional: (optional != Optional::NONE).then(|| Box::new(optional)),
            spec,
            reported,
            guard,
            status: status.into(),
            spec_manager: metadata.last_spec_manager(),
        })
    }
}

fn decode_spec(spec: &str) -> Result<FireworksUserSpec, Undecodable> {
    if spec.len() > SPEC_MAX {
        return Err(Undecodable {
            message: format!("the spec has {} bytes, more than {SPEC_MAX}", spec.len()),
            user_id: None,
            observe: false,
        });
    }
    if let Ok(spec) = serde_json::from_str(spec) {
        return Ok(spec);
    }
    // As a tree, errors do not speak of lines and columns, and what is sound of it can be read.
    let spec: Value = serde_json::from_str(spec).unwrap_or_default();
    let text = |field: &str| spec.get(field).and_then(Value::as_str).map(str::to_owned);
    FireworksUserSpec::deserialize(&spec).map_err(|error| Undecodable {
        message: text::clean(&error.to_string(), text::MESSAGE_MAX),
        user_id: text("userId"),
        observe: text("managementPolicy").as_deref() == Some("Observe"),
    })
}

/// Returns the reason and the guard that a status shows, without decoding the rest of it.
fn reported(status: &str) -> (Option<Reason>, Option<Guard>) {
    #[derive(Deserialize)]
    struct ReadySummary<'a> {
        #[serde(borrow, default)]
        guard: Option<Cow<'a, str>>,
        #[serde(borrow)]
        conditions: Vec<Condition<'a>>,
    }
    #[derive(Deserialize)]
    struct Condition<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        status: Cow<'a, str>,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    }
    let Ok(summary) = serde_json::from_str::<ReadySummary<'_>>(status) else {
        return (None, None);
    };
    let ready = summary.conditions.iter().find(|one| one.kind == "Ready");
    (
        ready.and_then(|ready| Reason::reported(&ready.status, &ready.reason)),
        summary.guard.as_deref().and_then(Guard::named),
    )
}

/// Far more than a spec that follows the rules takes as JSON, in bytes: what is stored under a laxer schema may be as large
/// as an object.
const SPEC_MAX: usize = 16 * 1024;
/// The same of a status. A larger one counts as none.
const STATUS_MAX: usize = 64 * 1024;

/// More than a status in sync takes as JSON, in bytes.
const STATUS_CAPACITY: usize = 640;

/// A part of an object as JSON, whatever is in it.
struct Text(String);

impl Default for Text {
    fn default() -> Self {
        Self("null".to_owned())
    }
}

// Text from the start: a tree of it took half of the time, and more than half of the allocations, of an object that arrives.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Vec::with_capacity(STATUS_CAPACITY);
        serde_transcode::transcode(deserializer, &mut serde_json::Serializer::new(&mut text))
            .map_err(D::Error::custom)?;
        String::from_utf8(text).map(Self).map_err(D::Error::custom)
    }
}
