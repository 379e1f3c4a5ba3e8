//! Users missed by a list: what it costs to be sure.

use super::*;

const MISSED: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The users that are still to be read before a second list is evidence are read, and are not found.
fn probe(world: &mut World, names: &[&str]) {
    for name in names {
        let _ = world
            .account
            .request_read(&id(name), Class::AbsenceCheck, world.now);
    }
    for name in world.reads() {
        not_there(world, &name);
    }
}

fn not_there(world: &mut World, name: &str) {
    let now = world.now;
    world
        .account
        .apply_failed_read(&id(name), &not_found(), now, now);
}

#[test]
fn users_missed_together_are_confirmed_by_reads_of_three_and_one_list() {
    let mut world = World::of(&MISSED);
    world.list(vec![user("other", Role::User)], 1);
    assert_eq!(world.affected(), MISSED);
    // Their objects ask one after the other.
    for name in MISSED {
        let _ = world
            .account
            .request_read(&id(name), Class::AbsenceCheck, world.now);
        if name == "a" {
            assert_eq!(world.reads(), ["a"]);
        }
    }
    assert_eq!(world.reads(), ["b", "c"]);
    assert_eq!(world.reads(), [""; 0], "three are read, not five");
    for name in ["a", "b"] {
        not_there(&mut world, name);
        assert_eq!(world.reads(), [""; 0]);
    }
    not_there(&mut world, "c");
    assert!(world.lists());
}

/// What it costs to be sure that users are gone.
fn cost(missed: usize, pages: u32) -> usize {
    let names: Vec<String> = (0..missed).map(|number| format!("m{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names);
    let shown = || vec![user("other", Role::User)];
    world.list(shown(), pages);
    let mut requests = 0;
    loop {
        for name in &names {
            if matches!(world.sighting(name), Sighting::Suspected) {
                let _ = world
                    .account
                    .request_read(&id(name), Class::AbsenceCheck, world.now);
            }
        }
        let schedule = world.account.schedule(world.now);
        if schedule.list.is_some() {
            requests += pages as usize;
            world.list(shown(), pages);
        } else if schedule.reads.is_empty() {
            break;
        }
        for (missed, _) in schedule.reads {
            requests += 1;
            not_there(&mut world, missed.as_str());
        }
    }
    for name in names {
        assert!(matches!(world.sighting(name), Sighting::Absent), "{name}");
    }
    requests
}

#[test]
fn absences_cost_the_lesser_of_reads_and_a_list_after_three() {
    for pages in 1..=4 {
        for missed in 1..=12 {
            let by_list = pages as usize + missed.min(3);
            assert_eq!(
                cost(missed, pages),
                missed.min(by_list),
                "{missed}, {pages}"
            );
        }
    }
}

#[test]
fn second_list_is_no_evidence_where_a_read_shows_the_user() {
    let mut world = World::of(&MISSED);
    let listed = || vec![user("other", Role::User)];
    world.list(listed(), 1);
    probe(&mut world, &["a", "b"]);
    world.account.apply_read(user("c", Role::User), world.now);
    for name in ["d", "e"] {
        let _ = world
            .account
            .request_read(&id(name), Class::AbsenceCheck, world.now);
    }
    assert_eq!(world.reads(), ["d", "e"], "read one by one");
    world.pass(60);
    world.list(listed(), 1);
    for name in ["d", "e"] {
        assert!(
            matches!(world.sighting(name), Sighting::Suspected),
            "{name}"
        );
    }
}

#[test]
fn sweep_is_no_evidence_before_users_of_its_batch_were_read() {
    let mut world = World::of(&MISSED);
    for _ in 0..3 {
        world.list(vec![user("other", Role::User)], 1);
        world.pass(60);
    }
    for name in MISSED {
        assert!(
            matches!(world.sighting(name), Sighting::Suspected),
            "{name}"
        );
    }
}

#[test]
fn a_read_that_is_not_about_absence_does_not_list_for_those_that_are_missed() {
    let mut world = World::of(&["a", "b", "c"]);
    world.list(vec![user("a", Role::User)], 1);
    assert_eq!(world.affected(), ["a", "b", "c"]);
    let (other, now) = (id("a"), world.now);
    world.account.request_read(&other, Class::SpecChange, now);
    assert_eq!(world.reads(), ["a"]);
}

#[test]
fn a_list_under_way_confirms_those_too_that_are_asked_for_after_it_left() {
    let mut world = World::of(&MISSED);
    let start = world.now;
    world.list(vec![user("other", Role::User)], 1);
    world.affected();
    probe(&mut world, &["a", "b", "c"]);
    let _ = world
        .account
        .request_read(&id("d"), Class::AbsenceCheck, start);
    assert!(world.lists());
    let mut listing = Listing::new(world.now);
    world.pass(1);
    let _ = world
        .account
        .request_read(&id("e"), Class::AbsenceCheck, start);
    listing.counts(0);
    let shown = vec![user("other", Role::User)];
    world.account.apply_page(&mut listing, shown, start);
    world.account.finish_list(&listing, world.now);
    for name in ["d", "e"] {
        assert!(matches!(world.sighting(name), Sighting::Absent), "{name}");
        assert!(!world.account.is_requested(&id(name)), "{name}");
    }
    assert_eq!(world.reads(), [""; 0]);
}

#[test]
fn absence_is_confirmed_by_a_complete_list_and_a_definite_answer() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("eve", Role::Admin)], 1);
    assert!(matches!(world.sighting("alice"), Sighting::Suspected));
    assert_eq!(world.affected(), ["alice"]);
    world
        .account
        .request_read(&id("alice"), Class::AbsenceCheck, world.now);
    assert_eq!(world.reads(), ["alice"]);
    world
        .account
        .apply_failed_read(&id("alice"), &not_found(), world.now, world.now);
    assert!(matches!(world.sighting("alice"), Sighting::Absent));
    assert_eq!(world.affected(), ["alice"]);
    world.pass(60);
    world.list(vec![user("alice", Role::User), user("eve", Role::Admin)], 1);
    assert_eq!(world.role("alice"), Role::User);
    assert_eq!(world.affected(), ["alice"]);
}

