//! What the operator holds of the account: the production `Account`, changed event by event.
//!
//! An account is copied from the table, one method of it is called, and its canonical form is entered; since it
//! is a function of its content and the call, each such step is computed once and remembered. Times
//! are made relative: what matters is in which tick something happened (a tick is a little longer than
//! the settle window and a little shorter than the sweep period) and in which order within the tick.

use std::time::Duration;

use fireworks_api::error::{Attempt, Effect, Error, Kind};
use fireworks_core::account::Listing;
use fireworks_core::account::denials::Denials;
use fireworks_core::account::limiter::Next;
use fireworks_core::account::limiter::suspension::Name;
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::updates::Answer;
use fireworks_core::account::{Account, Class, Failure, Sighting};
use fireworks_core::time::Moment;

use crate::operator::{Done, Tables};
use crate::reconcile::number;
use crate::state::Stamp;
use crate::value::{Body, MANY, Phase, Remote, user_id, user_number};

/// A tick.
pub(crate) const TICK: Duration = Duration::from_micros(TICK_MICROS.unsigned_abs());
const TICK_MICROS: i64 = 290_000_000;
/// The moment of an event within its tick, before it gets its rank.
const NOW: i64 = 900;
const RANK: i64 = 10;
/// What happened longer ago counts as that long ago.
const OLDEST: i64 = -4;
/// The pause that is made where none is asked for.
const PAUSE: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_mins(1);
/// The stamp of what happens now.
pub(crate) const STAMP_NOW: Stamp = u8::MAX;
/// The settle window: whatever happens a tick later is beyond it.
pub(crate) const SETTLE: Duration = Duration::from_millis(289_999);
pub(crate) const SWEEP: Duration = Duration::from_millis(290_001);

/// Something that happens to the account and concerns no reconciliation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Event {
    Read(u8, Remote, Stamp),
    NotFound(u8, Stamp),
    ReadFailed(u8, Stamp, Failing),
    /// The user may not be read.
    ReadRefused(u8, Stamp),
    Listed([Option<Remote>; MANY], Stamp),
    ListFailed(Failing),
    PauseEnds,
    /// A minute passes for the limiter.
    MinuteEnds,
    /// The state of the suspended account was read.
    AccountRead,
    KeyAccepted,
    NewKey,
    Tick,
    /// The account is asked for the request that makes a user admin again.
    Restore,
    /// That request was answered.
    Restored(u8, Remote),
    /// Something happens elsewhere now.
    Nothing,
}

/// Why a read fails.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Failing {
    Outage,
    Key,
    Suspended,
}

/// What is known of one user.
pub(crate) struct Known {
    /// Nothing is known of it yet.
    pub(crate) is_unseen: bool,
    pub(crate) unsettled: bool,
    /// A read of it is asked for.
    pub(crate) is_requested: bool,
    /// As the model has it.
    pub(crate) seen: Option<Remote>,
}

impl Known {
    /// What is known of the user in that account.
    pub(crate) fn of(account: &Account, user: u8) -> Self {
        let user = user_id(usize::from(user));
        let view = account.view(&user, instant(NOW));
        let is_requested = account.is_requested(&user);
        let is_unseen = account.unseen().contains(&user);
        let seen = match &view.sighting {
            Sighting::Seen { user, .. } => Some(Remote::of(user)),
            Sighting::Absent => Some(Remote {
                phase: Phase::Absent,
                ..Remote::default()
            }),
            Sighting::Never | Sighting::Suspected => None,
        };
        let unsettled = view.settles_at.is_some();
        Self {
            is_unseen,
            unsettled,
            is_requested,
            seen,
        }
    }
}

/// The production time of a stamp.
pub(crate) fn at(stamp: Stamp) -> Moment {
    instant(offset(stamp))
}

/// The time of whatever happens now.
pub(crate) fn now() -> Moment {
    instant(NOW)
}

const fn epoch() -> Moment {
    Moment::from_micros(1 << 42)
}

