//! The canary: what the first change shows, and what follows from it.

use fireworks_api::email::EmailHash;

use super::*;

/// A user with something to lose.
fn named(name: &str, role: Role) -> User {
    User {
        display_name: Some("Al".into()),
        email: Some(EmailHash::of("al@example.com")),
        ..user(name, role)
    }
}

/// Three users with something to lose, listed.
fn all_named() -> World {
    let mut world = World::of(&["a", "b", "c"]);
    world.list(
        ["a", "b", "c"].map(|name| named(name, Role::User)).to_vec(),
        1,
    );
    world.affected();
    world
}

impl World {
    fn mask(&mut self, name: &str) -> Mask {
        self.account.mask(&id(name), false, self.now)
    }

    fn is_busy(&mut self, name: &str) -> bool {
        matches!(self.mask(name), Mask::Busy(_))
    }

    /// The GET before the PATCH of the canary.
    fn reads_before(&mut self, shown: User) {
        let name = shown.id.as_str().to_owned();
        assert_eq!(self.mask(&name), Mask::Unread);
        self.account.request_canary_read(&id(&name), self.now);
        assert_eq!(self.reads(), [name.as_str()]);
        self.account.apply_read(shown, self.now);
        assert_eq!(self.mask(&name), Mask::Trusted);
    }

    /// The PATCH of a user is answered so.
    fn changes(&mut self, after: User) {
        let update =
            self.account
                .update_sent(&after.id.clone(), &patch(Role::Contributor), self.now);
        let _ = self.account.update_succeeded(update, after, self.now);
    }

    /// The user is the canary, and loses its fields for good.
    fn loses(&mut self, name: &str) {
        self.reads_before(named(name, Role::User));
        self.changes(user(name, Role::Contributor));
        self.pass(1);
        self.account
            .apply_read(user(name, Role::Contributor), self.now);
    }

    /// The user is the canary, and keeps its fields.
    fn keeps(&mut self, name: &str) {
        self.reads_before(named(name, Role::User));
        self.changes(named(name, Role::Contributor));
    }
}

#[test]
fn canary_goes_alone_after_one_read_and_a_good_answer_frees_the_others() {
    let mut world = all_named();
    world.reads_before(named("a", Role::User));
    assert!(world.is_busy("b"), "while its change is prepared");
    let update = world
        .account
        .update_sent(&id("a"), &patch(Role::Contributor), world.now);
    assert!(world.is_busy("b"), "while it is under way");
    let _ = world
        .account
        .update_succeeded(update, named("a", Role::Contributor), world.now);
    assert_eq!(world.affected(), ["a", "a", "b"]);
    for name in ["b", "c"] {
        assert_eq!(world.mask(name), Mask::Trusted, "no further read");
    }
}

#[test]
fn user_that_clears_its_own_name_before_the_first_change_stops_nothing() {
    let mut world = all_named();
    // The list is older than the edit.
    let edited = User {
        display_name: None,
        ..named("a", Role::User)
    };
    world.reads_before(edited.clone());
    world.changes(User {
        role: Role::Contributor,
        ..edited
    });
    assert_eq!(world.mask("b"), Mask::Trusted);
    assert!(!world.account.are_updates_stopped());
}

#[test]
fn user_that_lost_a_field_is_held_until_a_second_one_keeps_its_own() {
    let mut world = all_named();
    world.loses("a");
    assert!(matches!(world.mask("a"), Mask::UserStopped(_)));
    assert!(!world.account.are_updates_stopped());
    world.affected();
    world.keeps("b");
    assert!(world.affected().contains(&"a".to_owned()), "it is released");
    for name in ["a", "b", "c"] {
        assert_eq!(world.mask(name), Mask::Trusted);
    }
}

#[test]
fn changes_stop_after_a_second_user_lost_a_field_and_are_retried_with_back_off() {
    let mut world = all_named();
    world.loses("a");
    world.loses("b");
    assert!(world.account.are_updates_stopped());
    for minutes in [5, 10, 20, 40, 60, 60] {
        let until = world.now + Duration::from_mins(minutes);
        for name in ["a", "b", "c"] {
            assert_eq!(world.mask(name), Mask::Stopped(until));
        }
        world.pass(minutes * 60);
        world.list(
            ["a", "b", "c"].map(|name| named(name, Role::User)).to_vec(),
            1,
        );
        world.loses("c");
    }
    world.pass(3600);
    world.list(vec![named("b", Role::User), named("c", Role::User)], 1);
    world.keeps("c");
    assert!(!world.account.are_updates_stopped());
    assert_eq!(world.mask("b"), Mask::Trusted);
}

