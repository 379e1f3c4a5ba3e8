//! How many admins are left, and by which evidence.

use fireworks_api::wire::{State as UserState, Status};

use super::*;

#[test]
fn demotions_of_admins_are_sent_one_at_a_time() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    world.affected();
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    let update = world
        .account
        .update_sent(&id("a"), &patch(Role::User), world.now);
    assert_eq!(world.others("b"), OtherAdmins::Busy);
    let _ = world
        .account
        .update_succeeded(update, user("a", Role::User), world.now);
    assert!(world.affected().contains(&"b".to_owned()));
    assert_eq!(world.others("b"), OtherAdmins::TooFew(1));
}

#[test]
fn admin_with_an_unconfirmed_demotion_does_not_count() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    let update = world
        .account
        .update_sent(&id("a"), &patch(Role::User), world.now);
    world.account.outcome_unknown(update, world.now);
    assert_eq!(world.others("b"), OtherAdmins::TooFew(1));
}

#[test]
fn protected_admin_is_requeued_when_another_admin_appears() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::User)], 1);
    world.affected();
    assert_eq!(world.others("a"), OtherAdmins::TooFew(1));
    world.pass(60);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.affected(), ["a", "b"]);
}

#[test]
fn admins_are_not_counted_by_an_old_or_partial_list() {
    let mut world = World::of(&["a"]);
    assert_eq!(world.others("a"), OtherAdmins::NotListed);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.pass(600);
    assert_eq!(world.others("a"), OtherAdmins::NotListed);
}

#[test]
fn a_demotion_that_a_former_process_sent_is_waited_out_before_others_are_counted() {
    let mut world = World::of(&["a", "b"]);
    world.settled_from += Duration::from_secs(30);
    let from = world.settled_from;
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Unsettled(from));
    world.pass(31);
    assert_eq!(
        world.others("a"),
        OtherAdmins::Unsettled(from),
        "by the old list"
    );
    world.list(vec![user("a", Role::Admin), user("b", Role::User)], 1);
    assert_eq!(world.others("a"), OtherAdmins::TooFew(1));
    world.pass(1);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn unlisted_admin_does_not_count_though_a_row_is_malformed() {
    for spoken_of in [&["a"][..], &["a", "b"]] {
        let mut world = World::of(spoken_of);
        world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
        assert_eq!(world.others("a"), OtherAdmins::Known(1));
        world.pass(60);
        let mut listing = Listing::new(world.now);
        listing.counts(1);
        let left = vec![user("a", Role::Admin)];
        world.account.apply_page(&mut listing, left, world.now);
        world.account.finish_list(&listing, world.now);
        assert_eq!(world.others("a"), OtherAdmins::TooFew(1), "{spoken_of:?}");
        // The row was theirs: objects that wait for another admin are requeued.
        world.affected();
        world.pass(60);
        world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
        assert!(world.affected().contains(&"a".to_owned()), "{spoken_of:?}");
        assert_eq!(world.others("a"), OtherAdmins::Known(1));
    }
}

#[test]
fn unlisted_undeclared_users_are_forgotten_though_a_row_is_malformed() {
    let mut world = World::of(&["a"]);
    for number in 0..10 {
        let mut listing = Listing::new(world.now);
        listing.counts(1);
        let stranger = user(&format!("stranger-{number}"), Role::User);
        let shown = vec![user("a", Role::User), stranger];
        world.account.apply_page(&mut listing, shown, world.now);
        world.account.finish_list(&listing, world.now);
        world.pass(60);
    }
    assert_eq!(world.account.counts().users, 2);
}

