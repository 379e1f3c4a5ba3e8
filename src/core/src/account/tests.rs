//! What the account knows of users, and what it requests to be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fireworks_api::error::{Attempt, Effect, Error, Kind};
use fireworks_api::wire::Role;

use fireworks_api::wire::{User, UserPatch};

use super::*;
use crate::builders::{SETTLE_WINDOW as SETTLE, SWEEP_INTERVAL as SWEEP, user};

/// With this one the first sweep comes late enough for what happens before it.
const SEED: u64 = 1;

struct World {
    account: Account,
    now: Moment,
    settled_from: Moment,
}

fn new_account(seed: u64) -> Account {
    crate::builders::account(Moment::default(), seed)
}

fn id(name: &str) -> UserId {
    name.parse().unwrap()
}

fn timed(name: &str, role: Role, second: i64) -> User {
    User {
        update_time: Some(jiff::Timestamp::from_second(second).unwrap()),
        ..user(name, role)
    }
}

fn patch(role: Role) -> UserPatch {
    UserPatch {
        role,
        permission_preset: None,
        display_name: None,
    }
}

fn not_found() -> Error {
    Attempt::new("get user", false, 1).failed(
        Kind::NotFound,
        Effect::None,
        Some(404),
        "no such user",
    )
}

fn unavailable() -> Error {
    Attempt::new("get user", false, 1).failed(Kind::Transient, Effect::None, Some(503), "down")
}

impl World {
    /// Objects declare these users, and all objects are known.
    fn of(names: &[&str]) -> Self {
        Self::seeded(names, SEED)
    }

