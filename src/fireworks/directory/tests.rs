//! What the directory believes, and what it asks the reader to read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use super::super::error::{Attempt, Effect, Error};
use super::super::wire::Status;
use super::*;

const SETTLE: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_mins(1);

struct World {
    directory: Directory,
    changed: mpsc::UnboundedReceiver<UserId>,
    now: Instant,
}

fn id(name: &str) -> UserId {
    name.parse().unwrap()
}

fn user(name: &str, role: Role) -> User {
    User {
        id: id(name),
        role,
        permission_preset: None,
        display_name: None,
        has_email: false,
        service_account: false,
        state: UserState::Ready,
        status: None::<Status>,
        create_time: None,
        update_time: None,
    }
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
    /// Objects speak of these users, and all of them are known.
    fn of(names: &[&str]) -> Self {
        let times = Times {
            settle_window: SETTLE,
            sweep_interval: SWEEP,
        };
        let (directory, changed) = Directory::new(times);
        let now = Instant::now();
        for name in names {
            directory.set_interest(&id(name), true);
        }
        directory.open(now);
        Self {
            directory,
            changed,
            now,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The reader lists the account, which has these users on that many pages.
    fn list(&self, users: Vec<User>, pages: u32) {
        let mut listing = Listing::new(self.now);
        for _ in 0..pages {
            assert!(listing.counts(0, Some(u64::from(pages) * 200)));
        }
        let _ = self
            .directory
            .learn_total(Some(u64::from(pages) * 200), pages == 1, self.now);
        self.directory.fold_page(&mut listing, users, self.now);
        self.directory.finish_list(&listing, self.now);
    }

    fn look(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(user) = self.changed.try_recv() {
            names.push(user.as_str().to_owned());
        }
        names.sort();
        names
    }

    fn sighting(&self, name: &str) -> Sighting {
        self.directory.view(&id(name), self.now).sighting
    }

    fn role(&self, name: &str) -> Role {
        match self.sighting(name) {
            Sighting::Seen { user, .. } => user.role.clone(),
            other => panic!("{name}: {other:?}"),
        }
    }

    fn reads(&self) -> Vec<String> {
        let agenda = self.directory.agenda(self.now);
        assert!(agenda.list.is_none(), "a list instead of single reads");
        let mut names: Vec<_> = agenda
            .reads
            .iter()
            .map(|(id, _)| id.as_str().to_owned())
            .collect();
        names.sort();
        names
    }

    fn lists(&self) -> bool {
        self.directory.agenda(self.now).list.is_some()
    }
}

#[test]
fn nothing_is_read_before_all_objects_are_known_or_when_nobody_asks() {
    let (directory, _changed) = Directory::new(Times {
        settle_window: SETTLE,
        sweep_interval: SWEEP,
    });
    let now = Instant::now();
    directory.set_interest(&id("alice"), true);
    assert!(directory.agenda(now).list.is_none());
    directory.open(now);
    assert!(directory.agenda(now).list.is_some());
    let idle = World::of(&[]);
    assert!(!idle.lists());
}

#[test]
fn an_unchanged_sweep_makes_nobody_look() {
    let mut world = World::of(&["alice", "bob"]);
    let all = || {
        vec![
            user("alice", Role::User),
            user("bob", Role::User),
            user("eve", Role::Admin),
        ]
    };
    world.list(all(), 1);
    assert_eq!(world.look(), ["alice", "bob"]);
    world.pass(60);
    world.list(all(), 1);
    assert_eq!(world.look(), [""; 0]);
    world.pass(60);
    world.list(vec![user("alice", Role::Admin), user("bob", Role::User)], 1);
    assert_eq!(world.look(), ["alice"]);
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
    let world = World::of(&["a", "b"]);
    assert!(world.lists());
    let mut listing = Listing::new(world.now);
    world
        .directory
        .fold_page(&mut listing, vec![user("a", Role::User)], world.now);
    assert!(listing.counts(0, Some(2000)));
    assert!(
        !world.directory.learn_total(Some(2000), false, world.now),
        "ten pages for two users"
    );
    world.directory.stop_list(&listing, world.now);
    assert_eq!(world.reads(), ["b"]);
}

#[test]
fn absence_is_believed_after_a_complete_list_and_a_definite_answer() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("eve", Role::Admin)], 1);
    assert!(matches!(world.sighting("alice"), Sighting::Suspected));
    assert_eq!(world.look(), ["alice"]);
    world
        .directory
        .want(&id("alice"), Class::AbsenceCheck, world.now);
    assert_eq!(world.reads(), ["alice"]);
    world
        .directory
        .fail_user(&id("alice"), &not_found(), world.now, world.now);
    assert!(matches!(world.sighting("alice"), Sighting::Absent));
    assert_eq!(world.look(), ["alice"]);
    world.pass(60);
    world.list(vec![user("alice", Role::User), user("eve", Role::Admin)], 1);
    assert_eq!(world.role("alice"), Role::User);
    assert_eq!(world.look(), ["alice"]);
}

