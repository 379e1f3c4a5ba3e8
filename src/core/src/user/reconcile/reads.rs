//! What a plan needs to be read first. The reads are the account's to make; their end triggers the object.

use std::time::Duration;

use super::{Pass, Step};
use crate::account::limiter::Class;
use crate::time::Moment;
use crate::user::facts::Observed;
use crate::user::plan::{Finding, Read, ReadReason};
use crate::user::state::ObjectState;

/// Reads of a user that Fireworks is working on: after 1, 2, 4, 8 and 16 s; then the sweep.
pub const PROGRESS_READS: u32 = 5;

impl Pass<'_> {
    /// Requests the read, and returns what is reported meanwhile.
    pub(super) fn read(
        &mut self,
        read: Read,
        observed: &Observed,
        object_state: &ObjectState,
    ) -> Step {
        if read.reason == ReadReason::Canary {
            return self.read_before_canary(read.meanwhile, observed, object_state);
        }
        self.cancel_queued(observed);
        let is_reported_at_once = match read.reason {
            // Of a user that is declared only now nothing is known before the read. The first snapshot will do, also where
            // its request has left already; to refresh, any read newer than what is known: a list in progress, too.
            ReadReason::First | ReadReason::Refresh => {
                let class = self.class_or(Class::Sweep);
                self.request_read(class, self.epoch);
                read.meanwhile != Some(Finding::Stale)
            }
            ReadReason::Absence => {
                // A list that left for others that are missed confirms this absence too.
                self.request_read(Class::AbsenceCheck, self.epoch);
                true
            }
            ReadReason::Settle(at) => {
                self.request_read(Class::DriftRepair, at);
                true
            }
            ReadReason::Startup(at) => {
                self.read_after_start(at, object_state);
                false
            }
            ReadReason::Progress => {
                if object_state.progress < PROGRESS_READS {
                    self.read_again_after(object_state);
                }
                false
            }
            ReadReason::Canary => true,
        };
        self.wait_for_read(read.meanwhile, is_reported_at_once, observed, object_state)
    }

    fn wait_for_read(
        &mut self,
        meanwhile: Option<Finding>,
        is_reported_at_once: bool,
        observed: &Observed,
        object_state: &ObjectState,
    ) -> Step {
        match meanwhile {
            Some(finding) if is_reported_at_once => Step::Report(finding, None),
            Some(finding) => self.report_if_it_lasts(finding, object_state),
            // Once no read has succeeded for too long, the objects of all users that were never read are requeued.
            None if observed.ready_at_generation || observed.refused_at_generation => {
                Step::Rest(None)
            }
            None => self.wait(observed, object_state),
        }
    }

    /// The place in the queue is kept: the read is good for a short time only. While the account is suspended only the change
    /// whose turn it is to ask needs it.
    fn read_before_canary(
        &mut self,
        meanwhile: Option<Finding>,
        observed: &Observed,
        object_state: &ObjectState,
    ) -> Step {
        let Some(desired) = self.state.desired.clone() else {
            return Step::Rest(None);
        };
        let (user, now) = (&desired.user, self.now.at);
        let class = self.class_or(Class::DriftRepair);
        let namespace = self.state.object.key().namespace.clone();
        let account = &mut *self.account;
        let is_suspended = account.limiter.suspension().is_some();
        if !is_suspended || account.limiter.wait_for_turn(user, &namespace, class, now) {
            account.request_canary_read(user, now);
        }
        if is_suspended {
            return self.wait_for_account(object_state);
        }
        self.wait_for_read(meanwhile, true, observed, object_state)
    }

    /// A former process may have sent a change: a read begun at `at` or later shows its outcome. Where such a read was made
    /// and does not supersede what is known, the next ones back off until one does.
    fn read_after_start(&mut self, at: Moment, object_state: &ObjectState) {
        let now = self.now.at;
        if now >= at && object_state.progress > 0 {
            return self.read_again_after(object_state);
        }
        self.request_read(Class::DriftRepair, at);
        if now >= at {
            self.remember(|object_state| object_state.progress = 1);
        }
    }

    /// Requests one more read: after 1, 2, 4, … s.
    fn read_again_after(&mut self, object_state: &ObjectState) {
        let Some(desired) = self.state.desired.clone() else {
            return;
        };
        let account = &mut *self.account;
        if !account.is_requested(&desired.user) {
            let after = Duration::from_secs(1 << object_state.progress);
            let at = self.now.at + after;
            account.request_read(&desired.user, Class::DriftRepair, at);
            let next = PROGRESS_READS.min(object_state.progress + 1);
            self.remember(|object_state| object_state.progress = next);
        }
    }

    fn request_read(&mut self, class: Class, not_before: Moment) {
        if let Some(desired) = &self.state.desired {
            let account = &mut *self.account;
            account.request_read(&desired.user, class, not_before);
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

    fn request_list(&mut self) {
        let class = self.class_or(Class::DriftRepair);
        if let Some(desired) = &self.state.desired {
            let account = &mut *self.account;
            account.request_list(&desired.user, class);
        }
    }

    pub(super) fn list(&mut self, observed: &Observed, object_state: &ObjectState) -> Step {
        self.request_list();
        match &observed.failure {
            Some(failure) => Step::Report(Finding::Failed(failure.clone()), None),
            None => self.wait(observed, object_state),
        }
    }

    /// The list that counts can begin no earlier than that; what is waited for stays the same meanwhile.
    pub(super) fn list_from(
        &mut self,
        at: Moment,
        observed: &Observed,
        object_state: &ObjectState,
    ) -> Step {
        let left = at.saturating_duration_since(self.now.at);
        if left.is_zero() {
            self.request_list();
            if let Some(failure) = &observed.failure {
                return Step::Report(Finding::Failed(failure.clone()), None);
            }
        }
        let next = Some(left).filter(|left| !left.is_zero());
        let step = self.report_if_it_lasts(Finding::DemotionPossiblyInFlight, object_state);
        step.within(next)
    }
}
