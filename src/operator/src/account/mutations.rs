//! Counts updates without a response: the Lease is not given back while one may still take effect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fireworks_core::time::Moment;
use tokio::sync::Notify;

use crate::clock;

/// Updates in flight, and when the last one ended without a response.
#[derive(Debug, Default)]
pub(super) struct Mutations {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    unanswered_at: Option<Moment>,
}

/// One update in flight. Dropped before [`InFlight::responded`] it counts as unanswered.
pub(super) struct InFlight {
    mutations: Arc<Mutations>,
    has_response: bool,
}

impl Mutations {
    /// Counts an update that is sent now.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.lock().in_flight += 1;
        InFlight {
            mutations: Arc::clone(self),
            has_response: false,
        }
    }

    /// Waits until no update is in flight.
    pub(super) async fn until_none_in_flight(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().in_flight == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Returns whether an update may still take effect: one is in flight, or ended without a response within that time.
    pub(super) fn may_take_effect(&self, within: Duration, now: Moment) -> bool {
        let state = self.lock();
        let is_recent = |at: Moment| now < at + within;
        state.in_flight > 0 || state.unanswered_at.is_some_and(is_recent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// Records that the update had no effect, or that its response arrived.
    pub(super) fn responded(mut self) {
        self.has_response = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.mutations.lock();
        state.in_flight -= 1;
        if !self.has_response {
            state.unanswered_at = Some(clock::now());
        }
        drop(state);
        self.mutations.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn update_may_take_effect_until_it_has_response_or_settled() {
        let mutations = Arc::<Mutations>::default();
        let may = |after: Duration| mutations.may_take_effect(WINDOW, clock::now() + after);
        assert!(!may(Duration::ZERO));
        let (first, second) = (mutations.begin(), mutations.begin());
        assert!(may(2 * WINDOW));
        assert!(mutations.until_none_in_flight().now_or_never().is_none());
        first.responded();
        assert!(may(2 * WINDOW), "one is in flight");
        drop(second);
        assert!(mutations.until_none_in_flight().now_or_never().is_some());
        assert!(may(Duration::ZERO));
        assert!(!may(2 * WINDOW));
    }
}
