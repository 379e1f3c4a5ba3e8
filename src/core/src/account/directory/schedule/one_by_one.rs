//! Sweeps that read users one by one: where that costs fewer calls than a list, and where lists fail.

use fireworks_api::wire::UserId;

use super::Directory;
use crate::time::Moment;

impl Directory {
    pub(super) fn begin_sweep_one_by_one(&mut self, now: Moment) {
        let cheaper = self
            .reads
            .pages
            .is_some_and(|pages| self.managed.len() < pages as usize);
        if cheaper && self.reads.timetable.is_due(now) {
            self.forget_unmanaged(now);
            self.reads.to_sweep = self.managed.clone();
            self.reads.sweep_has_failed = false;
            self.schedule_sweep(now);
        }
    }

    /// The list failed. Where that goes on, the users that its pages did not show are read one by one.
    pub(in super::super) fn sweep_without_lists(&mut self, now: Moment) {
        let since = self.reads.listing_since;
        self.reads.failed(now, &mut self.random);
        if !self.reads.list_has_failed() {
            return;
        }
        let is_unseen = |id: &&UserId| {
            let record = self.records.get(*id);
            record.is_none_or(|record| since.is_none_or(|since| record.seen_at < since))
        };
        let rest = self.managed.iter().filter(is_unseen).cloned().collect();
        self.reads.sweep_rest(rest);
    }
}
