//! What our own changes mean for others that look at the same user.

use super::*;

#[test]
fn an_answer_that_moved_the_user_is_news_to_all_its_objects_and_one_that_did_not_is_none() {
    let mut world = World::of(&["a"]);
    world.list(vec![user("a", Role::User)], 1);
    world.look();
    let change = patch(Role::Contributor);
    let flight = world.directory.depart(&id("a"), &change, world.now);
    let _ = flight.answered(user("a", Role::Contributor), world.now);
    assert_eq!(world.look(), ["a"]);
    let flight = world.directory.depart(&id("a"), &change, world.now);
    let _ = flight.answered(user("a", Role::Contributor), world.now);
    assert_eq!(world.look(), Vec::<String>::new());
}
