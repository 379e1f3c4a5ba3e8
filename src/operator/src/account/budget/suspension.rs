//! What waits while the account is suspended: changes, and reads if one of them was refused so, too. One call a minute
//! asks whether that is over, and it is the change that has waited longest. Pure: every time is a parameter.

use std::sync::Arc;

use fireworks_api::wire::UserId;
use fireworks_core::time::Moment;

use super::state::State;
use super::{Class, PROBE_EVERY};

/// The account does not accept calls of a kind.
pub(super) struct Suspended {
    /// A change was refused so.
    changes: bool,
    /// A read was refused so.
    pub(super) reads: bool,
    /// When the next call may ask whether that is over.
    pub(super) next_probe: Moment,
    /// The account's state, as far as it is known.
    pub(super) name: Name,
}

/// The `suspendState` of an account, for what is reported of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Name {
    /// It is being read.
    Asked,
    /// The account has none, or it could not be read.
    Unknown,
    /// As read, fit to be shown.
    Known(Arc<str>),
}

impl Name {
    /// The state, where it is known.
    #[must_use]
    pub fn known(self) -> Option<Arc<str>> {
        match self {
            Self::Known(state) => Some(state),
            Self::Asked | Self::Unknown => None,
        }
    }
}

/// Whose call is next.
pub(super) enum Turn {
    /// The read of the account itself.
    Account,
    /// The change of that user, which asks whether the account is served again.
    Probe(UserId),
    /// The first one in the queue of the class.
    Queue,
}

/// The number of a place in no queue: while the account is suspended changes stand in none.
const OUT_OF_QUEUE: u64 = 0;

impl State {
    /// A call was refused because the account is suspended. `true` if that is new.
    pub(super) fn suspend(&mut self, is_change: bool, now: Moment) -> bool {
        let is_new = self.suspended.is_none();
        let suspended = self.suspended.get_or_insert(Suspended {
            changes: false,
            reads: false,
            next_probe: now,
            name: Name::Asked,
        });
        suspended.changes |= is_change;
        suspended.reads |= !is_change;
        suspended.next_probe = now + PROBE_EVERY;
        if is_new {
            for place in self.places.values_mut() {
                place.number = OUT_OF_QUEUE;
            }
            // A grant would be one more call that is refused: who has one waits again.
            let granted = std::mem::take(&mut self.granted);
            for grant in granted.into_values() {
                self.put_token_back();
                self.put_probe_back(grant.probe);
            }
        }
        is_new
    }

    /// A call succeeded. A change speaks for all calls, a read for reads. `true` if nothing is held back any more.
    pub(super) fn resume(&mut self, is_change: bool) -> bool {
        let Some(suspended) = self.suspended.as_mut() else {
            return false;
        };
        suspended.reads = false;
        suspended.changes &= !is_change;
        if suspended.changes {
            return false;
        }
        self.suspended = None;
        let mut waiting: Vec<_> = self.places.drain().collect();
        waiting.sort_by_key(|(_, place)| place.since);
        for (user, place) in waiting {
            self.enqueue(&user, &place.lane, place.class, place.since);
        }
        true
    }

    /// The change that has waited longest, if it may ask now whether the account is served again.
    pub(super) fn probe(&self, now: Moment) -> Option<UserId> {
        self.suspended
            .as_ref()
            .filter(|suspended| now >= suspended.next_probe)?;
        let oldest = self.places.iter().min_by_key(|(_, place)| place.since);
        oldest.map(|(user, _)| user.clone())
    }

    /// Whose call is next, and its class.
    pub(super) fn next_turn(&mut self, now: Moment) -> Option<(usize, Turn)> {
        if self.account_read.is_some() {
            return Some((Class::SpecChange as usize, Turn::Account));
        }
        if let Some(user) = self.probe(now) {
            let class = self.places.get(&user).map(|place| place.class as usize);
            return class.map(|class| (class, Turn::Probe(user)));
        }
        let holds_reads = |one: &Suspended| one.reads && now < one.next_probe;
        if self.suspended.as_ref().is_some_and(holds_reads) {
            return None;
        }
        self.next_class().map(|class| (class, Turn::Queue))
    }

    /// Whether a change of that user may ask now: none has waited longer.
    pub(super) fn is_probe(&self, user: &UserId, now: Moment) -> bool {
        let may_ask = |suspended: &Suspended| now >= suspended.next_probe;
        self.suspended.as_ref().is_some_and(may_ask)
            && self.probe(now).is_none_or(|oldest| oldest == *user)
    }

    /// When to ask next, if a call waits that may ask.
    pub(super) fn probe_at(&self) -> Option<Moment> {
        let suspended = self.suspended.as_ref()?;
        (suspended.reads || !self.places.is_empty()).then_some(suspended.next_probe)
    }

    /// Returns the number of a new place.
    pub(super) fn next_number(&mut self) -> u64 {
        if self.suspended.is_some() {
            return OUT_OF_QUEUE;
        }
        self.numbers += 1;
        self.numbers
    }

    /// Who waits for a change.
    pub(super) fn waiting_users(&self) -> Vec<UserId> {
        self.places.keys().cloned().collect()
    }
}
