//! What waits while the account is suspended: changes, and reads too if one of them was refused for it. One call a minute
//! probes whether the suspension is over; it is the change that has waited longest.

use std::sync::Arc;

use super::PROBE_EVERY;
use crate::rebase::rebase;
use crate::time::Moment;

/// The `suspendState` of an account, as it is reported.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Name {
    /// It is being read.
    Asked,
    /// The account has none, or it could not be read.
    Unknown,
    /// As read, fit to be shown.
    Known(Arc<str>),
}

impl Name {
    /// Returns the state, where it is known.
    #[must_use]
    pub fn known(self) -> Option<Arc<str>> {
        match self {
            Self::Known(state) => Some(state),
            Self::Asked | Self::Unknown => None,
        }
    }
}

/// A suspension of the account.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Suspension {
    /// A change was refused for it.
    changes: bool,
    /// A read was refused for it.
    reads: bool,
    /// The earliest time of the next probe.
    pub(super) next_probe: Moment,
    /// The state of the account.
    pub(super) name: Name,
}

impl Suspension {
    /// Returns a suspension for which no call was refused yet.
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            changes: false,
            reads: false,
            next_probe: now,
            name: Name::Asked,
        }
    }

    /// Records that a change, or else a read, was refused for it.
    pub(super) fn refused(&mut self, is_change: bool, now: Moment) {
        self.changes |= is_change;
        self.reads |= !is_change;
        self.next_probe = now + PROBE_EVERY;
    }

    /// Records that a change, or else a read, succeeded; `true` if that ends the suspension. A change proves that all calls
    /// are served, a read that reads are.
    pub(super) fn succeeded(&mut self, is_change: bool) -> bool {
        self.reads = false;
        self.changes &= !is_change;
        !self.changes
    }

    /// Whether reads wait as changes do.
    pub(super) const fn holds_reads(&self) -> bool {
        self.reads
    }

    /// Whether a call may probe now.
    pub(super) fn is_probe_due(&self, now: Moment) -> bool {
        now >= self.next_probe
    }
}

rebase! { Suspension {
    rebased: next_probe;
    kept: changes, reads, name;
} }