/// Microseconds since the beginning of this tick.
fn micros(at: Moment) -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    if at >= epoch() {
        micros(at - epoch())
    } else {
        -micros(epoch() - at)
    }
}

fn instant(micros: i64) -> Moment {
    let span = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        epoch() - span
    } else {
        epoch() + span
    }
}

impl Tables {
    /// One step of the account.
    pub(crate) fn account_step(
        &self,
        account: u32,
        key: u8,
        event: Event,
        mut stamps: [Stamp; 4],
    ) -> Done {
        let mut account = Account::clone(&self.accounts.get(account));
        account.key_version = u64::from(key);
        let restore = self.happen(&mut account, key, event);
        let passed = if event == Event::Tick { TICK_MICROS } else { 0 };
        let requeue = self.settle(&mut account, &mut stamps, passed);
        Done {
            account: self.accounts.number(account),
            stamps,
            requeue,
            restore,
            ..Done::default()
        }
    }

    /// Returns the user that is to be made admin again, and how, where the account was asked for it.
    fn happen(&self, account: &mut Account, key: u8, event: Event) -> Option<(u8, Body)> {
        let (now, key_version) = (now(), u64::from(key));
        let id = |user: u8| user_id(usize::from(user));
        let sent = |stamp| SentAt {
            at: at(stamp),
            key_version,
        };
        let read_failed = |failing| {
            let kind = match failing {
                Failing::Outage => Kind::Transient,
                Failing::Key => Kind::Unauthenticated,
                Failing::Suspended => Kind::AccountSuspended,
            };
            failed_call(kind, Effect::None, key)
        };
        match event {
            Event::Read(user, remote, stamp) => {
                let answer = remote.answer(usize::from(user), self.timed);
                account.apply(Response::User(id(user), Ok(answer)), sent(stamp), now);
            }
            Event::NotFound(user, stamp) => {
                let error = failed_call(Kind::NotFound, Effect::None, key);
                account.apply(Response::User(id(user), Err(error)), sent(stamp), now);
            }
            Event::ReadRefused(user, stamp) => {
                let error = failed_call(Kind::Denied, Effect::None, key);
                account.apply(Response::User(id(user), Err(error)), sent(stamp), now);
            }
            Event::ReadFailed(user, stamp, failing) => {
                let error = read_failed(failing);
                account.apply(Response::User(id(user), Err(error)), sent(stamp), now);
            }
            Event::Listed(rows, stamp) => self.listed(account, rows, at(stamp)),
            Event::ListFailed(failing) => {
                let limiter = &mut account.limiter;
                match failing {
                    Failing::Outage => {}
                    Failing::Key => limiter.key_refused(key_version, key_version, now),
                    Failing::Suspended => {
                        let _ = limiter.account_suspended(false, now);
                    }
                }
                account.fail_list(Failure::from(&read_failed(failing)), now);
            }
            Event::MinuteEnds => account.limiter.rebase(now + MINUTE, |at| at - MINUTE),
            Event::AccountRead => {
                let state = Ok(Some("OVERDUE".to_owned()));
                account.apply(Response::Account(state), sent(STAMP_NOW), now);
            }
            Event::PauseEnds => account.limiter.rebase(now + PAUSE, |at| at - PAUSE),
            Event::KeyAccepted => account.limiter.key_accepted(key_version),
            Event::NewKey => account.key_changed(key_version, now),
            Event::Restore => return next_restore(account),
            Event::Restored(user, remote) => {
                let answer = Answer {
                    result: Ok(remote.answer(usize::from(user), self.timed)),
                    key_version,
                };
                let _ = account.end_restore(&id(user), answer, now);
            }
            Event::Tick | Event::Nothing => {}
        }
        None
    }

    /// A list shows those users.
    fn listed(&self, account: &mut Account, rows: [Option<Remote>; MANY], sent_at: Moment) {
        if account.limiter.account_serves(false) {
            account.retry_now(now());
        }
        let mut listing = Listing::new(sent_at);
        listing.counts(0);
        let users = (0usize..)
            .zip(rows)
            .filter_map(|(user, row)| Some(row?.answer(user, self.timed)));
        account.apply_page(&mut listing, users.collect(), sent_at);
        account.finish_list(&listing, now());
    }

