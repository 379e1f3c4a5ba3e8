//! The wall clock jumps by days and years, as after a repaired time server. It is shown to people and decides nothing:
//! the operator neither writes nor calls more, nor stops, and keeps its promises.

use fireworks_gateway_simulator::{Entry, Fault, Kind, Verb};
use rig::Folder;

use crate::stage::{Stage, Start, ready};

pub const DAY: i64 = 24 * 60 * 60;
const TEN_YEARS: i64 = 3653 * DAY;

/// The operator's wall clock, for a test to move.
pub struct WallClock(Folder);

impl WallClock {
    pub fn new() -> Self {
        let new = Self(Folder::new("rig-clock-").unwrap());
        new.shift(0);
        new
    }

    /// Seconds ahead of the true time; negative ones behind it.
    pub fn shift(&self, seconds: i64) {
        let next = self.0.join("next");
        std::fs::write(&next, seconds.to_string()).unwrap();
        // At once: no reader sees half of it.
        std::fs::rename(&next, self.0.join("shift")).unwrap();
    }

    pub fn args(&self) -> Vec<String> {
        let file = self.0.join("shift");
        vec![format!("--test-wall-clock={}", file.display())]
    }
}

#[tokio::test]
async fn a_wall_clock_that_jumps_moves_nothing() {
    let stage = Stage::set("clock").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    let clock = WallClock::new();
    let start = Start {
        args: clock.args(),
        ..Start::default()
    };
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.apply("bob", "{role: user}").await;
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    let changes = [
        (DAY, "inference-user"),
        (-DAY, "user"),
        (TEN_YEARS, "contributor"),
        (-TEN_YEARS, "user"),
        (0, "contributor"),
    ];
    for (n, (shift, role)) in changes.into_iter().enumerate() {
        let mark = stage.mark();
        clock.shift(shift);
        stage.until_sweeps(2).await;
        assert_eq!(stage.status_writes(mark), Vec::new(), "by {shift} s");
        assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
        // A change is made as ever, and dated by that clock.
        stage.apply("alice", &format!("{{role: {role}}}")).await;
        let alice = stage.until_ready("alice").await;
        assert_eq!(alice["status"]["role"], role);
        assert_eq!(stage.patches("alice").len(), n + 2);
    }
    let seen = stage.object("bob").await;
    assert_eq!(ready(&seen)["status"], "True");
    assert!(stage.patches("bob").is_empty());
    assert!(!operator.logs().contains("panicked"));
}

/// What is shown comes from that clock; without it the test above would prove nothing.
#[tokio::test]
async fn a_transition_is_dated_by_the_wall_clock() {
    let stage = Stage::set("clock").await;
    stage.user("alice", "user");
    let clock = WallClock::new();
    clock.shift(TEN_YEARS);
    let start = Start {
        args: clock.args(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    let alice = stage.until_ready("alice").await;
    let year = |time: &serde_json::Value| time.as_str().unwrap()[..4].parse::<i32>().unwrap();
    let made = year(&alice["metadata"]["creationTimestamp"]);
    let turned = year(&ready(&alice)["lastTransitionTime"]);
    assert!((9..=11).contains(&(turned - made)), "{alice:#}");
}

#[tokio::test]
async fn a_date_to_wait_for_counts_by_the_clock_of_who_named_it() {
    let stage = Stage::set("clock").await;
    stage.user("alice", "user");
    let clock = WallClock::new();
    clock.shift(-4 * TEN_YEARS);
    let start = Start {
        args: clock.args(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    // Long past by the server's own clock, and years ahead by ours.
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    stage
        .gateway
        .add_fault(Fault::new(wait_until(past)).on(Verb::Patch).times(1));
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let refused = |entry: &Entry| entry.status == Some(429);
    assert_eq!(
        stage
            .patches("alice")
            .iter()
            .filter(|one| refused(one))
            .count(),
        1
    );
}

fn wait_until(date: &str) -> Kind {
    Kind::Throttle {
        retry_after: Some(date.to_owned()),
        retry_after_ms: None,
    }
}
