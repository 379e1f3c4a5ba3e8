//! What gives its share of the rate back when it is dropped: a permit, and a call that waits for one.

use fireworks_core::account::limiter::{self, CallId};
use fireworks_core::time::Moment;

use super::Budget;

/// The right to send one call. Dropped unspent, it goes back at once, and the probe that it was is due again.
pub struct Permit {
    budget: Budget,
    /// `None` once it is spent.
    permit: Option<limiter::Permit>,
}

impl Permit {
    pub(super) fn new(budget: &Budget, permit: limiter::Permit) -> Self {
        Self {
            budget: budget.clone(),
            permit: Some(permit),
        }
    }

    /// Uses the permit up: the call leaves now. `false` if a pause began meanwhile: the call must not leave.
    #[must_use]
    pub fn spend(mut self, now: Moment) -> bool {
        let Some(permit) = self.permit.take() else {
            return false;
        };
        if self.budget.lock().limiter.spend(&permit, now) {
            // Only now is it known when the window has room again.
            self.budget.wake();
            return true;
        }
        self.permit = Some(permit);
        false
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.budget.lock().limiter.put_back(permit);
            self.budget.wake();
        }
    }
}

/// Cancels a call when what waits for it is dropped.
pub(super) struct CancelOnDrop<'a> {
    budget: &'a Budget,
    call: CallId,
}

impl<'a> CancelOnDrop<'a> {
    pub(super) const fn new(budget: &'a Budget, call: CallId) -> Self {
        Self { budget, call }
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.limiter.cancel_call(self.call);
        state.calls.remove(&self.call);
    }
}
