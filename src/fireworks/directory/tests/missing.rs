//! Users missed by a list: what it costs to be sure.

use super::*;

#[test]
fn users_missed_together_are_confirmed_by_one_list_although_their_objects_ask_one_after_the_other()
{
    let mut world = World::of(&["a", "b", "c"]);
    world.list(vec![user("somebody", Role::User)], 1);
    assert_eq!(world.look(), ["a", "b", "c"]);
    let (first, now) = (id("a"), world.now);
    world.directory.want(&first, Class::AbsenceCheck, now);
    assert!(world.lists(), "one list, not three reads");
}

#[test]
fn a_read_that_is_not_about_absence_does_not_list_for_those_that_are_missed() {
    let mut world = World::of(&["a", "b", "c"]);
    world.list(vec![user("a", Role::User)], 1);
    assert_eq!(world.look(), ["a", "b", "c"]);
    let (other, now) = (id("a"), world.now);
    world.directory.want(&other, Class::SpecChange, now);
    assert_eq!(world.reads(), ["a"]);
}

#[test]
fn a_list_under_way_confirms_those_too_that_are_asked_for_after_it_left() {
    let mut world = World::of(&["a", "b"]);
    let start = world.now;
    world.list(vec![user("somebody", Role::User)], 1);
    world.look();
    world.directory.want(&id("a"), Class::AbsenceCheck, start);
    assert!(world.lists());
    let mut listing = Listing::new(world.now);
    world.pass(1);
    world.directory.want(&id("b"), Class::AbsenceCheck, start);
    assert!(listing.counts(0, Some(1)));
    let shown = vec![user("somebody", Role::User)];
    world.directory.fold_page(&mut listing, shown, start);
    world.directory.finish_list(&listing, world.now);
    for name in ["a", "b"] {
        assert!(matches!(world.sighting(name), Sighting::Absent), "{name}");
        assert!(!world.directory.is_wanted(&id(name)), "{name}");
    }
    assert_eq!(world.reads(), [""; 0]);
}
