//! One replica of the model: the thread that holds the Lease, and the requests of the others.

use std::time::Duration;

use operator_runtime::lease::{Next, Observed, Record, next_lease};

use super::{DURATIONS, Rules, Store, TICK, wall_clock};

/// The longest time that a request may take.
const REQUEST: Duration = Duration::from_secs(15);
/// How far the wall clock of a replica is ahead of that of the other one, where a bug compares them.
const AHEAD: Duration = Duration::from_mins(1);

/// One replica.
#[allow(clippy::struct_excessive_bools, reason = "independent of each other")]
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Replica {
    observed: Observed,
    /// The version that it has read; none before that and after a conflict.
    version: Option<u8>,
    /// When its last successful renewal was sent.
    sent_at: Option<Duration>,
    /// For how long it was frozen since.
    stood: Duration,
    /// The write of the Lease under way.
    pub(super) write: Option<Write>,
    /// One that it has given up, which may still arrive.
    pub(super) late: Option<Write>,
    /// The request that changes users.
    pub(super) request: Option<Request>,
    /// It has sent such a request.
    pub(super) has_sent: bool,
    is_stopping: bool,
    pub(super) is_frozen: bool,
    /// The process has ended.
    pub(super) is_gone: bool,
}

/// A request that changes users.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Request {
    /// Its head was written.
    pub(super) has_left: bool,
    /// By then it was answered or given up.
    pub(super) ends: Duration,
}

/// A write of the Lease.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Write {
    record: Record,
    version: u8,
    sent_at: Duration,
    /// What came of it in the store.
    pub(super) outcome: Option<Outcome>,
}

/// What came of a write in the store.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Outcome {
    Conflict,
    /// It was stored as that version.
    Stored(u8),
}

impl Write {
    /// The store takes or refuses it.
    pub(super) fn store(&mut self, store: &mut Store, rules: Rules) {
        let matches = self.version == store.version || !rules.sends_version;
        self.outcome = Some(if matches {
            store.lease = Some(self.record.clone());
            store.version += 1;
            Outcome::Stored(store.version)
        } else {
            Outcome::Conflict
        });
    }
}

impl Replica {
    /// Reads the Lease, where that shows something new. A leader that finds another holder ends.
    pub(super) fn read(
        &mut self,
        store: &Store,
        identity: &str,
        now: Duration,
        rules: Rules,
    ) -> Option<()> {
        if self.write.is_some() || self.version == Some(store.version) {
            return None;
        }
        if store.lease.is_none() && !rules.remembers_holder {
            self.observed = Observed::default();
        }
        self.observed.update(store.lease.clone(), identity, now);
        self.version = Some(store.version);
        let is_lost = matches!(self.next(identity, now, rules), Next::Wait(_));
        self.is_gone = self.sent_at.is_some() && is_lost;
        Some(())
    }

    /// Returns whether it knows the holder of the Lease that is in the store.
    pub(super) fn has_seen(&self, store: &Store) -> bool {
        let holder = |lease: &Record| lease.holder.clone();
        let stored = store.lease.as_ref().map(holder);
        stored.is_some() && self.observed.lease().map(holder) == stored
    }

    fn next(&self, identity: &str, now: Duration, rules: Rules) -> Next {
        let renewed = self.observed.lease().and_then(|lease| lease.renewed);
        let ahead = AHEAD.saturating_sub(DURATIONS.lease);
        let ended = renewed.is_some_and(|at| at <= wall_clock(now + ahead));
        if !rules.ends_as_observed && ended {
            return Next::Write;
        }
        next_lease(&self.observed, identity, now)
    }

    /// Sends a write that takes or renews the Lease, at most one renewal a tick.
    pub(super) fn send_write(&mut self, identity: &str, now: Duration, rules: Rules) -> Option<()> {
        let is_candidate = self.sent_at.is_none();
        let is_due = self.sent_at < Some(now) && self.begin(now, rules).is_some();
        let version = self.version?;
        if self.write.is_some() || self.is_stopping || !(is_candidate || is_due) {
            return None;
        }
        if self.next(identity, now, rules) != Next::Write {
            return None;
        }
        let before = self.observed.lease();
        self.write = Some(Write {
            record: Record::owned(before, identity, DURATIONS.lease, wall_clock(now)),
            version,
            sent_at: now,
            outcome: None,
        });
        Some(())
    }

    /// The answer to the write arrives.
    pub(super) fn write_answered(
        &mut self,
        identity: &str,
        now: Duration,
        rules: Rules,
    ) -> Option<()> {
        let outcome = self.write.as_ref()?.outcome?;
        let write = self.write.take()?;
        self.version = None;
        if let Outcome::Stored(version) = outcome {
            self.version = Some(version);
            self.observed.update(Some(write.record), identity, now);
            let counts_from = if rules.counts_from_sending {
                write.sent_at
            } else {
                now
            };
            self.sent_at = Some(counts_from);
            self.stood = Duration::ZERO;
        }
        Some(())
    }

    /// The write is given up: it was or was not stored, or is stored later.
    pub(super) fn write_lost(&mut self) -> Option<()> {
        let write = self.write.take()?;
        if write.outcome.is_none() {
            self.late = Some(write);
        }
        self.version = None;
        Some(())
    }

    /// Returns the age of the last successful renewal.
    fn age(&self, now: Duration, rules: Rules) -> Option<Duration> {
        let age = now.saturating_sub(self.sent_at?);
        Some(if rules.runs_while_frozen {
            age
        } else {
            age.saturating_sub(self.stood)
        })
    }

    /// Returns within which time a request that begins now must have ended.
    pub(super) fn begin(&self, now: Duration, rules: Rules) -> Option<Duration> {
        DURATIONS.begin(self.age(now, rules)?)
    }

    /// Decides to make a request.
    pub(super) fn decide(&mut self, now: Duration, rules: Rules) -> Option<()> {
        if self.request.is_some() || self.is_stopping {
            return None;
        }
        let within = self.begin(now, rules)?;
        self.request = Some(Request {
            has_left: false,
            ends: now + within.min(REQUEST),
        });
        Some(())
    }

    /// The leader is asked to stop.
    pub(super) fn stop(&mut self) -> Option<()> {
        let leads = self.sent_at.is_some() && !self.is_stopping && self.write.is_none();
        self.is_stopping |= leads;
        leads.then_some(())
    }

    /// Gives the Lease back and ends.
    pub(super) fn give_back(
        &mut self,
        store: &mut Store,
        identity: &str,
        rules: Rules,
    ) -> Option<()> {
        let is_idle = self.request.is_none() || !rules.awaits_responses;
        if !self.is_stopping || !is_idle || self.version != Some(store.version) {
            return None;
        }
        let held = store.lease.take_if(|lease| lease.is_owned_by(identity))?;
        let renewed = held.renewed.unwrap_or_default();
        store.lease = Some(held.released(renewed));
        store.version += 1;
        self.is_gone = true;
        Some(())
    }

    /// Time passes until `now`.
    pub(super) fn tick(&mut self, now: Duration, rules: Rules) -> Option<()> {
        // What was not answered by now was given up, and counts as in flight no longer.
        self.request
            .take_if(|request| request.has_left && request.ends <= now);
        if self.is_gone {
            return Some(());
        }
        if self.is_frozen {
            self.stood += TICK;
            return Some(());
        }
        if self
            .write
            .as_ref()
            .is_some_and(|write| write.sent_at + TICK < now)
        {
            return None;
        }
        let is_over = self
            .age(now, rules)
            .is_some_and(|age| age >= DURATIONS.renew + TICK);
        self.is_gone |= is_over;
        Some(())
    }
}
