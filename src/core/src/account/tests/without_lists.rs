//! Lists fail again and again while single reads succeed.

use super::*;

const DECLARED: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn fail_list(world: &mut World) {
    let failure = Failure::from(&unavailable());
    world.account.fail_list(failure, world.now);
}

/// Time passes until a list is due, which fails; after how long.
fn next_list_fails(world: &mut World) -> Duration {
    let began = world.now;
    loop {
        let schedule = world.account.schedule(world.now);
        assert_eq!(schedule.reads.len(), 0);
        if schedule.list.is_some() {
            fail_list(world);
            return world.now - began;
        }
        world.now = schedule.wake_at.expect("a list is due some time");
    }
}

/// All declared users were listed once; since then two lists have failed.
fn world_without_lists() -> World {
    let mut world = World::of(&DECLARED);
    world.list(DECLARED.map(|name| user(name, Role::User)).to_vec(), 1);
    world.affected();
    for _ in 0..2 {
        next_list_fails(&mut world);
    }
    world
}

/// Everything that is due is read, and succeeds.
fn read_all(world: &mut World, role: &Role) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let reads = world.reads();
        if reads.is_empty() {
            all.sort();
            return all;
        }
        for name in reads {
            world
                .account
                .apply_read(user(&name, role.clone()), world.now);
            all.push(name);
        }
    }
}

#[test]
fn declared_users_are_swept_by_reads_while_lists_fail() {
    let mut world = world_without_lists();
    assert_eq!(read_all(&mut world, &Role::User), DECLARED);
    assert_eq!(world.affected(), [""; 0]);
    for _ in 0..3 {
        let wait = next_list_fails(&mut world);
        assert!(
            wait <= SWEEP.mul_f64(2.2),
            "{wait:?}: at the rate of a sweep"
        );
        assert_eq!(read_all(&mut world, &Role::Admin), DECLARED);
    }
    assert_eq!(world.affected(), DECLARED, "drift is found, once");
    assert!(next_list_fails(&mut world) <= SWEEP.mul_f64(1.1));
}

#[test]
fn objects_in_sync_stay_so_while_only_lists_fail() {
    let mut world = world_without_lists();
    for _ in 0..30 {
        read_all(&mut world, &Role::User);
        next_list_fails(&mut world);
    }
    assert_eq!(world.affected(), [""; 0], "none of them is stale");
}

#[test]
fn sweep_by_reads_ends_where_reads_fail_too() {
    let mut world = world_without_lists();
    let mut failed = 0;
    loop {
        let reads = world.reads();
        if reads.is_empty() {
            break;
        }
        assert_eq!(reads.len(), 1, "one has to succeed first");
        failed += 1;
        let now = world.now;
        world
            .account
            .apply_failed_read(&id(&reads[0]), &unavailable(), now, now);
    }
    assert_eq!(failed, 3);
    assert!(
        next_list_fails(&mut world) >= SWEEP.mul_f64(1.8),
        "it backs off"
    );
}

#[test]
fn user_of_a_malformed_row_is_read_by_itself() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::User), user("b", Role::User)], 1);
    world.pass(60);
    let mut listing = Listing::new(world.now);
    listing.counts(1);
    world
        .account
        .apply_page(&mut listing, vec![user("a", Role::User)], world.now);
    world.account.finish_list(&listing, world.now);
    assert_eq!(world.reads(), ["b"]);
}
