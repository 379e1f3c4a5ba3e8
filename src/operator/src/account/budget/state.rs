//! The state behind the budget: the bucket, the window, what blocks, and who waits where. Pure: every
//! time is a parameter. What a permit is and how a grant travels is the budget's.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use fireworks_api::wire::UserId;
use fireworks_core::time::Moment;
use tokio::sync::oneshot;

use super::pace::Pace;
use super::queue::{Lane, Place, Places, Queue, Waiter, Who};
use super::suspension::Suspended;
use super::turns::Turns;
use super::{Because, CLASSES, Class, GRANT_LIFETIME, MINUTE, PROBE_EVERY, Permit, WINDOW};

/// Tokens that come faster are handed out a few at a time: to be woken costs the process more than a call.
const TOGETHER: Duration = Duration::from_millis(100);

pub(super) struct State {
    pub(super) per_minute: u32,
    pub(super) pace: Pace,
    pub(super) burst: f64,
    pub(super) tokens: f64,
    pub(super) refilled: Moment,
    pub(super) sent: VecDeque<Moment>,
    pub(super) paused_until: Option<Moment>,
    pub(super) refused: Option<Refused>,
    pub(super) suspended: Option<Suspended>,
    /// A read of the account itself, which goes before all others.
    pub(super) account_read: Option<oneshot::Sender<Permit>>,
    pub(super) queues: [Queue; CLASSES],
    pub(super) places: Places,
    pub(super) numbers: u64,
    pub(super) turns: Turns,
    pub(super) granted: HashMap<UserId, Grant>,
    /// Permits that are neither spent nor dropped.
    pub(super) held: usize,
}

pub(super) struct Refused {
    pub(super) key_version: u64,
    pub(super) next_probe: Moment,
}

/// A permit that waits for its user.
pub(super) struct Grant {
    pub(super) expires: Moment,
    pub(super) probe: Option<Probe>,
}

/// The right to ask whether the key is still refused, or the account still suspended.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    /// The version of the key, and when the probe was due.
    of_key: Option<(u64, Moment)>,
    /// When the probe was due.
    of_account: Option<Moment>,
}

impl State {
    /// What stops every call now, and until when.
    pub(super) fn blocked(&self, now: Moment) -> Option<(Because, Moment)> {
        let pause = self.paused_until.filter(|until| now < *until);
        let refusal = self
            .refused
            .as_ref()
            .filter(|refused| now < refused.next_probe);
        pause
            .map(|until| (Because::Paused, until))
            .or_else(|| refusal.map(|refused| (Because::KeyRefused, refused.next_probe)))
    }

    /// A call leaves: while the key is refused, or the account suspended, it is the probe of this minute.
    pub(super) fn probed(&mut self, is_change: bool, now: Moment) -> Option<Probe> {
        let suspended = self.suspended.as_mut();
        let suspended = suspended.filter(|suspended| is_change || suspended.reads);
        let of_account = suspended
            .map(|suspended| std::mem::replace(&mut suspended.next_probe, now + PROBE_EVERY));
        let of_key = self.refused.as_mut().map(|refused| {
            let due = std::mem::replace(&mut refused.next_probe, now + PROBE_EVERY);
            (refused.key_version, due)
        });
        (of_account.is_some() || of_key.is_some()).then_some(Probe { of_key, of_account })
    }

    /// A probe that was not sent is due again, unless the key was refused once more since.
    pub(super) fn put_probe_back(&mut self, probe: Option<Probe>) {
        let Some(Probe { of_key, of_account }) = probe else {
            return;
        };
        if let (Some(suspended), Some(due)) = (self.suspended.as_mut(), of_account) {
            suspended.next_probe = suspended.next_probe.min(due);
        }
        if let (Some(refused), Some((key_version, due))) = (self.refused.as_mut(), of_key)
            && refused.key_version == key_version
        {
            refused.next_probe = refused.next_probe.min(due);
        }
    }

