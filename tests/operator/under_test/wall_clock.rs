//! A wall clock that a test moves while the operator runs.

use std::path::PathBuf;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use operator_runtime::clock;

static SHIFT: OnceLock<PathBuf> = OnceLock::new();

/// Returns the clock that is ahead by the whole seconds that this file contains, negative ones behind. The file is read at
/// each reading of the clock; what is not a number counts as 0. Called once in a process.
#[must_use]
pub fn shifted_by(file: Option<PathBuf>) -> fn() -> Timestamp {
    match file.map(|file| SHIFT.set(file)) {
        Some(Ok(())) => shifted,
        Some(Err(_)) | None => clock::timestamp,
    }
}

fn shifted() -> Timestamp {
    let now = clock::timestamp();
    let seconds = SHIFT.get().and_then(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        text.trim().parse().ok()
    });
    now.saturating_add(SignedDuration::from_secs(seconds.unwrap_or(0)))
        .unwrap_or(now)
}
