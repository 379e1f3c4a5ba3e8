//! Two accounts in one process, each with a user of the same id and an object for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use fireworks_api::wire::{Role, UserId};
use serde_json::json;

use super::*;
use crate::account::{Listing, OtherAdmins};
use crate::builders::{self, settings};
use crate::claims::{Ownership, Possession};
use crate::user::reconcile::{Effect as Todo, Input, ObjectRead, Reconcile};

const AT: Moment = Moment::from_micros(1 << 40);
const NOW: Now = Now {
    at: AT,
    time: Timestamp::UNIX_EPOCH,
    key_version: 1,
};

fn id(name: &str) -> AccountId {
    name.parse().unwrap()
}

fn alice() -> UserId {
    "alice".parse().unwrap()
}

fn alice_of(account: &str) -> UserRef {
    UserRef {
        account: id(account),
        user: alice(),
    }
}

/// The object that declares alice in that account to be a user.
fn object_of(account: &str) -> Arc<CachedUser> {
    let object = json!({
        "metadata": {
            "name": "alice", "namespace": account, "uid": format!("uid-{account}"), "generation": 1,
            "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"role": "user"},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

/// Two accounts that have run for an hour, with one object each.
fn world() -> World {
    let epoch = AT - Duration::from_hours(1);
    let mut world = World::new(id("one"), settings(), epoch, 1);
    let other = Account::new(id("two"), &world.settings, epoch, 2);
    world.others.insert(id("two"), other);
    for account in ["one", "two"] {
        let requeued = world.object_changed(&id(account), &object_of(account), epoch);
        assert_eq!(requeued, [], "{account}");
    }
    world.claims.begin(epoch, true);
    world
}

fn account<'a>(world: &'a mut World, name: &str) -> &'a mut Account {
    world.account_of(&id(name)).unwrap()
}

/// A complete list shows these admins of that account.
fn list(world: &mut World, name: &str, admins: &[&str]) {
    let mut listing = Listing::new(AT);
    let users = admins.iter().map(|id| builders::user(id, Role::Admin));
    let account = account(world, name);
    account.apply_page(&mut listing, users.collect(), AT);
    listing.counts(0);
    account.finish_list(&listing, AT);
}

fn begin(world: &mut World, name: &str) -> (Reconcile, Todo) {
    let mut reconcile = Reconcile::new(object_of(name), id(name));
    let effect = reconcile.step(Input::Begin { all_synced: true }, world, NOW);
    (reconcile, effect)
}

#[test]
fn accounts_share_no_claim_and_no_requeue() {
    let mut world = world();
    for name in ["one", "two"] {
        let key = object_of(name).key.clone();
        assert_eq!(
            world.claims.objects(&alice_of(name)),
            std::slice::from_ref(&key)
        );
        let ownership = world.claims.ownership(&key, &alice_of(name), AT);
        assert_eq!(ownership, Ownership::Mine(Possession::Held), "{name}");
    }
    drop(world.take_signals());
    list(&mut world, "two", &["alice"]);
    assert_eq!(world.take_signals().requeue, [alice_of("two")]);

    assert_eq!(world.object_removed(&object_of("two"), AT), []);
    assert_eq!(account(&mut world, "two").counts().declared_users, 0);
    assert_eq!(account(&mut world, "one").counts().declared_users, 1);
}

#[test]
fn accounts_share_no_admin_and_no_update_in_flight() {
    let mut world = world();
    list(&mut world, "one", &["alice", "bob"]);
    list(&mut world, "two", &["alice"]);
    let others = |world: &mut World, name| {
        let account = account(world, name);
        account.other_admins(&alice(), AT - Duration::from_mins(1), AT)
    };
    assert_eq!(others(&mut world, "one"), OtherAdmins::Known(1));
    assert_eq!(others(&mut world, "two"), OtherAdmins::TooFew(1));

    let (_, effect) = begin(&mut world, "two");
    assert!(matches!(effect, Todo::Finish(_)), "the last admin stays");
    let (mut reconcile, effect) = begin(&mut world, "one");
    assert!(matches!(effect, Todo::ReadObject), "{effect:?}");
    let effect = reconcile.step(Input::ObjectRead(ObjectRead::Same), &mut world, NOW);
    assert!(matches!(effect, Todo::Update(_)), "{effect:?}");
    // A demotion in flight makes those of its own account wait.
    list(&mut world, "two", &["alice", "bob"]);
    assert_eq!(others(&mut world, "two"), OtherAdmins::Known(1));

    reconcile.step(Input::Abandoned, &mut world, NOW);
    let settles_at = |world: &mut World, name| account(world, name).view(&alice(), AT).settles_at;
    assert!(settles_at(&mut world, "one").is_some());
    assert_eq!(settles_at(&mut world, "two"), None);
}

#[test]
fn accounts_share_no_pause_and_no_place_in_the_queue() {
    let mut world = world();
    for name in ["one", "two"] {
        list(&mut world, name, &["alice", "bob"]);
    }
    let pause = Some(Duration::from_mins(1));
    account(&mut world, "two").limiter.pause(pause, AT);
    let (_, effect) = begin(&mut world, "two");
    assert!(matches!(effect, Todo::Finish(_)), "{effect:?}");
    let waiting = |world: &mut World, name| -> usize {
        let waiting = account(world, name).limiter.waiting();
        waiting.iter().sum()
    };
    assert_eq!(waiting(&mut world, "two"), 1);
    let (mut reconcile, effect) = begin(&mut world, "one");
    assert!(matches!(effect, Todo::ReadObject), "{effect:?}");
    reconcile.step(Input::Abandoned, &mut world, NOW);
    assert_eq!(waiting(&mut world, "one"), 0);
}

#[test]
fn object_of_an_account_that_is_not_served_is_left_alone() {
    let mut world = world();
    let before = world.clone();
    let (reconcile, effect) = begin(&mut world, "three");
    assert!(matches!(effect, Todo::Finish(_)), "{effect:?}");
    assert!(reconcile.has_ended());
    assert_eq!(world, before);
}

/// The object that declares alice, with `Ready` as given.
fn object_with(ready: Option<(&str, &str)>) -> CachedUser {
    let conditions = ready.map(|(status, reason)| {
        json!([{
            "type": "Ready", "status": status, "reason": reason, "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }])
    });
    let object = json!({
        "metadata": {
            "name": "alice", "namespace": "one", "uid": "uid-one", "generation": 1,
            "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"role": "user"},
        "status": {"observedGeneration": 1, "conditions": conditions.unwrap_or_default()},
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn new_epoch_knows_the_objects_and_nothing_else() {
    let mut world = world();
    list(&mut world, "one", &["alice", "bob"]);
    account(&mut world, "one").open();
    let object = object_of("one");
    world.begin_epoch(std::iter::once(&*object), true, AT);
    assert_eq!(world.epoch, AT);
    assert_eq!(
        world.claims.objects(&alice_of("one")),
        std::slice::from_ref(&object.key)
    );
    assert!(world.account_of(&id("two")).is_none());
    let account = account(&mut world, "one");
    assert_eq!(account.counts().declared_users, 1);
    assert_eq!(account.view(&alice(), AT).sighting.user(), None);
}

#[test]
fn former_process_is_presumed_after_another_holder_or_a_status() {
    let unready = Some(("False", "UserNotFound"));
    for (had_former, ready, is_presumed, is_in_flight) in [
        (false, None, false, false),
        (true, None, true, true),
        (false, unready, true, true),
        (false, Some(("True", "InSync")), true, false),
        (true, Some(("True", "InSync")), true, false),
    ] {
        let mut world = world();
        let object = object_with(ready);
        world.begin_epoch(std::iter::once(&object), had_former, AT);
        let situation = format!("{had_former} {ready:?}");
        assert_eq!(world.may_have_former, is_presumed, "{situation}");
        let found = world.objects.is_possibly_in_flight(&object.uid);
        assert_eq!(found, is_in_flight, "{situation}");
    }
    // A namespace that is synced later shows it, too.
    let mut world = world();
    world.begin_epoch(std::iter::empty(), false, AT);
    assert!(!world.may_have_former);
    world.object_found(&object_with(unready));
    assert!(world.may_have_former);
}

#[test]
fn first_read_of_an_epoch_without_a_former_process_is_final() {
    for had_former in [false, true] {
        let mut world = world();
        let object = Arc::new(object_with(None));
        world.begin_epoch(std::iter::once(&*object), had_former, AT);
        world.claims.begin(AT, true);
        let mut listing = Listing::new(AT);
        let account = account(&mut world, "one");
        account.open();
        account.apply_page(&mut listing, vec![builders::user("alice", Role::User)], AT);
        listing.counts(0);
        account.finish_list(&listing, AT);
        let mut reconcile = Reconcile::new(object, id("one"));
        let effect = reconcile.step(Input::Begin { all_synced: true }, &mut world, NOW);
        let is_ready = match &effect {
            Todo::WriteStatus(write) => write.wanted.contains("InSync"),
            Todo::ReadObject | Todo::Update(_) | Todo::Finish(_) => false,
        };
        assert_eq!(is_ready, !had_former, "{effect:?}");
    }
}