    /// Whether it is that user's turn, were it to wait in that class: nobody of its class is before it.
    pub(super) fn is_next(&mut self, user: &UserId, class: Class) -> bool {
        let mut waits = self.waits();
        if let Some(own) = waits.get_mut(class as usize) {
            *own = true;
        }
        let Self { queues, places, .. } = self;
        let first = queues
            .get_mut(class as usize)
            .and_then(|queue| queue.first(places));
        let is_own = |first: &Waiter| matches!(&first.who, Who::User(other, _) if other == user);
        first.is_none_or(is_own) && self.turns.next(waits) == Some(class as usize)
    }

    /// The class whose turn it is.
    pub(super) fn next_class(&mut self) -> Option<usize> {
        let waits = self.waits();
        self.turns.next(waits)
    }

    /// A call of that class has a token.
    pub(super) fn went(&mut self, class: usize) {
        let waits = self.waits();
        self.turns.went(class, waits);
    }

    /// In which classes somebody waits.
    fn waits(&mut self) -> [bool; CLASSES] {
        let Self { queues, places, .. } = self;
        queues.each_mut().map(|queue| queue.first(places).is_some())
    }

    pub(super) fn pop(&mut self, class: usize) -> Option<Waiter> {
        self.queues.get_mut(class)?.pop(&self.places)
    }

    pub(super) fn take_token(&mut self, now: Moment) -> bool {
        self.refill(now);
        if self.tokens < 1.0 || self.window_is_full() {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// A call that has a grant or a permit may leave at any time.
    fn window_is_full(&self) -> bool {
        self.sent.len() + self.granted.len() + self.held >= self.per_minute as usize
    }

    /// A token that nobody used. After a 429 the bucket holds less.
    pub(super) fn put_token_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    pub(super) fn refill(&mut self, now: Moment) {
        let elapsed = now.saturating_duration_since(self.refilled);
        if !elapsed.is_zero() {
            let burst = (self.burst * self.pace.share(now)).max(1.0);
            let gained = elapsed.as_secs_f64() * self.per_second(now);
            self.tokens = (self.tokens + gained).min(burst);
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

    /// When to look again for tokens for that class.
    pub(super) fn next_token_at(&mut self, class: usize, now: Moment) -> Moment {
        let per_second = self.per_second(now);
        let together = (per_second * TOGETHER.as_secs_f64())
            .min(self.wanted(class))
            .max(1.0);
        let missing = (together - self.tokens).max(0.0) / per_second;
        let refilled =
            now.max(self.refilled) + Duration::from_secs_f64(missing) + Duration::from_millis(1);
        match self.sent.front() {
            Some(first) if self.window_is_full() => refilled.max(*first + WINDOW),
            // All of it is grants and permits: when one of them goes, that is told.
            None if self.window_is_full() => now + GRANT_LIFETIME,
            _ => refilled,
        }
    }

    /// So many tokens that class could use.
    fn wanted(&self, class: usize) -> f64 {
        let waiters = self.queues.get(class).map_or(0, Queue::wanted);
        u32::try_from(waiters).map_or(f64::MAX, f64::from)
    }

    fn per_second(&mut self, now: Moment) -> f64 {
        self.pace.rate(now) / MINUTE.as_secs_f64()
    }

    pub(super) fn enqueue(
        &mut self,
        user: &UserId,
        lane: &Lane,
        class: Class,
        now: Moment,
    ) -> Moment {
        let known = self.places.get(user);
        if let Some(place) = known.filter(|place| place.class <= class) {
            return place.since;
        }
        // One that became more urgent moves, and keeps the time it has waited.
        let since = known.map_or(now, |place| place.since);
        let number = self.next_number();
        let place = Place {
            class,
            lane: lane.clone(),
            number,
            since,
        };
        self.places.insert(user.clone(), place);
        if self.suspended.is_some() {
            return since;
        }
        let who = Who::User(user.clone(), number);
        let Self { queues, places, .. } = self;
        if let Some(queue) = queues.get_mut(class as usize) {
            queue.tidy(places);
            queue.push(lane, Waiter { who });
        }
        since
    }

    pub(super) fn expire_grants(&mut self, now: Moment) {
        let expired: Vec<Grant> = self
            .granted
            .extract_if(|_, grant| grant.expires <= now)
            .map(|(_, grant)| grant)
            .collect();
        for grant in expired {
            self.put_token_back();
            self.put_probe_back(grant.probe);
        }
    }
}
