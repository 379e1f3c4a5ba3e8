//! The rate limiter as tasks share it: the decisions are [`Limiter`]'s; this is the lock around it, the clock, and how a permit
//! reaches what waits for it. A pass never waits: it takes a permit or a place in the queue, and the grant requeues its
//! objects later. Only tasks of the account wait in place: the reader, and what makes users admin again.

mod permit;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use fireworks_api::wire::UserId;
use fireworks_core::account::limiter::{CallId, Limiter, Next};
use fireworks_core::time::Moment;
use tokio::sync::{Notify, mpsc, oneshot};

pub use fireworks_core::account::limiter::suspension::Name;
pub use fireworks_core::account::limiter::{Because, Class, Waiting};

use crate::clock;
use crate::locked::Locked;
use permit::CancelOnDrop;
pub use permit::Permit;

/// The account's rate limiter. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    state: Locked<State>,
    wake: Notify,
    suspension_began: Notify,
    grants: mpsc::UnboundedSender<UserId>,
}

struct State {
    limiter: Limiter,
    /// Where the permits of the queued calls go.
    calls: HashMap<CallId, oneshot::Sender<Permit>>,
}

impl Budget {
    /// Returns a rate limiter of `per_minute` calls in any 60 s, and the stream of users whose change was granted.
    #[must_use]
    pub fn new(per_minute: u32, now: Moment) -> (Self, mpsc::UnboundedReceiver<UserId>) {
        let (grants, granted) = mpsc::unbounded_channel();
        let state = State {
            limiter: Limiter::new(per_minute, now),
            calls: HashMap::new(),
        };
        let shared = Shared {
            state: Locked::new(state),
            wake: Notify::new(),
            suspension_began: Notify::new(),
            grants,
        };
        let shared = Arc::new(shared);
        (Self { shared }, granted)
    }

    /// Returns a permit for a change of `user`, or gives it a place in the queue; see [`Limiter::try_take`].
    ///
    /// # Errors
    /// [`Waiting`] if there is no permit now; the stream of grants yields the user later.
    pub fn try_take(
        &self,
        user: &UserId,
        flow: &str,
        class: Class,
        now: Moment,
    ) -> Result<Permit, Waiting> {
        let taken = self.lock().limiter.try_take(user, flow, class, now);
        taken
            .map(|permit| Permit::new(self, permit))
            .inspect_err(|_| self.wake())
    }

    /// Returns, while the account is suspended, whether the change of `user` is the probe. If not, it gets a place among
    /// those that may become it.
    #[must_use]
    pub fn await_turn(&self, user: &UserId, flow: &str, class: Class, now: Moment) -> bool {
        let is_turn = self.lock().limiter.await_turn(user, flow, class, now);
        if !is_turn {
            self.wake();
        }
        is_turn
    }

    /// Waits for a permit. For the reader, which holds no slot of a pass meanwhile.
    pub async fn take(&self, class: Class) -> Permit {
        self.call(|limiter| limiter.enqueue_call(class)).await
    }

    /// Waits for a permit to read the account itself, before all other calls, also while it is suspended.
    pub async fn take_for_account(&self) -> Permit {
        self.call(Limiter::enqueue_account_read).await
    }

