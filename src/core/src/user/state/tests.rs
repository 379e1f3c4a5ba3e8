//! What is remembered, for how long, and what of it a new generation or another version of the object ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use super::*;

fn user_ref(name: &str) -> UserRef {
    UserRef {
        account: "acme".parse().unwrap(),
        user: name.parse().unwrap(),
    }
}

#[test]
fn contested_from_the_fifth_repair_within_an_hour_with_pauses_that_double() {
    let mut memory = ObjectStates::default();
    let user = user_ref("alice");
    let mut now = Moment::from_micros(1 << 40);
    for _ in 0..4 {
        memory.repaired(&user, now, Timestamp::UNIX_EPOCH);
        assert_eq!(memory.repair_hold(&user, now), None);
        now += Duration::from_mins(1);
    }
    let mut pauses = Vec::new();
    for _ in 0..9 {
        memory.repaired(&user, now, Timestamp::UNIX_EPOCH);
        let hold = memory.repair_hold(&user, now).unwrap();
        let pause = hold.until - now;
        assert_eq!(hold.next_repair, Timestamp::UNIX_EPOCH + pause);
        assert_eq!(hold.repairs, 5 + pauses.len());
        pauses.push(pause.as_secs());
        now += Duration::from_secs(30);
    }
    assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
}

#[test]
fn contested_is_no_user_repaired_now_and_then() {
    let mut memory = ObjectStates::default();
    let user = user_ref("alice");
    let mut now = Moment::from_micros(1 << 40);
    for _ in 0..20 {
        memory.repaired(&user, now, Timestamp::UNIX_EPOCH);
        assert_eq!(memory.repair_hold(&user, now), None);
        now += Duration::from_mins(20);
    }
}

#[test]
fn users_repaired_long_ago_are_forgotten_once_they_are_many() {
    let mut memory = ObjectStates::default();
    let mut repair = |number: usize, now| {
        memory.repaired(
            &user_ref(&format!("user-{number}")),
            now,
            Timestamp::UNIX_EPOCH,
        );
        memory.repairs_of_users.len()
    };
    let now = Moment::from_micros(1 << 40);
    for number in 0..FIGHTS_KEPT * 3 {
        assert_eq!(repair(number, now), number + 1, "all are recent");
    }
    let later = now + FIGHT_WINDOW * 2;
    let most = (0..FIGHTS_KEPT * 3)
        .map(|number| repair(1_000 + number, later))
        .max();
    assert!(most <= Some(FIGHTS_KEPT * 4), "{most:?}");
    assert_eq!(memory.repairs_of_users.len(), FIGHTS_KEPT * 3);
}

#[test]
fn another_generation_starts_afresh_but_for_what_is_not_about_the_spec() {
    let mut memory = ObjectStates::default();
    memory.update("uid", 1, |entry| {
        entry.attempt = 3;
        entry.requested_at = Some(7);
        entry.read_owed_since = Some(Moment::from_micros(9));
    });
    assert_eq!(memory.recall("uid", 1).attempt, 3);
    let next = memory.recall("uid", 2);
    assert_eq!((next.attempt, next.requested_at), (0, Some(7)));
    assert_eq!(next.read_owed_since, Some(Moment::from_micros(9)));
}

#[test]
fn two_writes_in_a_row_are_known_by_every_version_that_the_watch_still_brings() {
    let mut entry = ObjectState::default();
    entry.wrote("1", "1", "2".to_owned(), status("one"));
    entry.wrote("1", "2", "3".to_owned(), status("two"));
    for older in ["1", "2"] {
        let written = entry.written_since(older).unwrap();
        assert_eq!((&*written.version, &*written.status), ("3", &status("two")));
    }
    assert!(entry.written_since("3").is_none());
    entry.wrote("9", "9", "10".to_owned(), status("three"));
    assert!(entry.written_since("1").is_none());
}

/// A change under way knows the version that it began with, and writes over that which the watch has brought meanwhile.
#[test]
fn write_over_one_that_the_watch_has_brought_is_known_by_both_versions() {
    let mut memory = ObjectStates::default();
    memory.update("uid", 1, |entry| {
        entry.wrote("1", "1", "2".to_owned(), status("one"));
    });
    assert!(memory.is_echo("uid", "2"));
    memory.update("uid", 1, |entry| {
        entry.wrote("1", "2", "3".to_owned(), status("two"));
    });
    let entry = memory.recall("uid", 1);
    for older in ["1", "2"] {
        assert_eq!(&*entry.written_since(older).unwrap().version, "3");
    }
}

