//! The clocks: the one place that reads them.

use jiff::Timestamp;
use tokio::time::Instant;

/// Returns the time, in whole seconds.
#[must_use]
pub(crate) fn now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Returns the monotonic time, for waits.
#[must_use]
pub(crate) fn monotonic() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    Instant::now()
}
