//! The canonical form of a directory, for a search of states: two directories that decide alike from now on, but for when
//! something is tried again, have the same one.

use super::admins::Checks;
use super::undeclared::Undeclared;
use super::{Change, Directory, Record, RequestedRead, UnconfirmedUpdate};
use crate::random::Random;
use crate::time::Moment;

impl Directory {
    /// Gives every time that decides which evidence is valid the place that `place` returns for it, such as one relative to now
    /// within a horizon, and takes every number that only counts up back to its least equivalent.
    ///
    /// # Caveats
    /// Leaves out when reads are tried again and the check after demotions: a directory in use loses both. No list may be in
    /// progress, and the signals have to be taken before.
    pub fn rebase(&mut self, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            times: _,
            records,
            undeclared,
            max_users: _,
            missing,
            omitted: _,
            unconfirmed,
            demoting: _,
            checks,
            waiting_for_admins: _,
            canary,
            waiting_for_canary: _,
            managed: _,
            suspended: _,
            requested_reads,
            reads,
            last_failure: _,
            random,
            signals: _,
        } = self;
        *random = Random::new(0);
        *checks = Checks::default();
        for missing in missing.values_mut() {
            // Of the numbers of lists only "the last one or an earlier one" matters.
            let is_last = u64::from(missing.since_list == reads.lists());
            missing.since_list = (is_last + 1).min(missing.since_list * 2);
        }
        for record in records.values_mut() {
            record.rebase(&mut place);
        }
        for Undeclared { listed, .. } in undeclared.values_mut() {
            *listed = 0;
        }
        for UnconfirmedUpdate { given_up, .. } in unconfirmed.values_mut() {
            *given_up = place(*given_up);
        }
        for request_read in requested_reads.values_mut() {
            request_read.rebase(&mut place);
        }
        reads.rebase(&mut place);
        canary.rebase(&mut place);
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
            announced_stale: _,
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

impl RequestedRead {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            class: _,
            not_before,
            retry_at,
            attempts,
            failure: _,
        } = self;
        *not_before = place(*not_before);
        *retry_at = None;
        *attempts = 0;
    }
}
