//! The part of the canonical form that the reads are.

use super::Refresh;
use super::reads::{CompleteList, Reads};
use super::timetable::Timetable;
use crate::random::Random;
use crate::time::Moment;

impl Refresh {
    /// Takes part in [`Account::rebase`](crate::account::Account::rebase).
    pub(in super::super) fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            sweep_interval: _,
            requested,
            reads,
            last_failure: _,
            random,
        } = self;
        *random = Random::new(0);
        requested.rebase(place);
        reads.rebase(place);
    }
}

impl Reads {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            is_open: _,
            listing_since,
            getting,
            to_sweep,
            lists,
            walks,
            complete,
            last_list_succeeded: _,
            last_list_was_empty: _,
            last_list_was_malformed: _,
            list_failures,
            gets_succeed,
            gets_failed,
            list_retry_at,
            list_wanted: _,
            list_urgency,
            list_waiters: _,
            pages: _,
            pages_learned_at,
            timetable,
            sweep_has_failed,
        } = self;
        if let Some(CompleteList { began, ended }) = complete {
            (*began, *ended) = (place(*began), place(*ended));
        }
        *listing_since = None;
        getting.clear();
        to_sweep.clear();
        (*lists, *walks) = (2, 0);
        *list_failures = 0;
        (*gets_succeed, *gets_failed) = (false, 0);
        *list_retry_at = None;
        *list_urgency = None;
        *pages_learned_at = None;
        *timetable = Timetable::default();
        *sweep_has_failed = false;
    }
}
