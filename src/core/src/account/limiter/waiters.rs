//! All that waits for a token: changes of users, each with at most one place, and calls of the account itself.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::wire::UserId;

use super::fair_queue::{FairQueue, Flow, Waiter};
use super::{CLASSES, CallId, Class};
use crate::time::Moment;

/// The number of a place in no queue: while the account is suspended, changes wait in none.
pub(super) const OUT_OF_QUEUE: u64 = 0;

/// Where a change of a user waits.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Place {
    pub(super) class: Class,
    pub(super) flow: Flow,
    pub(super) number: u64,
    pub(super) since: Moment,
}

/// What waits and was not cancelled.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Present {
    pub(super) places: BTreeMap<UserId, Place>,
    calls: BTreeSet<CallId>,
}

impl Present {
    /// Whether that waiter was not cancelled. One with another number than its place has moved to another queue.
    pub(super) fn contains(&self, waiter: &Waiter) -> bool {
        match waiter {
            Waiter::Change(user, number) => {
                let place = self.places.get(user);
                place.is_some_and(|place| place.number == *number)
            }
            Waiter::Call(call) => self.calls.contains(call),
        }
    }
}

/// The queues of one account.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Waiters {
    queues: [FairQueue; CLASSES],
    pub(super) present: Present,
    /// Reads of the account itself, served before all others.
    account_reads: BTreeSet<CallId>,
    /// The last number of a place.
    places: u64,
    /// The last number of a call.
    calls: u64,
}

impl Waiters {
    /// Gives a change a place, in a queue unless the account is suspended, and returns when it began to wait.
    pub(super) fn enqueue(
        &mut self,
        user: &UserId,
        flow: &Flow,
        class: Class,
        is_suspended: bool,
        now: Moment,
    ) -> Moment {
        let known = self.present.places.get(user);
        if let Some(place) = known.filter(|place| place.class <= class) {
            return place.since;
        }
        // One that became more urgent moves, and keeps the time it has waited.
        let since = known.map_or(now, |place| place.since);
        let number = if is_suspended {
            OUT_OF_QUEUE
        } else {
            self.places += 1;
            self.places
        };
        let place = Place {
            class,
            flow: flow.clone(),
            number,
            since,
        };
        self.present.places.insert(user.clone(), place);
        let Self {
            queues, present, ..
        } = self;
        if !is_suspended && let Some(queue) = queues.get_mut(class as usize) {
            queue.compact(present);
            queue.push(flow, Waiter::Change(user.clone(), number));
        }
        since
    }

    /// Queues a call of the account itself.
    pub(super) fn enqueue_call(&mut self, class: Class) -> CallId {
        let call = self.next_call();
        self.present.calls.insert(call);
        if let Some(queue) = self.queues.get_mut(class as usize) {
            queue.push(&"".into(), Waiter::Call(call));
        }
        call
    }

    /// Queues a read of the account itself.
    pub(super) fn enqueue_account_read(&mut self) -> CallId {
        let call = self.next_call();
        self.account_reads.insert(call);
        call
    }

    /// Removes a call that waits, if it still does.
    pub(super) fn cancel_call(&mut self, call: CallId) {
        self.present.calls.remove(&call);
        self.account_reads.remove(&call);
    }

    /// Removes the place of a user.
    pub(super) fn cancel(&mut self, user: &UserId) {
        self.present.places.remove(user);
    }

    /// Whether a read of the account itself waits.
    pub(super) fn has_account_read(&self) -> bool {
        !self.account_reads.is_empty()
    }

    /// Removes the read of the account that waited longest.
    pub(super) fn pop_account_read(&mut self) -> Option<CallId> {
        self.account_reads.pop_first()
    }

    /// Returns the next waiter of a class.
    pub(super) fn first(&mut self, class: usize) -> Option<&Waiter> {
        self.queues.get_mut(class)?.first(&self.present)
    }

    /// Removes the next waiter of a class from its queue. A call no longer waits then; a change keeps its place.
    pub(super) fn pop(&mut self, class: usize) -> Option<Waiter> {
        let waiter = self.queues.get_mut(class)?.pop(&self.present)?;
        if let Waiter::Call(call) = waiter {
            self.present.calls.remove(&call);
        }
        Some(waiter)
    }

    /// Returns in which classes a waiter is queued.
    pub(super) fn waiting(&mut self) -> [bool; CLASSES] {
        let Self {
            queues, present, ..
        } = self;
        queues
            .each_mut()
            .map(|queue| queue.first(present).is_some())
    }

    /// Returns how many tokens are useful together for a class.
    pub(super) fn useful(&self, class: usize) -> usize {
        self.queues.get(class).map_or(0, FairQueue::useful)
    }

    /// Returns the number of places in each class.
    pub(super) fn count(&self) -> [usize; CLASSES] {
        let mut count = [0; CLASSES];
        for place in self.present.places.values() {
            if let Some(count) = count.get_mut(place.class as usize) {
                *count += 1;
            }
        }
        count
    }

    /// Returns the change that has waited longest, with its class.
    pub(super) fn oldest(&self) -> Option<(&UserId, Class)> {
        let places = self.present.places.iter();
        let oldest = places.min_by_key(|(_, place)| place.since)?;
        Some((oldest.0, oldest.1.class))
    }

    /// Takes all changes out of their queues; they keep their places.
    pub(super) fn suspend(&mut self) {
        for place in self.present.places.values_mut() {
            place.number = OUT_OF_QUEUE;
        }
    }

    /// Queues all changes that have a place, in the order in which they began to wait.
    pub(super) fn resume(&mut self) {
        let mut places: Vec<_> = std::mem::take(&mut self.present.places)
            .into_iter()
            .collect();
        places.sort_by_key(|(_, place)| place.since);
        for (user, place) in places {
            self.enqueue(&user, &place.flow, place.class, false, place.since);
        }
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }
}
