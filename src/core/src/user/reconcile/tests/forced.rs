//! Reads that the annotation forces.

use super::*;
use crate::account::limiter::Class;

const SECOND: Duration = Duration::from_secs(1);

/// An object that is in sync, with that value of the annotation.
fn annotated(namespace: &str, uid: &str, value: &str) -> Arc<CachedUser> {
    annotated_at("7", namespace, uid, value)
}

fn annotated_at(version: &str, namespace: &str, uid: &str, value: &str) -> Arc<CachedUser> {
    let mut object = json!({
        "metadata": {
            "name": "alice", "namespace": namespace, "uid": uid, "generation": 3, "resourceVersion": version,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"iam.fireworks.ai/reconcile-requested-at": value},
        },
        "spec": {"role": "user"},
    });
    if value.is_empty() {
        object["metadata"]["annotations"] = json!({});
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

/// A world in which alice was read, and no read is requested.
fn read_world() -> World {
    let mut world = world();
    see_alice(&mut world, AT);
    world
}

fn see_alice(world: &mut World, at: Moment) {
    let user = builders::user("alice", Role::User);
    world.account.apply_read(user, at);
    assert!(!world.account.is_requested(&alice()));
}

/// Reconciles the object at that time, and returns whether a read is requested then, and the requeue.
fn reconcile_at(
    world: &mut World,
    object: &Arc<CachedUser>,
    at: Moment,
) -> (bool, Option<Duration>) {
    let at = Now { at, ..now() };
    let mut reconcile = Reconcile::new(Arc::clone(object), acme());
    let mut effect = reconcile.step(Input::Begin { all_synced: true }, world, at);
    loop {
        effect = match effect {
            Effect::WriteStatus(_) => {
                let written = WriteOutcome::Written(Some("8".to_owned()));
                reconcile.step(Input::StatusWritten(written), world, at)
            }
            Effect::Finish(finish) => {
                assert!(reconcile.has_ended());
                return (world.account.is_requested(&alice()), finish.requeue);
            }
            effect => panic!("{effect:?}"),
        };
    }
}

#[test]
fn forced_read_is_of_the_class_of_drift_repairs() {
    let mut world = read_world();
    world.account.open();
    let object = annotated("ns", "u1", "a");
    assert_eq!(reconcile_at(&mut world, &object, AT), (true, None));
    let schedule = world.account.schedule(AT);
    assert_eq!(schedule.list, Some(Class::DriftRepair));
}

/// 50 values in a minute cost the read of the first and one for all others.
#[test]
fn forced_reads_are_a_minute_apart_and_none_is_lost() {
    let mut world = read_world();
    let first = annotated("ns", "u1", "a");
    assert_eq!(reconcile_at(&mut world, &first, AT), (true, None));
    see_alice(&mut world, AT);
    for second in 1..60u32 {
        let value = format!("value {second}");
        let object = annotated("ns", "u1", &value);
        let left = SECOND * (60 - second);
        let at = AT + SECOND * second;
        let (is_read, requeue) = reconcile_at(&mut world, &object, at);
        assert_eq!((is_read, requeue), (false, Some(left)), "{value}");
    }
    // The first value again, as a new one.
    let minute = AT + SECOND * 60;
    assert_eq!(
        reconcile_at(&mut world, &first, minute - SECOND / 2),
        (false, Some(SECOND / 2))
    );
    assert_eq!(reconcile_at(&mut world, &first, minute), (true, None));
    see_alice(&mut world, minute);
    for at in [minute, minute + SECOND * 60, minute + SECOND * 90] {
        let (is_read, requeue) = reconcile_at(&mut world, &first, at);
        assert_eq!((is_read, requeue), (false, None), "{at:?}");
    }
}

/// With the annotation, 60 times in a minute.
#[test]
fn object_that_is_created_again_forces_one_read_a_minute() {
    let mut world = read_world();
    world.claims.begin(AT, true);
    let mut forced = Vec::new();
    for second in 0..=60u32 {
        let at = AT + SECOND * second;
        let object = annotated("ns", &format!("u{second}"), "a");
        world.object_changed(&acme(), &object, at);
        let (is_read, _) = reconcile_at(&mut world, &object, at);
        if is_read {
            forced.push(second);
            see_alice(&mut world, at);
        }
        world.object_removed(&object, at);
    }
    assert_eq!(forced, [0, 60]);
}

/// One of them observes. What the first value forces is the read of all that were there by then.
#[test]
fn objects_of_one_user_force_one_read_a_minute() {
    let mut world = read_world();
    let first = annotated("ns", "u1", "a");
    assert!(reconcile_at(&mut world, &first, AT).0);
    see_alice(&mut world, AT);
    let later = AT + SECOND;
    for uid in ["u2", "u3"] {
        let (is_read, requeue) = reconcile_at(&mut world, &annotated("other", uid, "a"), later);
        assert_eq!((is_read, requeue), (false, Some(SECOND * 59)), "{uid}");
    }
    let minute = AT + SECOND * 60;
    assert!(reconcile_at(&mut world, &annotated("other", "u2", "a"), minute).0);
    see_alice(&mut world, minute);
    let (is_read, requeue) = reconcile_at(&mut world, &annotated("other", "u3", "a"), minute);
    assert_eq!((is_read, requeue), (false, None), "it was read since");
}

/// The minute may end while a status is written.
#[test]
fn forced_read_is_not_lost_where_the_minute_ends_during_a_reconciliation() {
    let mut world = read_world();
    assert!(reconcile_at(&mut world, &annotated("ns", "u1", "a"), AT).0);
    see_alice(&mut world, AT);
    // Another writer has changed the status: it is written again.
    let object = annotated_at("9", "ns", "u1", "b");
    let mut reconcile = Reconcile::new(object, acme());
    let at = |second: u32| Now {
        at: AT + SECOND * second,
        ..now()
    };
    let effect = reconcile.step(Input::Begin { all_synced: true }, &mut world, at(59));
    assert!(matches!(effect, Effect::WriteStatus(_)), "{effect:?}");
    let written = Input::StatusWritten(WriteOutcome::Superseded);
    let effect = reconcile.step(written, &mut world, at(61));
    let Effect::Finish(finish) = effect else {
        panic!("{effect:?}");
    };
    assert_eq!(finish.requeue, Some(Duration::ZERO));
}

#[test]
fn object_that_waits_for_its_user_forces_a_read_once_it_holds_it() {
    let mut world = read_world();
    world.claims.begin(AT, true);
    let holder = annotated("ns", "u1", "");
    let waiting = annotated("other", "u2", "a");
    world.object_changed(&acme(), &holder, AT);
    world.object_changed(&acme(), &waiting, AT);
    for second in [0, 120] {
        let at = AT + SECOND * second;
        let (is_read, _) = reconcile_at(&mut world, &waiting, at);
        assert!(!is_read, "after {second} s");
    }
    let released = AT + SECOND * 130;
    world.object_removed(&holder, released);
    assert!(!reconcile_at(&mut world, &waiting, released).0);
    world.account.set_managed(&alice(), true);
    see_alice(&mut world, released);
    let taken = released + SECOND * 61;
    assert!(reconcile_at(&mut world, &waiting, taken).0);
}

/// Only what changes while the operator runs is a request: after its start all users are read anyway.
#[test]
fn restart_forces_no_read_for_a_value_that_was_there() {
    let mut world = read_world();
    let object = annotated("ns", "u1", "a");
    world.object_found(&object);
    world.objects.settle(&object.uid);
    assert_eq!(reconcile_at(&mut world, &object, AT), (false, None));
    let object = annotated("ns", "u1", "b");
    assert_eq!(reconcile_at(&mut world, &object, AT), (true, None));
}
