//! Finds the sweeps in a journal. Pure.

use fireworks_gateway_simulator::{Entry, Verb};

/// How many calls each sweep took that began and ended within these calls. Calls of one sweep follow each other closely;
/// between two sweeps lies a pause of at least `pause_ms`.
pub(crate) fn calls_per_sweep(calls: &[Entry], pause_ms: u64) -> Vec<usize> {
    let reads = |call: &&Entry| matches!(call.verb, Verb::List | Verb::Get);
    let times: Vec<u64> = calls
        .iter()
        .filter(reads)
        .map(|call| call.received_ms)
        .collect();
    let mut sweeps = vec![0];
    for (place, time) in times.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|before| times.get(before));
        if before.is_some_and(|before| time.saturating_sub(*before) >= pause_ms) {
            sweeps.push(0);
        }
        if let Some(sweep) = sweeps.last_mut() {
            *sweep += 1;
        }
    }
    // The last one may not have ended.
    sweeps.pop();
    sweeps
}

/// Calls a minute, between the beginnings of the first and the last of these sweeps.
pub(crate) fn calls_per_minute(calls: &[Entry], pause_ms: u64) -> Option<f64> {
    let sweeps = calls_per_sweep(calls, pause_ms);
    let whole: usize = sweeps.iter().sum();
    let (first, last) = (calls.first()?, calls.get(whole)?);
    let minutes =
        crate::figures::whole(usize::try_from(last.received_ms - first.received_ms).ok()?)
            / 60_000.0;
    (minutes > 0.0).then(|| crate::figures::whole(whole) / minutes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn calls(times: &[u64]) -> Vec<Entry> {
        let call = |time: &u64| {
            serde_json::from_value(json!({
                "seq": 1, "connection": 1, "verb": "LIST", "method": "GET", "path": "/", "query": null, "user": null,
                "userAgent": null, "authorized": true, "credential": null, "body": null, "receivedUnixMs": 0,
                "receivedMs": time, "answeredUnixMs": null, "answeredMs": null, "status": 200, "outcome": "answered",
                "changes": [], "fault": null,
            }))
            .unwrap()
        };
        times.iter().map(call).collect()
    }

    #[test]
    fn sweeps_are_told_apart_by_the_pause_between_them() {
        let journal = calls(&[0, 5, 9_000, 9_003, 18_000]);
        assert_eq!(calls_per_sweep(&journal, 1_000), [2, 2]);
        let rate = calls_per_minute(&journal, 1_000).unwrap();
        assert!((rate - 4.0 / 0.3).abs() < 0.01, "{rate}");
        assert!(calls_per_sweep(&calls(&[1, 2]), 1_000).is_empty());
    }
}
