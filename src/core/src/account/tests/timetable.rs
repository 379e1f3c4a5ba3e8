//! When sweeps are due.

use super::*;

/// One declared user per page of an account with that number of pages.
fn account_of(pages: u32) -> (World, Vec<User>) {
    let names: Vec<String> = (0..pages).map(|number| format!("u{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::of(&names);
    let users = names.iter().map(|name| user(name, Role::User)).collect();
    (world, users)
}

/// Lists the account. Returns the time until it is to be listed again.
fn until_next_list(world: &mut World, users: &[User], pages: u32) -> Duration {
    assert!(world.lists());
    world.list(users.to_vec(), pages);
    until_due(world)
}

/// How long nothing is to be read.
fn until_due(world: &mut World) -> Duration {
    let began = world.now;
    loop {
        let schedule = world.account.schedule(world.now);
        if schedule.list.is_some() {
            return world.now - began;
        }
        world.now = schedule.wake_at.expect("a sweep is due some time");
    }
}

/// The list that `until_due` found is made.
fn finish(world: &mut World, users: &[User], pages: u32) -> Duration {
    world.list(users.to_vec(), pages);
    until_due(world)
}

#[test]
fn sweep_interval_applies_from_the_second_sweep_on() {
    let mut first = Vec::new();
    for seed in 0..40 {
        let (mut world, users) = (World::seeded(&["u0"], seed), vec![user("u0", Role::User)]);
        first.push(until_next_list(&mut world, &users, 1));
        let second = finish(&mut world, &users, 1);
        assert!((SWEEP.mul_f64(0.9)..=SWEEP.mul_f64(1.1)).contains(&second));
    }
    assert!(first.iter().all(|wait| (SWEEP / 2..=SWEEP).contains(wait)));
    // Forty that lie within a quarter of the range are a matter of 2^-70.
    let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
    assert!(*most > *least + SWEEP / 8, "{least:?} to {most:?}");
}

#[test]
fn a_sweep_that_found_drift_is_followed_by_faster_ones_for_ten_minutes() {
    let (mut world, users) = account_of(1);
    let _ = until_next_list(&mut world, &users, 1);
    world.list(users.clone(), 1);
    // A pass repairs what the list showed.
    world.account.drift_found(world.now);
    let found = world.now;
    let mut sweeps = 0;
    let mut wait = until_due(&mut world);
    while world.now - found < Duration::from_mins(10) {
        let quarter = SWEEP / 4;
        assert!(
            (quarter.mul_f64(0.9)..=quarter.mul_f64(1.1)).contains(&wait),
            "{wait:?}"
        );
        sweeps += 1;
        wait = finish(&mut world, &users, 1);
    }
    assert!((36..=45).contains(&sweeps), "{sweeps} in 10 min");
    assert!(finish(&mut world, &users, 1) >= SWEEP.mul_f64(0.9));
}

#[test]
fn faster_sweeps_too_make_sixty_calls_a_minute_at_most() {
    for pages in [1, 10, 20, 50, 200] {
        let (mut world, users) = account_of(pages);
        let normal = until_next_list(&mut world, &users, pages);
        world.list(users.clone(), pages);
        world.account.drift_found(world.now);
        let faster = until_due(&mut world);
        let calls = f64::from(pages) / faster.as_secs_f64() * 60.0;
        assert!(calls <= 60.0, "{calls} calls a minute for {pages} pages");
        assert!(faster < normal * 2);
        if pages >= 50 {
            assert!(calls > 45.0, "{calls} calls a minute for {pages} pages");
        }
    }
}

#[test]
fn drift_shortens_neither_failing_sweeps_nor_freshness() {
    let (mut world, users) = account_of(1);
    let _ = until_next_list(&mut world, &users, 1);
    world.list(users.clone(), 1);
    world.account.drift_found(world.now);
    let _ = until_due(&mut world);
    let freshness = |world: &mut World| match world.account.view(&id("u0"), world.now).sighting {
        Sighting::Seen { freshness, .. } => freshness,
        other => panic!("{other:?}"),
    };
    world.list(users, 1);
    world.pass(SWEEP.as_secs() * 2 - 1);
    assert_eq!(freshness(&mut world), Freshness::Fresh);
    assert!(world.lists());
    for _ in 0..4 {
        world
            .account
            .fail_list(Failure::from(&unavailable()), world.now);
        world.account.drift_found(world.now);
        world.pass(1);
        world.account.drift_found(world.now);
        let due = world.account.schedule(world.now).list.is_some();
        assert!(!due, "a failed sweep backs off");
        let _ = until_due(&mut world);
    }
}

#[test]
fn however_often_it_is_woken_it_sweeps_once() {
    let names: Vec<String> = (0..40).map(|number| format!("u{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names);
    let users = || {
        names
            .iter()
            .map(|name| user(name, Role::User))
            .collect::<Vec<_>>()
    };
    let started = world.now;
    assert!(world.lists());
    world.list(users(), 3);
    world.pass(3_600);
    assert!(world.lists());
    let failure = Failure::from(&unavailable());
    world.account.fail_list(failure, world.now);
    // The key changes; each object wants its user read, some of them after the list has left.
    for _ in 0..names.len() {
        world.account.retry_now(world.now);
    }
    for name in &names[..20] {
        world.account.request_read(&id(name), Class::Sweep, started);
    }
    assert!(world.lists());
    let mut listing = Listing::new(world.now);
    for name in &names[20..] {
        world.account.request_read(&id(name), Class::Sweep, started);
    }
    world.account.retry_now(world.now);
    assert!(!world.lists(), "one at a time");
    for _ in 0..3 {
        listing.counts(0);
    }
    world.account.apply_page(&mut listing, users(), world.now);
    world.pass(1);
    world.account.finish_list(&listing, world.now);
    assert_eq!(world.reads(), [""; 0], "and no user is read after it");
}

#[test]
fn list_in_progress_gets_the_priority_of_the_object_that_waits_for_it() {
    let mut world = World::of(&["a", "b"]);
    let users = || vec![user("a", Role::User), user("b", Role::User)];
    assert_eq!(world.account.schedule(world.now).list, Some(Class::Sweep));
    let urgency = |world: &mut World| world.account.schedule(world.now).urgency;
    assert_eq!(urgency(&mut world), Some(Class::Sweep));
    let later = world.now + Duration::from_secs(30);
    world
        .account
        .request_read(&id("a"), Class::DriftRepair, later);
    assert_eq!(
        urgency(&mut world),
        Some(Class::Sweep),
        "it would come too early"
    );
    world
        .account
        .request_read(&id("b"), Class::SpecChange, world.now);
    assert_eq!(urgency(&mut world), Some(Class::SpecChange));
    world.list(users(), 1);
    world.account.request_list(&id("a"), Class::SpecChange);
    let schedule = world.account.schedule(world.now);
    assert_eq!(schedule.list, Some(Class::SpecChange));
    world.pass(1);
    world.list(users(), 1);
    assert_eq!(urgency(&mut world), None);
}

#[test]
fn queued_read_is_made_only_while_an_object_needs_it() {
    let mut world = World::of(&["a", "b", "c", "d"]);
    assert!(world.lists());
    let shown = || vec![user("a", Role::User), user("b", Role::User)];
    world.list(shown(), 9);
    world.affected();
    for name in ["a", "b"] {
        world
            .account
            .request_read(&id(name), Class::Sweep, world.now);
    }
    assert_eq!(world.reads(), ["a", "b"]);
    // A requested list shows the first; no object declares the second any more.
    let now = world.now;
    world.account.apply_read(user("a", Role::User), now);
    world.account.set_managed(&id("b"), false);
    for name in ["a", "b"] {
        assert!(!world.account.is_still_needed(&id(name)), "{name}");
    }
    world.pass(70);
    let swept = world.reads();
    assert_eq!(swept, ["a", "c", "d"], "the sweep reads who is left");
    assert!(
        swept
            .iter()
            .all(|name| world.account.is_still_needed(&id(name)))
    );
}
