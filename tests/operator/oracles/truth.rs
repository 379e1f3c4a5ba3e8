//! Ready is true: whenever an object becomes Ready=True for its current generation, the remote user was as
//! declared at some moment that the operator had word of, after the last call whose fate is unknown. What
//! counts is what the user truly was, not what an answer showed.

use fireworks_gateway_simulator::{Entry, Moment, Outcome, User, Verb};
use serde_json::Value;

use super::{Evidence, History, Revision, Rule, Run, Violation};

/// A gateway notices that a caller has gone only a moment after it went, on a busy machine a long one.
const NOTICED_LATE_MS: u64 = 1_000;
/// A status may be written this long after it was decided: the deadline of a write, and some.
const WRITTEN_LATE_MS: u64 = 15_000;

pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let objects = evidence.objects.iter();
    objects
        .flat_map(|object| of_object(evidence, object))
        .collect()
}

fn of_object(evidence: &Evidence, history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (before, now) in history.steps() {
        let stays =
            before.is_some_and(|before| before.generation() == now.generation() && in_sync(before));
        // After a gap the time of the turn is not known, nor what came before it.
        if now.deleted || now.gap || now.by_test || stays || !in_sync(now) {
            continue;
        }
        if let Err(why) = justified(evidence, now) {
            let what = format!("{} reports InSync: {why}", history.label(now));
            broken.push(Violation::new(Rule::Truth, what));
        }
    }
    broken
}

/// Whether it reports that the remote matches the spec of now.
fn in_sync(revision: &Revision) -> bool {
    let mut conditions = revision.conditions().iter();
    conditions.any(|one| {
        one["type"] == "Ready"
            && one["status"] == "True"
            && one["reason"] == "InSync"
            && one["observedGeneration"] == revision.generation()
    })
}

fn justified(evidence: &Evidence, now: &Revision) -> Result<(), String> {
    let user = now.user();
    let Some(run) = evidence
        .runs
        .iter()
        .rfind(|run| run.started_ms <= now.at_ms)
    else {
        return Err("no operator was running".to_owned());
    };
    let ended = |entry: &&Entry| entry.answered_ms.is_some_and(|at| at <= now.at_ms);
    let lost = evidence
        .patches_of(user)
        .filter(ended)
        .filter(|entry| is_lost(entry));
    let lost = lost.max_by_key(|entry| entry.answered_ms);
    let matched = |entry: &&Entry| {
        let (from, to) = span(entry);
        let states = evidence.states(user, from, to);
        states.iter().any(|state| matches(now, state))
    };
    let sightings: Vec<_> = evidence.sightings(user).filter(ended).collect();
    let mut proofs = sightings
        .iter()
        .filter(|entry| !is_spoilt(entry))
        .filter(|entry| lost.is_none_or(|lost| speaks_after(entry, lost, run)))
        .filter(|entry| matched(entry));
    if proofs.any(|proof| !contradicted(proof, &sightings, now.at_ms, matched)) {
        return Ok(());
    }
    let calls: Vec<_> = sightings.iter().map(|entry| entry.seq).collect();
    Err(format!(
        "no answer about {user} showed {} in time; lost: {:?}; answers: {calls:?}; truth: {:?}",
        now.object["spec"],
        lost.map(|lost| lost.seq),
        evidence.past.get(user)
    ))
}

/// Faults that make an answer of success one that must not be trusted.
const SPOILT: [&str; 7] = [
    "invalidJson",
    "truncated",
    "hangInBody",
    "oversized",
    "gzipBomb",
    "wrongUser",
    "raw",
];

fn is_spoilt(entry: &Entry) -> bool {
    let fault = entry.fault.as_deref();
    fault.is_some_and(|fault| SPOILT.contains(&fault))
}

/// Whether the fate of the PATCH is unknown to its caller.
fn is_lost(entry: &Entry) -> bool {
    match entry.outcome {
        Outcome::Dropped | Outcome::ClientGone => true,
        Outcome::Answered => entry.status.is_some_and(|status| {
            let failed = (500..600).contains(&status) && status != 501;
            failed || status == 200 && is_spoilt(entry)
        }),
        Outcome::Pending => false,
    }
}

/// Whether the answer shows what came of a call with an unknown outcome: a repetition of it does at once, all
/// else only when begun a settle window later.
fn speaks_after(entry: &Entry, lost: &Entry, run: &Run) -> bool {
    let Some(given_up) = lost.answered_ms else {
        return false;
    };
    let before_this_run = given_up < run.started_ms;
    let same = entry.body == lost.body || before_this_run;
    let slack = match lost.outcome {
        Outcome::ClientGone => NOTICED_LATE_MS,
        _ => 0,
    };
    let settled = given_up.max(if before_this_run { run.started_ms } else { 0 }) + run.settle_ms;
    let floor = match entry.verb {
        Verb::Patch if same => given_up,
        _ => settled,
    };
    entry.received_ms + slack >= floor
}

/// Whether a later answer had shown something else long enough before the status was written.
fn contradicted(
    proof: &Entry,
    sightings: &[&Entry],
    written_ms: u64,
    matched: impl Fn(&&Entry) -> bool,
) -> bool {
    let (_, proven) = span(proof);
    sightings.iter().any(|entry| {
        let (from, to) = span(entry);
        from > proven && to + WRITTEN_LATE_MS < written_ms && !matched(entry)
    })
}

fn span(entry: &Entry) -> (u64, u64) {
    let from = entry.received_ms;
    (from, entry.answered_ms.unwrap_or(from))
}

