//! The operator's crash points, as a test arms them and sees them reached; and the requests that a run records.

use std::os::unix::process::ExitStatusExt;

use fireworks_gateway_simulator::Entry;
use operator_under_test::crash::{CrashPoint, Side};
use rig::{Folder, OperatorProcess};

use crate::stage::{LONG, Start};
use crate::witness::Running;

const SIGKILL: i32 = 9;

/// The requests that an operator sends again and again, without names.
pub const REPEATED: [&str; 6] = [
    "listUsers users",
    "getUser users",
    "updateUser users",
    "get fireworksusers",
    "patch fireworksusers/status",
    "create events",
];

/// Returns the point at the `nth` of these requests.
pub fn point(side: Side, nth: u32, request: &str) -> CrashPoint {
    CrashPoint {
        side,
        nth,
        request: request.to_owned(),
    }
}

/// The points at which an operator ends; none, until some are armed.
pub struct CrashFile(Folder);

impl CrashFile {
    pub fn new() -> Self {
        Self(Folder::new("rig-crash-").unwrap())
    }

    /// Returns the start of an operator that ends at the points of this file.
    pub fn start(&self, start: Start) -> Start {
        let file = self.0.join("points").display().to_string();
        Start {
            args: [start.args, vec!["--test-crash-at".to_owned(), file]].concat(),
            ..start
        }
    }

    /// Replaces the points. Requests are counted from now on, or from the start of the operator.
    pub fn arm(&self, points: &[CrashPoint]) {
        let lines: Vec<_> = points.iter().map(ToString::to_string).collect();
        let new = self.0.join("new");
        std::fs::write(&new, lines.join("\n")).unwrap();
        // At once, so that the operator never reads a part of it.
        std::fs::rename(new, self.0.join("points")).unwrap();
    }
}

/// The requests of one operator, in order.
pub struct RecordFile(Folder);

impl RecordFile {
    pub fn new() -> Self {
        Self(Folder::new("rig-record-").unwrap())
    }

    /// Returns the start of an operator that records its requests here.
    pub fn start(&self, start: Start) -> Start {
        let file = self.0.join("requests").display().to_string();
        Start {
            args: [start.args, vec!["--test-record".to_owned(), file]].concat(),
            ..start
        }
    }

    /// Returns the requests so far: verb, resource and name.
    pub fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Returns the point at which the operator ended, if it ended at one.
pub fn reached(operator: &OperatorProcess) -> Option<String> {
    let logs = operator.logs();
    let mut lines = logs.lines();
    lines.find_map(|line| line.strip_prefix("crash point ").map(str::to_owned))
}

/// Waits until the operator has ended at that point, and asserts that nothing else ended it.
pub async fn until_reached(operator: &Running, point: &CrashPoint) {
    let exit = operator.wait_exit(LONG).await;
    let exit = exit.unwrap_or_else(|timeout| {
        panic!("{point} was not reached: {timeout}\n{}", operator.logs());
    });
    assert_eq!(exit.status.signal(), Some(SIGKILL), "{}", operator.logs());
    assert_eq!(reached(operator), Some(point.to_string()));
}

/// Waits until the operator has ended at that point, or until `end`: a later occurrence of a request is not in each
/// run. It is killed then.
pub async fn until_reached_or_end(
    operator: &Running,
    point: &CrashPoint,
    end: impl Future<Output = ()>,
) {
    tokio::select! {
        () = until_reached(operator, point) => {}
        () = end => {
            operator.kill().unwrap();
            let place = reached(operator);
            assert!(place.is_none_or(|place| place == point.to_string()));
        }
    }
}

/// Returns what these requests changed: field and new value, in order.
pub fn changes(calls: &[Entry]) -> Vec<(String, String)> {
    let changes = calls.iter().flat_map(|call| &call.changes);
    let shown = changes.filter(|change| change.field != "updateTime");
    shown
        .map(|change| (change.field.clone(), change.to.to_string()))
        .collect()
}
