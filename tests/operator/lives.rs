//! The operator's lives: it is killed, by itself at a crash point or from outside, and started again. What
//! was changed at the gateway is counted across them.

use std::os::unix::process::ExitStatusExt;

use fireworks_gateway_simulator::Entry;
use operator_runtime::effects::{Effect, Side};
use rig::OperatorProcess;

use crate::stage::LONG;
use crate::witness::Running;

const SIGKILL: i32 = 9;

/// The crash point at the `nth` passing, of anybody or of one user or object.
pub fn point(effect: Effect, side: Side, nth: u32, about: Option<&str>) -> String {
    let side = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    let about = about.map(|about| format!("@{about}")).unwrap_or_default();
    format!("{}:{side}:{nth}{about}", effect.name())
}

/// The arguments that arm it.
pub fn armed(point: &str) -> Vec<String> {
    vec!["--seam-crash-at".to_owned(), point.to_owned()]
}

/// The point at which it died, if it died at one.
pub fn died_at(operator: &OperatorProcess) -> Option<String> {
    let logs = operator.logs();
    let mut said = logs.lines();
    said.find_map(|line| line.strip_prefix("crash point ").map(str::to_owned))
}

/// Waits until it has died at that point, by nothing else.
pub async fn until_killed(operator: &Running, point: &str) {
    let exit = operator.wait_exit(LONG).await;
    let exit = exit.unwrap_or_else(|timeout| {
        panic!("{point} was not reached: {timeout}\n{}", operator.logs());
    });
    assert_eq!(exit.status.signal(), Some(SIGKILL), "{}", operator.logs());
    assert_eq!(died_at(operator).as_deref(), Some(point));
}

/// What these calls changed: field and new value, in order.
pub fn changes(calls: &[Entry]) -> Vec<(String, String)> {
    let changes = calls.iter().flat_map(|call| &call.changes);
    let told = changes.filter(|change| change.field != "updateTime");
    told.map(|change| (change.field.clone(), change.to.to_string()))
        .collect()
}
