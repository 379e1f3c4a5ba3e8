//! What our own changes mean for others that look at the same user.

use fireworks_api::email::EmailHash;

use super::*;

#[test]
fn answer_requeues_all_objects_of_its_user_only_if_it_changed_the_user() {
    let mut world = World::of(&["a"]);
    world.list(vec![user("a", Role::User)], 1);
    world.affected();
    let change = patch(Role::Contributor);
    let update = world.account.update_sent(&id("a"), &change, world.now);
    let _ = world
        .account
        .update_succeeded(update, user("a", Role::Contributor), world.now);
    assert_eq!(world.affected(), ["a"]);
    let update = world.account.update_sent(&id("a"), &change, world.now);
    let _ = world
        .account
        .update_succeeded(update, user("a", Role::Contributor), world.now);
    assert_eq!(world.affected(), Vec::<String>::new());
}

#[test]
fn users_never_read_are_requeued_once_when_that_has_lasted() {
    let mut world = World::of(&["alice", "bob"]);
    let began = world.now;
    world.account.apply_read(user("bob", Role::User), began);
    world.affected();
    let mut requeued = Vec::new();
    for _ in 0..100 {
        world.now = world.account.schedule(world.now).wake_at.unwrap();
        let _ = world.account.schedule(world.now);
        let now = world.now;
        let affected = world.affected().into_iter();
        requeued.extend(affected.filter(|name| name == "alice").map(|_| now));
    }
    let stale_after = world.account.age_limits().stale_after;
    assert_eq!(requeued, [began + stale_after + Duration::from_secs(1)]);
}

#[test]
fn stale_objects_in_sync_are_requeued_though_no_read_fails() {
    let mut world = World::of(&["alice", "bob"]);
    world.list(vec![user("alice", Role::User), user("bob", Role::User)], 1);
    world.affected();
    world.pass(60);
    assert!(world.lists());
    // The list is under way, and its end does not come: the limiter may pause.
    world.pass(30);
    let sighting = user("bob", Role::User);
    world.account.apply_read(sighting, world.now);
    let mut requeued = Vec::new();
    while requeued.len() < 2 {
        let wake_at = world.account.schedule(world.now).wake_at.unwrap();
        assert!(wake_at > world.now);
        world.now = wake_at;
        let _ = world.account.schedule(world.now);
        let now = world.now;
        requeued.extend(world.affected().into_iter().map(|name| (name, now)));
    }
    let names = [&requeued[0].0, &requeued[1].0];
    assert_eq!(names, ["alice", "bob"]);
    let late = requeued[1].1 - requeued[0].1;
    let expected = Duration::from_secs(90);
    assert!(
        late >= expected && late < expected + Duration::from_secs(11),
        "{late:?}"
    );
}

#[test]
fn superseded_read_still_shows_that_the_user_is_there() {
    let mut world = World::of(&["a"]);
    world.list(vec![timed("a", Role::User, 100)], 1);
    let change = patch(Role::Contributor);
    let update = world.account.update_sent(&id("a"), &change, world.now);
    let _ = world
        .account
        .update_succeeded(update, timed("a", Role::Contributor, 200), world.now);
    // The answer contained a finer time than reads do.
    for _ in 0..5 {
        world.pass(100);
        let lagging = timed("a", Role::Contributor, 199);
        world.account.apply_read(lagging, world.now);
        assert!(
            matches!(
                world.sighting("a"),
                Sighting::Seen {
                    freshness: Freshness::Fresh,
                    ..
                }
            ),
            "what has just been read need not be read again"
        );
    }
    assert!(!world.account.view(&id("a"), world.now).is_stale);
}

#[test]
fn user_missed_by_one_list_is_fresh_until_then() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::User), user("b", Role::User)], 1);
    world.pass(60);
    world.list(vec![user("b", Role::User)], 1);
    let is_stale = |world: &mut World| world.account.view(&id("a"), world.now).is_stale;
    assert!(matches!(world.sighting("a"), Sighting::Suspected));
    assert!(!is_stale(&mut world));
    world.pass(601);
    assert!(is_stale(&mut world));
}

#[test]
fn email_is_missing_once_two_reads_in_a_row_show_none() {
    let shown = |email: bool, name: &str| User {
        email: email.then(|| EmailHash::of("a@example.com")),
        display_name: Some(name.into()),
        ..user("a", Role::User)
    };
    let mut world = World::of(&["a"]);
    let read = |world: &mut World, email: bool, name: &str| {
        world.pass(60);
        world.list(vec![shown(email, name)], 1);
        world.account.view(&id("a"), world.now).lacks_email
    };
    assert!(!read(&mut world, false, "one"), "one read decides nothing");
    assert!(read(&mut world, false, "one"), "the same user, read again");
    assert!(!read(&mut world, true, "one"));
    assert!(
        !read(&mut world, false, "two"),
        "counted from the beginning"
    );
    assert!(read(&mut world, false, "three"));
}
