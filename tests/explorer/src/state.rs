//! One state of the whole world: remote users, what is still on its way to them, the objects as the
//! API server and as the operator's store have them, what the operator holds, and what the oracles
//! remember. Plain data, compared bit by bit; what the operator holds is a number of a table here.

use crate::oracle::identity::Identity;
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
    /// Distinguishes it from versions of the same content that the operator still remembers by their resourceVersion.
    pub(crate) again: u8,
}

/// What the oracles remember of an object.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Expected {
    /// This process got an answer that matches the generation, and nothing has changed since.
    pub(crate) answer_applied: bool,
    /// A PATCH for it was refused and nothing has changed since: none may be sent for that many ticks.
    pub(crate) refused: u8,
    /// Answers that still differed.
    pub(crate) missed: u8,
    /// Status reported the generation in sync, and since then at most that a call waits: what differs is set back.
    pub(crate) repairs: bool,
}

/// The first generation of an object that was created again, after all those that it had before.
pub(crate) const CREATED_AGAIN: u8 = 16;

/// The times of a state beside those of the account.
pub(crate) const MANY_STAMPS: usize = 4;
/// Not at all.
pub(crate) const NEVER: u8 = 7;
/// A refusal that no time ends but an hour.
pub(crate) const STANDS: u8 = u8::MAX;

/// One object.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Object {
    /// On the API server.
    pub(crate) server: Version,
    /// In the operator's store.
    pub(crate) store: Version,
    /// A pass was asked for.
    pub(crate) due: bool,
    /// When a pass will be asked for: a number of the table of durations; 0 is never.
    pub(crate) timer: u16,
    /// What the operator remembers of it: a number of the table of memories.
    pub(crate) memory: u32,
    pub(crate) expected: Expected,
    /// Which user it has accepted.
    pub(crate) identity: Identity,
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
    Suspended,
}

/// A PATCH under way, and the reconciliation that waits for it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Flight {
    pub(crate) spec: u8,
    pub(crate) generation: u8,
    /// The reconciliation: a number of the table of machines.
    pub(crate) machine: u32,
    pub(crate) body: Body,
    /// It counts as the repair of a drift.
    pub(crate) repairs: bool,
    pub(crate) sent: Stamp,
    pub(crate) key: u8,
    pub(crate) stage: Stage,
}

/// A change that was given up and may still take effect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct LateChange {
    pub(crate) body: Body,
    /// The process that sent it is gone.
    pub(crate) orphan: bool,
    /// An answer to this, or to something newer, has arrived: the promise ends there.
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

/// What the operator got to know of a suspension of the account.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Barred {
    #[default]
    No,
    /// A read was refused for it.
    Reads,
    /// A change was refused for it.
    Changes,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Left {
    pub(crate) edits: u8,
    pub(crate) deletions: u8,
    pub(crate) creations: u8,
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
    pub(crate) late_changes: [[Option<LateChange>; 2]; MANY],
    pub(crate) objects: [Object; MANY],
    pub(crate) flights: [Option<Flight>; MANY],
    pub(crate) read: Option<Reading>,
    /// Ticks since each user matched each spec; [`NEVER`]: not since the last change whose effect is
    /// unknown.
    pub(crate) matched: [[u8; SPECS]; MANY],
    /// Ticks since a read of the user came back.
    pub(crate) unread: [u8; MANY],
    /// For a tick a read of that user alone was asked for and none came back.
    pub(crate) ungot: [bool; MANY],
    /// What the operator holds of the account: a number of the table of accounts.
    pub(crate) account: u32,
    /// Who holds the users, as the operator knows it: a number of the table of claims.
    pub(crate) claims: u32,
    pub(crate) started: Stamp,
    pub(crate) key: u8,
    pub(crate) revoked: bool,
    /// The operator got to know that the key is refused.
    pub(crate) counts: bool,
    /// The operator was asked for a pause.
    pub(crate) paused: bool,
    /// Single reads fail, while lists succeed.
    pub(crate) gets_fail: bool,
    /// The gateway serves neither changes nor reads.
    pub(crate) suspended: bool,
    pub(crate) barred: Barred,
    /// A minute has passed since the last PATCH that probes whether the suspension is over.
    pub(crate) may_probe: bool,
    /// The first object did not claim its user for longer than the release of a user lasts.
    pub(crate) was_free: bool,
    /// Repairs of drift of each user within the hour.
    pub(crate) repairs: [u8; MANY],
    pub(crate) left: Left,
}

impl State {
    /// The times it holds beside those of the account.
    pub(crate) fn stamps(&self) -> [Stamp; MANY_STAMPS] {
        let flight = |at: usize| self.flights[at].map_or(0, |flight| flight.sent);
        let read = self.read.map_or(0, |read| read.sent);
        [self.started, flight(0), flight(1), read]
    }

    pub(crate) fn set_stamps(&mut self, stamps: [Stamp; MANY_STAMPS]) {
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
