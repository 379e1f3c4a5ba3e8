//! Who holds a user: when an epoch begins, and as objects come, go and change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;

const BEGAN: Moment = Moment::from_micros(1 << 40);
const SECOND: Duration = Duration::from_secs(1);

fn key(path: &str) -> ObjectKey {
    let (namespace, name) = path.split_once('/').unwrap();
    ObjectKey {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn user(id: &str) -> UserRef {
    UserRef {
        account: "acme".parse().unwrap(),
        user: id.parse().unwrap(),
    }
}

/// A claim of an object of that age, whose UID is its age.
fn claim(id: &str, created: i64) -> Claim {
    Claim {
        user: user(id),
        created: Timestamp::from_second(created).unwrap(),
        uid: created.to_string().into(),
        claims: true,
        reads: true,
        accepts: false,
    }
}

fn suspended(id: &str, created: i64) -> Claim {
    Claim {
        reads: false,
        ..claim(id, created)
    }
}

fn observing(id: &str, created: i64) -> Claim {
    Claim {
        claims: false,
        ..claim(id, created)
    }
}

fn accepting(id: &str, created: i64) -> Claim {
    Claim {
        accepts: true,
        ..claim(id, created)
    }
}

/// An epoch that has just begun without objects.
fn begun() -> Claims {
    let mut claims = Claims::default();
    claims.begin(BEGAN, true);
    claims
}

/// An epoch that begins with these objects, the oldest first, all of which claim alice.
fn with(objects: &[(&str, Recorded)]) -> Claims {
    let mut claims = Claims::default();
    for (at, (path, recorded)) in (1..).zip(objects) {
        claims.record(&key(path), *recorded);
        let effect = claims.set(&key(path), Some(claim("alice", at)), BEGAN);
        assert_eq!(effect.requeue, []);
    }
    claims.begin(BEGAN, true);
    claims
}

/// Who holds alice at that time, and how.
fn holder(claims: &mut Claims, now: Moment) -> Holder {
    let managing: Vec<_> = claims
        .by_object
        .iter()
        .filter(|(_, claim)| claim.claims)
        .collect();
    let managing: Vec<_> = managing.into_iter().map(|(key, _)| key.clone()).collect();
    let mut holding =
        managing
            .into_iter()
            .filter_map(|key| match claims.ownership(&key, &user("alice"), now) {
                Ownership::Mine(possession) => Some((key.to_string(), possession)),
                Ownership::Of(_) | Ownership::Released(_) => None,
            });
    let holder = holding.next();
    assert_eq!(holding.next(), None, "two objects hold one user");
    holder
}

/// Who holds alice, and how.
type Holder = Option<(String, Possession)>;

#[allow(clippy::unnecessary_wraps, reason = "as it is expected")]
fn held(path: &str) -> Holder {
    Some((path.to_owned(), Possession::Held))
}

#[allow(clippy::unnecessary_wraps, reason = "as it is expected")]
fn inherited(path: &str) -> Holder {
    Some((path.to_owned(), Possession::Inherited))
}

#[test]
fn an_epoch_begins_with_the_holder_that_status_records() {
    use Recorded::{Held, HolderByReason, Inherited, Nothing, Waiting, WaitingByReason};
    type Objects<'a> = &'a [(&'a str, Recorded)];
    let table: &[(Objects<'_>, Holder)] = &[
        // One claim.
        (&[("a/1", Held)], held("a/1")),
        (&[("a/1", Inherited)], inherited("a/1")),
        (&[("a/1", Nothing)], held("a/1")),
        (&[("a/1", HolderByReason)], held("a/1")),
        (&[("a/1", WaitingByReason)], held("a/1")),
        (&[("a/1", Waiting)], None),
        // Two of one namespace.
        (&[("a/1", Waiting), ("a/2", Held)], held("a/2")),
        (&[("a/1", Nothing), ("a/2", Inherited)], inherited("a/2")),
        (&[("a/1", Nothing), ("a/2", Nothing)], held("a/1")),
        (&[("a/1", Waiting), ("a/2", Nothing)], held("a/2")),
        (&[("a/1", Waiting), ("a/2", Waiting)], None),
        // Two namespaces.
        (&[("a/1", Waiting), ("b/2", Held)], held("b/2")),
        (&[("a/1", Held), ("b/2", Held)], inherited("a/1")),
        (&[("a/1", Inherited), ("b/2", Held)], inherited("a/1")),
        (&[("a/1", Nothing), ("b/2", Held)], held("b/2")),
        (&[("a/1", Nothing), ("b/2", Nothing)], inherited("a/1")),
        (&[("a/1", Waiting), ("b/2", Nothing)], inherited("b/2")),
        (&[("a/1", Waiting), ("b/2", Waiting)], None),
        // A version that recorded no claims: the owner does not change.
        (
            &[("a/1", HolderByReason), ("b/2", WaitingByReason)],
            held("a/1"),
        ),
        (
            &[("a/1", WaitingByReason), ("b/2", HolderByReason)],
            held("b/2"),
        ),
        (&[("a/1", Nothing), ("b/2", HolderByReason)], held("b/2")),
        (
            &[("a/1", Nothing), ("b/2", WaitingByReason)],
            inherited("a/1"),
        ),
        (&[("a/1", WaitingByReason), ("a/2", Nothing)], held("a/1")),
        (
            &[("a/1", HolderByReason), ("b/2", HolderByReason)],
            inherited("a/1"),
        ),
        (
            &[("a/1", HolderByReason), ("b/2", Inherited)],
            inherited("b/2"),
        ),
        (&[("a/1", HolderByReason), ("b/2", Waiting)], held("a/1")),
    ];
    for (objects, expected) in table {
        assert_eq!(holder(&mut with(objects), BEGAN), *expected, "{objects:?}");
    }
}

#[test]
fn a_user_that_was_released_while_no_operator_ran_stays_with_the_namespace_for_a_minute() {
    let mut claims = Claims::default();
    claims.record(&key("a/1"), Recorded::Held);
    claims.set(&key("a/1"), Some(observing("alice", 1)), BEGAN);
    claims.set(&key("b/2"), Some(claim("alice", 2)), BEGAN);
    let mut renamed = claims.clone();
    claims.begin(BEGAN, true);
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR - SECOND), None);
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR), inherited("b/2"));

    renamed.set(&key("a/3"), Some(claim("alice", 3)), BEGAN);
    let mut known = renamed.clone();
    known.record(&key("b/2"), Recorded::Waiting);
    known.begin(BEGAN, true);
    assert_eq!(holder(&mut known, BEGAN), held("a/3"));
    // The object of the other namespace may have held the user since, without a status that records it.
    renamed.begin(BEGAN, true);
    assert_eq!(holder(&mut renamed, BEGAN), inherited("a/3"));
}

#[test]
fn a_suspended_object_keeps_what_it_holds_and_acquires_nothing() {
    let mut claims = Claims::default();
    claims.record(&key("a/1"), Recorded::Held);
    claims.set(&key("a/1"), Some(suspended("alice", 1)), BEGAN);
    claims.set(&key("b/2"), Some(claim("alice", 2)), BEGAN);
    claims.begin(BEGAN, true);
    assert_eq!(holder(&mut claims, BEGAN), held("a/1"));

    let mut claims = begun();
    claims.set(&key("a/1"), Some(suspended("alice", 1)), BEGAN);
    assert_eq!(holder(&mut claims, BEGAN), None);
    claims.set(&key("b/2"), Some(claim("alice", 2)), BEGAN);
    claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    assert_eq!(holder(&mut claims, BEGAN), held("b/2"));
    claims.set(&key("b/2"), Some(suspended("alice", 2)), BEGAN);
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR), held("b/2"));

    // Recorded as waiting, it does not hold the user by being suspended either.
    let mut claims = Claims::default();
    claims.record(&key("b/1"), Recorded::Waiting);
    claims.set(&key("b/1"), Some(suspended("alice", 1)), BEGAN);
    claims.begin(BEGAN, true);
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR), None);
}

