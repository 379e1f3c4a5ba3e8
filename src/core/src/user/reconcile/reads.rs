//! What a plan needs to be read first. The reads are the account's to make; their end triggers the object.

use std::time::Duration;

use super::{Pass, Step};
use crate::account::limiter::Class;
use crate::time::Moment;
use crate::user::facts::Observed;
use crate::user::plan::{Finding, Read, Why};
use crate::user::state::Entry;

/// Reads of a user that Fireworks is working on: after 1, 2, 4, 8 and 16 s; then the sweep.
pub const PROGRESS_READS: u32 = 5;

impl Pass<'_> {
    /// Requests the read, and returns what is reported meanwhile.
    pub(super) fn read(&mut self, read: Read, observed: &Observed, entry: &Entry) -> Step {
        if read.why == Why::Canary {
            return self.read_before_canary(read.meanwhile, observed, entry);
        }
        self.cancel_queued(observed);
        let is_reported_at_once = match read.why {
            // Of a user that is declared only now nothing is known before the read. The first snapshot will do, also where
            // its request has left already; to refresh, any read newer than what is known: a list in progress, too.
            Why::First | Why::Refresh => {
                let class = self.class_or(Class::Sweep);
                self.want(class, self.world.epoch);
                read.meanwhile != Some(Finding::Silence)
            }
            Why::Absence => {
                // A list that left for others that are missed confirms this absence too.
                self.want(Class::AbsenceCheck, self.world.epoch);
                true
            }
            Why::Settle(at) => {
                self.want(Class::DriftRepair, at);
                true
            }
            Why::Startup(at) => {
                self.read_after_start(at, entry);
                false
            }
            Why::Progress => {
                if entry.progress < PROGRESS_READS {
                    self.read_later(entry);
                }
                false
            }
            Why::Canary => true,
        };
        self.wait_for_read(read.meanwhile, is_reported_at_once, observed, entry)
    }

    fn wait_for_read(
        &mut self,
        meanwhile: Option<Finding>,
        is_reported_at_once: bool,
        observed: &Observed,
        entry: &Entry,
    ) -> Step {
        match meanwhile {
            Some(finding) if is_reported_at_once => Step::Report(finding, None),
            Some(finding) => self.report_if_it_lasts(finding, entry),
            // Once no read has succeeded for too long, the objects of all users that were never read are requeued.
            None if observed.ready_here || observed.refused_here => Step::Rest(None),
            None => self.wait(observed, entry),
        }
    }

    /// The place in the queue is kept: the read is good for a short time only. While the account is suspended only the change
    /// whose turn it is to ask needs it.
    fn read_before_canary(
        &mut self,
        meanwhile: Option<Finding>,
        observed: &Observed,
        entry: &Entry,
    ) -> Step {
        let Some(desired) = self.state.desired.clone() else {
            return Step::Rest(None);
        };
        let (user, now) = (&desired.user, self.now.at);
        let class = self.class_or(Class::DriftRepair);
        let namespace = self.state.object.key().namespace.clone();
        let account = &mut self.world.account;
        let is_suspended = account.limiter.suspension().is_some();
        if !is_suspended || account.limiter.wait_for_turn(user, &namespace, class, now) {
            account.directory.want_canary(user, now);
        }
        if is_suspended {
            return self.wait_for_account(entry);
        }
        self.wait_for_read(meanwhile, true, observed, entry)
    }

    /// A former process may have sent a change: a read begun at `at` or later shows its outcome. Where such a read was made
    /// and is not believed, the next ones back off until one is.
    fn read_after_start(&mut self, at: Moment, entry: &Entry) {
        let now = self.now.at;
        if now >= at && entry.progress > 0 {
            return self.read_later(entry);
        }
        self.want(Class::DriftRepair, at);
        if now >= at {
            self.remember(|entry| entry.progress = 1);
        }
    }

    /// Requests one more read: after 1, 2, 4, … s.
    fn read_later(&mut self, entry: &Entry) {
        let Some(desired) = self.state.desired.clone() else {
            return;
        };
        let directory = &mut self.world.account.directory;
        if !directory.is_wanted(&desired.user) {
            let after = Duration::from_secs(1 << entry.progress);
            let at = self.now.at + after;
            directory.want(&desired.user, Class::DriftRepair, at);
            let next = PROGRESS_READS.min(entry.progress + 1);
            self.remember(|entry| entry.progress = next);
        }
    }

    fn want(&mut self, class: Class, not_before: Moment) {
        if let Some(desired) = &self.state.desired {
            let directory = &mut self.world.account.directory;
            directory.want(&desired.user, class, not_before);
        }
    }

    /// Returns the priority of what a changed spec waits for, else that one.
    fn class_or(&self, class: Class) -> Class {
        if self.is_new_spec() {
            Class::SpecChange
        } else {
            class
        }
    }

    fn want_list(&mut self) {
        let class = self.class_or(Class::DriftRepair);
        if let Some(desired) = &self.state.desired {
            let directory = &mut self.world.account.directory;
            directory.want_list(&desired.user, class);
        }
    }

    pub(super) fn list(&mut self, observed: &Observed, entry: &Entry) -> Step {
        self.want_list();
        match &observed.failure {
            Some(failure) => Step::Report(Finding::Failed(failure.clone()), None),
            None => self.wait(observed, entry),
        }
    }

    /// The list that counts can begin no earlier than that; what is waited for stays the same meanwhile.
    pub(super) fn list_from(&mut self, at: Moment, observed: &Observed, entry: &Entry) -> Step {
        let left = at.saturating_duration_since(self.now.at);
        if left.is_zero() {
            self.want_list();
            if let Some(failure) = &observed.failure {
                return Step::Report(Finding::Failed(failure.clone()), None);
            }
        }
        let next = Some(left).filter(|left| !left.is_zero());
        let step = self.report_if_it_lasts(Finding::PresumedDemotion, entry);
        step.no_later_than(next)
    }
}
