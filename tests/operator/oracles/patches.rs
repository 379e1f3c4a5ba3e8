//! What is sent: a PATCH holds `role` and of the managed fields those that differ, with values that an object
//! declared, and it changes something, unless an answer that the operator had may have shown that it would,
//! or an earlier call failed.

use std::collections::BTreeSet;

use fireworks_gateway_simulator::{Entry, Moment, Outcome, Verb};
use serde_json::{Map, Value};

use super::{Evidence, Revision, Rule, Violation};

/// What may be sent at all.
const KEYS: [&str; 3] = ["role", "permissionPreset", "displayName"];
/// A pass may still act on what it saw before an answer that came this long ago.
const ACTED_ON_MS: u64 = 2_000;

pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let patches = evidence.calls().filter(|entry| entry.verb == Verb::Patch);
    let broken = patches.flat_map(|entry| {
        let output = of_patch(evidence, entry).into_iter();
        output.map(move |what| {
            let body = entry.body.as_ref().unwrap_or(&Value::Null);
            format!("#{} {} {body}: {what}", entry.seq, entry.path)
        })
    });
    broken
        .map(|what| Violation::new(Rule::Patches, what))
        .collect()
}

fn of_patch(evidence: &Evidence, entry: &Entry) -> Vec<String> {
    let Some(Value::Object(body)) = &entry.body else {
        return if entry.outcome == Outcome::Answered {
            vec!["the body is no object".to_owned()]
        } else {
            Vec::new()
        };
    };
    let mut broken = Vec::new();
    if !body.contains_key("role") {
        broken.push("no role".to_owned());
    }
    let user = entry.user.as_deref().unwrap_or_default();
    for (key, value) in body {
        if !KEYS.contains(&key.as_str()) {
            broken.push(format!("{key} is never managed"));
        } else if !declared(evidence, user, key, value) {
            broken.push(format!("no object declared {key} so"));
        }
    }
    if entry.outcome == Outcome::Answered && entry.status == Some(200) && entry.fault.is_none() {
        broken.extend(without_effect(evidence, entry, user, body));
    }
    broken
}

/// Whether an object about that user ever declared the value. An empty preset is for leaving `custom`.
fn declared(evidence: &Evidence, user: &str, key: &str, value: &Value) -> bool {
    let of_user = |revision: &&Revision| revision.user() == user;
    let mut revisions = evidence.objects.iter().flat_map(|object| &object.revisions);
    if revisions.clone().any(|revision| revision.gap) {
        return true;
    }
    if key == "permissionPreset" && value == "" {
        return revisions
            .filter(of_user)
            .any(|one| one.object["spec"]["role"] != "custom");
    }
    revisions.any(|one| of_user(&one) && one.object["spec"][key] == *value)
}

/// The keys, apart from `role`, that changed nothing; all of them if none did.
fn without_effect(
    evidence: &Evidence,
    entry: &Entry,
    user: &str,
    body: &Map<String, Value>,
) -> Option<String> {
    let changed: BTreeSet<_> = entry
        .changes
        .iter()
        .map(|change| change.field.as_str())
        .collect();
    let keys = body.keys().map(String::as_str);
    let idle: Vec<_> = if changed.is_empty() {
        keys.collect()
    } else {
        keys.filter(|key| *key != "role" && !changed.contains(key))
            .collect()
    };
    if idle.is_empty() || some_call_failed(evidence, entry, user) {
        return None;
    }
    let differed = |key: &&str| might_have_differed(evidence, entry, user, key, &body[*key]);
    // Where nothing changed, any difference explains the whole.
    let explained = if changed.is_empty() {
        idle.iter().any(differed)
    } else {
        idle.iter().all(differed)
    };
    (!explained).then(|| format!("{idle:?} changed nothing, and nothing explains it"))
}

/// Whether an earlier PATCH of that user was anything but answered as it should be.
fn some_call_failed(evidence: &Evidence, entry: &Entry, user: &str) -> bool {
    let mut earlier = evidence
        .patches_of(user)
        .take_while(|one| one.seq < entry.seq);
    earlier.any(|one| one.status != Some(200) || one.fault.is_some())
}

/// Whether something that the operator may have acted on showed another value.
fn might_have_differed(
    evidence: &Evidence,
    entry: &Entry,
    user: &str,
    key: &str,
    value: &Value,
) -> bool {
    let answered = |one: &&Entry| one.answered_ms.is_some_and(|at| at <= entry.received_ms);
    let known: Vec<_> = evidence.sightings(user).filter(answered).collect();
    // What its own change was answered is known at once, and nothing older counts after it.
    let since = known.iter().rposition(|one| one.verb == Verb::Patch);
    let known = &known[since.unwrap_or(0)..];
    let settled = |one: &&Entry| {
        one.answered_ms
            .is_some_and(|at| at + ACTED_ON_MS < entry.received_ms)
    };
    let oldest = known.iter().rposition(settled).unwrap_or(0);
    known[oldest.min(known.len())..].iter().any(|one| {
        let (from, to) = (one.received_ms, one.answered_ms.unwrap_or(one.received_ms));
        let states = evidence.states(user, from, to);
        // The answer to a change shows what came of it.
        let skipped = match one.verb {
            Verb::Patch => states.len().saturating_sub(1),
            _ => 0,
        };
        let mut states = states.iter().skip(skipped);
        one.fault.is_some() || states.any(|state| field(state, key) != *value)
    })
}