#[test]
fn an_object_as_it_was_left_is_an_echo_once() {
    let mut memory = ObjectStates::default();
    memory.update("uid", 1, |entry| {
        entry.wrote("1", "1", "2".to_owned(), status("one"));
    });
    assert!(!memory.is_echo("uid", "1") && !memory.is_echo("other", "2"));
    assert!(memory.is_echo("uid", "2"));
    assert!(!memory.is_echo("uid", "2"));
    assert_eq!(memory.objects.len(), 0);
}

#[test]
fn an_entry_without_content_is_not_kept() {
    let mut memory = ObjectStates::default();
    memory.update("uid", 1, |entry| entry.attempt = 3);
    memory.update("uid", 1, |entry| entry.attempt = 0);
    assert_eq!(memory.objects.len(), 0);
}

fn status(state: &str) -> FireworksUserStatus {
    FireworksUserStatus {
        state: Some(state.to_owned()),
        ..FireworksUserStatus::default()
    }
}

fn json(state: &str) -> String {
    serde_json::to_string(&status(state)).unwrap()
}

#[test]
fn a_status_that_another_writer_overwrites_is_written_with_back_off() {
    let mut memory = ObjectStates::default();
    let mut now = Moment::from_micros(1 << 40);
    let mut waits = Vec::new();
    let (ours, theirs) = (json("ours"), json("theirs"));
    memory.said("uid", 1, &ours);
    for _ in 0..7 {
        if let Some(wait) = memory.disputed("uid", 1, &theirs, now) {
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(memory.disputed("uid", 1, &theirs, now), None);
        }
        memory.said("uid", 1, &ours);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16]);
    let next_spec = memory.disputed("uid", 2, &theirs, now);
    assert_eq!(next_spec, None);
}

#[test]
fn our_own_changes_of_mind_are_no_dispute() {
    let mut memory = ObjectStates::default();
    let now = Moment::from_micros(1 << 40);
    let mut found = json("");
    for number in 0..20 {
        assert_eq!(memory.disputed("uid", 1, &found, now), None);
        found = json(&number.to_string());
        memory.said("uid", 1, &found);
    }
}

#[test]
fn rewound_object_keeps_nothing_but_the_read_that_it_is_owed() {
    let mut memory = ObjectStates::default();
    memory.update("u", 3, |entry| {
        entry.attempt = 2;
        entry.read_owed_since = Some(Moment::from_micros(9));
        entry.wrote("10", "10", "11".into(), FireworksUserStatus::default());
    });
    memory.matched("u", 3);
    memory.rewound("u", 2, Some(7));
    assert!(!memory.is_echo("u", "11"), "versions are given again");
    let next = memory.recall("u", 3);
    assert_eq!((next.attempt, next.requested_at), (0, Some(7)));
    assert_eq!(next.read_owed_since, Some(Moment::from_micros(9)));
    assert!(!memory.has_matched("u", 2) && !memory.has_matched("u", 3));
}

/// Each object that is in sync has an entry, and none stays of those that are gone.
#[test]
fn match_is_of_one_generation_and_goes_with_the_object() {
    let mut memory = ObjectStates::default();
    memory.matched("u", 3);
    memory.matched("v", 1);
    assert!(memory.has_matched("u", 3));
    assert!(!memory.has_matched("u", 4) && !memory.has_matched("w", 3));
    memory.update("u", 3, |entry| entry.attempt = 1);
    assert_eq!(memory.counts()[0], 2);
    memory.forget("u");
    assert!(!memory.has_matched("u", 3));
    assert_eq!(memory.counts()[0], 1);
}

#[test]
fn back_off_ends_with_the_outage() {
    let mut memory = ObjectStates::default();
    let later = Moment::from_micros(1 << 40) + Duration::from_mins(5);
    memory.update("uid", 1, |entry| {
        (entry.attempt, entry.not_before) = (9, Some(later));
        entry.drifted = true;
    });
    memory.update("other", 1, |entry| entry.not_before = Some(later));
    memory.bring_forward();
    let entry = memory.recall("uid", 1);
    assert_eq!((entry.attempt, entry.not_before), (0, None));
    assert!(entry.drifted, "the rest is kept");
    assert_eq!(memory.counts()[0], 1);
}