/// Whether the user has every field that the spec declares.
fn matches(declared: &Revision, state: &Moment) -> bool {
    let Some(user) = &state.user else {
        return false;
    };
    let User {
        role,
        permission_preset,
        display_name,
        ..
    } = user;
    let spec = &declared.object["spec"];
    let as_declared = |field: &str, actual: &str| match &spec[field] {
        Value::Null => true,
        declared => declared == actual,
    };
    as_declared("role", role)
        && as_declared("permissionPreset", permission_preset)
        && as_declared("displayName", display_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::made::{call, evidence, in_sync, lost, moment, patch, run};
    use super::*;

    const NONE: Value = Value::Null;

    fn holds(evidence: &Evidence) -> bool {
        check(evidence).is_empty()
    }

    #[test]
    fn an_answer_to_the_change_is_proof_and_nothing_is_none() {
        let past = vec![moment(0, "user", true), moment(105, "contributor", false)];
        let answered = vec![patch(100, "contributor")];
        assert!(holds(&evidence(
            vec![in_sync(1, 200)],
            answered,
            past.clone()
        )));
        assert!(!holds(&evidence(
            vec![in_sync(1, 200)],
            vec![],
            past.clone()
        )));
        let later = vec![patch(300, "contributor")];
        assert!(!holds(&evidence(vec![in_sync(1, 200)], later, past)));
    }

    #[test]
    fn ready_while_the_remote_differs_is_found() {
        let past = vec![moment(0, "user", true)];
        let read = vec![call("LIST", 100, &NONE)];
        assert!(!holds(&evidence(vec![in_sync(1, 200)], read, past)));
    }

    #[test]
    fn an_untrustworthy_answer_is_no_proof() {
        let past = vec![moment(0, "user", true), moment(105, "contributor", false)];
        let mut spoilt = patch(100, "contributor");
        spoilt.fault = Some("truncated".to_owned());
        let found = evidence(vec![in_sync(1, 200)], vec![spoilt.clone()], past.clone());
        assert!(!holds(&found));
        let journal = vec![spoilt, patch(300, "contributor")];
        assert!(holds(&evidence(vec![in_sync(1, 400)], journal, past)));
    }

    #[test]
    fn ready_for_a_new_generation_needs_proof_of_its_own() {
        let past = vec![moment(0, "contributor", true)];
        let read = vec![call("LIST", 100, &NONE)];
        let mut second = in_sync(2, 300);
        second.object["spec"]["displayName"] = json!("Alice");
        let history = vec![in_sync(1, 200), second];
        let found = check(&evidence(history, read, past));
        assert_eq!(found.len(), 1, "{found:#?}");
    }

    #[test]
    fn ready_right_after_a_lost_reply_is_found_although_it_was_applied() {
        let past = vec![moment(0, "user", true), moment(105, "contributor", false)];
        let journal = vec![call("LIST", 50, &NONE), lost(100, "contributor")];
        let too_early = evidence(vec![in_sync(1, 200)], journal.clone(), past.clone());
        assert!(!holds(&too_early));
        let repeated = [journal.clone(), vec![patch(300, "contributor")]].concat();
        assert!(holds(&evidence(
            vec![in_sync(1, 400)],
            repeated,
            past.clone()
        )));
        let read_soon = [journal.clone(), vec![call("GET", 300, &NONE)]].concat();
        assert!(!holds(&evidence(
            vec![in_sync(1, 400)],
            read_soon,
            past.clone()
        )));
        let settled = [journal, vec![call("GET", 1_150, &NONE)]].concat();
        assert!(holds(&evidence(vec![in_sync(1, 1_200)], settled, past)));
    }

    #[test]
    fn another_change_after_a_lost_one_is_no_proof_before_the_settle_window() {
        let past = vec![moment(0, "user", true), moment(205, "contributor", false)];
        let journal = vec![lost(100, "admin"), patch(200, "contributor")];
        assert!(!holds(&evidence(vec![in_sync(1, 300)], journal, past)));
    }

    #[test]
    fn after_a_restart_a_read_is_proof_only_when_settled() {
        let past = vec![moment(0, "user", true), moment(105, "contributor", false)];
        let journal = |read| vec![lost(100, "contributor"), call("LIST", read, &NONE)];
        let mut early = evidence(vec![in_sync(1, 3_000)], journal(2_100), past.clone());
        early.runs[0].ended_ms = Some(150);
        early.runs.push(Run {
            started_ms: 2_000,
            ..run()
        });
        assert!(!holds(&early));
        let mut late = evidence(vec![in_sync(1, 3_100)], journal(3_050), past);
        late.runs = early.runs;
        assert!(holds(&late));
    }

    #[test]
    fn a_proof_that_a_later_answer_contradicted_long_ago_is_none() {
        let past = vec![moment(0, "contributor", true), moment(200, "user", true)];
        let journal = vec![call("LIST", 100, &NONE), call("LIST", 300, &NONE)];
        let soon = evidence(vec![in_sync(1, 400)], journal.clone(), past.clone());
        assert!(holds(&soon), "it was on its way");
        let late = evidence(vec![in_sync(1, 20_000)], journal, past);
        assert!(!holds(&late));
    }

    #[test]
    fn staying_ready_needs_no_new_proof_and_a_gap_is_not_judged() {
        let past = vec![moment(0, "contributor", true), moment(150, "user", true)];
        let read = vec![call("LIST", 100, &NONE)];
        let history = vec![in_sync(1, 120), in_sync(1, 9_000_000)];
        assert!(holds(&evidence(history, read, past)));
        let mut unsure = in_sync(1, 200);
        unsure.gap = true;
        assert!(holds(&evidence(vec![unsure], vec![], vec![])));
    }
}
