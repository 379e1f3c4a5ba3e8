//! What the operator believes of the remote: the production `Directory`, driven event by event.
//!
//! A directory is copied from the table, one method of it is called, and its canonical form is entered; since it
//! is a function of its content and the call, each such step is computed once and remembered. Times
//! are made relative: what matters is in which tick something happened (a tick is a little longer than
//! the settle window and a little shorter than the sweep period) and in which order within the tick.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use fireworks_api::error::{Attempt, Effect, Error, Kind};
use fireworks_core::account::directory::{Directory, Listing, Times, UpdateInFlight};
use fireworks_core::account::{Class, Failure, OtherAdmins, Sighting, View};
use fireworks_core::time::Moment;
use rustc_hash::FxHashMap;

use crate::state::{Stamp, State};
use crate::value::{Body, Life, MANY, Remote, user_id, user_number};

/// A tick, in microseconds.
const TICK: i64 = 290_000_000;
/// The moment of an event within its tick, before it gets its rank.
const NOW: i64 = 900;
const RANK: i64 = 10;
/// What happened longer ago counts as that long ago.
const OLDEST: i64 = -4;
/// The stamp of what happens now.
pub(crate) const STAMP_NOW: Stamp = u8::MAX;
/// The settle window: whatever happens a tick later is beyond it.
pub(crate) const SETTLE: Duration = Duration::from_millis(289_999);
const SWEEP: Duration = Duration::from_millis(290_001);

/// Something that the directory is told or asked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Event {
    Interest(u8, bool),
    Depart(u8, Body),
    Answered(u8, Body, Stamp, Remote),
    Refused(u8, Body, Stamp, bool),
    Lost(u8, Body, Stamp),
    Read(u8, Remote, Stamp),
    NotFound(u8, Stamp),
    ReadFailed(u8, Stamp),
    Listed([Option<Remote>; MANY], Stamp),
    ListFailed,
    /// A read is wanted, begun at so many microseconds from the beginning of this tick.
    RequestedRead(u8, u8, i64),
    WantList(u8),
    /// By a list begun at so many microseconds from the beginning of this tick, or later.
    OtherAdmins(u8, i64),
    Tick,
    /// Something happens elsewhere now.
    Nothing,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
struct AppliedUpdate {
    beliefs: u32,
    stamps: [Stamp; 4],
    /// Users whose objects want another look, as bits.
    looks: u8,
    others: Option<OtherAdmins>,
}

/// What is known of one user.
pub(crate) struct Known {
    pub(crate) view: View,
    /// As the model has it.
    pub(crate) seen: Option<Remote>,
}

/// The table of all directories met.
pub(crate) struct Beliefs {
    timed: bool,
    epoch: Moment,
    numbers: Mutex<FxHashMap<Arc<Directory>, u32>>,
    table: RwLock<Vec<Arc<Directory>>>,
}

/// The table as one thread uses it.
pub(crate) struct Believer<'a> {
    shared: &'a Beliefs,
    steps: FxHashMap<(u32, Event, [Stamp; 4]), AppliedUpdate>,
    known: FxHashMap<(u32, u8), Arc<Known>>,
}

impl Beliefs {
    /// A table; `timed`: users have an `updateTime`.
    pub(crate) fn new(timed: bool) -> Self {
        Self {
            timed,
            epoch: Moment::default() + Duration::from_hours(1000),
            numbers: Mutex::default(),
            table: RwLock::default(),
        }
    }

    /// The number of a directory that knows nothing, of a process that has just begun.
    pub(crate) fn empty(&self) -> u32 {
        let times = Times {
            settle_window: SETTLE,
            sweep_interval: SWEEP,
        };
        let mut directory = Directory::new(times, 0);
        directory.open();
        let _ = directory.take_signals();
        directory.rebase(|at| at);
        self.number(directory)
    }

