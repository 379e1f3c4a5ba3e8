//! What the reader is asked to read, and when.

use super::*;

#[test]
fn nothing_is_read_before_all_objects_are_known_or_without_a_request() {
    let mut account = new_account(SEED);
    let now = Moment::from_micros(1 << 40);
    account.set_managed(&id("alice"), true);
    assert!(account.schedule(now).list.is_none());
    account.open();
    assert!(account.schedule(now).list.is_some());
    let mut idle = World::of(&[]);
    assert!(!idle.lists());
}

#[test]
fn a_sweep_costs_the_lesser_of_users_and_pages() {
    let mut many = World::of(&["a", "b", "c"]);
    assert!(many.lists());
    many.list(
        vec![
            user("a", Role::User),
            user("b", Role::User),
            user("c", Role::User),
        ],
        3,
    );
    many.pass(70);
    assert!(
        many.lists(),
        "as many pages as users: listing shows everybody"
    );
    let mut few = World::of(&["a", "b", "c"]);
    few.list(
        vec![
            user("a", Role::User),
            user("b", Role::User),
            user("c", Role::User),
        ],
        4,
    );
    few.pass(70);
    assert_eq!(few.reads(), ["a", "b", "c"]);
}

#[test]
fn a_partial_first_page_leaves_only_the_users_it_did_not_show_to_be_read() {
    let mut world = World::of(&["a", "b"]);
    assert!(world.lists());
    let mut listing = Listing::new(world.now);
    world
        .account
        .apply_page(&mut listing, vec![user("a", Role::User)], world.now);
    listing.counts(0);
    assert!(
        !world.account.learn_total(Some(2000), false, world.now),
        "ten pages for two users"
    );
    world.account.stop_list(&listing, world.now);
    assert_eq!(world.reads(), ["b"]);
}

#[test]
fn failed_list_requeues_waiting_objects_and_is_retried_with_back_off() {
    let mut world = World::of(&["alice"]);
    world
        .account
        .request_read(&id("alice"), Class::SpecChange, world.now);
    assert!(world.lists());
    let failure = || Failure {
        kind: Kind::Transient,
        message: "x".into(),
    };
    world.account.fail_list(failure(), world.now);
    assert_eq!(world.affected(), ["alice"]);
    assert!(!world.lists(), "not at once");
    world.pass(2);
    assert!(world.lists());
    world.account.fail_list(failure(), world.now);
    assert_eq!(world.affected(), [""; 0], "the same failure is nothing new");
    world.pass(5);
    let schedule = world.account.schedule(world.now);
    assert!(schedule.list.is_some() || schedule.reads.len() == 1);
}

#[test]
fn objects_go_on_one_by_one_at_once_when_the_list_has_failed_twice() {
    let mut world = World::of(&["alice", "bob"]);
    // A changed spec, and a lost change that is to be settled.
    for (name, class) in [("alice", Class::SpecChange), ("bob", Class::DriftRepair)] {
        world.account.request_read(&id(name), class, world.now);
    }
    for failures in 1..10 {
        // Objects that wait for the list do not wait longer the more often it fails.
        world.pass(400);
        let first = world.account.schedule(world.now);
        assert!(first.list.is_some());
        assert_eq!(first.reads.len(), 0);
        world
            .account
            .fail_list(Failure::from(&unavailable()), world.now);
        let reads = world.account.schedule(world.now).reads.len();
        match failures {
            1 => assert_eq!(reads, 0, "one failure is no reason to read one by one"),
            2 => assert_eq!(reads, 2, "both are read, without delay"),
            _ => assert_eq!(reads, 0, "they are under way"),
        }
    }
    world
        .account
        .apply_failed_read(&id("bob"), &unavailable(), world.now, world.now);
    let schedule = world.account.schedule(world.now);
    assert_eq!(schedule.reads.len(), 0, "a failed read backs off");
    assert!(schedule.wake_at.is_some());
}

#[test]
fn while_lists_fail_reads_without_a_pending_change_wait_for_the_list() {
    let mut world = World::of(&["a", "b", "c"]);
    let users = || ["a", "b", "c"].map(|name| user(name, Role::User)).to_vec();
    assert!(world.lists());
    world.list(users(), 3);
    world.pass(70);
    assert!(world.lists());
    world
        .account
        .fail_list(Failure::from(&unavailable()), world.now);
    // Nothing good was seen of these two for long; the third has a new spec.
    for (name, class) in [
        ("a", Class::Sweep),
        ("b", Class::Sweep),
        ("c", Class::SpecChange),
    ] {
        world.account.request_read(&id(name), class, world.now);
    }
    assert_eq!(world.reads(), ["c"]);
    world.pass(200);
    assert!(world.lists(), "the list is tried again");
    world.list(users(), 3);
    assert_eq!(world.reads(), [""; 0], "and has shown them all");
}

