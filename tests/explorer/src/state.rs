//! One state of the whole world: remote users, what is still on its way to them, the objects as the
//! API server and as the operator's store have them, the operator's own memory, and what the oracles
//! remember. Plain data, compared bit by bit; what is unbounded in life is a number of a table here.

use crate::value::{Body, MANY, Remote, SPECS};

/// A time that something happened: 0 is none, else when in which tick (see `belief`).
pub(crate) type Stamp = u8;

/// One object in one version.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Version {
    pub(crate) spec: u8,
    pub(crate) generation: u8,
    pub(crate) status: u16,
    pub(crate) deleting: bool,
}

/// What the process remembers of an object at one generation.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct ObjectStates {
    pub(crate) generation: u8,
    /// Nothing is sent for it before the timer fires.
    pub(crate) holds_back: bool,
    pub(crate) refusal: u16,
    pub(crate) verdict_key: u8,
    pub(crate) tries: u8,
    pub(crate) failed: bool,
    /// The generation at which this process last saw the user match; 0 is none.
    pub(crate) matched: u8,
    /// 1: waits since a moment ago, 2: for longer than is kept to itself.
    pub(crate) waiting: u8,
    /// 1: another object was found to own the user, 2: that has lasted, 3: for long enough to be a conflict.
    pub(crate) contending: u8,
}

impl ObjectStates {
    /// Nothing but the generation.
    pub(crate) fn of(generation: u8) -> Self {
        Self {
            generation,
            holds_back: false,
            refusal: 0,
            verdict_key: 0,
            tries: 0,
            failed: false,
            matched: 0,
            waiting: 0,
            contending: 0,
        }
    }
}

/// What the oracles remember of an object.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Ghost {
    /// This process got an answer that matches the generation, and nothing has changed since.
    pub(crate) answer_applied: bool,
    /// This process was refused what it asks, and nothing has changed since.
    pub(crate) refused: bool,
    /// Answers that still differed.
    pub(crate) missed: u8,
}

/// Not at all.
pub(crate) const NEVER: u8 = 7;

/// One object.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Object {
    /// On the API server.
    pub(crate) server: Version,
    /// In the operator's store.
    pub(crate) store: Version,
    /// A write based on what the operator knows would be accepted.
    pub(crate) current: bool,
    /// The status it wrote last, while the store is older; 0 is none.
    pub(crate) written: u16,
    /// A pass was asked for.
    pub(crate) due: bool,
    /// A pass will be asked for after a while.
    pub(crate) timer: bool,
    /// It stands in the budget's queue.
    pub(crate) queued: bool,
    /// A change of a former process may be on its way.
    pub(crate) possibly_in_flight: bool,
    pub(crate) memory: ObjectStates,
    pub(crate) ghost: Ghost,
}

/// How far a PATCH has come.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Stage {
    /// On its way there.
    Sent,
    /// Applied; this answer is on its way back.
    Applied(Remote),
    /// Not applied, for this reason.
    Refused(Refusal),
}

/// Why the gateway did not apply a PATCH.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Refusal {
    NotFound,
    Invalid,
    Denied,
    Key,
    Throttled,
    Aborted,
}

/// A PATCH under way, and the pass that waits for it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Flight {
    pub(crate) spec: u8,
    pub(crate) generation: u8,
    /// The status the pass began with.
    pub(crate) status: u16,
    /// The version the pass began with is still the API server's.
    pub(crate) current: bool,
    /// The store still holds the version the pass began with.
    pub(crate) based: bool,
    pub(crate) body: Body,
    pub(crate) repairs: bool,
    pub(crate) sent: Stamp,
    pub(crate) key: u8,
    pub(crate) stage: Stage,
}

/// A change that was given up and may still take effect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Zombie {
    pub(crate) body: Body,
    /// The process that sent it is gone.
    pub(crate) orphan: bool,
    /// The operator was told that this, or something newer, is done: the promise ends there.
    pub(crate) excused: bool,
}

/// A read under way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Reading {
    /// One user, or all.
    pub(crate) user: Option<u8>,
    pub(crate) sent: Stamp,
    /// What the answer shows, if it is made when the request arrives.
    pub(crate) shows: [Remote; MANY],
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Left {
    pub(crate) edits: u8,
    pub(crate) deletions: u8,
    pub(crate) drifts: u8,
    pub(crate) crashes: u8,
    pub(crate) faults: u8,
}

/// The world.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    pub(crate) remote: [Remote; MANY],
    /// What a replica that lags still shows.
    pub(crate) before: [Option<Remote>; MANY],
    pub(crate) zombies: [[Option<Zombie>; 2]; MANY],
    pub(crate) objects: [Object; MANY],
    pub(crate) flights: [Option<Flight>; MANY],
    pub(crate) read: Option<Reading>,
    /// Ticks since each user matched each spec; [`NEVER`]: not since the last change whose effect is
    /// unknown.
    pub(crate) matched: [[u8; SPECS]; MANY],
    /// Ticks since a read of the user came back.
    pub(crate) unread: [u8; MANY],
    /// What the directory holds: a number of the table of beliefs.
    pub(crate) beliefs: u32,
    pub(crate) started: Stamp,
    pub(crate) key: u8,
    pub(crate) revoked: bool,
    /// The operator knows that the key is refused.
    pub(crate) counts: bool,
    pub(crate) paused: bool,
    /// Repairs of drift of each user within the hour.
    pub(crate) repairs: [u8; MANY],
    pub(crate) left: Left,
}

impl State {
    /// The times it holds beside those of the directory.
    pub(crate) fn stamps(&self) -> [Stamp; 4] {
        let flight = |at: usize| self.flights[at].map_or(0, |flight| flight.sent);
        let read = self.read.map_or(0, |read| read.sent);
        [self.started, flight(0), flight(1), read]
    }

    pub(crate) fn set_stamps(&mut self, stamps: [Stamp; 4]) {
        self.started = stamps[0];
        for (flight, sent) in self.flights.iter_mut().zip([stamps[1], stamps[2]]) {
            if let Some(flight) = flight {
                flight.sent = sent;
            }
        }
        if let Some(read) = &mut self.read {
            read.sent = stamps[3];
        }
    }
}
