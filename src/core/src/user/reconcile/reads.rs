//! What a plan needs to be read first. The reads are the account's to make; their end triggers the object.

use std::time::Duration;

use super::{Basis, Pass, Step};
use crate::account::limiter::Class;
use crate::time::Moment;
use crate::user::plan::{Finding, Read, ReadReason};

/// Reads of a user that Fireworks is working on: after 1, 2, 4, 8 and 16 s; then the sweep.
pub const PROGRESS_READS: u32 = 5;

impl Pass<'_> {
    /// Requests the read, and returns what is reported meanwhile.
    pub(super) fn read(&mut self, read: Read, basis: Basis<'_>) -> Step {
        if read.reason == ReadReason::Canary {
            return self.read_before_canary(read.meanwhile, basis);
        }
        self.cancel_queued(basis);
        let user = &basis.desired.user;
        let is_reported_at_once = match read.reason {
            // Of a user that is declared only now nothing is known before the read. The first snapshot will do, also where
            // its request has left already; to refresh, any read newer than what is known: a list in progress, too.
            ReadReason::First | ReadReason::Refresh => {
                let class = self.class_or(Class::Sweep);
                self.account.request_read(user, class, self.epoch);
                read.meanwhile != Some(Finding::Stale)
            }
            ReadReason::Absence => {
                // A list that left for others that are missed confirms this absence too.
                self.account
                    .request_read(user, Class::AbsenceCheck, self.epoch);
                true
            }
            ReadReason::Settle(at) => {
                self.account.request_read(user, Class::DriftRepair, at);
                true
            }
            ReadReason::Startup(at) => {
                self.read_after_start(at, basis);
                false
            }
            ReadReason::Progress => {
                if basis.object_state.progress < PROGRESS_READS {
                    self.read_again_after(basis);
                }
                false
            }
            ReadReason::Email => {
                if !self.account.is_requested(user) {
                    let (class, now) = (self.class_or(Class::DriftRepair), self.now.at);
                    self.account.request_read(user, class, now);
                }
                true
            }
            ReadReason::Canary => true,
        };
        self.wait_for_read(read.meanwhile, is_reported_at_once, basis)
    }

    fn wait_for_read(
        &mut self,
        meanwhile: Option<Finding>,
        is_reported_at_once: bool,
        basis: Basis<'_>,
    ) -> Step {
        let Basis {
            observed,
            object_state,
            ..
        } = basis;
        match meanwhile {
            Some(finding) if is_reported_at_once => Step::Report(finding, None),
            Some(finding) => self.report_if_it_lasts(finding, object_state.report_pending_at),
            // Once no read has succeeded for too long, the objects of all users that were never read are requeued.
            None if observed.ready_at_generation || observed.refused_at_generation => {
                Step::Rest(None)
            }
            None => self.wait(basis),
        }
    }

    /// The place in the queue is kept: the read is good for a short time only. While the account is suspended only the change
    /// whose turn it is to ask needs it.
    fn read_before_canary(&mut self, meanwhile: Option<Finding>, basis: Basis<'_>) -> Step {
        let (user, now) = (&basis.desired.user, self.now.at);
        let class = self.class_or(Class::DriftRepair);
        let namespace = &self.state.object.key.namespace;
        let limiter = &mut self.account.limiter;
        let is_suspended = limiter.suspension().is_some();
        if !is_suspended || limiter.wait_for_turn(user, namespace, class, now) {
            self.account.request_canary_read(user, now);
        }
        if is_suspended {
            return self.wait_for_account(basis);
        }
        self.wait_for_read(meanwhile, true, basis)
    }

    /// A former process may have sent a change: a read begun at `at` or later shows its outcome. Where such a read was made
    /// and does not supersede what is known, the next ones back off until one does.
    fn read_after_start(&mut self, at: Moment, basis: Basis<'_>) {
        let now = self.now.at;
        if now >= at && basis.object_state.progress > 0 {
            return self.read_again_after(basis);
        }
        self.account
            .request_read(&basis.desired.user, Class::DriftRepair, at);
        if now >= at {
            self.remember(|object_state| object_state.progress = 1);
        }
    }

    /// Requests one more read: after 1, 2, 4, … s.
    fn read_again_after(&mut self, basis: Basis<'_>) {
        let (user, progress) = (&basis.desired.user, basis.object_state.progress);
        if !self.account.is_requested(user) {
            let at = self.now.at + Duration::from_secs(1 << progress);
            self.account.request_read(user, Class::DriftRepair, at);
            let next = PROGRESS_READS.min(progress + 1);
            self.remember(|object_state| object_state.progress = next);
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

    pub(super) fn list(&mut self, basis: Basis<'_>) -> Step {
        self.request_list(basis).unwrap_or_else(|| self.wait(basis))
    }

    /// The list that counts can begin no earlier than that; what is waited for stays the same meanwhile.
    pub(super) fn list_from(&mut self, at: Moment, basis: Basis<'_>) -> Step {
        let left = Some(at - self.now.at).filter(|left| !left.is_zero());
        if left.is_none()
            && let Some(failed) = self.request_list(basis)
        {
            return failed;
        }
        let finding = Finding::DemotionPossiblyInFlight;
        let step = self.report_if_it_lasts(finding, basis.object_state.report_pending_at);
        step.within(left)
    }

    /// Requests a list. Returns what to report if reads fail.
    fn request_list(&mut self, basis: Basis<'_>) -> Option<Step> {
        let class = self.class_or(Class::DriftRepair);
        self.account.request_list(&basis.desired.user, class);
        let failure = basis.observed.failure.clone()?;
        Some(Step::Report(Finding::Failed(failure), None))
    }
}