#[test]
fn held_user_is_tried_again_after_an_hour_without_a_second_one() {
    let mut world = all_named();
    world.loses("a");
    let Mask::UserStopped(until) = world.mask("a") else {
        panic!("it is held");
    };
    assert_eq!(until, world.now + Duration::from_hours(1));
    world.now = until;
    assert_eq!(world.mask("a"), Mask::Trusted, "nothing is left to lose");
    // Its evidence still counts.
    world.list(vec![named("b", Role::User)], 1);
    world.loses("b");
    assert!(world.account.are_updates_stopped());
}

#[test]
fn answer_that_only_omits_a_field_is_cleared_by_the_read() {
    let mut world = all_named();
    world.reads_before(named("a", Role::User));
    world.changes(user("a", Role::Contributor));
    assert!(world.is_busy("b"), "not judged by the answer alone");
    world.pass(60);
    world
        .account
        .apply_read(named("a", Role::Contributor), world.now);
    assert_eq!(world.mask("b"), Mask::Trusted);
    assert!(!world.account.are_updates_stopped());
}

#[test]
fn canary_that_was_refused_proves_nothing() {
    let mut world = all_named();
    world.reads_before(named("a", Role::User));
    let update = world
        .account
        .update_sent(&id("a"), &patch(Role::Contributor), world.now);
    world.account.update_refused(update, &unavailable());
    assert_eq!(world.mask("b"), Mask::Unread);
    assert_eq!(world.mask("a"), Mask::Unread);
}

#[test]
fn canary_that_does_not_go_gives_way_to_another() {
    let leaves: [fn(&mut World); 4] = [
        |world| world.account.give_up_canary(&id("a")),
        |world| world.account.set_managed(&id("a"), false),
        |world| {
            let now = world.now;
            world
                .account
                .apply_failed_read(&id("a"), &unavailable(), now, now);
        },
        |world| world.pass(61),
    ];
    for leave in leaves {
        let mut world = all_named();
        world.account.request_canary_read(&id("a"), world.now);
        assert!(world.is_busy("b"));
        assert_eq!(world.reads(), ["a"]);
        leave(&mut world);
        assert_eq!(world.mask("b"), Mask::Unread);
        world.account.request_canary_read(&id("b"), world.now);
        assert!(world.is_busy("c"));
    }
}

#[test]
fn change_that_names_all_that_is_set_needs_no_canary() {
    let mut world = World::of(&["a"]);
    let shown = User {
        email: None,
        ..named("a", Role::User)
    };
    world.list(vec![shown], 1);
    assert_eq!(world.account.mask(&id("a"), true, world.now), Mask::Trusted);
    assert_eq!(world.mask("a"), Mask::Unread);
}

#[test]
fn suspicion_ends_with_the_user_and_not_with_its_object() {
    for is_gone in [true, false] {
        let mut world = all_named();
        world.reads_before(named("a", Role::User));
        world.changes(user("a", Role::Contributor));
        world.account.set_managed(&id("a"), false);
        assert!(world.is_busy("b"));
        world.affected();
        world.pass(1);
        assert_eq!(
            world.reads(),
            ["a"],
            "whether the field is gone is asked all the same"
        );
        if is_gone {
            world
                .account
                .apply_failed_read(&id("a"), &not_found(), world.now, world.now);
            assert!(world.affected().contains(&"b".to_owned()));
            let missing = world.account.counts().missing_users;
            assert_eq!(missing, 0, "no object is about it");
        } else {
            world
                .account
                .apply_read(user("a", Role::Contributor), world.now);
            assert!(matches!(world.mask("a"), Mask::UserStopped(_)));
        }
        assert_eq!(world.mask("b"), Mask::Unread);
    }
}

#[test]
fn superseded_read_does_not_judge_the_canary_and_another_is_made() {
    let mut world = all_named();
    world.reads_before(named("a", Role::User));
    world.changes(user("a", Role::Contributor));
    world.pass(1);
    assert_eq!(world.reads(), ["a"]);
    // A replica that lags behind the change.
    world.account.apply_read(named("a", Role::User), world.now);
    assert!(world.is_busy("b"));
    world.pass(30);
    assert_eq!(world.reads(), ["a"]);
    world
        .account
        .apply_read(user("a", Role::Contributor), world.now);
    assert!(matches!(world.mask("a"), Mask::UserStopped(_)));
    assert!(!world.account.is_requested(&id("a")));
}
