//! Which refusals stand, who probes, and what releases the others.

#![allow(clippy::unwrap_used)]

use super::*;

const SETTLED: Duration = Duration::from_secs(30);

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

struct World {
    denials: Denials,
    began: Moment,
}

impl World {
    fn new() -> Self {
        let began = Moment::from_micros(1 << 40);
        Self {
            denials: Denials::default(),
            began,
        }
    }

    fn at(&self, seconds: u64) -> Moment {
        self.began + Duration::from_secs(seconds)
    }

    fn refuse(&mut self, name: &str, seconds: u64) -> Vec<UserId> {
        let at = self.at(seconds);
        self.denials.refused(&user(name), 1, at, at)
    }

    fn accept(&mut self, name: &str, seconds: u64) -> Vec<UserId> {
        let at = self.at(seconds);
        self.denials.accepted(&user(name), 1, at, at)
    }

    fn stands(&mut self, name: &str, seconds: u64) -> bool {
        self.denials.of(&user(name), 1, self.at(seconds)).stands
    }
}

#[test]
fn permission_denied_has_one_probe_every_ten_minutes_each_user_in_turn() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        assert!(!world.stands(name, 1), "not refused yet: it is tried");
        assert_eq!(world.refuse(name, 1), []);
    }
    let mut probed = Vec::new();
    for second in 2..2_500 {
        for name in ["a", "b", "c"] {
            if !world.stands(name, second) {
                probed.push((name, second));
                assert_eq!(world.refuse(name, second), []);
            }
        }
    }
    assert_eq!(
        probed,
        [("a", 601), ("b", 1_201), ("c", 1_801), ("a", 2_401)]
    );
    let next = world.denials.next_try_after(&user("b"), world.at(2_500));
    assert_eq!(next, Duration::from_secs(501));
}

#[test]
fn permission_denied_ends_with_any_accepted_change() {
    let mut world = World::new();
    assert_eq!(world.refuse("a", 1), []);
    assert_eq!(world.refuse("b", 1), []);
    // It was sent before they were refused: it proves nothing.
    assert_eq!(world.accept("c", 1), []);
    assert!(world.stands("a", 2));
    let mut released = world.accept("c", 3);
    released.sort();
    assert_eq!(released, [user("a"), user("b")]);
    assert!(!world.stands("a", 3));
    assert_eq!(world.accept("a", 4), [user("b")]);
    assert!(!world.stands("b", 4));
    assert_eq!(world.accept("b", 4), []);
    assert!(world.denials.refused.is_empty());
}

#[test]
fn permission_denied_again_after_a_release_is_not_released_at_once() {
    let mut world = World::new();
    assert_eq!(world.refuse("a", 1), []);
    for second in 2..1_300 {
        // Another change is accepted each second.
        let _ = world.accept("b", second);
        if !world.stands("a", second) {
            assert!([2, 601, 1_201].contains(&second), "sent at {second}");
            assert_eq!(world.refuse("a", second), []);
        }
    }
}

#[test]
fn permission_denied_of_a_former_process_is_probed_after_a_settle_window() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world
            .denials
            .inherited(&user(name), world.at(0), world.at(0) + SETTLED);
        assert!(world.stands(name, 1));
    }
    let next = world.denials.next_try_after(&user("a"), world.at(1));
    assert_eq!(next, SETTLED.saturating_sub(Duration::from_secs(1)));
    assert!(!world.stands("b", 30));
    assert!(world.stands("a", 31), "one alone");
    assert!(!world.stands("b", 32), "it keeps its turn");
    assert_eq!(world.accept("b", 33), [user("a")]);
}

#[test]
fn permission_denied_is_probed_at_once_on_request_and_not_twice_a_minute() {
    let mut world = World::new();
    for name in ["a", "b"] {
        assert_eq!(world.refuse(name, 1), []);
    }
    world.denials.request(&user("a"));
    assert!(world.stands("b", 2));
    assert!(!world.stands("a", 2));
    assert_eq!(world.refuse("a", 2), []);
    world.denials.request(&user("a"));
    let next = world.denials.next_try_after(&user("a"), world.at(3));
    assert_eq!(next, Duration::from_secs(59));
    assert!(world.stands("a", 61));
    assert!(!world.stands("a", 62));
}

#[test]
fn a_probe_that_is_not_sent_is_left_to_another() {
    let mut world = World::new();
    for name in ["a", "b"] {
        assert_eq!(world.refuse(name, 1), []);
    }
    assert!(!world.stands("a", 601));
    assert!(world.stands("b", 660));
    assert!(!world.stands("b", 661));
    world.denials.forget(&user("b"));
    assert!(!world.stands("a", 662), "nobody else is there");
}

#[test]
fn a_new_key_ends_all_refusals() {
    let mut world = World::new();
    assert_eq!(world.refuse("a", 1), []);
    assert!(!world.denials.of(&user("a"), 2, world.at(2)).stands);
    // An answer to the old key that comes late.
    assert_eq!(world.refuse("a", 3), []);
    assert!(!world.denials.of(&user("a"), 2, world.at(4)).stands);
}

#[test]
fn two_refusals_since_a_demotion_hold_all_changes() {
    let mut world = World::new();
    let now = Timestamp::UNIX_EPOCH;
    assert_eq!(world.refuse("a", 1), []);
    world.denials.demoted(&user("boss"), now, world.at(2));
    assert_eq!(world.refuse("a", 3), []);
    assert_eq!(world.refuse("a", 4), [], "one user alone");
    assert!(!world.stands("c", 4));
    assert_eq!(world.refuse("b", 5), [user("a"), user("b")]);
    let counts = world.denials.of(&user("c"), 1, world.at(6));
    let since = counts.since.unwrap();
    assert_eq!(
        (counts.stands, since.user, since.at),
        (true, user("boss"), now)
    );
    let mut released = world.accept("d", 7);
    released.sort();
    assert_eq!(released, [user("a"), user("b"), user("c")]);
    assert_eq!(
        world.denials.of(&user("c"), 1, world.at(8)),
        Denial::default()
    );
}

#[test]
fn a_change_accepted_since_a_demotion_clears_it() {
    let mut world = World::new();
    world
        .denials
        .demoted(&user("boss"), Timestamp::UNIX_EPOCH, world.at(2));
    assert_eq!(world.accept("d", 3), []);
    for name in ["a", "b"] {
        assert_eq!(world.refuse(name, 4), []);
    }
    assert!(!world.stands("c", 5));
}
