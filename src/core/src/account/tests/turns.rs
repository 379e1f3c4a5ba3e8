//! Which read has its turn, where more are due than may be under way.

use std::collections::BTreeSet;

use super::*;
use crate::account::requests::{Request, Response, SentAt, Todo};

/// Reads that many users, each answered at once. Those of `busy` are requested again all the time.
fn served(world: &mut World, busy: &[UserId], count: usize) -> Vec<UserId> {
    let mut served = Vec::new();
    while served.len() < count {
        for user in busy {
            let class = Class::DriftRepair;
            world.account.request_read(user, class, world.now);
        }
        match world.account.next_request(world.now) {
            Todo::Send(Request::User(id)) => {
                let seen = user(id.as_str(), Role::User);
                served.push(id.clone());
                let sent = SentAt {
                    at: world.now,
                    key_version: 1,
                };
                let answer = Response::User(id, Ok(seen));
                world.account.apply(answer, sent, world.now);
            }
            Todo::Send(other) => panic!("{other:?}"),
            Todo::WakeAt(at) => world.now = at.expect("reads are due"),
        }
    }
    served
}

#[test]
fn reads_of_a_class_are_served_oldest_first() {
    let mut world = World::of(&["a", "b", "m", "z"]);
    let all = ["a", "b", "m", "z"].map(|name| user(name, Role::User));
    world.list(all.to_vec(), 10);
    world.pass(1);
    let drift = Class::DriftRepair;
    for (name, class) in [("z", drift), ("m", drift), ("a", drift), ("b", drift)] {
        world.account.request_read(&id(name), class, world.now);
    }
    // It is read once, as the most urgent of its requests.
    let class = Class::SpecChange;
    world.account.request_read(&id("b"), class, world.now);
    let read = served(&mut world, &[], 4);
    assert_eq!(read, ["b", "z", "m", "a"].map(id));
}

/// The reads of 40 users are requested again as soon as they are made, and 20 others only wait for the sweep.
#[test]
fn sweep_has_one_read_in_four_while_more_are_requested_than_the_rate_allows() {
    let busy: Vec<_> = (0..40)
        .map(|number| id(&format!("busy-{number}")))
        .collect();
    let quiet: BTreeSet<_> = (0..20)
        .map(|number| id(&format!("quiet-{number}")))
        .collect();
    let names = busy.iter().chain(&quiet).map(UserId::as_str);
    let mut world = World::of(&names.clone().collect::<Vec<_>>());
    let all = names.map(|name| user(name, Role::User)).collect();
    world.list(all, 500);
    // The sweep is due.
    world.pass(200);
    // It has begun, and includes the requested reads.
    let first: BTreeSet<_> = served(&mut world, &busy, 40).into_iter().collect();
    assert_eq!(first, busy.iter().cloned().collect());
    let then = served(&mut world, &busy, 80);
    let swept: Vec<_> = then.iter().filter(|user| quiet.contains(*user)).collect();
    assert!((19..=20).contains(&swept.len()), "{swept:?}");
    for four in then.chunks(4) {
        let swept = four.iter().filter(|user| quiet.contains(*user)).count();
        assert!(swept <= 2, "{four:?}");
    }
}
