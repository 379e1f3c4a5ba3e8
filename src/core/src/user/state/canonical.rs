//! The canonical form of what is remembered of objects, for a search of states: two that decide alike from now on, but for how
//! long something is waited for, have the same one.

use jiff::Timestamp;

use super::{FIGHT_WINDOW, ObjectState, ObjectStates, RepairHistory};
use crate::rebase::{Rebase, rebase};
use crate::time::Moment;
use crate::user::facts::TAKE_OVER_FOR;

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
            forced_reads,
            contenders,
            last_written,
            fights_enough: _,
        } = self;
        forced_reads.rebase(now, &mut place);
        contenders.clear();
        for entry in objects.values_mut() {
            entry.rebase(&mut |at| place(at.max(now)));
            if let Some(since) = &mut entry.contending_since {
                *since = place((*since).max(now - TAKE_OVER_FOR));
            }
            if let Some(written) = &mut entry.written {
                written.bases.sort_unstable();
                written.bases.dedup();
            }
        }
        for last in last_written.values_mut() {
            last.not_before.rebase(&mut |at| place(at.max(now)));
        }
        for RepairHistory {
            repairs,
            level: _,
            counts,
        } in repairs_of_users.values_mut()
        {
            repairs.retain(|at| now - *at < FIGHT_WINDOW);
            for at in repairs {
                at.rebase(&mut place);
            }
            counts.take_if(|hold| hold.until <= now);
            if let Some(hold) = counts {
                hold.until.rebase(&mut place);
            }
        }
    }

    /// Adds what is remembered of other objects, which declare other users.
    pub fn extend(&mut self, others: Self) {
        let Self {
            objects,
            possibly_in_flight,
            matched,
            repairs_of_users,
            forced_reads,
            contenders,
            last_written,
            fights_enough,
        } = others;
        self.objects.extend(objects);
        self.possibly_in_flight.extend(possibly_in_flight);
        self.matched.extend(matched);
        self.repairs_of_users.extend(repairs_of_users);
        self.forced_reads.extend(forced_reads);
        self.contenders.extend(contenders);
        self.last_written.extend(last_written);
        self.fights_enough = self.fights_enough.max(fights_enough);
    }

    /// Gives the beginning of the hour of each refusal the place that `place` returns for it.
    pub fn rebase_hours(&mut self, mut place: impl FnMut(Timestamp) -> Timestamp) {
        for entry in self.objects.values_mut() {
            if let Some(refusal) = &mut entry.refusal {
                refusal.hour.from = place(refusal.hour.from);
            }
        }
    }
}

rebase! { ObjectState {
    rebased: not_before, report_pending_at, read_owed_since;
    fixed: attempt = 1.min(*attempt), unwritten = 1.min(*unwritten), unread = 1.min(*unread);
    kept: generation, refusal, tries, drifted, progress, contending_since, requested_at, written;
} }
