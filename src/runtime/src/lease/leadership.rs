//! Whether this process holds the Lease, as asked before each request that changes something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Durations;
use crate::clock;

/// No renewal has succeeded, or the Lease was given up.
const NO_LEASE: u64 = 0;
/// There is no election.
const ALWAYS: u64 = u64::MAX;

/// A handle on the Lease. Clones share it. It is decided by the time since boot, which runs on while the machine sleeps: a
/// process that was frozen past the deadline sees that it no longer holds the Lease, whatever its timers show.
///
/// # Guarantees
/// A request that begins within [`Leadership::begin`] and ends within the duration which that returns has ended before another
/// process can hold the Lease. The caller must check again where anything may have delayed it since.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    durations: Durations,
    /// When the last successful renewal was sent, in microseconds since boot.
    sent_at: AtomicU64,
    has_resigned: AtomicBool,
    clock: fn() -> Duration,
}

impl Leadership {
    /// Returns the handle of a process that holds no Lease yet.
    #[must_use]
    pub fn none(durations: Durations) -> Self {
        Self::with(durations, NO_LEASE, clock::since_boot)
    }

    /// Returns the handle of the only process: it always leads.
    #[must_use]
    pub fn always() -> Self {
        Self::with(Durations::PRODUCTION, ALWAYS, clock::since_boot)
    }

    fn with(durations: Durations, sent_at: u64, clock: fn() -> Duration) -> Self {
        Self(Arc::new(Inner {
            durations,
            sent_at: AtomicU64::new(sent_at),
            has_resigned: AtomicBool::new(false),
            clock,
        }))
    }

    /// Returns whether a request may begin now.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        self.begin().is_some()
    }

    /// Returns within which time a request that begins now must have ended; nothing where none may begin.
    #[must_use]
    pub fn begin(&self) -> Option<Duration> {
        if self.0.has_resigned.load(Ordering::Acquire) {
            return None;
        }
        let age = match self.0.sent_at.load(Ordering::Acquire) {
            NO_LEASE => return None,
            ALWAYS => return Some(Duration::MAX),
            sent_at => (self.0.clock)().saturating_sub(Duration::from_micros(sent_at)),
        };
        self.0.durations.begin(age)
    }

    /// Lets no further request begin, although the Lease is renewed: before it is given back.
    pub fn resign(&self) {
        self.0.has_resigned.store(true, Ordering::Release);
    }

    /// Returns for how long requests may still begin, unless the Lease is renewed.
    pub(super) fn left(&self) -> Duration {
        match self.0.sent_at.load(Ordering::Acquire) {
            NO_LEASE => Duration::ZERO,
            ALWAYS => Duration::MAX,
            sent_at => {
                let age = (self.0.clock)().saturating_sub(Duration::from_micros(sent_at));
                self.0.durations.renew.saturating_sub(age)
            }
        }
    }

    /// Returns the time that [`Leadership::renewed`] takes.
    pub(super) fn now(&self) -> Duration {
        (self.0.clock)()
    }

    /// Records that a renewal which was sent at that time has succeeded.
    pub(super) fn renewed(&self, sent_at: Duration) {
        let micros = u64::try_from(sent_at.as_micros()).unwrap_or(ALWAYS);
        let micros = micros.clamp(NO_LEASE + 1, ALWAYS - 1);
        self.0.sent_at.store(micros, Ordering::Release);
    }

    /// Lets no further request begin.
    pub(super) fn end(&self) {
        self.0.sent_at.store(NO_LEASE, Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(0);

    fn at(seconds: u64) {
        NOW.store(seconds, Ordering::Relaxed);
    }

    fn now() -> Duration {
        Duration::from_secs(NOW.load(Ordering::Relaxed))
    }

    #[test]
    fn requests_begin_within_20_s_of_a_renewal_and_end_within_28_s() {
        let leadership = Leadership::with(Durations::PRODUCTION, NO_LEASE, now);
        at(100);
        assert_eq!(leadership.begin(), None);
        leadership.renewed(now());
        at(119);
        assert_eq!(leadership.begin(), Some(Duration::from_secs(9)));
        assert_eq!(leadership.left(), Duration::from_secs(1));
        at(120);
        assert_eq!(leadership.begin(), None);
        // An answer that arrives late counts from when its request was sent.
        leadership.renewed(Duration::from_secs(105));
        assert_eq!(leadership.begin(), Some(Duration::from_secs(13)));
        // A frozen process finds the deadline passed, however long it was frozen.
        at(100_000);
        assert!(!leadership.may_begin());
        assert_eq!(leadership.left(), Duration::ZERO);
        leadership.renewed(now());
        assert!(leadership.may_begin());
        leadership.clone().resign();
        leadership.renewed(now());
        assert!(!leadership.may_begin() && !leadership.left().is_zero());
        leadership.end();
        assert!(leadership.left().is_zero());
        assert!(!leadership.clone().may_begin());
    }

    #[test]
    fn process_without_an_election_always_leads() {
        let leadership = Leadership::always();
        assert_eq!(leadership.begin(), Some(Duration::MAX));
        assert!(Leadership::none(Durations::PRODUCTION).begin().is_none());
    }
}
