//! The decisions about a Lease, as a table, and a search over two processes that share one.

use super::*;

const ME: &str = "pod-a_1";
const OTHER: &str = "pod-b_2";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

fn record(holder: Option<&str>, renewed: i64) -> Record {
    Record {
        holder: holder.map(str::to_owned),
        duration: seconds(30),
        acquired: Some(time(1)),
        renewed: Some(time(renewed)),
        transitions: 3,
    }
}

/// Returns what is known after these observations, each with its time in seconds.
fn observed(observations: impl IntoIterator<Item = (u64, Option<Record>)>) -> Observed {
    let mut observed = Observed::default();
    for (at, lease) in observations {
        observed.update(lease, ME, seconds(at));
    }
    observed
}

#[test]
fn next_lease_is_written_where_no_other_holder_is_in_the_way() {
    let other = |renewed| Some(record(Some(OTHER), renewed));
    for (situation, observations, now, expected) in [
        ("no Lease", vec![(0, None)], 0, Next::Write),
        (
            "an own one",
            vec![(0, Some(record(Some(ME), 1)))],
            99,
            Next::Write,
        ),
        (
            "a released one",
            vec![(0, Some(record(None, 1)))],
            0,
            Next::Write,
        ),
        (
            "another's",
            vec![(10, other(1))],
            39,
            Next::Wait(seconds(1)),
        ),
        (
            "another's, unchanged for 30 s",
            vec![(10, other(1)), (39, other(1))],
            40,
            Next::Write,
        ),
        (
            "another's, renewed",
            vec![(10, other(1)), (39, other(2))],
            40,
            Next::Wait(seconds(29)),
        ),
        (
            "another's, renewed by a clock that is years behind",
            vec![(10, other(2)), (39, other(-90_000_000))],
            40,
            Next::Wait(seconds(29)),
        ),
        (
            "another's, deleted",
            vec![(10, other(1)), (20, None)],
            49,
            Next::Wait(seconds(1)),
        ),
        (
            "another's, deleted 30 s ago",
            vec![(10, other(1)), (20, None)],
            50,
            Next::Write,
        ),
        (
            "another's, released and deleted",
            vec![(10, other(1)), (15, Some(record(None, 2))), (20, None)],
            20,
            Next::Write,
        ),
        (
            "an own one, deleted",
            vec![(0, Some(record(Some(ME), 1))), (9, None)],
            9,
            Next::Write,
        ),
        (
            "an own one, taken over",
            vec![(0, Some(record(Some(ME), 1))), (9, other(8))],
            9,
            Next::Wait(seconds(30)),
        ),
    ] {
        let observed = observed(observations);
        assert_eq!(
            next_lease(&observed, ME, seconds(now)),
            expected,
            "{situation}"
        );
    }
}

#[test]
fn former_holder_is_one_that_was_ever_seen() {
    assert!(!observed([(0, None)]).had_former());
    assert!(!observed([(0, None), (1, Some(record(Some(ME), 1)))]).had_former());
    assert!(observed([(0, Some(record(None, 1)))]).had_former());
    assert!(observed([(0, Some(record(Some(OTHER), 1))), (1, None)]).had_former());
}

#[test]
fn record_counts_changes_of_the_holder_and_not_renewals() {
    let taken = Record::owned(Some(&record(Some(OTHER), 1)), ME, seconds(30), time(50));
    assert_eq!(
        (taken.transitions, taken.acquired, taken.renewed),
        (4, Some(time(50)), Some(time(50)))
    );
    let renewed = Record::owned(Some(&taken), ME, seconds(30), time(55));
    assert_eq!(
        (renewed.transitions, renewed.acquired, renewed.renewed),
        (4, Some(time(50)), Some(time(55)))
    );
    let released = renewed.released(time(60));
    assert_eq!(
        (released.holder.as_deref(), released.transitions),
        (None, 4)
    );
    let again = Record::owned(Some(&released), ME, seconds(30), time(61));
    assert_eq!((again.transitions, again.acquired), (5, Some(time(61))));
    let created = Record::owned(None, ME, seconds(30), time(1));
    assert_eq!(
        (created.transitions, created.holder.as_deref()),
        (0, Some(ME))
    );
}

#[test]
fn durations_leave_two_seconds_between_the_last_request_and_the_end() {
    let durations = Durations::PRODUCTION;
    assert_eq!(durations.request_end(), seconds(28));
    assert!(durations.renew < durations.request_end());
}
