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

#[test]
fn objects_in_sync_hear_of_silence_though_no_read_fails() {
    let mut world = World::of(&["alice", "bob"]);
    world.list(vec![user("alice", Role::User), user("bob", Role::User)], 1);
    world.look();
    world.pass(60);
    assert!(world.lists());
    // The list is under way, and its end does not come: the account pauses, say.
    world.pass(30);
    let sighting = user("bob", Role::User);
    world.directory.fold_user(sighting, world.now);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let wake_at = world.directory.agenda(world.now).wake_at.unwrap();
        assert!(wake_at > world.now);
        world.now = wake_at;
        let _ = world.directory.agenda(world.now);
        let now = world.now;
        heard.extend(world.look().into_iter().map(|name| (name, now)));
    }
    let names = [&heard[0].0, &heard[1].0];
    assert_eq!(names, ["alice", "bob"]);
    let late = heard[1].1 - heard[0].1;
    let expected = Duration::from_secs(90);
    assert!(
        late >= expected && late < expected + Duration::from_secs(11),
        "{late:?}"
    );
}
