//! The Event of the object that holds a user, when another one begins to claim it.

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// An object that declares alice, and whose status records nothing.
fn declares(path: &str, uid: &str, spec: &serde_json::Value) -> Arc<CachedUser> {
    let (namespace, name) = path.split_once('/').unwrap();
    let mut object = json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": uid, "generation": 3, "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"role": "user", "userId": "alice"},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn plain(path: &str, uid: &str) -> Arc<CachedUser> {
    declares(path, uid, &json!({}))
}

/// A world in which the user alice was read, and `team/holder` holds it.
fn held_world() -> (World, Arc<CachedUser>) {
    let mut world = world();
    world.claims.begin(AT, true);
    world
        .account
        .apply_read(builders::user("alice", Role::User), AT);
    let holder = plain("team/holder", "u1");
    world.object_changed(&acme(), &holder, AT);
    assert_eq!(events(&mut world, &holder, AT), [""; 0]);
    (world, holder)
}

/// The texts of the Events of one reconciliation.
fn events(world: &mut World, object: &Arc<CachedUser>, at: Moment) -> Vec<String> {
    world
        .account
        .apply_read(builders::user("alice", Role::User), at);
    let at = Now { at, ..now() };
    let mut reconcile = Reconcile::new(Arc::clone(object), acme());
    let mut effect = reconcile.step(Input::Begin { all_synced: true }, world, at);
    while let Effect::WriteStatus(_) = effect {
        let written = WriteOutcome::Written(Some("8".to_owned()));
        effect = reconcile.step(Input::StatusWritten(written), world, at);
    }
    let Effect::Finish(finish) = effect else {
        panic!("{effect:?}");
    };
    for event in &finish.events {
        assert_eq!((event.reason, event.warning), ("Conflict", true));
        assert!(!event.about_change, "limited by namespace");
    }
    finish.events.into_iter().map(|event| event.text).collect()
}

#[test]
fn conflict_event_names_a_contender_of_the_same_namespace_only() {
    for (contender, named) in [
        ("team/other", "object team/other"),
        ("rivals/other", "an object of another namespace"),
    ] {
        let (mut world, holder) = held_world();
        let contender = plain(contender, "u2");
        let requeue = world.object_changed(&acme(), &contender, AT);
        assert_eq!(requeue, std::slice::from_ref(&holder.key));
        let text = format!("{named} claims user alice, too: this object keeps managing it");
        assert_eq!(events(&mut world, &holder, AT), [text]);
        assert_eq!(events(&mut world, &holder, AT), [""; 0]);
        let of_contender = events(&mut world, &contender, AT);
        assert_eq!(of_contender, [""; 0], "it has its own once it is stalled");
    }
}

#[test]
fn conflict_event_is_not_repeated_by_a_contender_that_changes_or_comes_again() {
    let (mut world, holder) = held_world();
    let changed = |world: &mut World, object: &Arc<CachedUser>, at| {
        world.object_changed(&acme(), object, at);
        events(world, &holder, at).len()
    };
    let contender = plain("rivals/other", "u2");
    assert_eq!(changed(&mut world, &contender, AT), 1);
    let suspended = declares("rivals/other", "u2", &json!({"suspend": true}));
    let later = AT + HOUR;
    for object in [&suspended, &contender] {
        assert_eq!(changed(&mut world, object, later), 0, "it is the same");
    }
    let observing = declares(
        "rivals/other",
        "u2",
        &json!({"managementPolicy": "Observe"}),
    );
    assert_eq!(changed(&mut world, &observing, later), 0);
    assert_eq!(changed(&mut world, &contender, later), 1);
    let again = plain("rivals/other", "u3");
    assert_eq!(changed(&mut world, &again, later), 0, "within an hour");
    let hour = later + HOUR;
    assert_eq!(changed(&mut world, &again, hour), 0, "it was passed over");
    let last = plain("rivals/other", "u4");
    assert_eq!(changed(&mut world, &last, hour), 1);
}

#[test]
fn conflict_event_is_not_of_a_claim_that_ends_or_that_a_former_process_knew() {
    let (mut world, holder) = held_world();
    let contender = plain("rivals/other", "u2");
    world.object_changed(&acme(), &contender, AT);
    world.object_removed(&contender, AT);
    assert_eq!(events(&mut world, &holder, AT), [""; 0], "it is gone");

    let mut world = self::world();
    let objects = [&holder, &contender];
    for object in objects {
        world.object_found(object);
        world.object_changed(&acme(), object, AT);
        world.objects.settle(&object.uid);
    }
    world.claims.begin(AT, true);
    for object in objects {
        let texts = events(&mut world, object, AT);
        assert_eq!(texts, [""; 0], "{}", object.key);
    }
}