#[test]
fn absence_is_never_concluded_from_an_error_or_a_malformed_row() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    world.pass(60);
    world
        .account
        .apply_failed_read(&id("alice"), &unavailable(), world.now, world.now);
    assert_eq!(world.role("alice"), Role::User);
    let mut listing = Listing::new(world.now);
    listing.counts(1);
    world
        .account
        .apply_page(&mut listing, vec![user("eve", Role::Admin)], world.now);
    world.account.finish_list(&listing, world.now);
    assert_eq!(
        world.role("alice"),
        Role::User,
        "the malformed row may be hers"
    );
    let failure = Failure {
        kind: Kind::Transient,
        message: "x".into(),
    };
    world.account.fail_list(failure, world.now);
    world
        .account
        .apply_failed_read(&id("alice"), &not_found(), world.now, world.now);
    assert_eq!(
        world.role("alice"),
        Role::User,
        "404 while lists fail is an account error"
    );
}

#[test]
fn many_suspects_are_checked_by_one_more_list_and_an_empty_one_is_no_evidence() {
    let mut world = World::of(&MISSED);
    world.list(vec![user("eve", Role::Admin)], 1);
    probe(&mut world, &MISSED);
    assert!(world.lists(), "two suspects more, one page");
    world.list(vec![user("eve", Role::Admin)], 1);
    assert!(matches!(world.sighting("e"), Sighting::Absent));

    let mut empty = World::of(&["a", "b", "c"]);
    empty.list(vec![], 1);
    for name in ["a", "b", "c"] {
        empty
            .account
            .request_read(&id(name), Class::AbsenceCheck, empty.now);
    }
    assert_eq!(empty.reads(), ["a", "b", "c"]);
    empty.pass(60);
    empty.list(vec![], 1);
    assert!(matches!(empty.sighting("a"), Sighting::Suspected));
}

#[test]
fn a_user_that_lists_omit_is_remembered_and_read_by_itself() {
    let mut world = World::of(&["robot", "alice"]);
    let listed = || vec![user("alice", Role::User)];
    world.list(listed(), 1);
    world
        .account
        .request_read(&id("robot"), Class::AbsenceCheck, world.now);
    assert_eq!(world.reads(), ["robot"]);
    world
        .account
        .apply_read(user("robot", Role::User), world.now);
    assert_eq!(world.role("robot"), Role::User);
    world.affected();
    world.pass(60);
    world.list(listed(), 1);
    assert_eq!(world.affected(), [""; 0]);
    assert_eq!(world.role("robot"), Role::User);
    assert_eq!(world.reads(), ["robot"], "once a sweep");
}

