//! Users that no object declares: what is kept of them, and what becomes of those that are declared later.

use super::*;

/// The reads that are due, where the list is not.
fn request_first_read(world: &mut World, name: &str) {
    let (user, now) = (id(name), world.now);
    let _ = world.account.request_read(&user, Class::SpecChange, now);
}

#[test]
fn newly_declared_user_is_read_once() {
    let mut world = World::of(&["a", "b", "c"]);
    let all = || {
        ["a", "b", "c", "eve"]
            .map(|name| user(name, Role::User))
            .to_vec()
    };
    world.list(all(), 3);
    world.affected();
    world.account.set_managed(&id("eve"), true);
    assert!(matches!(world.sighting("eve"), Sighting::Never));
    request_first_read(&mut world, "eve");
    assert_eq!(world.reads(), ["eve"]);
    world.account.apply_read(user("eve", Role::User), world.now);
    assert_eq!(world.role("eve"), Role::User);
    assert_eq!(world.affected(), ["eve"]);
    assert_eq!(world.account.counts().users, 4);
}

#[test]
fn many_newly_declared_users_are_read_by_one_list() {
    let mut world = World::of(&["a", "b", "c"]);
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let all = || names.map(|name| user(name, Role::User)).to_vec();
    world.list(all(), 3);
    for name in ["d", "e", "f", "g"] {
        world.account.set_managed(&id(name), true);
        request_first_read(&mut world, name);
    }
    assert!(world.lists(), "three pages for four users");
    world.list(all(), 3);
    assert_eq!(world.role("g"), Role::User);
    assert_eq!(world.reads(), [""; 0]);
}

#[test]
fn undeclared_admin_counts_before_and_after_it_is_declared() {
    let mut world = World::of(&["a"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.account.set_managed(&id("b"), true);
    assert_eq!(world.others("a"), OtherAdmins::Known(1), "not read yet");
    world.account.apply_read(user("b", Role::User), world.now);
    assert_eq!(world.others("a"), OtherAdmins::TooFew(1));
    world.account.apply_read(user("b", Role::Admin), world.now);
    world.account.set_managed(&id("b"), false);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.pass(60);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.pass(60);
    world.list(vec![user("a", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::TooFew(1));
}

#[test]
fn protected_admin_is_planned_again_when_an_undeclared_admin_appears() {
    let mut world = World::of(&["a"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::User)], 1);
    world.affected();
    assert_eq!(world.others("a"), OtherAdmins::TooFew(1));
    world.pass(60);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.affected(), ["a"]);
}

/// The object of a user goes right after its change; a lagging list still shows the user as it was.
#[test]
fn lagging_list_does_not_undo_our_change_of_an_undeclared_user() {
    let mut world = World::of(&["a", "b"]);
    let before = || vec![user("a", Role::Admin), user("b", Role::Admin)];
    world.list(before(), 1);
    let update = world
        .account
        .update_sent(&id("b"), &patch(Role::User), world.now);
    let _ = world
        .account
        .update_succeeded(update, user("b", Role::User), world.now);
    world.account.set_managed(&id("b"), false);
    world.pass(5);
    world.list(before(), 1);
    assert_eq!(world.others("a"), OtherAdmins::TooFew(1));
    world.pass(31);
    world.list(before(), 1);
    assert_eq!(
        world.others("a"),
        OtherAdmins::Known(1),
        "it is admin again"
    );
}

#[test]
fn suspended_object_keeps_what_was_seen_of_its_user() {
    let mut world = World::of(&["a"]);
    let all = || vec![user("a", Role::User), user("eve", Role::Custom)];
    world.account.set_suspended(&id("eve"), true);
    world.list(all(), 1);
    assert_eq!(world.role("eve"), Role::Custom);
    world.account.set_suspended(&id("eve"), false);
    world.list(all(), 1);
    assert!(matches!(world.sighting("eve"), Sighting::Never));
}

/// A change is answered while a list is under way that has shown the user already.
#[test]
fn answer_during_a_list_does_not_hide_the_row_before_it() {
    let mut world = World::of(&["a"]);
    world.list(vec![user("a", Role::User)], 1);
    let update = world
        .account
        .update_sent(&id("a"), &patch(Role::Admin), world.now);
    let later = world.now + Duration::from_secs(1);
    let mut listing = Listing::new(later);
    listing.counts(0);
    let rows = vec![user("a", Role::User)];
    world.account.apply_page(&mut listing, rows, later);
    let _ = world
        .account
        .update_succeeded(update, user("a", Role::Admin), later);
    world.account.finish_list(&listing, later);
    assert_eq!(world.role("a"), Role::Admin);
}
