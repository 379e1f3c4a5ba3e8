//! A Lease as the API server has it, and the record that decides.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::Record;

/// Returns the record in a Lease. One that names a shorter duration than `at_least`, or none, is counted as that long.
pub(super) fn record(lease: &Lease, at_least: Duration) -> Record {
    let Some(spec) = &lease.spec else {
        return Record::default();
    };
    let seconds = spec.lease_duration_seconds.unwrap_or(0);
    let duration = Duration::from_secs(seconds.try_into().unwrap_or(0));
    let holder = spec.holder_identity.clone();
    Record {
        holder: holder.filter(|holder| !holder.is_empty()),
        duration: duration.max(at_least),
        acquired: spec.acquire_time.as_ref().map(|time| time.0),
        renewed: spec.renew_time.as_ref().map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

/// Returns the Lease with that record in place of its own. All else stays: labels, annotations and fields that others set, and
/// the resourceVersion, without which a write over that of another process would succeed.
pub(super) fn with_record(lease: Option<&Lease>, name: &str, record: Record) -> Lease {
    let mut lease = lease.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let Record {
        holder,
        duration,
        acquired,
        renewed,
        transitions,
    } = record;
    let spec = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: holder,
        lease_duration_seconds: duration.as_secs().try_into().ok(),
        acquire_time: acquired.map(MicroTime),
        renew_time: renewed.map(MicroTime),
        lease_transitions: Some(transitions),
        ..spec
    });
    lease
}

/// Returns the version of a Lease.
pub(super) fn version(lease: &Lease) -> Option<&str> {
    lease.metadata.resource_version.as_deref()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(30);

    #[test]
    fn what_others_set_on_a_lease_is_kept() {
        let stored: Lease = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "one", "resourceVersion": "7", "uid": "u",
                "labels": {"team": "a"}, "annotations": {"note": "b"},
            },
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 2, "preferredHolder": "x"},
        }))
        .unwrap();
        let before = record(&stored, DURATION);
        assert_eq!((before.duration, before.transitions), (DURATION, 2));
        let time = jiff::Timestamp::UNIX_EPOCH;
        let held = Record::owned(Some(&before), "me", DURATION, time);
        let written = with_record(Some(&stored), "one", held.clone());
        assert_eq!(written.metadata, stored.metadata);
        assert_eq!(record(&written, DURATION), held);
        let spec = written.spec.clone().unwrap();
        assert_eq!(spec.preferred_holder.as_deref(), Some("x"));
        assert_eq!(version(&written), Some("7"));
        let released = with_record(Some(&written), "one", held.released(time));
        assert_eq!(record(&released, DURATION).holder, None);
    }

    #[test]
    fn new_lease_has_a_name_and_no_version() {
        let held = Record::owned(None, "me", DURATION, jiff::Timestamp::UNIX_EPOCH);
        let lease = with_record(None, "one", held.clone());
        assert_eq!(lease.metadata.name.as_deref(), Some("one"));
        assert_eq!((version(&lease), record(&lease, DURATION)), (None, held));
    }
}