#[test]
fn an_older_object_that_appears_later_waits() {
    let mut claims = begun();
    claims.set(&key("a/2"), Some(claim("alice", 2)), BEGAN);
    let effect = claims.set(&key("b/1"), Some(claim("alice", 1)), BEGAN);
    assert_eq!(
        effect.requeue,
        [key("a/2")],
        "its status has to record that it holds the user"
    );
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR), held("a/2"));
    assert_eq!(claims.status(&key("b/1")), Some(ClaimStatus::Waiting));
}

#[test]
fn a_rename_within_a_namespace_takes_over_at_once_with_the_same_limits() {
    for (recorded, possession) in [
        (Recorded::Held, Possession::Held),
        (Recorded::Inherited, Possession::Inherited),
    ] {
        let mut claims = with(&[("a/1", recorded), ("b/2", Recorded::Waiting)]);
        claims.set(&key("a/3"), Some(claim("alice", 3)), BEGAN);
        let effect = claims.set(&key("a/1"), None, BEGAN);
        assert!(effect.requeue.contains(&key("a/3")), "{effect:?}");
        let expected = Some(("a/3".to_owned(), possession));
        assert_eq!(holder(&mut claims, BEGAN), expected);
    }
}

#[test]
fn an_object_created_again_within_a_minute_holds_as_before() {
    for (recorded, possession) in [
        (Recorded::Held, Possession::Held),
        (Recorded::Inherited, Possession::Inherited),
    ] {
        let mut claims = with(&[("a/1", recorded), ("b/2", Recorded::Waiting)]);
        let effect = claims.set(&key("a/1"), None, BEGAN);
        assert_eq!(effect.requeue, [key("b/2")]);
        let soon = BEGAN + RELEASED_FOR - SECOND;
        assert_eq!(holder(&mut claims, soon), None);
        assert_eq!(claims.status(&key("b/2")), Some(ClaimStatus::Waiting));
        let until = BEGAN + RELEASED_FOR;
        let ownership = claims.ownership(&key("b/2"), &user("alice"), soon);
        assert_eq!(ownership, Ownership::Released(until));
        // Whatever the other namespace does meanwhile.
        claims.set(&key("b/2"), Some(observing("alice", 2)), soon);
        claims.set(&key("b/2"), Some(claim("alice", 2)), soon);
        claims.set(&key("b/3"), Some(claim("alice", 3)), soon);
        claims.set(&key("a/1"), Some(claim("alice", 4)), soon);
        assert_eq!(
            holder(&mut claims, until),
            Some(("a/1".to_owned(), possession))
        );
    }
}

