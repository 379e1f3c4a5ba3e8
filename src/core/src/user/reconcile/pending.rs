//! What holds a change, and when that is reported.

use std::time::Duration;

use fireworks_crd::conditions::{self, Reason};

use super::{Basis, Pass, Step};
use crate::account::Sighting;
use crate::account::limiter::suspension::Name;
use crate::claims::Ownership;
use crate::time::Moment;
use crate::user::desired::Desired;
use crate::user::facts::TAKE_OVER_FOR;
use crate::user::hour::Hour;
use crate::user::messages;
use crate::user::plan::Finding;
use crate::user::state::{ADMINS_AGAIN, Refusal};
use crate::user::status::{self, Seen};

impl Pass<'_> {
    /// Nothing is pending any more.
    fn clear_pending(&mut self, basis: Basis<'_>) {
        self.cancel_queued(basis);
        self.remember(|object_state| {
            object_state.report_pending_at = None;
            object_state.progress = 0;
        });
    }

    /// Gives up the place in the limiter's queue. It is the owner's: others may not.
    pub(super) fn cancel_queued(&mut self, basis: Basis<'_>) {
        let Basis {
            desired, observed, ..
        } = basis;
        if matches!(observed.ownership, Ownership::Mine(_)) && !desired.observe {
            self.account.limiter.cancel(&desired.user);
            self.account.give_up_canary(&desired.user);
        }
    }

    pub(super) fn in_sync(&mut self, basis: Basis<'_>) -> Step {
        self.clear_pending(basis);
        self.remember(|object_state| {
            object_state.attempt = 0;
            object_state.not_before = None;
            object_state.refusal = None;
            object_state.tries = 0;
            object_state.drifted = false;
        });
        self.remember_match();
        Step::Report(Finding::InSync, None)
    }

    pub(super) fn hold(&mut self, finding: Finding, basis: Basis<'_>) -> Step {
        if self.is_unreported_wait(&finding) {
            self.cancel_queued(basis);
            return self.report_hold_if_it_lasts(finding, basis);
        }
        self.clear_pending(basis);
        let left = |at: Moment| at.saturating_duration_since(self.now.at);
        let next = match &finding {
            Finding::StillRefused(refusal) => {
                let next = Some(self.next_try(refusal, basis.desired));
                let refusal = refusal.clone();
                self.remember(|object_state| object_state.refusal = Some(refusal));
                next
            }
            Finding::Contested(hold) => Some(left(hold.until)),
            // Another admin may have appeared where nothing reads one; to see that takes a list.
            Finding::LastAdmin(_) => Some(ADMINS_AGAIN),
            Finding::FieldCleared(at) | Finding::ChangesStopped(at) => Some(left(*at)),
            Finding::DemotionsStopped(until) => until.map(left),
            Finding::NotApplied(_) => {
                self.record_refusal(&finding, &basis.observed.sighting);
                Some(self.hour().left(self.now.time))
            }
            _ => None,
        };
        Step::Report(finding, next)
    }

    /// Returns when the refused change is tried again.
    fn next_try(&self, refusal: &Refusal, desired: &Desired) -> Duration {
        if refusal.reason != Reason::PermissionDenied {
            return refusal.hour.left(self.now.time);
        }
        let denials = &self.account.denials;
        denials.next_try_after(&desired.user, self.now.at)
    }

    /// Another object holds the user, or held it a moment ago: this one takes over at once when that one of its namespace goes.
    pub(super) fn wait_for_claim(&mut self, finding: Finding, basis: Basis<'_>) -> Step {
        self.cancel_queued(basis);
        let now = self.now.at;
        let Basis { object_state, .. } = basis;
        let since = object_state.contending_since.unwrap_or(now);
        self.remember(|object_state| object_state.contending_since = Some(since));
        let at = match basis.observed.ownership {
            Ownership::Released(until) => until,
            Ownership::Mine(_) | Ownership::Of(_) => since + TAKE_OVER_FOR,
        };
        let conflict = at.saturating_duration_since(now);
        match self.report_if_it_lasts(finding, object_state.report_pending_at) {
            Step::Rest(next) => Step::Rest(Some(next.map_or(conflict, |next| next.min(conflict)))),
            Step::ReportWait(finding, _) => Step::ReportWait(finding, Some(conflict)),
            step => step,
        }
    }

    /// Returns whether a guard that time or another object may lift holds the change, and status does not show it yet.
    fn is_unreported_wait(&self, finding: &Finding) -> bool {
        let status = &self.state.current.status;
        let generation = self.state.object.generation;
        let is_shown = |guard| status::shows_hold(status, generation, guard, self.account.rules);
        finding
            .guard()
            .is_some_and(|guard| guard.reason() == Reason::Protected && !is_shown(guard))
    }

    /// Reports the hold once it has lasted: a hand-over of the last admin in one commit lifts it within that time.
    fn report_hold_if_it_lasts(&mut self, finding: Finding, basis: Basis<'_>) -> Step {
        match self.report_if_it_lasts(finding, basis.object_state.report_pending_at) {
            Step::ReportWait(finding, _) => {
                self.remember(|object_state| object_state.report_pending_at = None);
                Step::ReportWait(finding, Some(ADMINS_AGAIN))
            }
            step => step,
        }
    }

    /// Records a refusal, so that nothing is tried again that cannot succeed.
    pub(super) fn record_refusal(&mut self, finding: &Finding, sighting: &Sighting) {
        let Some(user) = sighting.user() else {
            return;
        };
        let facts = self.status_facts(finding, Seen::User(user));
        let (reason, message) = messages::describe(&facts);
        let refusal = Refusal {
            reason,
            message,
            about: user.clone(),
            hour: self.hour(),
        };
        self.remember(|object_state| {
            object_state.refusal = Some(refusal);
            object_state.tries = 0;
            object_state.attempt = 0;
            object_state.not_before = None;
        });
    }

    /// Returns the hour of a refusal, counted from the time at which Ready has become False, or is about to.
    fn hour(&self) -> Hour {
        let conditions = &self.state.current.status.conditions;
        let now = self.now.time;
        Hour::of(conditions::false_since(conditions, now), now)
    }

    /// An outage that is reported and goes on is not overwritten by a wait for the next try.
    pub(super) fn wait(&mut self, basis: Basis<'_>) -> Step {
        if basis.observed.trouble_stands {
            return Step::Rest(None);
        }
        if self.account.limiter.is_key_refused() {
            return Step::Report(Finding::KeyRefused, None);
        }
        self.report_if_it_lasts(Finding::Throttled, basis.object_state.report_pending_at)
    }

    /// The change of another user decides. While the account is suspended that one cannot leave either.
    pub(super) fn wait_for_other(&mut self, basis: Basis<'_>) -> Step {
        if self.account.limiter.suspension().is_some() {
            return self.wait_for_account(basis);
        }
        self.wait(basis)
    }

    /// The account is suspended. Its state is read once, and reported with it: until then nothing is, or only what has
    /// lasted.
    pub(super) fn wait_for_account(&mut self, basis: Basis<'_>) -> Step {
        match self.account.limiter.suspension() {
            Some(Name::Asked) | None => {
                let finding = Finding::AccountSuspended(None);
                self.report_if_it_lasts(finding, basis.object_state.report_pending_at)
            }
            Some(name) => Step::Report(Finding::AccountSuspended(name.known()), None),
        }
    }

    /// Reports a wait once it has lasted: at `pending_at`, or, where that is not set yet, when all that wait get their turn.
    pub(super) fn report_if_it_lasts(
        &mut self,
        finding: Finding,
        pending_at: Option<Moment>,
    ) -> Step {
        let now = self.now.at;
        let at = pending_at.unwrap_or_else(|| {
            let at = self.pending.begin(now);
            self.remember(|object_state| object_state.report_pending_at = Some(at));
            at
        });
        let left = at.saturating_duration_since(now);
        if left.is_zero() {
            Step::ReportWait(finding, None)
        } else {
            Step::Rest(Some(left))
        }
    }
}
