//! Reconciliations step by step: what happened goes in, what is to be done comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fireworks_api::wire::{AccountId, Role, UserId};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::account::Listing;
use crate::builders::{self, settings};
use crate::time::Moment;
use crate::user::plan::Cause;

const AT: Moment = Moment::from_micros(1 << 40);

fn alice() -> UserId {
    "alice".parse().unwrap()
}

fn acme() -> AccountId {
    "acme".parse().unwrap()
}

fn world() -> World {
    // It has run for long: nothing that a former process sent is in flight.
    let mut world = World::new(acme(), settings(), AT - Duration::from_hours(1), 1);
    world.account.set_managed(&alice(), true);
    world
}

/// An object that wants alice to be a user, and whose status reports that reason.
fn object(ready: &str, reason: &str) -> Arc<CachedUser> {
    let object = json!({
        "metadata": {
            "name": "alice", "namespace": "ns", "uid": "u1", "generation": 3, "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"role": "user"},
        "status": {
            "observedGeneration": 3, "name": "accounts/acme/users/alice", "userId": "alice", "role": "user",
            "conditions": [{
                "type": "Ready", "status": ready, "reason": reason, "message": "m", "observedGeneration": 3,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn now() -> Now {
    Now {
        at: AT,
        time: Timestamp::UNIX_EPOCH,
        key_version: 1,
    }
}

fn begin(world: &mut World, object: Arc<CachedUser>) -> (Reconcile, Effect) {
    let mut reconcile = Reconcile::new(object, acme());
    let effect = reconcile.step(Input::Begin { all_synced: true }, world, now());
    (reconcile, effect)
}

/// A complete list shows that alice is an admin, and another one.
fn list(world: &mut World) {
    let mut listing = Listing::new(AT);
    let users = ["alice", "bob"].map(|id| builders::user(id, Role::Admin));
    let account = &mut world.account;
    account.apply_page(&mut listing, users.to_vec(), AT);
    listing.counts(0);
    account.finish_list(&listing, AT);
}

/// The repair needs a list that shows another admin. While it waits, status comes to report `Throttled`.
#[test]
fn repair_that_waits_for_a_list_stays_a_repair() {
    let mut world = world();
    let admin = builders::user("alice", Role::Admin);
    world.account.apply_read(admin, AT);
    let (_, effect) = begin(&mut world, object("True", "InSync"));
    assert!(matches!(effect, Effect::Finish(_)), "{effect:?}");

    list(&mut world);
    let (mut reconcile, effect) = begin(&mut world, object("Unknown", "Throttled"));
    assert!(matches!(effect, Effect::ReadObject), "{effect:?}");
    let effect = reconcile.step(Input::ObjectRead(ObjectRead::Same), &mut world, now());
    let Effect::Update(sent) = effect else {
        panic!("{effect:?}");
    };
    assert_eq!(sent.update.cause, Cause::Found, "not a change of the spec");
}

#[test]
fn permit_goes_back_when_the_driver_is_cut_off() {
    let mut world = world();
    list(&mut world);
    let before = world.account.limiter.clone();
    let (mut reconcile, effect) = begin(&mut world, object("Unknown", "Throttled"));
    assert!(matches!(effect, Effect::ReadObject), "{effect:?}");
    assert_ne!(world.account.limiter, before, "a permit is held");
    let effect = reconcile.step(Input::Abandoned, &mut world, now());
    assert!(matches!(effect, Effect::Finish(_)), "{effect:?}");
    assert!(reconcile.has_ended());
    for _ in 0..60 {
        let (mut reconcile, effect) = begin(&mut world, object("Unknown", "Throttled"));
        assert!(matches!(effect, Effect::ReadObject), "none kept its permit");
        reconcile.step(Input::Abandoned, &mut world, now());
    }
}

#[test]
fn update_that_is_cut_off_counts_as_one_whose_outcome_is_unknown() {
    let mut world = world();
    list(&mut world);
    let (mut reconcile, _) = begin(&mut world, object("Unknown", "Throttled"));
    let effect = reconcile.step(Input::ObjectRead(ObjectRead::Same), &mut world, now());
    assert!(matches!(effect, Effect::Update(_)), "{effect:?}");
    reconcile.step(Input::Abandoned, &mut world, now());
    let view = world.account.view(&alice(), AT);
    assert_eq!(view.settles_at, Some(AT + Duration::from_secs(30)));
}

mod contended;
mod forced;
