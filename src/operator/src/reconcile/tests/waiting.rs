//! An object whose user another object owns: when that is reported, as what, and that it ends at once.

use std::time::Duration;

use fireworks_api::wire::UserRef;
use fireworks_core::claims::{Claim, ObjectKey};
use fireworks_core::user::facts::TAKE_OVER_FOR;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        namespace: "ns".into(),
        name: name.into(),
    }
}

fn claim_of(second: i64, uid: &str) -> Claim {
    Claim {
        user: UserRef {
            account: "acme".parse().unwrap(),
            user: alice(),
        },
        created: jiff::Timestamp::from_second(second).unwrap(),
        uid: uid.into(),
        claims: true,
        reads: true,
        accepts: false,
    }
}

fn set_claim(shared: &Shared, key: &ObjectKey, claim_of: Option<Claim>) {
    shared.change(|world| {
        world.claims.begin(clock::now(), true);
        world.claims.set(key, claim_of, clock::now())
    });
}

#[tokio::test]
async fn taking_over_is_reported_after_five_seconds_and_conflict_after_sixty() {
    let world = World::new(vec![remote(Role::Contributor, 1)], nothing, vec![]).await;
    let shared = &world.ctx.shared;
    set_claim(shared, &key("older"), Some(claim_of(1, "u0")));
    set_claim(shared, &key("alice"), Some(claim_of(2, "u1")));
    let next = world.look("contributor").await.unwrap();
    assert!(next <= Duration::from_secs(5), "{next:?}");
    assert_eq!(
        world.reported.lock().unwrap().len(),
        0,
        "not reported at once"
    );

    let long_ago = |seconds| Some(clock::now() - Duration::from_secs(seconds));
    let since = |seconds| {
        shared.change(|world| {
            world.objects.update("u1", 1, |entry| {
                entry.contending_since = long_ago(seconds);
                entry.report_pending_at = Some(clock::now());
            });
        });
    };
    since(6);
    let reported = world.pass("contributor").await.unwrap();
    assert_eq!(reported, ("Unknown".into(), "TakingOver".into()));
    since(TAKE_OVER_FOR.as_secs());
    let reported = world.pass("contributor").await.unwrap();
    assert_eq!(reported, ("False".into(), "Conflict".into()));

    assert_eq!(world.patches.lock().unwrap().len(), 0);
    set_claim(shared, &key("older"), None);
    let reported = world.pass("contributor").await.unwrap();
    assert_eq!(reported, ("True".into(), "InSync".into()));
    let entry = shared.read(|world| world.objects.recall("u1", 1));
    assert_eq!(entry.contending_since, None, "the next wait is a new one");
}