/// Lists omit three users which reads show. A second list convinces the account, since three others are really gone;
/// the later ones do not, because each of them is followed by a read.
#[test]
fn users_that_lists_omit_are_found_one_by_one_although_lists_agree_that_they_are_gone() {
    let mut world = World::of(&["a", "b", "c", "x", "y", "z"]);
    let listed = || vec![user("other", Role::Admin)];
    world.list(listed(), 1);
    probe(&mut world, &["a", "b", "c", "x", "y", "z"]);
    assert!(world.lists(), "three suspects more, one page");
    world.list(listed(), 1);
    assert!(matches!(world.sighting("x"), Sighting::Absent));
    assert_eq!(world.reads(), [""; 0], "not in the sweep that confirmed it");
    for round in 0..3 {
        world.pass(60);
        world.list(listed(), 1);
        let reads = world.reads();
        assert_eq!(reads.len(), 1 + round, "{reads:?}");
        for name in reads {
            world.account.apply_read(user(&name, Role::User), world.now);
        }
    }
    for name in ["x", "y", "z"] {
        assert_eq!(world.role(name), Role::User);
    }
}

#[test]
fn user_gone_by_lists_alone_is_read_once_and_never_again() {
    let mut world = World::of(&MISSED);
    let listed = || vec![user("other", Role::Admin)];
    world.list(listed(), 1);
    probe(&mut world, &MISSED);
    assert!(world.lists());
    world.list(listed(), 1);
    world.affected();
    for _ in 0..2 {
        world.pass(60);
        world.list(listed(), 1);
        let reads = world.reads();
        assert_eq!(reads.len(), 1);
        not_there(&mut world, &reads[0]);
    }
    world.pass(60);
    world.list(listed(), 1);
    assert_eq!(world.reads(), [""; 0]);
    assert_eq!(world.affected(), [""; 0], "nothing new for the objects");
}

#[test]
fn a_change_that_finds_no_user_raises_a_suspicion_that_one_read_settles() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    world.affected();
    let update = world
        .account
        .update_sent(&id("alice"), &patch(Role::Admin), world.now);
    world.account.update_refused(update, &not_found());
    assert!(
        matches!(world.sighting("alice"), Sighting::Suspected),
        "not gone by one answer"
    );
    let (alice, now) = (id("alice"), world.now);
    world.account.request_read(&alice, Class::AbsenceCheck, now);
    assert_eq!(world.reads(), ["alice"]);
    world
        .account
        .apply_failed_read(&alice, &not_found(), world.now, world.now);
    assert!(matches!(world.sighting("alice"), Sighting::Absent));
}

#[test]
fn unseen_users_are_those_never_seen_and_those_suspected_to_be_gone() {
    let mut world = World::of(&["seen", "suspected", "gone"]);
    let unseen = |world: &mut World| {
        let mut names: Vec<_> = world.account.unseen();
        names.sort();
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(unseen(&mut world), ["gone", "seen", "suspected"]);
    world.list(vec![user("seen", Role::User)], 1);
    assert_eq!(unseen(&mut world), ["gone", "suspected"]);
    let gone = id("gone");
    world
        .account
        .apply_failed_read(&gone, &not_found(), world.now, world.now);
    assert_eq!(unseen(&mut world), ["suspected"]);
}

#[test]
fn refusal_of_one_read_is_not_reported_for_another_user() {
    let mut world = World::of(&["alice", "bob"]);
    for name in ["alice", "bob"] {
        world
            .account
            .request_read(&id(name), Class::SpecChange, world.now);
    }
    let reported = |world: &World, name| {
        let view = world.account.view(&id(name), world.now);
        view.failure.map(|failure| failure.kind)
    };
    let attempt = Attempt::new("get user", false, 1);
    let refused = attempt.failed(Kind::Rejected, Effect::None, Some(400), "no");
    world
        .account
        .apply_failed_read(&id("alice"), &refused, world.now, world.now);
    assert_eq!(
        (reported(&world, "alice"), reported(&world, "bob")),
        (Some(Kind::Rejected), None)
    );
    world
        .account
        .apply_failed_read(&id("alice"), &unavailable(), world.now, world.now);
    assert_eq!(reported(&world, "bob"), Some(Kind::Transient));
}
