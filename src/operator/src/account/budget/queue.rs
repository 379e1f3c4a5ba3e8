//! Who waits in one class, and whose turn it is: first come first served within a lane, one each in turn
//! between lanes, so that a crowd in one lane costs another no more than a place. A lane that begins to wait
//! goes first, one such lane for each that waited its turn. Knows no tokens.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use fireworks_api::wire::UserId;
use fireworks_core::time::Moment;
use tokio::sync::oneshot;

use super::{LEAVERS_MAX, Permit};

/// Waiters of one lane are served in turn with those of the others. The reader has a lane of its own,
/// the empty one.
pub(super) type Lane = Arc<str>;

#[derive(Clone)]
pub(super) struct Place {
    pub(super) class: super::Class,
    pub(super) lane: Lane,
    pub(super) number: u64,
    pub(super) since: Moment,
}

/// Where each waiting user stands. A waiter of a queue with another number has left it.
pub(super) type Places = HashMap<UserId, Place>;

pub(super) struct Waiter {
    pub(super) who: Who,
}

pub(super) enum Who {
    User(UserId, u64),
    Call(oneshot::Sender<Permit>),
}

impl Who {
    fn has_left(&self, places: &Places) -> bool {
        match self {
            Self::User(user, number) => {
                places.get(user).is_none_or(|place| place.number != *number)
            }
            Self::Call(grant) => grant.is_closed(),
        }
    }
}

/// The waiters of one class.
#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<Lane, VecDeque<Waiter>>,
    /// Every lane that somebody stands in, the one whose turn it is first.
    turns: VecDeque<Lane>,
    /// Since the last lane had its turn one more has gone before the others.
    has_cut_in: bool,
    /// The lane that goes before the others.
    cutter: Option<Lane>,
    /// Everybody who stands here, those who have left included.
    len: usize,
}

impl Queue {
    pub(super) fn push(&mut self, lane: &Lane, waiter: Waiter) {
        let waiters = self.lanes.entry(lane.clone()).or_insert_with(|| {
            if self.has_cut_in {
                self.turns.push_back(lane.clone());
            } else {
                self.turns.push_front(lane.clone());
                self.cutter = Some(lane.clone());
                self.has_cut_in = true;
            }
            VecDeque::new()
        });
        waiters.push_back(waiter);
        self.len += 1;
    }

    /// How many tokens could be used together: one alone where a lane goes before the others, so that it does not wait for
    /// more; else as many as there are waiters, some of whom may have left.
    pub(super) fn wanted(&self) -> usize {
        if self.cutter.is_some() { 1 } else { self.len }
    }

    /// Who is next. Those who have left are dropped on the way.
    pub(super) fn first(&mut self, places: &Places) -> Option<&Waiter> {
        while let Some(waiters) = self.lanes.get_mut(self.turns.front()?) {
            let before = waiters.len();
            while waiters
                .front()
                .is_some_and(|first| first.who.has_left(places))
            {
                waiters.pop_front();
            }
            self.len -= before - waiters.len();
            if !waiters.is_empty() {
                break;
            }
            self.end_turn();
        }
        self.lanes.get(self.turns.front()?)?.front()
    }

    /// Takes out who is next; then it is the next lane's turn.
    pub(super) fn pop(&mut self, places: &Places) -> Option<Waiter> {
        self.first(places)?;
        let waiter = self.lanes.get_mut(self.turns.front()?)?.pop_front();
        self.len -= usize::from(waiter.is_some());
        if self.cutter.take().as_ref() != self.turns.front() {
            self.has_cut_in = false;
        }
        self.end_turn();
        waiter
    }

    /// Forgets those who have left, once they are many.
    pub(super) fn tidy(&mut self, places: &Places) {
        if self.len <= 2 * places.len() + LEAVERS_MAX {
            return;
        }
        self.lanes.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.who.has_left(places));
            !waiters.is_empty()
        });
        let lanes = &self.lanes;
        self.turns.retain(|lane| lanes.contains_key(lane));
        self.len = lanes.values().map(VecDeque::len).sum();
    }

    fn end_turn(&mut self) {
        let Some(lane) = self.turns.pop_front() else {
            return;
        };
        if self.lanes.get(&lane).is_some_and(VecDeque::is_empty) {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::clock;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn stand(queue: &mut Queue, places: &mut Places, lane: &str, name: &str) {
        let since = clock::now();
        let place = Place {
            class: super::super::Class::Sweep,
            lane: lane.into(),
            number: 7,
            since,
        };
        places.insert(user(name), place);
        let who = Who::User(user(name), 7);
        queue.push(&lane.into(), Waiter { who });
    }

    #[test]
    fn those_who_leave_from_behind_one_who_stays_are_forgotten_and_the_turns_go_on() {
        let (mut queue, mut places) = (Queue::default(), Places::new());
        stand(&mut queue, &mut places, "a", "first");
        // From behind the first, and from a lane that nobody is left in.
        for number in 0..LEAVERS_MAX {
            let lane = if number % 2 == 0 { "a" } else { "gone" };
            stand(&mut queue, &mut places, lane, &format!("u{number}"));
        }
        for number in 0..LEAVERS_MAX {
            places.remove(&user(&format!("u{number}")));
        }
        stand(&mut queue, &mut places, "a", "second");
        queue.tidy(&places);
        assert_eq!(queue.len, 2 + LEAVERS_MAX, "few enough to be left alone");
        stand(&mut queue, &mut places, "b", "third");
        for name in ["w", "x", "y", "z"] {
            stand(&mut queue, &mut places, "gone", name);
            places.remove(&user(name));
        }
        queue.tidy(&places);
        assert_eq!((queue.len, queue.turns.len(), queue.lanes.len()), (3, 2, 2));
        let order: Vec<_> = std::iter::from_fn(|| match queue.pop(&places)?.who {
            Who::User(user, _) => Some(user.as_str().to_owned()),
            Who::Call(_) => None,
        })
        .collect();
        assert_eq!(order, ["first", "third", "second"]);
        assert_eq!((queue.len, queue.lanes.len()), (0, 0));
    }
}
