//! The clock in the terms of decisions: the one place that converts the monotonic time into a [`Moment`] and back.

use std::sync::OnceLock;
use std::time::Duration;

use fireworks_core::time::Moment;
use operator_runtime::clock;
use tokio::time::Instant;

/// What lies before the first reading, so that a clock which a test moves never comes before the beginning.
const BEFORE: Duration = Duration::from_hours(1);

/// Returns the monotonic time.
#[must_use]
pub fn now() -> Moment {
    let since = clock::now().saturating_duration_since(beginning());
    Moment::default() + BEFORE + since
}

/// Returns the moment as timers take it.
#[must_use]
pub fn instant(moment: Moment) -> Instant {
    let since = moment - (Moment::default() + BEFORE);
    beginning() + since
}

/// Waits until that time; where there is none, without end.
pub async fn until(at: Option<Moment>) {
    clock::until(at.map(instant)).await;
}

fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    *BEGINNING.get_or_init(clock::now)
}
