//! An object whose user another object owns: when that is reported, as what, and that it ends at once.

use std::time::Duration;

use fireworks_core::claims::{ObjectKey, Stake};
use fireworks_core::user::facts::TAKE_OVER_FOR;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        namespace: "ns".into(),
        name: name.into(),
    }
}

fn stake(second: i64, uid: &str) -> Stake {
    Stake {
        user: alice(),
        created: jiff::Timestamp::from_second(second).unwrap(),
        uid: uid.into(),
        claims: true,
        reads: true,
    }
}

fn claim(shared: &Shared, key: &ObjectKey, stake: Option<Stake>) {
    shared.change(|world| world.claims.set(key, stake));
}

#[tokio::test]
async fn taking_over_is_reported_after_five_seconds_and_conflict_after_sixty() {
    let world = World::new(vec![remote(Role::Contributor, 1)], nothing, vec![]).await;
    let shared = &world.ctx.shared;
    claim(shared, &key("older"), Some(stake(1, "u0")));
    claim(shared, &key("alice"), Some(stake(2, "u1")));
    let next = world.look("contributor").await.unwrap();
    assert!(next <= Duration::from_secs(5), "{next:?}");
    assert_eq!(world.told.lock().unwrap().len(), 0, "not reported at once");

    let long_ago = |seconds| Some(clock::now() - Duration::from_secs(seconds));
    let since = |seconds| {
        shared.change(|world| {
            world.objects.update("u1", 1, |entry| {
                entry.contending_since = long_ago(seconds);
                entry.tell_wait_at = Some(clock::now());
            });
        });
    };
    since(6);
    let told = world.pass("contributor").await.unwrap();
    assert_eq!(told, ("Unknown".into(), "TakingOver".into()));
    since(TAKE_OVER_FOR.as_secs());
    let told = world.pass("contributor").await.unwrap();
    assert_eq!(told, ("False".into(), "Conflict".into()));

    assert_eq!(world.patches.lock().unwrap().len(), 0);
    claim(shared, &key("older"), None);
    let told = world.pass("contributor").await.unwrap();
    assert_eq!(told, ("True".into(), "InSync".into()));
    let entry = shared.read(|world| world.objects.recall("u1", 1));
    assert_eq!(entry.contending_since, None, "the next wait is a new one");
}
