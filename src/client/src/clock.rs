//! The one place of this crate that reads the clock: deadlines are counted from now.

use tokio::time::Instant;

/// Returns the monotonic time. Follows a paused tokio clock in tests.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