    fn seeded(names: &[&str], seed: u64) -> Self {
        let now = Moment::from_micros(1 << 40);
        let mut account = crate::builders::account(now, seed);
        for name in names {
            account.set_managed(&id(name), true);
        }
        account.open();
        Self {
            account,
            now,
            settled_from: now,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn others(&mut self, name: &str) -> OtherAdmins {
        self.account
            .other_admins(&id(name), self.settled_from, self.now)
    }

    /// The reader lists the account, which has these users on that many pages.
    fn list(&mut self, users: Vec<User>, pages: u32) {
        let mut listing = Listing::new(self.now);
        for _ in 0..pages {
            listing.counts(0);
        }
        let _ = self
            .account
            .learn_total(Some(u64::from(pages) * 200), pages == 1, self.now);
        self.account.apply_page(&mut listing, users, self.now);
        self.account.finish_list(&listing, self.now);
    }

    fn affected(&mut self) -> Vec<String> {
        let requeued = self.account.take_signals().requeue.into_iter();
        let mut names: Vec<_> = requeued.map(|user| user.as_str().to_owned()).collect();
        names.sort();
        names
    }

    fn sighting(&mut self, name: &str) -> Sighting {
        self.account.view(&id(name), self.now).sighting
    }

    fn role(&mut self, name: &str) -> Role {
        match self.sighting(name) {
            Sighting::Seen { user, .. } => user.role.clone(),
            other => panic!("{name}: {other:?}"),
        }
    }

    fn reads(&mut self) -> Vec<String> {
        let schedule = self.account.schedule(self.now);
        assert!(schedule.list.is_none(), "a list instead of single reads");
        let mut names: Vec<_> = schedule
            .reads
            .iter()
            .map(|(id, _)| id.as_str().to_owned())
            .collect();
        names.sort();
        names
    }

    fn lists(&mut self) -> bool {
        self.account.schedule(self.now).list.is_some()
    }
}

#[test]
fn unchanged_sweep_requeues_no_object() {
    let mut world = World::of(&["alice", "bob"]);
    let all = || {
        vec![
            user("alice", Role::User),
            user("bob", Role::User),
            user("eve", Role::Admin),
        ]
    };
    world.list(all(), 1);
    assert_eq!(world.affected(), ["alice", "bob"]);
    world.pass(60);
    world.list(all(), 1);
    assert_eq!(world.affected(), [""; 0]);
    world.pass(60);
    world.list(vec![user("alice", Role::Admin), user("bob", Role::User)], 1);
    assert_eq!(world.affected(), ["alice"]);
}

#[test]
fn newer_wins_by_update_time() {
    let mut world = World::of(&["alice"]);
    world.list(vec![timed("alice", Role::User, 100)], 1);
    let update = world
        .account
        .update_sent(&id("alice"), &patch(Role::Admin), world.now);
    let _ = world
        .account
        .update_succeeded(update, timed("alice", Role::Admin, 200), world.now);
    world.list(vec![timed("alice", Role::User, 100)], 1);
    assert_eq!(world.role("alice"), Role::Admin, "a lagging replica");
    world.list(vec![timed("alice", Role::User, 300)], 1);
    assert_eq!(world.role("alice"), Role::User);
}

#[test]
fn without_update_time_a_read_within_the_settle_window_cannot_contradict_our_change() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    let update = world
        .account
        .update_sent(&id("alice"), &patch(Role::Admin), world.now);
    let _ = world
        .account
        .update_succeeded(update, user("alice", Role::Admin), world.now);
    world.pass(29);
    world.list(vec![user("alice", Role::User)], 1);
    assert_eq!(world.role("alice"), Role::Admin);
    world.pass(2);
    world.list(vec![user("alice", Role::User)], 1);
    assert_eq!(world.role("alice"), Role::User);
}

#[test]
fn the_settle_window_begins_when_our_change_is_answered() {
    let mut world = World::of(&["alice"]);
    let mut account = new_account(SEED);
    let update = account.update_sent(&id("alice"), &patch(Role::Admin), world.now);
    world.pass(14);
    let _ = account.update_succeeded(update, user("alice", Role::Admin), world.now);
    world.pass(29);
    account.apply_read(user("alice", Role::User), world.now);
    let role = |account: &Account, now| match account.view(&id("alice"), now).sighting {
        Sighting::Seen { user, .. } => user.role.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(role(&account, world.now), Role::Admin, "a lagging replica");
    world.pass(2);
    account.apply_read(user("alice", Role::User), world.now);
    assert_eq!(role(&account, world.now), Role::User);
}

#[test]
fn newer_of_two_updates_in_flight_wins_whichever_is_answered_last() {
    let mut world = World::of(&["alice"]);
    let (now, first) = (world.now, patch(Role::Contributor));
    let mut other = World::of(&["alice"]).account;
    let earlier = other.update_sent(&id("alice"), &first, now);
    world.pass(1);
    let later = other.update_sent(&id("alice"), &patch(Role::Custom), world.now);
    let _ = other.update_succeeded(later, timed("alice", Role::Custom, 300), world.now);
    let _ = other.update_succeeded(earlier, timed("alice", Role::Contributor, 200), world.now);
    match other.view(&id("alice"), world.now).sighting {
        Sighting::Seen { user, .. } => assert_eq!(user.role, Role::Custom),
        unknown => panic!("{unknown:?}"),
    }
}

#[test]
fn a_lost_change_is_settled_by_a_late_enough_read_or_by_the_same_change_answered() {
    let mut world = World::of(&["alice"]);
    let settles = |world: &mut World| world.account.view(&id("alice"), world.now).settles_at;
    world.list(vec![user("alice", Role::User)], 1);
    let lose = |world: &mut World, role| {
        let update = world
            .account
            .update_sent(&id("alice"), &patch(role), world.now);
        world.account.outcome_unknown(update, world.now);
    };
    lose(&mut world, Role::Admin);
    assert_eq!(settles(&mut world), Some(world.now + SETTLE));
    let answer = |world: &mut World, role: Role| {
        let update = world
            .account
            .update_sent(&id("alice"), &patch(role.clone()), world.now);
        let _ = world
            .account
            .update_succeeded(update, user("alice", role), world.now);
    };
    answer(&mut world, Role::Admin);
    assert_eq!(
        settles(&mut world),
        None,
        "a late duplicate changes nothing"
    );
    lose(&mut world, Role::Admin);
    answer(&mut world, Role::Contributor);
    assert!(
        settles(&mut world).is_some(),
        "the lost change may still overwrite this one"
    );
    world.pass(29);
    world.list(vec![user("alice", Role::Contributor)], 1);
    assert!(settles(&mut world).is_some());
    world.pass(2);
    world.list(vec![user("alice", Role::Contributor)], 1);
    assert_eq!(settles(&mut world), None);
}

#[test]
fn objects_in_sync_are_requeued_once_when_an_outage_makes_their_reads_stale() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    world.affected();
    let fail = |world: &mut World| {
        let failure = Failure {
            kind: Kind::Transient,
            message: "x".into(),
        };
        world.account.fail_list(failure, world.now);
    };
    world.pass(300);
    fail(&mut world);
    assert_eq!(world.affected(), [""; 0]);
    world.pass(301);
    fail(&mut world);
    assert_eq!(world.affected(), ["alice"]);
    world.pass(60);
    fail(&mut world);
    assert_eq!(world.affected(), [""; 0]);
    world.list(vec![user("alice", Role::User)], 1);
    assert_eq!(world.affected(), ["alice"], "and once when it is over");
}

mod admins;
mod canary;
mod listing;
mod missing;
mod observations;
mod schedule;
mod timetable;
mod turns;
mod undeclared;
mod without_lists;
