//! The canonical form of what is remembered of objects, for a search of states: two that decide alike from now on, but for how
//! long something is waited for, have the same one.

use jiff::Timestamp;

use super::{
    FIGHT_WINDOW, LastWritten, ObjectState, ObjectStates, Refusal, RepairHistory, Written,
};
use crate::time::Moment;
use crate::user::facts::TAKE_OVER_FOR;
use crate::user::hour::Hour;

impl ObjectStates {
    /// Gives every time the place that `place` returns for it. What was due before `now` counts as due at `now`, and of what
    /// is too long ago to matter only that is kept.
    ///
    /// # Caveats
    /// Of failures in a row only their presence is kept, so that a memory in use tries again sooner.
    pub fn rebase(&mut self, now: Moment, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            objects,
            possibly_in_flight: _,
            matched: _,
            repairs_of_users,
            last_written,
            fights_enough: _,
        } = self;
        for entry in objects.values_mut() {
            entry.rebase(now, &mut place);
        }
        for LastWritten { not_before, .. } in last_written.values_mut() {
            *not_before = not_before.map(|at| place(at.max(now)));
        }
        for history in repairs_of_users.values_mut() {
            history.rebase(now, &mut place);
        }
    }

    /// Gives the beginning of the hour of each refusal the place that `place` returns for it.
    pub fn rebase_hours(&mut self, mut place: impl FnMut(Timestamp) -> Timestamp) {
        let verdicts = self.objects.values_mut();
        for Refusal { hour, .. } in verdicts.filter_map(|entry| entry.refusal.as_mut()) {
            hour.rebase(&mut place);
        }
    }
}

impl ObjectState {
    fn rebase(&mut self, now: Moment, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            generation: _,
            attempt,
            not_before,
            refusal: _,
            tries: _,
            drifted: _,
            report_pending_at,
            progress: _,
            unwritten,
            unread,
            contending_since,
            requested_at: _,
            written,
        } = self;
        for count in [attempt, unwritten, unread] {
            *count = 1.min(*count);
        }
        for due in [not_before, report_pending_at] {
            *due = due.map(|at| place(at.max(now)));
        }
        *contending_since = contending_since.map(|at| place(at.max(now - TAKE_OVER_FOR)));
        if let Some(Written { bases, .. }) = written {
            bases.sort_unstable();
            bases.dedup();
        }
    }
}

impl RepairHistory {
    fn rebase(&mut self, now: Moment, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            repairs,
            level: _,
            counts,
        } = self;
        repairs.retain(|at| now.saturating_duration_since(*at) < FIGHT_WINDOW);
        for at in repairs {
            *at = place(*at);
        }
        *counts = counts.filter(|hold| now < hold.until);
        if let Some(hold) = counts {
            hold.until = place(hold.until);
        }
    }
}

impl Hour {
    fn rebase(&mut self, place: &mut impl FnMut(Timestamp) -> Timestamp) {
        self.from = place(self.from);
    }
}