fn field(state: &Moment, key: &str) -> Value {
    let user = state.user.as_ref();
    let text = user.map(|user| match key {
        "role" => &user.role,
        "permissionPreset" => &user.permission_preset,
        _ => &user.display_name,
    });
    text.map_or(Value::Null, |text| Value::String(text.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::made::{call, evidence, in_sync, lost, moment, patch};
    use super::*;

    const NONE: Value = Value::Null;

    fn broken(journal: Vec<Entry>, past: Vec<Moment>) -> Vec<String> {
        let found = check(&evidence(vec![in_sync(1, 1)], journal, past));
        found.into_iter().map(|one| one.what).collect()
    }

    fn finds(journal: Vec<Entry>, past: Vec<Moment>, expected: &str) {
        let found = broken(journal, past);
        assert!(found.iter().any(|one| one.contains(expected)), "{found:#?}");
    }

    #[test]
    fn a_change_that_was_needed_breaks_nothing() {
        let past = vec![moment(0, "user", true), moment(105, "contributor", false)];
        let journal = vec![call("LIST", 50, &NONE), patch(100, "contributor")];
        assert_eq!(broken(journal, past), Vec::<String>::new());
    }

    #[test]
    fn an_unmanaged_field_is_found() {
        let past = || vec![moment(0, "user", true)];
        let body = json!({"role": "contributor", "email": "a@b.c"});
        finds(vec![call("PATCH", 100, &body)], past(), "email is never");
        let body = json!({"role": "contributor", "displayName": "Al"});
        finds(
            vec![call("PATCH", 100, &body)],
            past(),
            "no object declared displayName",
        );
        finds(vec![patch(100, "admin")], past(), "no object declared role");
        let body = json!({"displayName": "Al"});
        finds(vec![call("PATCH", 100, &body)], past(), "no role");
    }

    #[test]
    fn a_change_without_an_effect_is_found() {
        let past = vec![moment(0, "contributor", true)];
        let body = json!({"role": "contributor"});
        let journal = vec![call("LIST", 50, &NONE), call("PATCH", 100, &body)];
        finds(journal, past, "changed nothing");
    }

    #[test]
    fn a_repetition_after_a_good_answer_is_found_and_one_after_a_lost_reply_is_not() {
        let past = || vec![moment(0, "user", true), moment(105, "contributor", false)];
        let again = || call("PATCH", 200, &json!({"role": "contributor"}));
        let first = || call("LIST", 50, &NONE);
        let good = vec![first(), patch(100, "contributor"), again()];
        finds(good, past(), "changed nothing");
        let unsure = vec![first(), lost(100, "contributor"), again()];
        assert_eq!(broken(unsure, past()), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_did_not_differ_is_found_beside_one_that_did() {
        let mut past = vec![moment(0, "user", true), moment(105, "contributor", false)];
        for one in &mut past {
            one.user.as_mut().unwrap().display_name = "Al".to_owned();
        }
        let mut declared = in_sync(1, 1);
        declared.object["spec"]["displayName"] = json!("Al");
        let mut both = patch(100, "contributor");
        both.body = Some(json!({"role": "contributor", "displayName": "Al"}));
        let journal = vec![call("LIST", 50, &NONE), both];
        let found = check(&evidence(vec![declared], journal, past));
        assert!(found[0].what.contains("[\"displayName\"] changed nothing"));
    }

    #[test]
    fn an_edit_of_another_actor_explains_a_change_without_an_effect() {
        let past = vec![moment(0, "user", true), moment(90, "contributor", true)];
        let body = json!({"role": "contributor"});
        let journal = vec![call("LIST", 50, &NONE), call("PATCH", 100, &body)];
        assert_eq!(broken(journal, past), Vec::<String>::new());
    }

    #[test]
    fn an_edit_that_was_seen_long_ago_explains_nothing() {
        let past = vec![moment(0, "user", true), moment(90, "contributor", true)];
        let body = json!({"role": "contributor"});
        let journal = vec![
            call("LIST", 50, &NONE),
            call("LIST", 150, &NONE),
            call("PATCH", 9_000, &body),
        ];
        finds(journal, past, "changed nothing");
    }
}