#[test]
fn a_list_that_is_asked_for_is_made_though_reading_one_by_one_is_cheaper() {
    let mut world = World::of(&["a"]);
    assert!(world.lists());
    world.list(vec![user("a", Role::User)], 4);
    world.affected();
    assert_eq!(world.reads(), [""; 0]);
    world.account.request_list(&id("a"), Class::SpecChange);
    assert!(world.lists());
    assert!(
        world.account.learn_total(Some(800), false, world.now),
        "it is worth going on with"
    );
    world.list(vec![user("a", Role::User)], 4);
    assert_eq!(world.affected(), ["a"], "the user that waits is requeued");
}

#[test]
fn number_of_pages_is_learned_again_once_an_hour() {
    let mut world = World::of(&["a"]);
    assert!(world.lists());
    world.list(vec![user("a", Role::User)], 4);
    world.pass(3601);
    assert!(world.lists());
    assert!(world.account.learn_total(None, false, world.now));
}

#[test]
fn a_new_key_ends_every_wait_that_a_failure_began() {
    let mut world = World::of(&["a", "b", "c"]);
    let users = || ["a", "b", "c"].map(|name| user(name, Role::User)).to_vec();
    assert!(world.lists());
    world.list(users(), 3);
    world.pass(70);
    assert!(world.lists());
    world
        .account
        .fail_list(Failure::from(&unavailable()), world.now);
    assert!(!world.lists());
    world.account.retry_now(world.now);
    assert!(world.lists());
}

#[test]
fn a_read_that_was_not_sent_is_due_as_before_and_one_that_failed_backs_off() {
    let mut world = World::of(&["a"]);
    assert!(world.lists());
    world.list(vec![user("a", Role::User)], 4);
    world.pass(70);
    assert_eq!(world.reads(), ["a"], "the sweep reads it");
    assert_eq!(world.reads(), [""; 0], "once");
    world.account.put_back(&id("a"));
    assert_eq!(world.reads(), ["a"]);
    let now = world.now;
    world
        .account
        .apply_failed_read(&id("a"), &unavailable(), now, now);
    world.pass(70);
    assert_eq!(world.reads(), [""; 0], "the sweep backs off");
    world.pass(70);
    assert_eq!(world.reads(), ["a"]);
}

#[test]
fn users_that_no_object_declares_are_not_read() {
    let mut world = World::of(&["a", "b"]);
    assert!(world.lists());
    world.list(vec![user("a", Role::User), user("b", Role::User)], 4);
    for name in ["a", "b"] {
        world
            .account
            .request_read(&id(name), Class::SpecChange, world.now);
    }
    world.account.set_managed(&id("a"), false);
    assert!(!world.account.is_requested(&id("a")));
    assert_eq!(world.reads(), ["b"]);
}

#[test]
fn undeclared_users_are_forgotten() {
    let world_of = |pages| {
        let mut world = World::of(&["a", "b"]);
        let users = ["a", "b", "eve"].map(|name| user(name, Role::User));
        world.list(users.into(), pages);
        for name in ["b", "eve"] {
            let lost = world
                .account
                .update_sent(&id(name), &patch(Role::Contributor), world.now);
            world.account.outcome_unknown(lost, world.now);
        }
        world.account.set_managed(&id("b"), false);
        world
    };
    let kept = |world: &World| {
        let counts = world.account.counts();
        [counts.users, counts.unclear_changes]
    };

    let mut listed = world_of(1);
    listed.list(vec![user("a", Role::User)], 1);
    assert_eq!(kept(&listed)[1], 2, "both may still take effect");
    listed.pass(31);
    listed.list(vec![user("a", Role::User), user("eve", Role::User)], 1);
    assert_eq!(kept(&listed), [2, 0]);

    let mut one_by_one = world_of(3);
    assert_eq!(kept(&one_by_one), [3, 2]);
    one_by_one.pass(70);
    assert_eq!(one_by_one.reads(), ["a"]);
    assert_eq!(kept(&one_by_one), [1, 0]);
}
