//! Rules on each revision of a status by itself and after the one before it: kstatus, the closed set of
//! reasons, and what may move when. Written from what is promised, not from the operator's code.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Evidence, History, Revision, Rule, Violation};

/// No status is larger, in bytes of JSON.
const STATUS_MAX: usize = 4096;

/// The guards, with the reason, the `Ready` and the condition beside it that go with each. `Protected` and `Contested`
/// always name a guard.
const GUARDS: &[(&str, &str, &[&str], Option<&str>)] = &[
    ("wrong-account", "Conflict", &["False"], Some("Stalled")),
    ("service-account", "Protected", &["False"], Some("Stalled")),
    ("unknown-role", "Protected", &["False"], Some("Stalled")),
    ("protected-user", "Protected", &["False"], Some("Stalled")),
    (
        "namespace-not-allowed",
        "NamespaceNotAllowed",
        &["False"],
        Some("Stalled"),
    ),
    ("identity-unknown", "Protected", &["False"], Some("Stalled")),
    ("identity-changed", "Protected", &["False"], Some("Stalled")),
    (
        "identity-mismatch",
        "Protected",
        &["False"],
        Some("Stalled"),
    ),
    ("inherited-power", "Protected", &["False"], Some("Stalled")),
    ("last-admin", "Protected", &["Unknown"], Some("Reconciling")),
    ("canary", "Protected", &["Unknown"], Some("Reconciling")),
    ("contested", "Contested", &["False"], Some("Reconciling")),
];

/// The guard that stays in status until its user is accepted, whatever else is reported.
const LASTING: &str = "identity-unknown";

/// The reasons, with the `Ready` that goes with each and the condition beside it.
const REASONS: &[(&str, &[&str], Option<&str>)] = &[
    ("InSync", &["True"], None),
    ("Suspended", &["True", "Unknown"], None),
    ("Throttled", &["Unknown"], Some("Reconciling")),
    ("RemoteUnavailable", &["Unknown"], Some("Reconciling")),
    ("AccountSuspended", &["Unknown"], Some("Reconciling")),
    ("Unconfirmed", &["Unknown"], Some("Reconciling")),
    ("MalformedResponse", &["Unknown"], Some("Reconciling")),
    ("RemoteUpdating", &["Unknown"], Some("Reconciling")),
    ("TakingOver", &["Unknown"], Some("Reconciling")),
    ("InternalError", &["Unknown"], Some("Reconciling")),
    ("Unauthenticated", &["False"], Some("Reconciling")),
    ("UserNotFound", &["False"], Some("Reconciling")),
    ("RemoteError", &["False"], Some("Reconciling")),
    ("Rejected", &["False"], Some("Stalled")),
    ("PermissionDenied", &["False"], Some("Stalled")),
    ("NamespaceNotAllowed", &["False"], Some("Stalled")),
    ("ReadRefused", &["False"], Some("Stalled")),
    ("NotApplied", &["False"], Some("Stalled")),
    ("Conflict", &["False"], Some("Stalled")),
    ("Drifted", &["False"], Some("Stalled")),
    ("RemoteDeleting", &["False"], Some("Stalled")),
    ("InvalidSpec", &["False"], Some("Stalled")),
];

pub fn check(evidence: &Evidence) -> Vec<Violation> {
    evidence.objects.iter().flat_map(of_object).collect()
}

fn of_object(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (before, now) in history.steps() {
        if now.deleted || now.by_test {
            continue;
        }
        let mut output = alone(now);
        // What the test wrote is no measure for what comes after it.
        if let Some(before) = before.filter(|before| !before.by_test) {
            output.extend(after(before, now));
        }
        let label = || format!("{}: {}", history.label(now), now.status());
        broken.extend(
            output
                .into_iter()
                .map(|what| Violation::new(Rule::Kstatus, format!("{what}; {}", label()))),
        );
    }
    broken
}

/// What holds of one revision.
fn alone(now: &Revision) -> Vec<String> {
    let mut broken = Vec::new();
    let observed = now.status()["observedGeneration"].as_i64();
    if observed.is_some_and(|observed| observed > now.generation()) {
        broken.push("observedGeneration is ahead of the generation".to_owned());
    }
    let length = now.status().to_string().len();
    if length >= STATUS_MAX {
        broken.push(format!("the status has {length} bytes"));
    }
    let conditions = now.conditions();
    let types: BTreeSet<_> = conditions.iter().map(|one| one["type"].as_str()).collect();
    if types.len() != conditions.len() {
        broken.push("two conditions of one type".to_owned());
    }
    broken.extend(
        conditions
            .iter()
            .flat_map(|one| of_condition(one, now.generation())),
    );
    let ready = conditions.iter().find(|one| one["type"] == "Ready");
    match ready {
        None if observed.is_some_and(|observed| observed >= 0) => {
            broken.push("no Ready although something was observed".to_owned());
        }
        None => {}
        Some(ready) => broken.extend(standing(now.status(), ready, conditions)),
    }
    broken
}

