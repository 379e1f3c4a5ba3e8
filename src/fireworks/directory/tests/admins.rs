//! How many admins are left, and by which evidence.

use super::*;

#[test]
fn demotions_of_admins_go_one_at_a_time() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    world.look();
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::User), world.now);
    assert_eq!(world.others("b"), OtherAdmins::Busy);
    let _ = flight.answered(user("a", Role::User), world.now);
    assert!(world.look().contains(&"b".to_owned()));
    assert_eq!(world.others("b"), OtherAdmins::Known(0));
}

#[test]
fn an_admin_who_may_be_losing_the_role_does_not_count() {
    let world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    world
        .directory
        .depart(&id("a"), &patch(Role::User), world.now)
        .lost(world.now);
    assert_eq!(world.others("b"), OtherAdmins::Known(0));
}

#[test]
fn a_protected_admin_is_looked_at_again_when_another_admin_appears() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::User)], 1);
    world.look();
    assert_eq!(world.others("a"), OtherAdmins::Known(0));
    world.pass(60);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.look(), ["a", "b"]);
}

#[test]
fn admins_are_not_counted_by_an_old_or_partial_list() {
    let mut world = World::of(&["a"]);
    assert_eq!(world.others("a"), OtherAdmins::Unlisted);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.pass(600);
    assert_eq!(world.others("a"), OtherAdmins::Unlisted);
}

#[test]
fn a_demotion_that_a_former_process_sent_is_waited_out_before_others_are_counted() {
    let mut world = World::of(&["a", "b"]);
    world.settled_from += Duration::from_secs(30);
    let from = world.settled_from;
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Unsettled(from));
    world.pass(31);
    assert_eq!(
        world.others("a"),
        OtherAdmins::Unsettled(from),
        "by the old list"
    );
    world.list(vec![user("a", Role::Admin), user("b", Role::User)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(0));
    world.pass(1);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn an_admin_who_is_gone_does_not_count_though_a_malformed_row_keeps_absence_from_being_concluded() {
    for spoken_of in [&["a"][..], &["a", "b"]] {
        let mut world = World::of(spoken_of);
        world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
        assert_eq!(world.others("a"), OtherAdmins::Known(1));
        world.pass(60);
        let mut listing = Listing::new(world.now);
        listing.counts(1);
        let left = vec![user("a", Role::Admin)];
        world.directory.fold_page(&mut listing, left, world.now);
        world.directory.finish_list(&listing, world.now);
        assert_eq!(world.others("a"), OtherAdmins::Known(0), "{spoken_of:?}");
        // The row was theirs: whoever waits for another admin hears of it.
        world.look();
        world.pass(60);
        world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
        assert!(world.look().contains(&"a".to_owned()), "{spoken_of:?}");
        assert_eq!(world.others("a"), OtherAdmins::Known(1));
    }
}

#[test]
fn of_strangers_whom_no_list_shows_any_more_nothing_is_kept_though_one_row_is_always_malformed() {
    let mut world = World::of(&["a"]);
    for number in 0..10 {
        let mut listing = Listing::new(world.now);
        listing.counts(1);
        let stranger = user(&format!("stranger-{number}"), Role::User);
        let shown = vec![user("a", Role::User), stranger];
        world.directory.fold_page(&mut listing, shown, world.now);
        world.directory.finish_list(&listing, world.now);
        world.pass(60);
    }
    assert_eq!(world.directory.held()[0], ("user", 2));
}

#[test]
fn an_admin_whom_lists_omit_and_a_read_shows_counts() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    for _ in 0..3 {
        world.pass(60);
        world.list(vec![user("a", Role::Admin)], 1);
        world.directory.fold_user(user("b", Role::Admin), world.now);
    }
    world.pass(60);
    world.list(vec![user("a", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn an_admin_whose_row_lags_behind_our_own_change_counts() {
    let mut world = World::of(&["a", "b"]);
    let all = || vec![timed("a", Role::Admin, 100), timed("b", Role::User, 100)];
    world.list(all(), 1);
    let flight = world
        .directory
        .depart(&id("b"), &patch(Role::Admin), world.now);
    let _ = flight.answered(timed("b", Role::Admin, 200), world.now);
    world.pass(60);
    world.list(all(), 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn a_list_tells_of_admins_however_long_it_took() {
    let mut world = World::of(&["a"]);
    let mut listing = Listing::new(world.now);
    for _ in 0..25 {
        listing.counts(0);
    }
    let _ = world.directory.learn_total(Some(5_000), false, world.now);
    let admins = vec![user("a", Role::Admin), user("b", Role::Admin)];
    world.directory.fold_page(&mut listing, admins, world.now);
    world.pass(120);
    world.directory.finish_list(&listing, world.now);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.pass(31);
    assert_eq!(world.others("a"), OtherAdmins::Unlisted);
}
