//! The one reader of clocks. Everything that decides by time takes it as a parameter, so that it can be tested without
//! waiting; only the rims of the program call these functions.

/// The monotonic time, for deadlines and distances. Follows a paused tokio clock in tests.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The wall-clock time, for what people and APIs read: condition times, `Retry-After` dates.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub fn timestamp() -> jiff::Timestamp {
    shifted(jiff::Timestamp::now())
}

/// Waits until that time; where there is none, without end.
pub async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(not(feature = "seams"))]
fn shifted(now: jiff::Timestamp) -> jiff::Timestamp {
    now
}

#[cfg(feature = "seams")]
pub mod virtual_time;

/// The time that cannot be moved: what a clock that is moved by hand is made from.
#[cfg(feature = "seams")]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
fn real() -> std::time::Instant {
    std::time::Instant::now()
}

/// The true wall-clock time, whatever a test has made of it.
#[cfg(feature = "seams")]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
fn real_time() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(feature = "seams")]
pub use seam::shift_by;
#[cfg(feature = "seams")]
use seam::shifted;

/// Lets a test jump with the wall clock while the program runs.
#[cfg(feature = "seams")]
mod seam {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use jiff::{SignedDuration, Timestamp};

    static SHIFT: OnceLock<PathBuf> = OnceLock::new();

    /// From now on the wall clock is ahead by the whole seconds that this file holds, negative ones behind. It is read
    /// at each look at the clock; what is no number counts as 0. The first file given stays.
    pub fn shift_by(file: PathBuf) {
        let _ = SHIFT.set(file);
    }

    pub(super) fn shifted(now: Timestamp) -> Timestamp {
        let seconds = SHIFT.get().and_then(|file| {
            let text = std::fs::read_to_string(file).ok()?;
            text.trim().parse().ok()
        });
        now.saturating_add(SignedDuration::from_secs(seconds.unwrap_or(0)))
            .unwrap_or(now)
    }
}