fn of_condition(condition: &Value, generation: i64) -> Vec<String> {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    let kind = text("type");
    let allowed: &[&str] = match kind {
        "Ready" => &["True", "False", "Unknown"],
        "Reconciling" | "Stalled" => &["True"],
        _ => &[],
    };
    let mut broken = Vec::new();
    if !allowed.contains(&text("status")) {
        broken.push(format!("the condition {kind} is {:?}", text("status")));
    }
    if text("message").chars().any(char::is_control) {
        broken.push(format!("control characters in the message of {kind}"));
    }
    if text("lastTransitionTime")
        .parse::<jiff::Timestamp>()
        .is_err()
    {
        broken.push(format!("lastTransitionTime of {kind} is no time"));
    }
    let observed = condition["observedGeneration"].as_i64();
    if observed.is_none_or(|observed| observed > generation) {
        broken.push(format!("observedGeneration of {kind} is {observed:?}"));
    }
    broken
}

/// Whether `Ready`, its reason, the guard and the conditions beside it fit together.
fn standing(status: &Value, ready: &Value, conditions: &[Value]) -> Vec<String> {
    let beside: Vec<_> = conditions
        .iter()
        .filter(|one| one["type"] != "Ready" && one["status"] == "True")
        .filter_map(|one| one["type"].as_str())
        .collect();
    let mut broken = Vec::new();
    if ready["status"] == "True" && !beside.is_empty() {
        broken.push(format!("Ready and {beside:?} at once"));
    }
    let reason = ready["reason"].as_str().unwrap_or_default();
    let guard = status["guard"].as_str();
    let guard = guard.filter(|guard| *guard != LASTING || reason == "Protected");
    let expected = match guard {
        Some(guard) => GUARDS
            .iter()
            .find(|(name, given, ..)| *name == guard && *given == reason)
            .map(|(_, _, statuses, companion)| (statuses, companion)),
        None => REASONS
            .iter()
            .find(|(known, ..)| *known == reason)
            .map(|(_, statuses, companion)| (statuses, companion)),
    };
    match (expected, guard) {
        (None, Some(guard)) => broken.push(format!("{reason} with the guard {guard:?}")),
        (None, None) => broken.push(format!("{reason:?} is no reason")),
        (Some((statuses, companion)), _) => {
            let status = ready["status"].as_str().unwrap_or_default();
            if !statuses.contains(&status) || beside.as_slice() != companion.as_slice() {
                broken.push(format!("{reason} with Ready={status} and {beside:?}"));
            }
        }
    }
    broken
}

