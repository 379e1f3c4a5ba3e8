//! Finds sweeps and bursts in a journal. Pure.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Verb};

use crate::figures::whole;

/// How many calls each sweep took, of those that have ended. Calls of one sweep follow each other closely; between two
/// sweeps lies a pause of at least `pause_ms`, and so does one between the last of them and `now`, in milliseconds since
/// the epoch, if it has ended.
pub(crate) fn calls_per_sweep(calls: &[Entry], pause_ms: i64, now: i64) -> Vec<usize> {
    let mut sweeps = Vec::new();
    let mut last = None;
    for time in beginnings(calls) {
        if last.is_none_or(|last| time - last >= pause_ms) {
            sweeps.push(0);
        }
        if let Some(sweep) = sweeps.last_mut() {
            *sweep += 1;
        }
        last = Some(time);
    }
    if last.is_some_and(|last| now - last < pause_ms) {
        sweeps.pop();
    }
    sweeps
}

/// Calls a minute, between the beginnings of the first and the last of these sweeps.
pub(crate) fn calls_per_minute(calls: &[Entry], sweeps: &[usize]) -> Option<f64> {
    let (_, before) = sweeps.split_last()?;
    let count: usize = before.iter().sum();
    let times: Vec<i64> = beginnings(calls).collect();
    let ms = times.get(count)? - times.first()?;
    let minutes = whole(usize::try_from(ms).ok()?) / 60_000.0;
    (minutes > 0.0).then(|| whole(count) / minutes)
}

/// When each read arrived.
fn beginnings(calls: &[Entry]) -> impl Iterator<Item = i64> {
    let reads = calls
        .iter()
        .filter(|call| matches!(call.verb, Verb::List | Verb::Get));
    reads.map(|call| call.received_unix_ms)
}

/// The most of these moments, given in milliseconds and in order, that lie within any such time.
pub(crate) fn most_within(time: Duration, moments: &[u64]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (place, moment) in moments.iter().enumerate() {
        let is_gone = |old: &u64| u128::from(moment.saturating_sub(*old)) >= time.as_millis();
        while moments.get(first).is_some_and(is_gone) {
            first += 1;
        }
        most = most.max(place + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn calls(times: &[i64]) -> Vec<Entry> {
        let call = |time: &i64| {
            serde_json::from_value(json!({
                "seq": 1, "connection": 1, "verb": "LIST", "method": "GET", "path": "/", "query": null, "user": null,
                "userAgent": null, "authorized": true, "credential": null, "body": null, "receivedUnixMs": time,
                "receivedMs": 0, "answeredUnixMs": null, "answeredMs": null, "status": 200, "outcome": "answered",
                "changes": [], "fault": null,
            }))
            .unwrap()
        };
        times.iter().map(call).collect()
    }

    #[test]
    fn sweeps_are_told_apart_by_the_pause_between_them() {
        let journal = calls(&[0, 5, 9_000, 9_003, 18_000]);
        let sweeps = calls_per_sweep(&journal, 1_000, 18_500);
        assert_eq!(sweeps, [2, 2], "the last one goes on");
        let sweeps = calls_per_sweep(&journal, 1_000, 19_000);
        assert_eq!(sweeps, [2, 2, 1]);
        let rate = calls_per_minute(&journal, &sweeps).unwrap();
        assert!((rate - 4.0 / 0.3).abs() < 0.01, "{rate}");
        assert!(calls_per_sweep(&calls(&[1, 2]), 1_000, 3).is_empty());
        assert!(calls_per_sweep(&[], 1_000, 3).is_empty());
    }

    #[test]
    fn a_burst_is_found_wherever_it_begins() {
        let second = Duration::from_secs(1);
        assert_eq!(
            most_within(second, &[0, 900, 1_000, 1_100, 1_899, 5_000]),
            4
        );
        assert_eq!(most_within(second, &[0, 1_000, 2_000]), 1);
        assert_eq!(most_within(second, &[]), 0);
    }
}