#[test]
fn a_user_that_was_released_goes_to_the_oldest_claim_of_another_namespace_after_a_minute() {
    let mut claims = with(&[
        ("a/1", Recorded::Held),
        ("b/2", Recorded::Waiting),
        ("c/3", Recorded::Waiting),
    ]);
    claims.set(&key("a/1"), Some(observing("alice", 1)), BEGAN);
    assert_eq!(
        claims.status(&key("a/1")),
        Some(ClaimStatus::Held),
        "the trace of it"
    );
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR - SECOND), None);
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR), inherited("b/2"));
    assert_eq!(claims.status(&key("a/1")), None);
    // It comes too late.
    let later = BEGAN + RELEASED_FOR + SECOND;
    claims.set(&key("a/1"), Some(claim("alice", 1)), later);
    assert_eq!(holder(&mut claims, later), inherited("b/2"));
}

#[test]
fn a_waiting_claim_takes_nothing_in_the_first_minute_of_an_epoch() {
    let mut claims = with(&[("b/1", Recorded::Waiting), ("b/2", Recorded::Waiting)]);
    let soon = BEGAN + RELEASED_FOR - SECOND;
    assert_eq!(holder(&mut claims, soon), None);
    // A change of the spec does not make the claim a new one that holds the user without limits.
    claims.set(&key("b/1"), Some(observing("alice", 1)), soon);
    claims.set(&key("b/1"), Some(claim("alice", 1)), soon);
    let taken = holder(&mut claims, soon);
    assert_eq!(taken, inherited("b/1"));

    let mut claims = with(&[("b/1", Recorded::Waiting), ("b/2", Recorded::Waiting)]);
    assert_eq!(holder(&mut claims, BEGAN + RELEASED_FOR), inherited("b/1"));

    // Nor does one that claims it no longer when the epoch begins, and again after that.
    let mut claims = Claims::default();
    claims.record(&key("b/1"), Recorded::Waiting);
    claims.set(&key("b/1"), Some(observing("alice", 1)), BEGAN);
    claims.begin(BEGAN, true);
    claims.set(&key("b/1"), Some(claim("alice", 1)), soon);
    assert_eq!(holder(&mut claims, soon), inherited("b/1"));
}