    async fn call(&self, enqueue: impl Fn(&mut Limiter) -> CallId) -> Permit {
        loop {
            let (grant, granted) = oneshot::channel();
            let call = {
                let mut state = self.lock();
                let call = enqueue(&mut state.limiter);
                state.calls.insert(call, grant);
                call
            };
            let _cancelled_on_drop = CancelOnDrop::new(self, call);
            self.wake();
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    /// Cancels the queued change of a user, and its grant.
    pub fn release(&self, user: &UserId) {
        let had_grant = self.lock().limiter.release(user);
        if had_grant {
            self.wake();
        }
    }

    /// Records a 429: a pause, and half of the rate after it.
    pub fn throttled(&self, wait: Option<Duration>, now: Moment) {
        self.lock().limiter.throttled(wait, now);
    }

    /// Records that the server asked for a pause: no call leaves before it ends.
    pub fn pause(&self, wait: Option<Duration>, now: Moment) {
        self.lock().limiter.pause(wait, now);
    }

    /// Returns whether the server asked for a pause that lasts.
    #[must_use]
    pub fn is_paused(&self, now: Moment) -> bool {
        self.lock().limiter.is_paused(now)
    }

    /// Records that the server refused the key of that version.
    pub fn key_refused(&self, key_version: u64, current: u64, now: Moment) {
        self.lock().limiter.key_refused(key_version, current, now);
    }

    /// Returns whether the server refused the key in use: calls wait for another key, or for a probe that is accepted.
    #[must_use]
    pub fn is_key_refused(&self) -> bool {
        self.lock().limiter.is_key_refused()
    }

    /// Records that the server accepted a key of that version.
    pub fn key_accepted(&self, key_version: u64) {
        self.change_refusal(|limiter| limiter.key_accepted(key_version));
    }

    /// Records that the key of that version is in use: the refusal of an older one does not concern it.
    pub fn key_changed(&self, version: u64) {
        self.change_refusal(|limiter| limiter.key_changed(version));
    }

    fn change_refusal(&self, change: impl FnOnce(&mut Limiter)) {
        let mut state = self.lock();
        let was_refused = state.limiter.is_key_refused();
        change(&mut state.limiter);
        if was_refused && !state.limiter.is_key_refused() {
            self.wake();
        }
    }

    /// Records that a change, or else a read, was refused because the account is suspended.
    pub fn account_suspended(&self, is_change: bool, now: Moment) {
        if self.lock().limiter.account_suspended(is_change, now) {
            self.shared.suspension_began.notify_one();
        }
        self.wake();
    }

    /// Records that a change, or else a read, succeeded. Returns whether that ends a suspension.
    #[must_use]
    pub fn account_serves(&self, is_change: bool) -> bool {
        let mut state = self.lock();
        if state.limiter.suspension().is_none() {
            return false;
        }
        self.wake();
        state.limiter.account_serves(is_change)
    }

    /// Waits for a suspension to begin.
    pub async fn suspension_began(&self) {
        self.shared.suspension_began.notified().await;
    }

    /// Records the state of the suspended account, or that it is unknown. The objects of all changes that wait are requeued
    /// to report it.
    pub fn suspension_named(&self, name: Option<String>) {
        let waiting = self.lock().limiter.suspension_named(name);
        for user in waiting {
            self.requeue(user);
        }
    }

    /// Returns the state of the suspended account; `None` where it is not suspended.
    #[must_use]
    pub fn suspension(&self) -> Option<Name> {
        self.lock().limiter.suspension()
    }

    /// Returns the number of changes that wait, in the order of the classes. Calls of the account itself are not counted.
    #[must_use]
    pub fn waiting(&self) -> [usize; 5] {
        self.lock().limiter.waiting()
    }

    /// Returns the rate at `now`, in calls a minute.
    #[must_use]
    pub fn rate(&self, now: Moment) -> f64 {
        f64::from(self.lock().limiter.rate(now))
    }

    /// Grants what can be granted, as tokens come. Runs for as long as the process.
    pub async fn run(&self) {
        loop {
            let wake_at = self.grant_all(clock::now());
            tokio::select! {
                () = clock::until(wake_at) => {}
                () = self.shared.wake.notified() => {}
            }
        }
    }

    fn grant_all(&self, now: Moment) -> Option<Moment> {
        loop {
            let mut state = self.lock();
            match state.limiter.next_grant(now) {
                Next::Change(user) => self.requeue(user),
                Next::Call(call, permit) => {
                    let waiter = state.calls.remove(&call);
                    // An unspent permit locks the state when it is dropped.
                    drop(state);
                    let permit = Permit::new(self, permit);
                    if let Some(waiter) = waiter {
                        // The permit of a waiter that is gone is dropped, which puts it back.
                        let _ = waiter.send(permit);
                    }
                }
                Next::WakeAt(at) => return at,
            }
        }
    }

    fn requeue(&self, user: UserId) {
        // A closed stream means that the process is ending.
        let _ = self.shared.grants.send(user);
    }

    fn wake(&self) {
        self.shared.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }
}

#[cfg(test)]
mod tests;
