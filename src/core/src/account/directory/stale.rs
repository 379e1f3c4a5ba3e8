//! Which users were read too long ago, and when their objects are requeued for that: with the next read that
//! fails, and by the clock where no read ends at all, as in a long pause.

use std::time::Duration;

use fireworks_api::wire::UserId;

use super::{Directory, Record, Schedule};
use crate::time::Moment;

/// All users are checked for stale reads at most this often.
const STALE_CHECK_PAUSE: Duration = Duration::from_secs(5);

impl Directory {
    /// Returns users that objects declare and of which nothing is known: never seen, and not known to be absent.
    #[must_use]
    pub fn unseen(&self) -> Vec<UserId> {
        let is_unseen = |user: &&UserId| match self.missing.get(*user) {
            Some(missing) => !missing.is_confirmed(),
            None => !self.records.contains_key(*user),
        };
        self.managed.iter().filter(is_unseen).cloned().collect()
    }

    /// Returns the age from which an observation is stale, at the sweep period as it is now: up to it an object in sync may
    /// rely on one. The one formula of what is stale.
    #[must_use]
    pub fn stale_after(&self) -> Duration {
        const LEAST: Duration = Duration::from_mins(10);
        LEAST.max(self.period() * 3)
    }

    /// Users of which nothing good was seen for too long, each handed on once.
    pub(super) fn announce_stale(&mut self, now: Moment) -> Vec<UserId> {
        let stale_after = self.stale_after();
        let mut affected = Vec::new();
        // Not in the order of the records, which differs from process to process.
        for id in &self.managed {
            let Some(record) = self.records.get_mut(id) else {
                continue;
            };
            let stale = now.saturating_duration_since(record.seen_at) > stale_after;
            if stale && !record.announced_stale {
                record.announced_stale = true;
                affected.push(id.clone());
            }
        }
        affected
    }

    /// Does the same by the clock: the schedule is due again when the next read may have become stale.
    pub(super) fn announce_stale_by_time(
        &mut self,
        now: Moment,
        schedule: &mut Schedule,
    ) -> Vec<UserId> {
        if self.managed.is_empty() {
            return Vec::new();
        }
        let mut affected = Vec::new();
        let due = self.reads.timetable.stale_check_at.filter(|at| *at > now);
        let due = due.unwrap_or_else(|| {
            affected = self.announce_stale(now);
            self.next_stale_check(now)
        });
        self.reads.timetable.stale_check_at = Some(due);
        schedule.wake_at = Some(schedule.wake_at.map_or(due, |at| at.min(due)));
        affected
    }

    fn next_stale_check(&self, now: Moment) -> Moment {
        let declared = |(id, record): &(&UserId, &Record)| {
            self.managed.contains(*id) && !record.announced_stale
        };
        let relied_on = self.records.iter().filter(declared);
        let oldest = relied_on.map(|(_, record)| record.seen_at).min();
        let due = oldest.unwrap_or(now) + self.stale_after() + Duration::from_millis(1);
        due.max(now + STALE_CHECK_PAUSE)
    }
}
