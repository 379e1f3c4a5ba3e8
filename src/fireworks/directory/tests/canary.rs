//! The mask canary: what the first change shows, and what follows from it.

use super::*;

/// A user with something to lose.
fn named(name: &str, role: Role) -> User {
    User {
        display_name: Some("Al".into()),
        has_email: true,
        ..user(name, role)
    }
}

/// Two users with something to lose, listed.
fn two_named() -> World {
    let world = World::of(&["a", "b"]);
    world.list(vec![named("a", Role::User), named("b", Role::User)], 1);
    world
}

#[test]
fn the_first_change_goes_alone_and_a_good_answer_lets_the_others_go() {
    let mut world = two_named();
    world.look();
    assert_eq!(world.directory.mask(&id("a")), Mask::Trusted);
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::Contributor), world.now);
    assert_eq!(world.directory.mask(&id("b")), Mask::Busy);
    let _ = flight.answered(named("a", Role::Contributor), world.now);
    assert_eq!(world.look(), ["a", "b"]);
    assert_eq!(world.directory.mask(&id("b")), Mask::Trusted);
}

#[test]
fn a_field_that_was_not_sent_and_is_gone_stops_all_changes_once_a_read_confirms_it() {
    let mut world = two_named();
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::Contributor), world.now);
    let _ = flight.answered(user("a", Role::Contributor), world.now);
    assert_eq!(
        world.directory.mask(&id("b")),
        Mask::Busy,
        "not judged by the answer alone"
    );
    world.look();
    world.pass(1);
    world
        .directory
        .fold_user(user("a", Role::Contributor), world.now);
    assert_eq!(world.directory.mask(&id("b")), Mask::Broken);
    assert!(world.directory.is_stopped());
    assert_eq!(world.look(), ["a", "b"]);
}

#[test]
fn an_answer_that_only_omits_a_field_is_cleared_by_the_read() {
    let mut world = two_named();
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::Contributor), world.now);
    let _ = flight.answered(user("a", Role::Contributor), world.now);
    world.pass(60);
    world
        .directory
        .fold_user(named("a", Role::Contributor), world.now);
    assert_eq!(world.directory.mask(&id("b")), Mask::Trusted);
    assert!(!world.directory.is_stopped());
}

#[test]
fn a_canary_that_was_refused_proves_nothing() {
    let world = two_named();
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::Contributor), world.now);
    flight.refused(&unavailable());
    let _second = world
        .directory
        .depart(&id("b"), &patch(Role::Contributor), world.now);
    assert_eq!(world.directory.mask(&id("a")), Mask::Busy);
}

#[test]
fn a_suspicion_ends_with_the_user_and_not_with_who_speaks_of_it() {
    for is_gone in [true, false] {
        let mut world = two_named();
        let flight = world
            .directory
            .depart(&id("a"), &patch(Role::Contributor), world.now);
        let _ = flight.answered(user("a", Role::Contributor), world.now);
        world.directory.set_interest(&id("a"), false);
        assert_eq!(world.directory.mask(&id("b")), Mask::Busy);
        world.look();
        world.pass(1);
        assert_eq!(
            world.reads(),
            ["a"],
            "whether the field is gone is asked all the same"
        );
        if is_gone {
            world
                .directory
                .fail_user(&id("a"), &not_found(), world.now, world.now);
            assert_eq!(world.directory.mask(&id("b")), Mask::Trusted);
            assert!(world.look().contains(&"b".to_owned()));
            let missing = world.directory.held()[2];
            assert_eq!(missing, ("missing_user", 0), "nobody speaks of it");
        } else {
            world
                .directory
                .fold_user(user("a", Role::Contributor), world.now);
            assert_eq!(world.directory.mask(&id("b")), Mask::Broken);
        }
    }
}

#[test]
fn a_read_that_is_not_believed_judges_nobody_and_another_is_made() {
    let mut world = two_named();
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::Contributor), world.now);
    let _ = flight.answered(user("a", Role::Contributor), world.now);
    world.pass(1);
    assert_eq!(world.reads(), ["a"]);
    // A replica that lags behind the change.
    world.directory.fold_user(named("a", Role::User), world.now);
    assert_eq!(world.directory.mask(&id("b")), Mask::Busy);
    world.pass(30);
    assert_eq!(world.reads(), ["a"]);
    world
        .directory
        .fold_user(user("a", Role::Contributor), world.now);
    assert_eq!(world.directory.mask(&id("b")), Mask::Broken);
    assert!(!world.directory.is_wanted(&id("a")));
}