    /// Brings the account into its canonical form, so much later. Returns the users whose objects are to be requeued,
    /// as bits.
    pub(crate) fn settle(&self, account: &mut Account, stamps: &mut [Stamp; 4], passed: i64) -> u8 {
        if !self.denies {
            account.denials = Denials::default();
        }
        if !self.scenario.shared {
            account.forget_checks();
        }
        let mut requeue = 0;
        while let Next::Change(user) = account.limiter.next_grant(now()) {
            requeue |= 1 << user_number(&user);
        }
        let signals = account.take_signals();
        for user in signals.requeue.iter().chain(&signals.granted) {
            requeue |= 1 << user_number(user);
        }
        settle_times(account, stamps, passed);
        requeue
    }
}

/// Takes the request that makes a user admin again. Other requests are modelled without the account.
fn next_restore(account: &mut Account) -> Option<(u8, Body)> {
    let mut restore = None;
    while let Todo::Send(request) = account.next_request(now()) {
        if let Request::Restore(repair) = request {
            restore = Some((number(user_number(&repair.user)), Body::of(&repair.patch)));
        }
    }
    restore
}

/// Whether a list is asked for, for more than the sweep.
pub(crate) fn awaits_list(account: &Account) -> bool {
    let schedule = account.clone().schedule(now());
    schedule.list.is_some_and(|class| class < Class::Sweep)
}

/// Whether the state of the suspended account is being read.
pub(crate) fn reads_account(account: &Account) -> bool {
    account.limiter.suspension() == Some(Name::Asked)
}

/// Gives every time its place: the tick, and the rank among all times of that tick.
fn settle_times(account: &mut Account, stamps: &mut [Stamp; 4], passed: i64) {
    let own = stamps.iter().filter(|stamp| **stamp != 0);
    let mut all: Vec<i64> = own.map(|stamp| offset(*stamp) - passed).collect();
    account.rebase(|at| {
        all.push(micros(at) - passed);
        at
    });
    all.sort_unstable();
    all.dedup();
    let placed = |micros: i64| {
        let place = place(micros);
        let before = all
            .iter()
            .filter(|one| **one < micros && self::place(**one) == place);
        (place, i64::try_from(before.count()).unwrap_or(i64::MAX))
    };
    account.rebase(|at| {
        let ((tick, early), rank) = placed(micros(at) - passed);
        let start = if early { -1_000 } else { 0 };
        instant(tick * TICK_MICROS + start + rank * RANK)
    });
    // Time passes for the limiter by events of its own.
    account.limiter.rebase(now(), |at| at);
    for stamp in stamps.iter_mut().filter(|stamp| **stamp != 0) {
        let ((tick, _), rank) = placed(offset(*stamp) - passed);
        *stamp = u8::try_from(1 - tick * 16 + rank).unwrap_or(STAMP_NOW);
    }
}

/// The tick, and whether it is the moment right before it where settle windows end.
fn place(micros: i64) -> (i64, bool) {
    let tick = (micros + TICK_MICROS / 2).div_euclid(TICK_MICROS);
    (tick.max(OLDEST), micros < tick * TICK_MICROS)
}

fn offset(stamp: Stamp) -> i64 {
    if stamp == STAMP_NOW {
        return NOW;
    }
    let number = i64::from(stamp) - 1;
    -(number / 16) * TICK_MICROS + number % 16 * RANK
}

/// Ticks since then.
pub(crate) fn age(stamp: Stamp) -> u8 {
    if stamp == STAMP_NOW {
        0
    } else {
        stamp.saturating_sub(1) / 16
    }
}

/// The error of a call with that key.
pub(crate) fn failed_call(kind: Kind, effect: Effect, key: u8) -> Error {
    let mutates = effect == Effect::Unknown;
    Attempt::new("call", mutates, key.into()).failed(kind, effect, None, "as the test asked")
}
