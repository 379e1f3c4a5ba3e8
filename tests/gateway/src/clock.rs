//! The only reader of the clock. Everything else takes a [`Now`] as a value, so that rules about time can be tested
//! without waiting.

use std::time::Instant;

use jiff::Timestamp;

/// One reading of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Wall clock, for what people and the wire see.
    pub(crate) wall: Timestamp,
    /// Milliseconds since the simulator started: monotonic, for everything that expires.
    pub(crate) elapsed_ms: u64,
}

/// Wall clock and a monotonic start.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub(crate) fn started_now() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: Timestamp::now(),
            elapsed_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
