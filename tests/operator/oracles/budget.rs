//! When it is sent: nothing inside a pause that an answer asked for, and in no minute more than the budget.

use std::collections::BTreeMap;

use fireworks_gateway_simulator::{Entry, Wait};

use super::{Evidence, Rule, Run, Violation};

/// What may have been on the wire when the answer left, on a busy machine.
const ON_THE_WIRE_MS: u64 = 500;
/// The number of calls under way at once: the default of `--concurrency`, and a read.
const UNDER_WAY: usize = 17;
/// No pause is longer.
const PAUSE_MAX_MS: f64 = 600_000.0;
/// A minute, less what two calls may come closer on their way.
const WINDOW_MS: u64 = 59_000;

pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let found = [pauses(evidence), windows(evidence)].concat();
    found
        .into_iter()
        .map(|what| Violation::new(Rule::Budget, what))
        .collect()
}

/// When a call arrived by the clock of that run.
fn sent(run: &Run, call: &Entry) -> u64 {
    call.received_ms + run.lapse.ahead_ms(call.received_unix_ms)
}

/// When it was answered by the clock of that run.
fn answered(run: &Run, call: &Entry) -> Option<u64> {
    Some(call.answered_ms? + run.lapse.ahead_ms(call.answered_unix_ms?))
}

fn pauses(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for asking in evidence.calls() {
        let (Some(ended), Some(wait)) = (asking.answered_ms, &asking.asked_to_wait) else {
            continue;
        };
        let (Some(run), Some(pause)) = (evidence.only_run(ended), milliseconds(wait)) else {
            continue;
        };
        let Some(begins) = answered(run, asking) else {
            continue;
        };
        let of_run = |entry: &&Entry| run.covers(entry.received_ms);
        let late = begins..begins + ON_THE_WIRE_MS.min(pause);
        let on_the_wire = evidence
            .calls()
            .filter(|entry| entry.seq > asking.seq && late.contains(&sent(run, entry)));
        let on_the_wire = on_the_wire.count();
        if on_the_wire > UNDER_WAY {
            broken.push(format!(
                "{on_the_wire} calls came right after #{} asked for a pause",
                asking.seq
            ));
        }
        let inside = begins + ON_THE_WIRE_MS..begins + pause;
        let calls = evidence.calls().filter(of_run);
        let early = calls.filter(|entry| inside.contains(&sent(run, entry)));
        broken.extend(early.map(|entry| {
            format!(
                "#{} came at {} ms, in the pause that #{} asked for until {} ms",
                entry.seq,
                sent(run, entry),
                asking.seq,
                inside.end
            )
        }));
    }
    broken
}

/// How long the answer asked to wait, where it does in numbers; dates are other tests' matter.
fn milliseconds(wait: &Wait) -> Option<u64> {
    let number = |text: &Option<String>| {
        let text = text.as_deref()?.trim();
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        text.parse::<f64>().ok().filter(|_| plain)
    };
    let asked = number(&wait.retry_after_ms)
        .or_else(|| number(&wait.retry_after).map(|seconds| seconds * 1000.0))?;
    // Whole milliseconds, far below what the type holds.
    format!("{:.0}", asked.min(PAUSE_MAX_MS)).parse().ok()
}

fn windows(evidence: &Evidence) -> Vec<String> {
    let mut by_run: BTreeMap<u64, (&Run, Vec<&Entry>)> = BTreeMap::new();
    for entry in evidence.calls() {
        if let Some(run) = evidence.only_run(entry.received_ms) {
            let calls = &mut by_run.entry(run.started_ms).or_insert((run, Vec::new())).1;
            calls.push(entry);
        }
    }
    let most = |(run, calls): &(&Run, Vec<&Entry>)| {
        let limit = run.per_minute;
        let mut pairs = calls.iter().zip(calls.iter().skip(limit));
        let close = pairs.find(|(first, last)| sent(run, last) < sent(run, first) + WINDOW_MS);
        close.map(|(first, last)| {
            format!(
                "more than {limit} calls in a minute: #{} to #{}",
                first.seq, last.seq
            )
        })
    };
    by_run.values().filter_map(most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::lapse::Lapse;
    use super::super::made::{call, evidence, run};
    use super::*;

    fn refused(at_ms: u64, seconds: &str) -> Entry {
        Entry {
            status: Some(429),
            asked_to_wait: Some(Wait {
                retry_after: Some(seconds.to_owned()),
                retry_after_ms: None,
            }),
            ..call("LIST", at_ms, &Value::Null)
        }
    }

    fn at(at_ms: u64) -> Entry {
        call("LIST", at_ms, &Value::Null)
    }

    fn broken(journal: Vec<Entry>) -> usize {
        check(&evidence(vec![], journal, vec![])).len()
    }

    #[test]
    fn a_call_inside_a_pause_is_found_and_those_around_it_are_not() {
        assert_eq!(broken(vec![refused(0, "2"), at(300), at(2_020)]), 0);
        assert_eq!(broken(vec![refused(0, "2"), at(1_500), at(2_020)]), 1);
        assert_eq!(broken(vec![refused(0, "junk"), at(1_500)]), 0);
        let many = (0..20).map(|number| at(20 + number));
        assert_eq!(
            broken([refused(0, "2")].into_iter().chain(many).collect()),
            1
        );
        assert_eq!(
            broken(vec![refused(0, "1000000000"), at(599_000), at(601_000)]),
            1
        );
    }

    #[test]
    fn another_process_knows_nothing_of_a_pause() {
        let journal = vec![refused(0, "5"), at(3_000)];
        let mut restarted = evidence(vec![], journal, vec![]);
        restarted.runs[0].ended_ms = Some(2_000);
        restarted.runs.push(Run {
            started_ms: 2_500,
            ..run()
        });
        assert!(check(&restarted).is_empty());
    }

    #[test]
    fn more_calls_in_a_minute_than_the_budget_are_found() {
        let calls = |count: u64, apart: u64| (0..count).map(|number| at(number * apart)).collect();
        assert_eq!(broken(calls(300, 10)), 0);
        assert_eq!(broken(calls(301, 10)), 1);
        assert_eq!(broken(calls(400, 200)), 0);
    }

    #[test]
    fn minutes_are_counted_by_the_clock_that_the_operator_had() {
        let calls = |apart: u64| (0..400).map(|number| at(number * apart)).collect();
        let hurried = |journal, steps: &str| {
            let mut evidence = evidence(vec![], journal, vec![]);
            evidence.runs[0].lapse = Lapse::read(steps);
            check(&evidence).len()
        };
        assert_eq!(hurried(calls(10), "2000 30000 0\n"), 1);
        assert_eq!(hurried(calls(10), "2000 60000 0\n"), 0);
        let pause = vec![refused(0, "5"), at(1_500), at(3_100)];
        assert_eq!(hurried(pause.clone(), "1000 2000 0\n"), 1);
        assert_eq!(hurried(pause, "1000 4000 0\n"), 0);
    }

    #[test]
    fn milliseconds_win_over_seconds() {
        let wait = Wait {
            retry_after: Some("9".to_owned()),
            retry_after_ms: Some("1500".to_owned()),
        };
        assert_eq!(milliseconds(&wait), Some(1_500));
    }
}
