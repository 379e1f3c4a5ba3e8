//! The wall clock of one replica is a day ahead or behind. The Lease shows its time to people; it decides nothing.

use jiff::Timestamp;
use rig::until;
use serde_json::Value;

use super::pair;
use super::replica::{
    FIRST, Holders, Pair, SECOND, SHORT, assert_one_writer, elected, until_leading, until_standby,
};
use crate::stage::{LONG, Start};
use crate::wall_clock::{DAY, WallClock};
use crate::witness::Running;

/// The difference of the Lease's duration and the time within which it has to be renewed, in milliseconds, of
/// [`SHORT`]: no other replica leads sooner after a leader's last request.
const APART_MS: u64 = 1_000;
/// Renewals to wait for after each jump.
const RENEWALS: usize = 3;

async fn replica(pair: &Pair, key: &str, clock: &WallClock) -> Running {
    let start = elected(key, &["--test-lease", SHORT]);
    let args = [start.args, clock.args()].concat();
    pair.stage.operator_with(Start { args, ..start }).await
}

fn renewed(lease: &Value) -> Timestamp {
    lease["spec"]["renewTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests measure with the real clock"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits until the Lease was renewed several times, and returns it.
async fn until_renewed(pair: &Pair, name: &str) -> Value {
    let mut times = vec![renewed(&pair.lease(name).await)];
    until(LONG, "renewals of the lease", async || {
        let lease = pair.lease(name).await;
        if times.last() != Some(&renewed(&lease)) {
            times.push(renewed(&lease));
        }
        if times.len() > RENEWALS {
            Ok(lease)
        } else {
            Err(times.len())
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn leader_election_wall_clock_of_another_day_does_not_decide() {
    let pair = pair("lease-clock").await;
    let stage = &pair.stage;
    let (ours, theirs) = (WallClock::new(), WallClock::new());
    let first = replica(&pair, FIRST, &ours).await;
    let (name, identity) = until_leading(&first).await;
    let holders = Holders::watch(&pair, &name);
    let second = replica(&pair, SECOND, &theirs).await;
    until_standby(&second).await;
    let jumps = [
        (&ours, DAY, "contributor"),
        (&ours, -DAY, "user"),
        (&theirs, -DAY, "contributor"),
        (&theirs, DAY, "user"),
    ];
    for (clock, seconds, role) in jumps {
        clock.shift(seconds);
        pair.change(role).await;
        let lease = until_renewed(&pair, &name).await;
        assert_eq!(lease["spec"]["holderIdentity"], identity);
        assert_eq!(lease["spec"]["leaseTransitions"], 0);
        assert_eq!(pair.calls(SECOND, 0).len(), 0, "by {seconds} s");
    }
    // By the standby's clock the last renewal is two days old.
    let shown = renewed(&pair.lease(&name).await);
    let behind = now().duration_since(shown).as_hours();
    assert!((23..=24).contains(&behind), "{shown}");

    let killed = stage.gateway.elapsed_ms();
    first.kill().unwrap();
    until_leading(&second).await;
    let replaced = stage.gateway.elapsed_ms() - killed;
    assert!(replaced >= APART_MS, "{replaced} ms");
    pair.change("inference-user").await;
    assert_one_writer(&pair, &holders.end().await);
}
