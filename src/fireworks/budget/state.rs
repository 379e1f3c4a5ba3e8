//! The state behind the budget: the bucket, the window, what blocks, and who waits where. Pure: every
//! time is a parameter. What a permit is and how a grant travels is the budget's.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Because, CLASSES, Class, LEAVERS_MAX, PROBE_EVERY, Permit, STARVED_AFTER, WINDOW};
use crate::fireworks::wire::UserId;

pub(super) struct State {
    pub(super) per_minute: u32,
    pub(super) burst: f64,
    pub(super) tokens: f64,
    pub(super) refilled: Instant,
    pub(super) sent: VecDeque<Instant>,
    pub(super) paused_until: Option<Instant>,
    pub(super) refused: Option<Refused>,
    pub(super) queues: [VecDeque<Waiter>; CLASSES],
    /// Where each waiting user stands. A waiter of a queue with another number has left it.
    pub(super) places: HashMap<UserId, Place>,
    pub(super) numbers: u64,
    pub(super) granted: HashMap<UserId, Instant>,
}

pub(super) struct Refused {
    pub(super) key_version: u64,
    pub(super) next_probe: Instant,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) class: Class,
    pub(super) number: u64,
    pub(super) since: Instant,
}

pub(super) struct Waiter {
    pub(super) since: Instant,
    pub(super) who: Who,
}

pub(super) enum Who {
    User(UserId, u64),
    Call(oneshot::Sender<Permit>),
}

impl Who {
    pub(super) fn has_left(&self, places: &HashMap<UserId, Place>) -> bool {
        match self {
            Self::User(user, number) => {
                places.get(user).is_none_or(|place| place.number != *number)
            }
            Self::Call(grant) => grant.is_closed(),
        }
    }
}

impl State {
    /// What stops every call now, and until when.
    pub(super) fn blocked(&self, now: Instant) -> Option<(Because, Instant)> {
        let pause = self.paused_until.filter(|until| now < *until);
        let refusal = self
            .refused
            .as_ref()
            .filter(|refused| now < refused.next_probe);
        pause
            .map(|until| (Because::Paused, until))
            .or_else(|| refusal.map(|refused| (Because::KeyRefused, refused.next_probe)))
    }

    /// A call leaves: while the key is refused it is the probe of this minute.
    pub(super) fn probed(&mut self, now: Instant) {
        if let Some(refused) = self.refused.as_mut() {
            refused.next_probe = now + PROBE_EVERY;
        }
    }

    /// Whether nobody more urgent waits, and nobody as urgent for longer.
    pub(super) fn nobody_ahead(&mut self, user: &UserId, class: Class) -> bool {
        self.drop_leavers();
        let (ahead, beside) = self.queues.split_at(class as usize);
        let first = beside.first().and_then(VecDeque::front);
        let own = |first: &Waiter| matches!(&first.who, Who::User(other, _) if other == user);
        ahead.iter().all(VecDeque::is_empty) && first.is_none_or(own)
    }

    /// The class whose turn it is: one that starved first, else the most urgent.
    pub(super) fn next_class(&mut self, now: Instant) -> Option<usize> {
        self.drop_leavers();
        let starved = |queue: &VecDeque<Waiter>| {
            queue
                .front()
                .is_some_and(|first| now.duration_since(first.since) > STARVED_AFTER)
        };
        let urgent = self.queues.iter().position(|queue| !queue.is_empty())?;
        Some(self.queues.iter().rposition(starved).unwrap_or(urgent))
    }

    /// Whoever stands first in a queue still wants to be there.
    pub(super) fn drop_leavers(&mut self) {
        let Self { queues, places, .. } = self;
        for queue in queues {
            while queue
                .front()
                .is_some_and(|first| first.who.has_left(places))
            {
                queue.pop_front();
            }
        }
    }

    pub(super) fn take_token(&mut self, now: Instant) -> bool {
        self.refill(now);
        let in_flight = self.sent.len() + self.granted.len();
        if self.tokens < 1.0 || in_flight >= self.per_minute as usize {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    pub(super) fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        if !elapsed.is_zero() {
            self.tokens = (self.tokens + elapsed.as_secs_f64() * self.per_second()).min(self.burst);
            self.refilled = now;
        }
        while self
            .sent
            .front()
            .is_some_and(|first| now.duration_since(*first) >= WINDOW)
        {
            self.sent.pop_front();
        }
    }

    pub(super) fn next_token_at(&self, now: Instant) -> Instant {
        let missing = (1.0 - self.tokens).max(0.0) / self.per_second();
        let refilled =
            now.max(self.refilled) + Duration::from_secs_f64(missing) + Duration::from_millis(1);
        match self.sent.front() {
            Some(first) if self.sent.len() + self.granted.len() >= self.per_minute as usize => {
                refilled.max(*first + WINDOW)
            }
            _ => refilled,
        }
    }

    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.per_minute) / WINDOW.as_secs_f64()
    }

    pub(super) fn enqueue(&mut self, user: &UserId, class: Class, now: Instant) -> Instant {
        let known = self.places.get(user).copied();
        if let Some(place) = known.filter(|place| place.class <= class) {
            return place.since;
        }
        // One that became more urgent moves, and keeps the time it has waited.
        let since = known.map_or(now, |place| place.since);
        self.numbers += 1;
        let place = Place {
            class,
            number: self.numbers,
            since,
        };
        self.places.insert(user.clone(), place);
        let who = Who::User(user.clone(), place.number);
        let queue = &mut self.queues[class as usize];
        if queue.len() > 2 * self.places.len() + LEAVERS_MAX {
            let places = &self.places;
            queue.retain(|waiter| !waiter.who.has_left(places));
        }
        queue.push_back(Waiter { since, who });
        since
    }

    pub(super) fn expire_grants(&mut self, now: Instant) {
        let before = self.granted.len();
        self.granted.retain(|_, expires| now < *expires);
        let expired = u32::try_from(before - self.granted.len()).unwrap_or(u32::MAX);
        self.tokens = (self.tokens + f64::from(expired)).min(self.burst);
    }
}