#[test]
fn no_waiting_claim_takes_a_user_while_a_namespace_is_unseen() {
    let mut claims = Claims::default();
    claims.record(&key("b/1"), Recorded::Waiting);
    claims.set(&key("b/1"), Some(claim("alice", 1)), BEGAN);
    claims.begin(BEGAN, false);
    let later = BEGAN + RELEASED_FOR * 2;
    let ownership = claims.ownership(&key("b/1"), &user("alice"), later);
    assert_eq!(ownership, Ownership::Released(later + RELEASED_FOR));
    // Nor does one that a version without recorded claims kept from its user.
    let mut before = Claims::default();
    before.record(&key("b/1"), Recorded::WaitingByReason);
    before.set(&key("b/1"), Some(claim("alice", 1)), BEGAN);
    before.begin(BEGAN, false);
    assert_eq!(holder(&mut before, later), None);
    // The namespace is seen, and with it the holder.
    claims.record(&key("a/2"), Recorded::Held);
    claims.set(&key("a/2"), Some(claim("alice", 2)), later);
    claims.complete();
    assert_eq!(holder(&mut claims, later + RELEASED_FOR), held("a/2"));
}

#[test]
fn a_holder_that_is_seen_late_takes_the_user_back() {
    use Recorded::{Held, Inherited, Nothing, Waiting};
    let table = [
        (Nothing, Held, held("a/2")),
        (Nothing, Inherited, inherited("a/2")),
        (Held, Held, inherited("b/1")),
        (Held, Waiting, held("b/1")),
    ];
    for (before, late, expected) in table {
        let mut claims = Claims::default();
        claims.record(&key("b/1"), before);
        claims.set(&key("b/1"), Some(claim("alice", 1)), BEGAN);
        claims.begin(BEGAN, false);
        claims.record(&key("a/2"), late);
        claims.set(&key("a/2"), Some(claim("alice", 2)), BEGAN);
        assert_eq!(
            holder(&mut claims, BEGAN),
            expected,
            "{before:?}, then {late:?}"
        );
    }
    // Of two recorded ones the older holds, whichever is seen first.
    let mut claims = with(&[]);
    claims.begin(BEGAN, false);
    for (path, age) in [("b/2", 2), ("a/1", 1)] {
        claims.record(&key(path), Held);
        claims.set(&key(path), Some(claim("alice", age)), BEGAN);
    }
    assert_eq!(holder(&mut claims, BEGAN), inherited("a/1"));
}

#[test]
fn an_accepted_claim_holds_without_limits_for_good() {
    let mut claims = with(&[("a/1", Recorded::Nothing), ("b/2", Recorded::Nothing)]);
    assert_eq!(holder(&mut claims, BEGAN), inherited("a/1"));
    claims.set(&key("a/1"), Some(accepting("alice", 1)), BEGAN);
    assert_eq!(holder(&mut claims, BEGAN), held("a/1"));
    assert_eq!(claims.status(&key("a/1")), Some(ClaimStatus::Held));
    claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    assert_eq!(holder(&mut claims, BEGAN), held("a/1"));
}

#[test]
fn ids_are_compared_without_regard_to_case() {
    let mut claims = begun();
    claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    let effect = claims.set(&key("b/2"), Some(claim("Alice", 2)), BEGAN);
    assert_eq!(effect.managed, [(user("Alice"), true)]);
    let ownership = claims.ownership(&key("b/2"), &user("Alice"), BEGAN);
    assert_eq!(ownership, Ownership::Of(None));
    assert_eq!(claims.objects(&user("alice")), [key("a/1")]);
    assert_eq!(claims.objects(&user("Alice")), [key("b/2")]);
    // What differs in case are two users all the same.
    let effect = claims.set(&key("b/2"), None, BEGAN);
    assert_eq!(effect.managed, [(user("Alice"), false)]);
}

