//! What is broken right now, and what has arrived: the one state that the proxy's thread and the test share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::KubeFault;
use crate::audit::{Request, Requests};
use crate::wait::Timeout;

#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<State>,
    /// Moves with every change of the state.
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    faults: Vec<Fault>,
    calls: Vec<Request>,
}

#[derive(Debug)]
struct Fault {
    id: u64,
    calls: Requests,
    what: KubeFault,
    left: usize,
    met: usize,
}

/// Where a call is when it is asked what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has arrived and was not passed on.
    Call,
    /// Its answer has begun.
    Answer,
}

impl KubeFault {
    fn concerns(self, at: Stage) -> bool {
        match self {
            Self::Hold | Self::BlackHole => true,
            Self::Delay(_) | Self::DropBefore | Self::DropAfter | Self::Unstreamed => {
                at == Stage::Call
            }
            Self::Cut | Self::End => at == Stage::Answer,
        }
    }
}

impl Faults {
    pub(super) fn add(&self, calls: Requests, what: KubeFault, times: usize) -> u64 {
        self.change(|state| {
            state.next += 1;
            state.faults.push(Fault {
                id: state.next,
                calls,
                what,
                left: times,
                met: 0,
            });
            state.next
        })
    }

    pub(super) fn remove(&self, id: u64) {
        self.change(|state| state.faults.retain(|fault| fault.id != id));
    }

    pub(super) fn arrived(&self, call: &Request) {
        self.change(|state| state.calls.push(call.clone()));
    }

    pub(super) fn calls(&self) -> Vec<Request> {
        self.lock().calls.clone()
    }

    pub(super) fn seen(&self, these: &Requests) -> usize {
        let state = self.lock();
        state
            .calls
            .iter()
            .filter(|call| these.include(call))
            .count()
    }

    /// A fault that was healed has met nothing any more.
    pub(super) fn met(&self, id: u64) -> usize {
        let state = self.lock();
        let fault = state.faults.iter().find(|fault| fault.id == id);
        fault.map_or(0, |fault| fault.met)
    }

    /// The fault that the call meets now, which is thereby counted.
    pub(super) fn meet(&self, call: &Request, at: Stage) -> Option<(u64, KubeFault)> {
        let concerned = |fault: &&mut Fault| {
            fault.left > 0 && fault.what.concerns(at) && fault.calls.include(call)
        };
        let mut state = self.lock();
        let fault = state.faults.iter_mut().find(concerned)?;
        fault.left -= 1;
        fault.met += 1;
        let met = (fault.id, fault.what);
        drop(state);
        self.moved.send_modify(|count| *count += 1);
        Some(met)
    }

    /// Waits until that fault is healed.
    pub(super) async fn healed(&self, id: u64) {
        let mut moves = self.moves();
        while self.lock().faults.iter().any(|fault| fault.id == id) {
            // The sender is `self`: it lives.
            let _ = moves.changed().await;
        }
    }

    /// Moves whenever a fault comes, goes or is met.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Waits until the first number has reached the second.
    pub(super) async fn until(
        &self,
        deadline: Duration,
        what: &str,
        reached: impl Fn(&Self) -> (usize, usize),
    ) -> Result<(), Timeout> {
        let begun = Instant::now();
        let mut moves = self.moves();
        let waiting = async {
            loop {
                let (now, wanted) = reached(self);
                if now >= wanted || moves.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(deadline, waiting)
            .await
            .map_err(|_| Timeout {
                what: what.to_owned(),
                seen: format!("{}; calls: {:#?}", reached(self).0, self.reported()),
                waited: begun.elapsed(),
            })
    }

    /// The calls in a few words each, for a message.
    fn reported(&self) -> Vec<String> {
        let state = self.lock();
        let reported = |call: &Request| {
            let Request {
                verb,
                resource,
                subresource,
                name,
                ..
            } = call;
            format!("{verb} {resource}/{subresource} {name}")
        };
        state.calls.iter().map(reported).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.moved.send_modify(|count| *count += 1);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