#[test]
fn admin_that_lists_omit_and_a_read_shows_counts() {
    let mut world = World::of(&["a", "b"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    for _ in 0..3 {
        world.pass(60);
        world.list(vec![user("a", Role::Admin)], 1);
        world.account.apply_read(user("b", Role::Admin), world.now);
    }
    world.pass(60);
    world.list(vec![user("a", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn admin_counts_although_its_row_lags_behind_our_update() {
    let mut world = World::of(&["a", "b"]);
    let all = || vec![timed("a", Role::Admin, 100), timed("b", Role::User, 100)];
    world.list(all(), 1);
    let update = world
        .account
        .update_sent(&id("b"), &patch(Role::Admin), world.now);
    let _ = world
        .account
        .update_succeeded(update, timed("b", Role::Admin, 200), world.now);
    world.pass(60);
    world.list(all(), 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn admins_are_counted_by_a_list_however_long_it_took() {
    let mut world = World::of(&["a"]);
    let mut listing = Listing::new(world.now);
    for _ in 0..25 {
        listing.counts(0);
    }
    let _ = world.account.learn_total(Some(5_000), false, world.now);
    let admins = vec![user("a", Role::Admin), user("b", Role::Admin)];
    world.account.apply_page(&mut listing, admins, world.now);
    world.pass(120);
    world.account.finish_list(&listing, world.now);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.pass(31);
    assert_eq!(world.others("a"), OtherAdmins::NotListed);
}

/// Neither a service account, nor a user that is not READY or has an error, can take over from the last person.
#[test]
fn last_admin_counts_only_ready_people_without_errors() {
    let admin = |name: &str| user(name, Role::Admin);
    let failing = Status {
        code: "INTERNAL".into(),
        message: "x".into(),
    };
    let others = [
        User {
            service_account: true,
            ..admin("b")
        },
        User {
            state: UserState::Creating,
            ..admin("b")
        },
        User {
            state: UserState::Other("PAUSED".into()),
            ..admin("b")
        },
        User {
            status: Some(failing),
            ..admin("b")
        },
    ];
    for other in others {
        let mut world = World::of(&["a", "b"]);
        world.list(vec![admin("a"), other.clone()], 1);
        assert_eq!(world.others("a"), OtherAdmins::TooFew(1), "{other:?}");
        // One that does not count may be demoted while any other admin is left.
        assert_eq!(world.others("b"), OtherAdmins::Known(1), "{other:?}");
        world.list(vec![other.clone(), user("a", Role::User)], 1);
        assert_eq!(world.others("b"), OtherAdmins::TooFew(1), "{other:?}");
    }
    let unset = User {
        state: UserState::Unspecified,
        status: None,
        ..admin("b")
    };
    let mut world = World::of(&["a", "b"]);
    world.list(vec![admin("a"), unset], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

impl World {
    /// Sets how many counted admins demotions leave.
    fn keeping(min_admins: usize, names: &[&str]) -> Self {
        let mut world = Self::of(&[]);
        let settings = crate::world::Settings {
            grants: crate::grants::Grants::new([], [], min_admins),
            ..crate::builders::settings()
        };
        world.account = Account::new(crate::builders::account_id(), &settings, world.now, SEED);
        for name in names {
            world.account.set_managed(&id(name), true);
        }
        world.account.open();
        world
    }
}

#[test]
fn min_admins_are_left_by_the_demotion_of_a_counted_admin() {
    let admin = |name: &str| user(name, Role::Admin);
    let mut world = World::keeping(2, &["a", "b"]);
    world.list(vec![admin("a"), admin("b")], 1);
    assert_eq!(world.others("a"), OtherAdmins::TooFew(2));
    // One that does not count is no help, and needs one other of any kind itself.
    let robot = || User {
        service_account: true,
        ..admin("robot")
    };
    world.pass(1);
    world.list(vec![admin("a"), admin("b"), robot()], 1);
    assert_eq!(world.others("a"), OtherAdmins::TooFew(2));
    assert_eq!(world.others("robot"), OtherAdmins::Known(2));
    world.pass(1);
    world.list(vec![admin("a"), robot()], 1);
    assert_eq!(world.others("robot"), OtherAdmins::Known(1));
    let _ = world.affected();
    world.pass(1);
    world.list(vec![admin("a"), admin("b"), admin("c")], 1);
    assert!(world.affected().contains(&"a".to_owned()), "held until now");
    assert_eq!(world.others("a"), OtherAdmins::Known(2));
}

#[test]
fn min_admins_are_restored_by_the_check_after_demotions() {
    let all = |roles: [Role; 4]| {
        let named = ["a", "b", "c", "d"].into_iter().zip(roles);
        named.map(|(name, role)| user(name, role)).collect()
    };
    let (admin, user) = (Role::Admin, Role::User);
    let admins = [admin.clone(), admin.clone(), admin.clone(), admin.clone()];
    let mut world = World::keeping(2, &["a"]);
    world.list(all(admins), 1);
    world.demote("a");
    world.pass(1);
    let left = [user.clone(), admin.clone(), admin.clone(), user.clone()];
    world.list(all(left), 1);
    assert_eq!(world.next_restored(), None, "two are left");
    world.pass(1);
    let left = [user.clone(), admin, user.clone(), user];
    world.list(all(left), 1);
    assert_eq!(world.next_restored().as_deref(), Some("a"));
    world.restored("a");
    assert_eq!(world.next_restored(), None);
    assert_eq!(world.account.count_admins(world.now), (2, true));
}

/// The world after `a` was demoted by this process, and `b`, the other admin, by another one.
fn both_demoted() -> World {
    let mut world = World::of(&["a"]);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    world.demote("a");
    world.pass(1);
    world.list(vec![user("a", Role::User), user("b", Role::User)], 1);
    world
}

impl World {
    fn demote(&mut self, name: &str) {
        let update = self
            .account
            .update_sent(&id(name), &patch(Role::User), self.now);
        let _ = self
            .account
            .update_succeeded(update, user(name, Role::User), self.now);
    }

    fn restored(&mut self, name: &str) {
        let update = self
            .account
            .update_sent(&id(name), &patch(Role::Admin), self.now);
        let _ = self
            .account
            .update_succeeded(update, user(name, Role::Admin), self.now);
        self.account.restore_tried(&id(name), false);
    }

    fn next_restore(&mut self) -> Restore {
        let Account { admins, users, .. } = &mut self.account;
        admins.checks.next_restore(users, self.now)
    }

    fn next_restored(&mut self) -> Option<String> {
        match self.next_restore() {
            Restore::User(Repair { user, patch, .. }) => {
                assert_eq!(patch.role, Role::Admin);
                Some(user.as_str().to_owned())
            }
            Restore::Idle | Restore::At(_) => None,
        }
    }

    /// Begins and ends a list if one is due now.
    fn lists_now(&mut self, users: Vec<User>) -> bool {
        let is_due = self.account.schedule(self.now).list.is_some();
        if is_due {
            self.list(users, 1);
        }
        is_due
    }
}

#[test]
fn last_admin_demoted_elsewhere_makes_a_user_admin_again() {
    let mut world = both_demoted();
    assert!(world.affected().contains(&"a".to_owned()));
    assert_eq!(world.next_restored().as_deref(), Some("a"));
    world.restored("a");
    assert_eq!(world.next_restored(), None);
    assert_eq!(world.account.count_admins(world.now), (1, true));
    // Another admin appears: no user is demoted for half an hour at least, and again after one and a half.
    let two = || vec![user("a", Role::Admin), user("b", Role::Admin)];
    world.pass(29 * 60);
    world.list(two(), 1);
    assert!(matches!(world.others("a"), OtherAdmins::Stopped(Some(_))));
    world.pass(61 * 60);
    world.list(two(), 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
}

#[test]
fn demotions_stop_until_a_restart_after_the_second_occurrence() {
    let mut world = both_demoted();
    world.restored("a");
    world.pass(91 * 60);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Known(1));
    world.demote("a");
    world.pass(1);
    world.list(vec![user("a", Role::User), user("b", Role::User)], 1);
    assert_eq!(world.next_restored().as_deref(), Some("a"));
    world.restored("a");
    world.pass(24 * 3600);
    world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
    assert_eq!(world.others("a"), OtherAdmins::Stopped(None));
}

#[test]
fn restoring_goes_on_newest_first_until_an_admin_is_seen() {
    let mut world = World::of(&["a", "b", "c"]);
    let all = ["a", "b", "c", "d"].map(|name| user(name, Role::Admin));
    world.list(all.to_vec(), 1);
    world.demote("a");
    world.pass(1);
    world.demote("b");
    world.pass(1);
    let none = ["a", "b", "c", "d"].map(|name| user(name, Role::User));
    world.list(none.to_vec(), 1);
    for _ in 0..3 {
        for name in ["b", "a"] {
            assert_eq!(world.next_restored().as_deref(), Some(name));
            // Refused, whatever the reason: the next one is tried, and then the first again.
            world.account.restore_tried(&id(name), false);
        }
        let Restore::At(at) = world.next_restore() else {
            panic!("the next round waits");
        };
        world.now = at;
    }
    world.account.restore_tried(&id("b"), true);
    assert_eq!(world.next_restored().as_deref(), Some("a"), "b is gone");
    world.pass(3600);
    let mut some = none.to_vec();
    some[3].role = Role::Admin;
    world.list(some, 1);
    assert_eq!(world.next_restored(), None);
}

#[test]
fn one_batch_of_demotions_costs_two_complete_lists() {
    let mut world = World::of(&["a", "b"]);
    let shown = || {
        vec![
            user("z", Role::Admin),
            user("a", Role::User),
            user("b", Role::User),
        ]
    };
    world.list(
        ["a", "b", "z"].map(|name| user(name, Role::Admin)).to_vec(),
        1,
    );
    world.demote("a");
    world.demote("b");
    // No object is needed for the check.
    for name in ["a", "b"] {
        world.account.set_managed(&id(name), false);
    }
    assert!(world.lists_now(shown()), "one at once");
    let mut lists = 0;
    for _ in 0..600 {
        world.pass(1);
        lists += u32::from(world.lists_now(shown()));
        if lists == 1 {
            break;
        }
    }
    assert_eq!(lists, 1);
    for _ in 0..60 {
        world.pass(10);
        assert!(!world.lists_now(shown()));
    }
    assert_eq!(world.next_restored(), None);
}

#[test]
fn an_unanswered_demotion_is_checked_too_and_a_refused_one_is_not() {
    for is_lost in [true, false] {
        let mut world = World::of(&["a"]);
        world.list(vec![user("a", Role::Admin), user("b", Role::Admin)], 1);
        let update = world
            .account
            .update_sent(&id("a"), &patch(Role::User), world.now);
        if is_lost {
            world.account.outcome_unknown(update, world.now);
        } else {
            world.account.update_refused(update, &unavailable());
        }
        world.pass(1);
        world.list(vec![user("a", Role::User), user("b", Role::User)], 1);
        assert_eq!(world.next_restored().is_some(), is_lost);
    }
}
