//! The part of the canonical form that the users are.

use super::undeclared::Undeclared;
use super::{Change, Record, Users};
use crate::time::Moment;

impl Users {
    /// Takes part in [`Account::rebase`](super::super::Account::rebase).
    pub(in super::super) fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            rules: _,
            records,
            undeclared,
            limit: _,
            managed: _,
            suspended: _,
            stale_check_at,
        } = self;
        for record in records.values_mut() {
            record.rebase(place);
        }
        for Undeclared { role: _, listed } in undeclared.values_mut() {
            *listed = 0;
        }
        *stale_check_at = None;
    }
}

impl Record {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            user: _,
            sent_at,
            seen_at,
            change,
            listed,
            is_known_stale: _,
        } = self;
        *sent_at = place(*sent_at);
        *seen_at = place(*seen_at);
        if let Some(change) = change {
            let Change {
                sent_at,
                succeeded_at,
            } = change.as_mut();
            *sent_at = place(*sent_at);
            *succeeded_at = place(*succeeded_at);
        }
        // No list is in progress: which one showed the user does not matter.
        *listed = 0;
    }
}
