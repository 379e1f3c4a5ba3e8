//! The waiters of one class: first in, first out within a flow, round-robin between flows, so that thousands of waiters of one
//! flow cost another at most one place. A flow that begins to wait is served first; between two such flows, one of the others
//! is. Knows no tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fireworks_api::wire::UserId;

use super::CallId;
use super::waiters::Present;

/// Waiters that were cancelled and are still queued, before the queue is compacted.
pub(super) const CANCELLED_MAX: usize = 64;

/// What shares one place among others that are equally urgent. The calls of the account itself have a flow of their own, the
/// empty one.
pub(super) type Flow = Arc<str>;

/// What waits for a token.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Waiter {
    /// A change of that user, with the number of its place.
    Change(UserId, u64),
    /// A call of the account itself.
    Call(CallId),
}

/// The waiters of one class.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct FairQueue {
    flows: BTreeMap<Flow, VecDeque<Waiter>>,
    /// Each flow with a waiter, the next to serve first.
    order: VecDeque<Flow>,
    /// Since a flow was last served in its order, a new one has been put before the others.
    has_preferred: bool,
    /// The new flow that is put before the others.
    preferred: Option<Flow>,
    /// The waiters of all flows, cancelled ones included.
    len: usize,
}

impl FairQueue {
    /// Adds a waiter at the end of its flow.
    pub(super) fn push(&mut self, flow: &Flow, waiter: Waiter) {
        let waiters = self.flows.entry(flow.clone()).or_insert_with(|| {
            if self.has_preferred {
                self.order.push_back(flow.clone());
            } else {
                self.order.push_front(flow.clone());
                self.preferred = Some(flow.clone());
                self.has_preferred = true;
            }
            VecDeque::new()
        });
        waiters.push_back(waiter);
        self.len += 1;
    }

    /// Returns how many tokens are useful together: one where a new flow is served first, so that it does not wait for
    /// more; else as many as there are waiters, cancelled ones included.
    pub(super) fn useful(&self) -> usize {
        if self.preferred.is_some() {
            1
        } else {
            self.len
        }
    }

    /// Returns the next waiter. Cancelled ones before it are dropped.
    pub(super) fn first(&mut self, present: &Present) -> Option<&Waiter> {
        while let Some(waiters) = self.flows.get_mut(self.order.front()?) {
            let before = waiters.len();
            while waiters
                .front()
                .is_some_and(|first| !present.contains(first))
            {
                waiters.pop_front();
            }
            self.len -= before - waiters.len();
            if !waiters.is_empty() {
                break;
            }
            self.rotate();
        }
        self.flows.get(self.order.front()?)?.front()
    }

    /// Removes the next waiter; its flow becomes the last one to serve.
    pub(super) fn pop(&mut self, present: &Present) -> Option<Waiter> {
        self.first(present)?;
        let waiter = self.flows.get_mut(self.order.front()?)?.pop_front();
        self.len -= usize::from(waiter.is_some());
        if self.preferred.take().as_ref() != self.order.front() {
            self.has_preferred = false;
        }
        self.rotate();
        waiter
    }

    /// Drops cancelled waiters, once they are many.
    pub(super) fn compact(&mut self, present: &Present) {
        if self.len <= 2 * present.places.len() + CANCELLED_MAX {
            return;
        }
        self.flows.retain(|_, waiters| {
            waiters.retain(|waiter| present.contains(waiter));
            !waiters.is_empty()
        });
        let flows = &self.flows;
        self.order.retain(|flow| flows.contains_key(flow));
        self.len = flows.values().map(VecDeque::len).sum();
    }

    fn rotate(&mut self) {
        let Some(flow) = self.order.pop_front() else {
            return;
        };
        if self.flows.get(&flow).is_some_and(VecDeque::is_empty) {
            self.flows.remove(&flow);
        } else {
            self.order.push_back(flow);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::Class;
    use super::super::waiters::Place;
    use super::*;
    use crate::time::Moment;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn wait(queue: &mut FairQueue, present: &mut Present, flow: &str, name: &str) {
        let place = Place {
            class: Class::Sweep,
            flow: flow.into(),
            number: 7,
            since: Moment::default(),
        };
        present.places.insert(user(name), place);
        queue.push(&flow.into(), Waiter::Change(user(name), 7));
    }

    #[test]
    fn cancelled_waiters_are_dropped_and_the_order_of_flows_is_kept() {
        let (mut queue, mut present) = (FairQueue::default(), Present::default());
        wait(&mut queue, &mut present, "a", "first");
        // Behind the first one, and in a flow of which none is left.
        for number in 0..CANCELLED_MAX {
            let flow = if number % 2 == 0 { "a" } else { "gone" };
            wait(&mut queue, &mut present, flow, &format!("u{number}"));
        }
        for number in 0..CANCELLED_MAX {
            present.places.remove(&user(&format!("u{number}")));
        }
        wait(&mut queue, &mut present, "a", "second");
        queue.compact(&present);
        assert_eq!(queue.len, 2 + CANCELLED_MAX, "few enough to be left alone");
        wait(&mut queue, &mut present, "b", "third");
        for name in ["w", "x", "y", "z"] {
            wait(&mut queue, &mut present, "gone", name);
            present.places.remove(&user(name));
        }
        queue.compact(&present);
        assert_eq!((queue.len, queue.order.len(), queue.flows.len()), (3, 2, 2));
        let order: Vec<_> = std::iter::from_fn(|| match queue.pop(&present)? {
            Waiter::Change(user, _) => Some(user.as_str().to_owned()),
            Waiter::Call(_) => None,
        })
        .collect();
        assert_eq!(order, ["first", "third", "second"]);
        assert_eq!((queue.len, queue.flows.len()), (0, 0));
    }
}
