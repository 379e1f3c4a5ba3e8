//! The canonical form of a reconciliation, for a search of states.

use std::hash::{Hash, Hasher};

use super::Reconcile;
use super::report::Writing;
use crate::time::Moment;

impl Reconcile {
    /// Gives every time that it keeps the place that `place` returns for it: that at which its update was sent, and those at
    /// which the probe of its permit was due.
    pub fn rebase(&mut self, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            object: _,
            account: _,
            failure: _,
            expects: _,
            plans_left: _,
            desired: _,
            current: _,
            permit,
            is_reread: _,
            in_flight,
            outcome: _,
            applied: _,
            holds_report_slot: _,
            writing: _,
        } = self;
        if let Some(permit) = permit {
            permit.rebase(&mut place);
        }
        if let Some((update, _)) = in_flight {
            update.sent_at = place(update.sent_at);
        }
    }
}

impl Writing {
    /// The message is not compared, but for what it adds to the status.
    fn key(&self) -> impl Eq + Hash + '_ {
        let Self {
            requeue,
            reason,
            message: _,
            before,
            status,
            wanted,
        } = self;
        (requeue, reason, before, status, wanted)
    }
}

impl PartialEq for Writing {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Writing {}

impl Hash for Writing {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}