#[test]
fn absence_is_never_concluded_from_an_error_or_a_malformed_row() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    world.pass(60);
    world
        .directory
        .fail_user(&id("alice"), &unavailable(), world.now, world.now);
    assert_eq!(world.role("alice"), Role::User);
    let mut listing = Listing::new(world.now);
    assert!(listing.counts(1, Some(2)));
    world
        .directory
        .fold_page(&mut listing, vec![user("eve", Role::Admin)], world.now);
    world.directory.finish_list(&listing, world.now);
    assert_eq!(
        world.role("alice"),
        Role::User,
        "the malformed row may be hers"
    );
    let failure = Failure {
        kind: Kind::Transient,
        message: "x".into(),
    };
    world.directory.fail_list(failure, world.now);
    world
        .directory
        .fail_user(&id("alice"), &not_found(), world.now, world.now);
    assert_eq!(
        world.role("alice"),
        Role::User,
        "404 while lists fail is an account error"
    );
}

#[test]
fn many_suspects_are_checked_by_one_more_list_and_an_empty_list_convinces_nobody() {
    let world = World::of(&["a", "b", "c"]);
    world.list(vec![user("eve", Role::Admin)], 1);
    for name in ["a", "b", "c"] {
        world
            .directory
            .want(&id(name), Class::AbsenceCheck, world.now);
    }
    assert!(world.lists(), "three suspects, one page");
    world.list(vec![user("eve", Role::Admin)], 1);
    assert!(matches!(world.sighting("a"), Sighting::Absent));

    let mut empty = World::of(&["a", "b", "c"]);
    empty.list(vec![], 1);
    for name in ["a", "b", "c"] {
        empty
            .directory
            .want(&id(name), Class::AbsenceCheck, empty.now);
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
        .directory
        .want(&id("robot"), Class::AbsenceCheck, world.now);
    assert_eq!(world.reads(), ["robot"]);
    world
        .directory
        .fold_user(user("robot", Role::User), world.now);
    assert_eq!(world.role("robot"), Role::User);
    world.look();
    world.pass(60);
    world.list(listed(), 1);
    assert_eq!(world.look(), [""; 0]);
    assert_eq!(world.role("robot"), Role::User);
    assert_eq!(world.reads(), ["robot"], "once a sweep");
}

#[test]
fn newer_wins_by_update_time() {
    let world = World::of(&["alice"]);
    world.list(vec![timed("alice", Role::User, 100)], 1);
    let flight = world
        .directory
        .depart(&id("alice"), &patch(Role::Admin), world.now);
    let _ = flight.answered(timed("alice", Role::Admin, 200));
    world.list(vec![timed("alice", Role::User, 100)], 1);
    assert_eq!(world.role("alice"), Role::Admin, "a lagging replica");
    world.list(vec![timed("alice", Role::User, 300)], 1);
    assert_eq!(world.role("alice"), Role::User);
}

#[test]
fn without_update_time_a_read_within_the_settle_window_cannot_contradict_our_change() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    let flight = world
        .directory
        .depart(&id("alice"), &patch(Role::Admin), world.now);
    let _ = flight.answered(user("alice", Role::Admin));
    world.pass(29);
    world.list(vec![user("alice", Role::User)], 1);
    assert_eq!(world.role("alice"), Role::Admin);
    world.pass(2);
    world.list(vec![user("alice", Role::User)], 1);
    assert_eq!(world.role("alice"), Role::User);
}

#[test]
fn a_lost_change_is_settled_by_a_late_enough_read_or_by_the_same_change_answered() {
    let mut world = World::of(&["alice"]);
    let settles = |world: &World| world.directory.view(&id("alice"), world.now).settles_at;
    world.list(vec![user("alice", Role::User)], 1);
    let lose = |world: &World, role| {
        world
            .directory
            .depart(&id("alice"), &patch(role), world.now)
            .lost(world.now);
    };
    lose(&world, Role::Admin);
    assert_eq!(settles(&world), Some(world.now + SETTLE));
    let answer = |world: &World, role: Role| {
        let flight = world
            .directory
            .depart(&id("alice"), &patch(role.clone()), world.now);
        let _ = flight.answered(user("alice", role));
    };
    answer(&world, Role::Admin);
    assert_eq!(settles(&world), None, "a late duplicate changes nothing");
    lose(&world, Role::Admin);
    answer(&world, Role::Contributor);
    assert!(
        settles(&world).is_some(),
        "the lost change may still overwrite this one"
    );
    world.pass(29);
    world.list(vec![user("alice", Role::Contributor)], 1);
    assert!(settles(&world).is_some());
    world.pass(2);
    world.list(vec![user("alice", Role::Contributor)], 1);
    assert_eq!(settles(&world), None);
}

