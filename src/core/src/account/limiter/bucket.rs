//! The token bucket, bounded by a sliding window, and the pauses that the server asks for. Knows neither requests nor queues.

use std::collections::VecDeque;
use std::time::Duration;

use super::rate::{CALL_A_MINUTE, Rate};
use crate::time::Moment;

/// No window of this length contains more calls than the limit. A second longer than what is promised: calls take
/// different times to arrive, and the server counts them when they do.
pub(super) const WINDOW: Duration = Duration::from_secs(61);
/// Calls that may leave at once after an idle time.
pub(super) const BURST: u32 = 60;
/// The pause after a 429 without a usable `Retry-After`.
pub(super) const PAUSE_DEFAULT: Duration = Duration::from_secs(5);
/// The longest pause, whatever the server asks for.
pub(super) const PAUSE_MAX: Duration = Duration::from_mins(10);
/// Tokens that come faster are granted several at a time: a wake-up costs the process more than a call.
const TOGETHER_MICROS: u128 = 100_000;
/// Added to each time at which a token is due.
const SLACK: Duration = Duration::from_millis(1);
/// One token, in units: what a rate of one unit yields in a microsecond. Nothing is rounded when a bucket is refilled.
const TOKEN: u128 = 60_000_000 * CALL_A_MINUTE as u128;

/// The tokens of one account. Those are kept in units, see [`TOKEN`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Bucket {
    per_minute: u32,
    pub(super) rate: Rate,
    tokens: u128,
    refilled: Moment,
    /// The calls of the last [`WINDOW`].
    sent: VecDeque<Moment>,
    paused_until: Option<Moment>,
}

impl Bucket {
    /// Returns a full bucket.
    pub(super) fn new(per_minute: u32, now: Moment) -> Self {
        Self {
            per_minute,
            rate: Rate::new(per_minute, now),
            tokens: capacity(per_minute),
            refilled: now,
            sent: VecDeque::new(),
            paused_until: None,
        }
    }

    /// Takes a token. `reserved` is the number of tokens taken before and not spent: each of those calls may leave at any time.
    pub(super) fn take(&mut self, reserved: usize, now: Moment) -> bool {
        self.refill(now);
        if self.tokens < TOKEN || self.is_window_full(reserved) {
            return false;
        }
        self.tokens -= TOKEN;
        true
    }

    /// Puts an unspent token back. After a 429 the bucket holds less.
    pub(super) fn put_back(&mut self) {
        self.tokens = (self.tokens + TOKEN).min(capacity(self.per_minute));
    }

    /// Records that a call leaves; `false` if a pause forbids it.
    pub(super) fn spend(&mut self, now: Moment) -> bool {
        let may_leave = self.paused_until(now).is_none();
        if may_leave {
            self.sent.push_back(now);
        }
        may_leave
    }

    /// Returns when a call that needs no more than `useful` tokens together is to ask for one again.
    pub(super) fn next_at(&self, useful: usize, reserved: usize, now: Moment) -> Moment {
        let rate = u128::from(self.rate.at(now)).max(1);
        let together = (rate * TOGETHER_MICROS)
            .min(TOKEN * useful as u128)
            .max(TOKEN);
        let micros = together.saturating_sub(self.tokens).div_ceil(rate);
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let refilled = now.max(self.refilled) + Duration::from_micros(micros) + SLACK;
        match self.sent.front() {
            Some(first) if self.is_window_full(reserved) => refilled.max(*first + WINDOW),
            // All of the window is reserved: a token that is put back is granted at once.
            None if self.is_window_full(reserved) => now + super::GRANT_LIFETIME,
            _ => refilled,
        }
    }

    /// Begins a pause, unless a longer one has begun.
    pub(super) fn pause(&mut self, wait: Option<Duration>, now: Moment) {
        let until = now + wait.unwrap_or(PAUSE_DEFAULT).min(PAUSE_MAX);
        if self.paused_until.is_none_or(|old| old < until) {
            self.paused_until = Some(until);
            // No burst when it ends: the bucket is empty then.
            self.tokens = 0;
            self.refilled = until;
            self.rate.rest(now, until);
        }
    }

    /// Halves the rate, and begins a pause.
    pub(super) fn throttle(&mut self, wait: Option<Duration>, now: Moment) {
        self.rate.throttle(now);
        self.pause(wait, now);
    }

    /// Returns the end of the pause, if there is one at `now`.
    pub(super) fn paused_until(&self, now: Moment) -> Option<Moment> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Takes part in [`Limiter::rebase`](super::Limiter::rebase): a bucket is as full as at the beginning, but for its pause.
    pub(super) fn rebase(&mut self, now: Moment, mut place: impl FnMut(Moment) -> Moment) {
        *self = Self {
            paused_until: self.paused_until(now).map(&mut place),
            ..Self::new(self.per_minute, place(now))
        };
    }

    fn refill(&mut self, now: Moment) {
        let elapsed = now - self.refilled;
        if !elapsed.is_zero() {
            let rate = u128::from(self.rate.at(now));
            let limit = u128::from(self.per_minute) * u128::from(CALL_A_MINUTE);
            let capacity = capacity(self.per_minute) * rate / limit.max(1);
            self.tokens = (self.tokens + elapsed.as_micros() * rate).min(capacity.max(TOKEN));
            self.refilled = now;
        }
        let is_over = |first: &Moment| now - *first >= WINDOW;
        while self.sent.front().is_some_and(is_over) {
            self.sent.pop_front();
        }
    }

    fn is_window_full(&self, reserved: usize) -> bool {
        self.sent.len() + reserved >= self.per_minute as usize
    }
}

/// Returns the units of a full bucket at the full rate.
fn capacity(per_minute: u32) -> u128 {
    TOKEN * u128::from(per_minute.min(BURST))
}