    /// How many directories were met.
    pub(crate) fn len(&self) -> usize {
        self.table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The production time of a stamp.
    pub(crate) fn at(&self, stamp: Stamp) -> Moment {
        self.instant(offset(stamp))
    }

    /// The time of whatever happens now.
    pub(crate) fn now(&self) -> Moment {
        self.instant(NOW)
    }

    /// Microseconds since the beginning of this tick.
    pub(crate) fn micros(&self, at: Moment) -> i64 {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        if at >= self.epoch {
            micros(at - self.epoch)
        } else {
            -micros(self.epoch - at)
        }
    }

    fn instant(&self, micros: i64) -> Moment {
        let span = Duration::from_micros(micros.unsigned_abs());
        if micros < 0 {
            self.epoch - span
        } else {
            self.epoch + span
        }
    }

    fn number(&self, directory: Directory) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.get(&directory) {
            return *number;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let directory = Arc::new(directory);
        table.push(directory.clone());
        numbers.insert(directory, number);
        number
    }

    fn directory(&self, number: u32) -> Arc<Directory> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table[number as usize].clone()
    }

    /// One step of the production code.
    fn step(&self, beliefs: u32, event: Event, mut stamps: [Stamp; 4]) -> AppliedUpdate {
        let mut directory = Directory::clone(&self.directory(beliefs));
        let others = self.tell(&mut directory, event);
        let mut looks = 0;
        for user in directory.take_signals().requeue {
            looks |= 1 << user_number(&user);
        }
        let passed = if event == Event::Tick { TICK } else { 0 };
        self.settle_times(&mut directory, &mut stamps, passed);
        AppliedUpdate {
            beliefs: self.number(directory),
            stamps,
            looks,
            others,
        }
    }

    fn tell(&self, directory: &mut Directory, event: Event) -> Option<OtherAdmins> {
        let now = self.now();
        let id = |user: u8| user_id(usize::from(user));
        let update = |user, body: Body, sent| UpdateInFlight {
            user: id(user),
            patch: body.patch(),
            sent_at: self.at(sent),
        };
        let answer = |user: u8, remote: Remote| {
            let user = remote.answer(usize::from(user), self.timed);
            Arc::unwrap_or_clone(user)
        };
        match event {
            Event::Interest(user, interested) => directory.set_managed(&id(user), interested),
            Event::Depart(user, body) => {
                let _ = directory.begin_update(&id(user), &body.patch(), now);
            }
            Event::Answered(user, body, sent, remote) => {
                let _ = directory.succeeded(update(user, body, sent), answer(user, remote), now);
            }
            Event::Refused(user, body, sent, not_found) => {
                let kind = if not_found {
                    Kind::NotFound
                } else {
                    Kind::Rejected
                };
                directory.refused(update(user, body, sent), &failed_call(kind));
            }
            Event::Lost(user, body, sent) => {
                directory.outcome_unknown(update(user, body, sent), now);
            }
            Event::Read(user, remote, sent) => {
                directory.apply_read(answer(user, remote), self.at(sent));
            }
            Event::NotFound(user, sent) => {
                let error = failed_call(Kind::NotFound);
                directory.apply_failed_read(&id(user), &error, self.at(sent), now);
            }
            Event::ReadFailed(user, sent) => {
                let error = failed_call(Kind::Transient);
                directory.apply_failed_read(&id(user), &error, self.at(sent), now);
            }
            Event::Listed(rows, sent) => {
                let mut listing = Listing::new(self.at(sent));
                listing.counts(0);
                let users = (0..)
                    .zip(rows)
                    .filter_map(|(user, row)| Some(answer(user, row?)));
                directory.apply_page(&mut listing, users.collect(), self.at(sent));
                directory.finish_list(&listing, now);
            }
            Event::ListFailed => {
                let error = failed_call(Kind::Transient);
                directory.fail_list(Failure::from(&error), now);
            }
            Event::RequestedRead(user, class, micros) => {
                let class = if class == 0 {
                    Class::SpecChange
                } else {
                    Class::AbsenceCheck
                };
                let _ = directory.request_read(&id(user), class, self.instant(micros));
            }
            Event::WantList(user) => directory.request_list(&id(user), Class::SpecChange),
            Event::OtherAdmins(user, from) => {
                return Some(directory.other_admins(&id(user), self.instant(from), now));
            }
            Event::Tick | Event::Nothing => {}
        }
        None
    }