#[test]
fn a_change_that_was_cut_off_counts_as_lost() {
    let world = World::of(&["alice"]);
    drop(
        world
            .directory
            .depart(&id("alice"), &patch(Role::User), world.now),
    );
    assert!(
        world
            .directory
            .view(&id("alice"), world.now)
            .settles_at
            .is_some()
    );
}

#[test]
fn demotions_of_admins_go_one_at_a_time() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    world.look();
    assert_eq!(
        world.directory.other_admins(&id("a"), world.now),
        OtherAdmins::Known(1)
    );
    let flight = world
        .directory
        .depart(&id("a"), &patch(Role::User), world.now);
    assert_eq!(
        world.directory.other_admins(&id("b"), world.now),
        OtherAdmins::Busy
    );
    let _ = flight.answered(user("a", Role::User));
    assert!(world.look().contains(&"b".to_owned()));
    assert_eq!(
        world.directory.other_admins(&id("b"), world.now),
        OtherAdmins::Known(0)
    );
}

#[test]
fn an_admin_who_may_be_losing_the_role_does_not_count() {
    let world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    world
        .directory
        .depart(&id("a"), &patch(Role::User), world.now)
        .lost(world.now);
    assert_eq!(
        world.directory.other_admins(&id("b"), world.now),
        OtherAdmins::Known(0)
    );
}

#[test]
fn a_protected_admin_is_looked_at_again_when_another_admin_appears() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::User)], 1);
    world.look();
    assert_eq!(
        world.directory.other_admins(&id("a"), world.now),
        OtherAdmins::Known(0)
    );
    world.pass(60);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.look(), ["a", "b"]);
}

#[test]
fn admins_are_not_counted_by_an_old_or_partial_list() {
    let mut world = World::of(&["a"]);
    assert_eq!(
        world.directory.other_admins(&id("a"), world.now),
        OtherAdmins::Unlisted
    );
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(
        world.directory.other_admins(&id("a"), world.now),
        OtherAdmins::Known(1)
    );
    world.pass(600);
    assert_eq!(
        world.directory.other_admins(&id("a"), world.now),
        OtherAdmins::Unlisted
    );
}

#[test]
fn a_failed_list_is_told_to_those_who_wait_and_repeated_with_back_off() {
    let mut world = World::of(&["alice"]);
    world
        .directory
        .want(&id("alice"), Class::SpecChange, world.now);
    assert!(world.lists());
    let failure = || Failure {
        kind: Kind::Transient,
        message: "x".into(),
    };
    world.directory.fail_list(failure(), world.now);
    assert_eq!(world.look(), ["alice"]);
    assert!(!world.lists(), "not at once");
    world.pass(2);
    assert!(world.lists());
    world.directory.fail_list(failure(), world.now);
    assert_eq!(world.look(), [""; 0], "the same failure is no news");
    world.pass(5);
    let agenda = world.directory.agenda(world.now);
    assert!(agenda.list.is_some() || agenda.reads.len() == 1);
}

#[test]
fn objects_in_sync_hear_of_an_outage_once_and_late() {
    let mut world = World::of(&["alice"]);
    world.list(vec![user("alice", Role::User)], 1);
    world.look();
    let fail = |world: &World| {
        let failure = Failure {
            kind: Kind::Transient,
            message: "x".into(),
        };
        world.directory.fail_list(failure, world.now);
    };
    world.pass(300);
    fail(&world);
    assert_eq!(world.look(), [""; 0]);
    world.pass(301);
    fail(&world);
    assert_eq!(world.look(), ["alice"]);
    world.pass(60);
    fail(&world);
    assert_eq!(world.look(), [""; 0]);
    world.list(vec![user("alice", Role::User)], 1);
    assert_eq!(world.look(), ["alice"], "and once when it is over");
}

#[test]
fn a_list_whose_tokens_go_in_circles_ends() {
    let mut listing = Listing::new(Instant::now());
    let ended = (0..1000).position(|_| !listing.counts(0, Some(400)));
    assert!(ended.is_some_and(|pages| pages < 30), "{ended:?}");
}

mod canary;
mod missing;
mod news;
