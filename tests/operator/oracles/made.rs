//! Histories made by hand, for the rules' own tests. No rule is here.

use fireworks_gateway_simulator::{Change, Entry, Moment, User};
use serde_json::{Value, json};

use super::lapse::Lapse;
use super::{Evidence, History, Revision, Run};

/// A revision of `alice`, declared `contributor`, with that `Ready`.
pub fn status_of(
    generation: i64,
    at_ms: u64,
    ready: &str,
    reason: &str,
    beside: Option<&str>,
) -> Revision {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation})
    };
    let mut conditions = vec![condition("Ready", ready)];
    conditions.extend(beside.map(|kind| condition(kind, "True")));
    Revision {
        at_ms,
        deleted: false,
        gap: false,
        by_test: false,
        object: json!({
            "metadata": {"name": "alice", "uid": "u", "generation": generation, "resourceVersion": at_ms.to_string()},
            "spec": {"role": "contributor"},
            "status": {"observedGeneration": generation, "conditions": conditions},
        }),
    }
}

/// A revision of `alice` in sync.
pub fn in_sync(generation: i64, at_ms: u64) -> Revision {
    status_of(generation, at_ms, "True", "InSync", None)
}

pub fn history(revisions: Vec<Revision>) -> History {
    History {
        namespace: "here".to_owned(),
        name: "alice".to_owned(),
        revisions,
    }
}

/// A call of the operator about `alice` that was answered 200 after 10 ms and changed nothing.
pub fn call(verb: &str, at_ms: u64, body: &Value) -> Entry {
    let user = (verb != "LIST").then_some("alice");
    serde_json::from_value(json!({
        "seq": at_ms, "connection": 1, "verb": verb, "method": verb, "path": "/", "query": null,
        "user": user, "userAgent": "fireworks-user-operator/0", "authorized": true, "credential": null,
        "body": body, "receivedUnixMs": at_ms, "receivedMs": at_ms, "answeredUnixMs": at_ms + 10,
        "answeredMs": at_ms + 10, "status": 200, "outcome": "answered", "changes": [], "fault": null,
    }))
    .unwrap()
}

/// A PATCH of `alice`'s role that was applied and had an effect.
pub fn patch(at_ms: u64, role: &str) -> Entry {
    let change = Change {
        field: "role".to_owned(),
        from: Value::Null,
        to: json!(role),
    };
    Entry {
        changes: vec![change],
        ..call("PATCH", at_ms, &json!({ "role": role }))
    }
}

/// The same PATCH, whose reply was lost.
pub fn lost(at_ms: u64, role: &str) -> Entry {
    let text = json!("dropped");
    Entry {
        status: None,
        outcome: serde_json::from_value(text).unwrap(),
        fault: Some("applyThenDrop".to_owned()),
        ..patch(at_ms, role)
    }
}

/// From then on `alice` has that role.
pub fn moment(at_ms: u64, role: &str, by_hand: bool) -> Moment {
    Moment {
        at_ms,
        user: Some(User::new("alice", role)),
        by_hand,
    }
}

pub fn run() -> Run {
    Run {
        started_ms: 0,
        ended_ms: None,
        ended_unasked: false,
        per_minute: 300,
        settle_ms: 1_000,
        lapse: Lapse::default(),
        logs: String::new(),
        metrics: None,
        livez: None,
    }
}

/// The evidence about one object, `alice`.
pub fn evidence(revisions: Vec<Revision>, journal: Vec<Entry>, past: Vec<Moment>) -> Evidence {
    Evidence {
        objects: vec![history(revisions)],
        journal,
        past: [("alice".to_owned(), past)].into(),
        runs: vec![run()],
        ..Evidence::default()
    }
}