    /// Gives every time its place: the tick, and the rank among all times of that tick.
    fn settle_times(&self, directory: &mut Directory, stamps: &mut [Stamp; 4], passed: i64) {
        let own = stamps.iter().filter(|stamp| **stamp != 0);
        let mut all: Vec<i64> = own.map(|stamp| offset(*stamp) - passed).collect();
        directory.rebase(|at| {
            all.push(self.micros(at) - passed);
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
        directory.rebase(|at| {
            let ((tick, early), rank) = placed(self.micros(at) - passed);
            let start = if early { -1_000 } else { 0 };
            self.instant(tick * TICK + start + rank * RANK)
        });
        for stamp in stamps.iter_mut().filter(|stamp| **stamp != 0) {
            let ((tick, _), rank) = placed(offset(*stamp) - passed);
            *stamp = u8::try_from(1 - tick * 16 + rank).unwrap_or(STAMP_NOW);
        }
    }
}

/// The tick, and whether it is the moment right before it where settle windows end.
fn place(micros: i64) -> (i64, bool) {
    let tick = (micros + TICK / 2).div_euclid(TICK);
    (tick.max(OLDEST), micros < tick * TICK)
}

fn offset(stamp: Stamp) -> i64 {
    if stamp == STAMP_NOW {
        return NOW;
    }
    let number = i64::from(stamp) - 1;
    -(number / 16) * TICK + number % 16 * RANK
}

/// Ticks since then.
pub(crate) fn age(stamp: Stamp) -> u8 {
    if stamp == STAMP_NOW {
        0
    } else {
        stamp.saturating_sub(1) / 16
    }
}

/// The error of a call without effect.
fn failed_call(kind: Kind) -> Error {
    Attempt::new("call", false, 1).failed(kind, Effect::None, None, "as the test asked")
}

impl<'a> Believer<'a> {
    pub(crate) fn new(shared: &'a Beliefs) -> Self {
        Self {
            shared,
            steps: FxHashMap::default(),
            known: FxHashMap::default(),
        }
    }

    pub(crate) fn shared(&self) -> &'a Beliefs {
        self.shared
    }

    /// Tells the directory of an event. The users it announces, as bits; their objects are not yet due.
    pub(crate) fn tell(&mut self, state: &mut State, event: Event) -> u8 {
        self.step(state, event).looks
    }

    /// How many other admins there are, as far as the directory knows.
    pub(crate) fn other_admins(&mut self, state: &mut State, user: u8, from: i64) -> OtherAdmins {
        let done = self.step(state, Event::OtherAdmins(user, from));
        done.others.unwrap_or(OtherAdmins::NotListed)
    }

    /// What is known of the user.
    pub(crate) fn known(&mut self, beliefs: u32, user: u8) -> Arc<Known> {
        let shared = self.shared;
        let entry = self.known.entry((beliefs, user));
        let known = entry.or_insert_with(|| {
            let directory = shared.directory(beliefs);
            let view = directory.view(&user_id(usize::from(user)), shared.now());
            let seen = match &view.sighting {
                Sighting::Seen { user, .. } => Some(Remote::of(user)),
                Sighting::Absent => Some(Remote {
                    life: Life::Absent,
                    ..Remote::default()
                }),
                Sighting::Never | Sighting::Suspected => None,
            };
            Arc::new(Known { view, seen })
        });
        known.clone()
    }

    fn step(&mut self, state: &mut State, event: Event) -> AppliedUpdate {
        let (beliefs, stamps) = (state.beliefs, state.stamps());
        let shared = self.shared;
        let entry = self.steps.entry((beliefs, event, stamps));
        let done = *entry.or_insert_with(|| shared.step(beliefs, event, stamps));
        state.beliefs = done.beliefs;
        state.set_stamps(done.stamps);
        done
    }
}