/// What holds between two revisions that follow each other.
fn after(before: &Revision, now: &Revision) -> Vec<String> {
    let mut broken = Vec::new();
    let observed = |one: &Revision| one.status()["observedGeneration"].as_i64();
    if observed(now) < observed(before) {
        broken.push("observedGeneration went back".to_owned());
    }
    if now.gap {
        // Two turns may have been missed.
        return broken;
    }
    for condition in now.conditions() {
        let mut earlier = before.conditions().iter();
        let Some(earlier) = earlier.find(|one| one["type"] == condition["type"]) else {
            continue;
        };
        let moved = earlier["lastTransitionTime"] != condition["lastTransitionTime"];
        if moved && earlier["status"] == condition["status"] {
            let kind = &condition["type"];
            broken.push(format!("lastTransitionTime of {kind} moved by itself"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::made::{history, in_sync, status_of};
    use super::*;

    fn broken(revisions: Vec<Revision>) -> Vec<String> {
        let found = of_object(&history(revisions));
        found.into_iter().map(|one| one.what).collect()
    }

    /// That what is wrong with the second revision is found, and only there.
    fn finds(change: impl FnOnce(&mut Value), expected: &str) {
        let first = in_sync(1, 100);
        let mut second = in_sync(1, 200);
        change(&mut second.object);
        let found = broken(vec![first, second]);
        assert!(
            found.iter().any(|one| one.starts_with(expected)),
            "{found:#?}"
        );
    }

    #[test]
    fn an_honest_history_breaks_nothing() {
        let fresh = Revision {
            object: json!({"metadata": {"generation": 1, "uid": "u"}, "status": {"observedGeneration": -1}}),
            ..in_sync(1, 50)
        };
        let waiting = status_of(1, 100, "Unknown", "Throttled", Some("Reconciling"));
        let stalled = status_of(2, 300, "False", "Rejected", Some("Stalled"));
        let history = vec![fresh, waiting, in_sync(1, 200), stalled];
        assert_eq!(broken(history), Vec::<String>::new());
    }

    #[test]
    fn ready_and_reconciling_at_once_are_found() {
        let add = |object: &mut Value| {
            let mut more = object["status"]["conditions"][0].clone();
            more["type"] = json!("Reconciling");
            let all = object["status"]["conditions"].as_array_mut().unwrap();
            all.push(more);
        };
        finds(add, "Ready and [\"Reconciling\"] at once");
    }

    #[test]
    fn a_type_that_is_there_twice_is_found() {
        let twice = |object: &mut Value| {
            let all = object["status"]["conditions"].as_array_mut().unwrap();
            all.push(all[0].clone());
        };
        finds(twice, "two conditions of one type");
    }

    #[test]
    fn an_observed_generation_that_is_ahead_or_goes_back_is_found() {
        let ahead = |object: &mut Value| object["status"]["observedGeneration"] = json!(2);
        finds(ahead, "observedGeneration is ahead");
        let back = |object: &mut Value| object["status"]["observedGeneration"] = json!(0);
        finds(back, "observedGeneration went back");
    }

    #[test]
    fn another_object_of_that_name_has_its_own_history() {
        let mut second = in_sync(1, 200);
        second.object["metadata"]["uid"] = json!("another");
        assert!(broken(vec![in_sync(5, 100), second]).is_empty());
    }

    #[test]
    fn unknown_words_and_wrong_combinations_are_found() {
        let word = |object: &mut Value| object["status"]["conditions"][0]["reason"] = json!("Okay");
        finds(word, "\"Okay\" is no reason");
        let value =
            |object: &mut Value| object["status"]["conditions"][0]["status"] = json!("true");
        finds(value, "the condition Ready is");
        let mix =
            |object: &mut Value| object["status"]["conditions"][0]["reason"] = json!("Rejected");
        finds(mix, "Rejected with Ready=True");
        let gone = |object: &mut Value| object["status"]["conditions"] = json!([]);
        finds(gone, "no Ready although");
    }

    #[test]
    fn a_guard_with_the_wrong_reason_or_ready_is_found() {
        let held = |guard: Option<&str>, ready: &str, companion: &str| {
            let mut one = status_of(1, 100, ready, "Protected", Some(companion));
            if let Some(guard) = guard {
                one.object["status"]["guard"] = json!(guard);
            }
            broken(vec![one])
        };
        assert!(held(Some("last-admin"), "Unknown", "Reconciling").is_empty());
        assert!(held(Some("unknown-role"), "False", "Stalled").is_empty());
        assert!(held(Some("identity-unknown"), "False", "Stalled").is_empty());
        for (guard, ready, companion) in [
            (Some("last-admin"), "False", "Stalled"),
            (Some("unknown-role"), "Unknown", "Reconciling"),
            (Some("identity-unknown"), "Unknown", "Reconciling"),
            (Some("contested"), "False", "Reconciling"),
            (Some("another"), "False", "Stalled"),
            (None, "False", "Stalled"),
        ] {
            assert!(!held(guard, ready, companion).is_empty(), "{guard:?}");
        }
        let left = |object: &mut Value| object["status"]["guard"] = json!("last-admin");
        finds(left, "InSync with the guard");
    }

    #[test]
    fn a_time_that_moves_without_a_turn_is_found_unless_revisions_were_missed() {
        let later = json!("2026-01-01T00:00:09Z");
        let moved = |object: &mut Value| {
            object["status"]["conditions"][0]["lastTransitionTime"] = later.clone();
        };
        finds(moved, "lastTransitionTime of \"Ready\" moved");
        let mut second = in_sync(1, 200);
        second.gap = true;
        moved(&mut second.object);
        assert!(broken(vec![in_sync(1, 100), second]).is_empty());
    }

    #[test]
    fn a_status_that_grows_is_found() {
        let long = "x".repeat(STATUS_MAX);
        let grown = |object: &mut Value| {
            object["status"]["conditions"][0]["message"] = json!(long);
        };
        finds(grown, "the status has");
    }

    #[test]
    fn what_the_test_wrote_itself_is_not_judged() {
        let mut second = in_sync(1, 200);
        second.by_test = true;
        second.object["status"]["observedGeneration"] = json!(7);
        assert!(broken(vec![in_sync(1, 100), second, in_sync(1, 300)]).is_empty());
    }
}
