//! What a search of states needs of the reader's own state. Part of no release build.

use std::collections::HashSet;

use fireworks_api::wire::UserId;
use fireworks_core::time::Moment;

use super::{Reads, Timetable};

impl Reads {
    pub(in super::super) fn forget_timetable(&mut self) {
        self.listing_since = None;
        self.getting.clear();
        self.to_sweep.clear();
        self.list_failures = 0;
        (self.gets_succeed, self.gets_failed) = (false, 0);
        self.list_retry_at = None;
        self.pages_learned_at = None;
        self.timetable = Timetable::default();
        self.list_urgency = None;
        self.sweep_has_failed = false;
    }

    pub(in super::super) fn renumber_lists(&mut self, lists: u64) {
        self.lists = lists;
        self.walks = 0;
    }

    pub(in super::super) fn complete_mut(&mut self) -> impl Iterator<Item = &mut Moment> {
        self.complete.iter_mut().flatten()
    }

    pub(in super::super) fn list_waiters(&self) -> &HashSet<UserId> {
        &self.list_waiters
    }

    pub(in super::super) fn facts(&self) -> impl std::fmt::Debug {
        (
            self.complete,
            [
                self.is_open,
                self.last_list_succeeded,
                self.list_wanted.is_some(),
            ],
            [self.last_list_was_empty, self.last_list_was_malformed],
            self.pages,
        )
    }
}
