//! The one reader of clocks. Everything that decides by time takes it as a parameter, so that it can be tested without
//! waiting; only the rims of the program call these functions.

use std::time::Duration;

use rustix::time::{ClockId, Timespec};

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
    jiff::Timestamp::now()
}

/// Returns the time since the machine was booted, which runs on while it sleeps.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(clock);
    let seconds = Duration::from_secs(tv_sec.try_into().unwrap_or(0));
    seconds + Duration::from_nanos(tv_nsec.try_into().unwrap_or(0))
}

/// Waits until that time; where there is none, without end.
pub async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