#[test]
fn the_holder_is_named_within_its_namespace_only() {
    let mut claims = begun();
    claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    claims.set(&key("a/2"), Some(claim("alice", 2)), BEGAN);
    claims.set(&key("b/3"), Some(claim("alice", 3)), BEGAN);
    let mut seen_by = |path| claims.ownership(&key(path), &user("alice"), BEGAN);
    assert_eq!(seen_by("a/2"), Ownership::Of(Some(key("a/1"))));
    assert_eq!(seen_by("b/3"), Ownership::Of(None));
}

#[test]
fn of_many_claims_one_for_each_namespace_is_requeued_and_ten_at_most() {
    let mut claims = begun();
    claims.set(&key("a/holder"), Some(claim("alice", 1)), BEGAN);
    for age in 2..1_000 {
        let namespace = age % 20;
        let path = format!("tenant-{namespace}/{age}");
        claims.set(&key(&path), Some(claim("alice", age)), BEGAN);
    }
    claims.set(&key("a/next"), Some(claim("alice", 2_000)), BEGAN);
    claims.set(&key("a/watcher"), Some(observing("alice", 2_001)), BEGAN);
    let objects = claims.objects(&user("alice"));
    assert_eq!(objects.len(), 11, "{objects:?}");
    assert_eq!(objects[..2], [key("a/holder"), key("a/next")]);
    assert_eq!(objects[2], key("tenant-2/2"));
    assert_eq!(objects[10], key("a/watcher"));
    let effect = claims.set(&key("a/holder"), None, BEGAN);
    assert!(effect.requeue.len() <= 10, "{effect:?}");
    assert_eq!(holder(&mut claims, BEGAN), held("a/next"));
}

#[test]
fn an_observer_neither_claims_nor_conflicts() {
    let mut claims = begun();
    claims.set(&key("a/1"), Some(observing("alice", 1)), BEGAN);
    claims.set(&key("b/2"), Some(claim("alice", 2)), BEGAN);
    assert_eq!(holder(&mut claims, BEGAN), held("b/2"));
    assert_eq!(claims.status(&key("a/1")), None);
    assert!(!claims.is_contended(&user("alice")));
    claims.set(&key("c/3"), Some(claim("alice", 3)), BEGAN);
    assert!(claims.is_contended(&user("alice")));
}

#[test]
fn suspended_objects_read_nothing() {
    let mut claims = begun();
    claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    let effect = claims.set(&key("a/1"), Some(suspended("alice", 1)), BEGAN);
    assert_eq!(effect.managed, [(user("alice"), false)]);
    assert!(effect.suspended.contains(&(user("alice"), true)));
}

#[test]
fn an_unchanged_object_has_no_effect() {
    let mut claims = begun();
    claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    let effect = claims.set(&key("a/1"), Some(claim("alice", 1)), BEGAN);
    assert_eq!(effect, Effect::default());
}

#[test]
fn an_object_that_is_no_more_is_named_once() {
    let mut claims = begun();
    let mut removed = |claim| claims.set(&key("a/1"), claim, BEGAN).removed;
    assert_eq!(removed(Some(claim("alice", 1))), None);
    assert_eq!(removed(Some(suspended("alice", 1))), None);
    assert_eq!(removed(Some(claim("alice", 2))), Some("1".into()));
    assert_eq!(removed(None), Some("2".into()));
    assert_eq!(removed(None), None);
}

#[test]
fn nothing_is_kept_of_users_that_no_object_declares_any_more() {
    let mut claims = begun();
    for age in 1..100 {
        let path = format!("a/{age}");
        claims.set(&key(&path), Some(claim(&path.replace('/', ""), age)), BEGAN);
        claims.set(&key(&path), None, BEGAN);
    }
    let later = BEGAN + RELEASED_FOR;
    claims.set(&key("b/1"), Some(claim("bob", 1)), later);
    assert_eq!(claims.users.len(), 1);
    assert_eq!(claims.released.len(), 0);
}
