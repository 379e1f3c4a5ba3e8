//! The reconciler of one object as a state machine without I/O: an input is what happened, an effect is what to do next. The
//! driver carries the effect out and returns its outcome as the next input, until the machine finishes.
//!
//! Wherever it is cut off, [`Input::Abandoned`] must be its last input: a permit goes back, and a change that was sent counts
//! as one whose outcome is unknown.

mod change;
mod effect;
mod explain;
mod facts;
mod forced;
mod pending;
mod reads;
mod report;

pub use effect::{
    Effect, Finish, Input, ObjectRead, ReportOutcome, Reported, Sent, StatusWrite, WriteOutcome,
};
pub use explain::{Explanation, GuardAnswer};
pub use reads::PROGRESS_READS;

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{AccountId, UserId, UserRef};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::Reason;
use retry_backoff::Backoff;

use super::desired::Desired;
use super::events::AppliedUpdate;
use super::facts::{Observed, may_change};
use super::object::CachedUser;
use super::pending_reports::PendingReports;
use super::plan::{self, Finding, Plan, Update};
use super::state::{ObjectState, ObjectStates};
use crate::account::Account;
use crate::account::limiter::Permit;
use crate::account::updates::Outcome;
use crate::account::updates::UpdateInFlight;
use crate::claims::{Claims, Ownership};
use crate::random::Random;
use crate::rebase::{Rebase, rebase};
use crate::time::Moment;
use crate::world::{Now, Settings, World};
use report::Writing;

/// The plans of one reconciliation: a re-read of the object and a PATCH, the same once more, and what came of it.
const PLANS: usize = 8;
/// The back-off of status writes and of the re-read of an object.
pub const KUBE_BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(4),
    cap: Duration::from_secs(30),
};

/// The status an object has now, and the version a write must be based on. Right after a write of
/// ours the watch may still show the one before.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Current {
    status: Arc<FireworksUserStatus>,
    version: String,
}

/// Which input is next.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Expects {
    Begin,
    ObjectRead,
    Answer,
    StatusWritten,
    Ended,
}

/// One reconciliation.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Reconcile {
    object: Arc<CachedUser>,
    /// The account that it belongs to.
    account: AccountId,
    /// A former reconciliation of it was cut off: why.
    failure: Option<&'static str>,
    expects: Expects,
    plans_left: usize,
    desired: Option<Arc<Desired>>,
    current: Current,
    /// The right to send one change.
    permit: Option<Permit>,
    /// The object was read again since the permit was given.
    is_reread: bool,
    in_flight: Option<(Update, UpdateInFlight)>,
    /// What came of the last update.
    outcome: Option<Outcome>,
    applied: Option<AppliedUpdate>,
    holds_report_slot: bool,
    /// When the annotation forces a read that is owed.
    forces_read_at: Option<Moment>,
    writing: Option<Box<Writing>>,
}

/// What a plan is based on.
#[derive(Clone, Copy)]
struct Basis<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    /// As it was before the plan.
    object_state: &'a ObjectState,
}

/// What a plan leads to.
enum Step {
    /// The facts have changed: observe and plan again.
    Again,
    /// Report this, and requeue then.
    Report(Finding, Option<Duration>),
    /// Report this wait, unless too many others are being reported.
    ReportWait(Finding, Option<Duration>),
    /// Report nothing, and requeue then.
    Rest(Option<Duration>),
    /// Do this, and go on with its outcome.
    Do(Effect, Expects),
}

impl Reconcile {
    /// Returns a reconciliation of that object, which belongs to that account.
    #[must_use]
    pub fn new(object: Arc<CachedUser>, account: AccountId) -> Self {
        let current = Current {
            status: Arc::default(),
            version: String::new(),
        };
        Self {
            object,
            account,
            failure: None,
            expects: Expects::Begin,
            plans_left: PLANS,
            desired: None,
            current,
            permit: None,
            is_reread: false,
            in_flight: None,
            outcome: None,
            applied: None,
            holds_report_slot: false,
            forces_read_at: None,
            writing: None,
        }
    }

    /// Returns one that reports that the reconciliation of the object was cut off, and why.
    #[must_use]
    pub fn after_failure(object: Arc<CachedUser>, account: AccountId, why: &'static str) -> Self {
        Self {
            failure: Some(why),
            ..Self::new(object, account)
        }
    }

    /// Returns what came of the last update.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns whether it has finished: it takes no further input.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let Self {
            expects,
            permit,
            in_flight,
            holds_report_slot,
            ..
        } = self;
        let is_free = permit.is_none() && in_flight.is_none() && !holds_report_slot;
        *expects == Expects::Ended && is_free
    }

    /// Gives every time that it keeps the place that `place` returns for it: that at which its update was sent, those at which
    /// the probe of its permit was due, and that at which it has to be requeued for a read.
    pub fn rebase(&mut self, mut place: impl FnMut(Moment) -> Moment) {
        Rebase::rebase(self, &mut place);
    }

    /// Takes what happened, and returns what to do next. An object of an account that is not served is left alone.
    pub fn step(&mut self, input: Input, world: &mut World, now: Now) -> Effect {
        let expects = std::mem::replace(&mut self.expects, Expects::Ended);
        let Some(mut pass) = self.pass(world, now) else {
            return Effect::Finish(Finish::default());
        };
        match (expects, input) {
            (Expects::Begin, Input::Begin { all_synced }) => pass.begin(all_synced),
            (Expects::ObjectRead, Input::ObjectRead(read)) => {
                let step = pass.object_read(read);
                pass.go_on(step)
            }
            (Expects::Answer, Input::UpdateEnded(answer)) => {
                let step = pass.answer_applied(answer);
                pass.go_on(step)
            }
            (Expects::StatusWritten, Input::StatusWritten(outcome)) => pass.status_written(outcome),
            // Abandoned, or an input that nothing asked for.
            (_, _) => pass.abandon(),
        }
    }

    /// Returns the reconciliation with its account; nothing where the account is not served.
    fn pass<'a>(&'a mut self, world: &'a mut World, now: Now) -> Option<Pass<'a>> {
        let World {
            account,
            others,
            claims,
            objects,
            pending,
            random,
            settings,
            epoch,
            may_have_former,
        } = world;
        let account = if self.account == account.id {
            account
        } else {
            others.get_mut(&self.account)?
        };
        account.key_version = now.key_version;
        Some(Pass {
            state: self,
            account,
            claims,
            objects,
            pending,
            random,
            settings,
            epoch: *epoch,
            may_have_former: *may_have_former,
            now,
        })
    }
}

rebase! { Reconcile {
    rebased: permit, in_flight, forces_read_at;
    kept: object, account, failure, expects, plans_left, desired, current, is_reread, outcome, applied, holds_report_slot,
        writing;
} }

/// A reconciliation with its account, what all reconciliations share, and the time of one step.
struct Pass<'a> {
    state: &'a mut Reconcile,
    account: &'a mut Account,
    claims: &'a mut Claims,
    objects: &'a mut ObjectStates,
    pending: &'a mut PendingReports,
    random: &'a mut Random,
    settings: &'a Settings,
    epoch: Moment,
    may_have_former: bool,
    now: Now,
}

impl Pass<'_> {
    fn begin(&mut self, all_synced: bool) -> Effect {
        if self.state.object.is_being_deleted {
            return self.finish(Finish::default());
        }
        self.state.current = self.current();
        if let Some(why) = self.state.failure {
            self.state.desired = self.desired_of_object().ok().map(Arc::new);
            let next = Some(self.failed_again());
            return self.report_unseen(&Finding::Internal(why), next);
        }
        if self.depends_on_unseen_claims(all_synced) {
            return self.finish(Finish::default());
        }
        match self.desired_of_object() {
            Ok(desired) => {
                self.state.desired = Some(Arc::new(desired));
                self.force_requested_read();
                self.go_on(Step::Again)
            }
            Err(invalid) => {
                let finding = Finding::InvalidSpec(invalid.to_string());
                self.report_unseen(&finding, None)
            }
        }
    }

    /// Goes on after that step: observes and plans until there is something to do, to report or to wait for.
    fn go_on(&mut self, mut step: Step) -> Effect {
        loop {
            match step {
                Step::Do(effect, expects) => {
                    self.state.expects = expects;
                    return effect;
                }
                Step::Rest(requeue) => return self.finish_silently(requeue),
                Step::Report(finding, next) => return self.report(finding, next),
                Step::ReportWait(finding, next) => return self.report_wait(finding, next),
                Step::Again if self.state.plans_left == 0 => {
                    let requeue = Some(self.backoff(KUBE_BACKOFF, 0));
                    return self.finish_silently(requeue);
                }
                Step::Again => {
                    self.state.plans_left -= 1;
                    step = self.plan();
                }
            }
        }
    }

    fn plan(&mut self) -> Step {
        let Some(desired) = self.state.desired.clone() else {
            return Step::Rest(None);
        };
        let object_state = self.object_state();
        let observed = self.observe(&desired, &object_state);
        let is_mine = matches!(observed.ownership, Ownership::Mine(_));
        if is_mine && object_state.contending_since.is_some() {
            self.remember(|object_state| {
                object_state.contending_since = None;
                object_state.report_pending_at = None;
            });
        }
        let rules = self.account.rules;
        let has_drifted = observed.has_matched || observed.converged_at_generation;
        if has_drifted && may_change(&desired, &observed.sighting, rules) {
            // However long the repair waits, and whatever status reports meanwhile, it stays a repair.
            self.remember(|object_state| object_state.drifted = true);
        }
        let plan = plan::plan(&desired, &observed, rules);
        let is_update = matches!(plan, Plan::Update(_));
        let basis = Basis {
            desired: &desired,
            observed: &observed,
            object_state: &object_state,
        };
        let step = match plan {
            Plan::InSync => self.in_sync(basis),
            Plan::Hold(finding @ Finding::TakingOver(_)) => self.wait_for_claim(finding, basis),
            Plan::Hold(finding) => self.hold(finding, basis),
            Plan::Read(read) => self.read(read, basis),
            Plan::List => self.list(basis),
            Plan::ListFrom(at) => self.list_from(at, basis),
            Plan::AwaitOther(until) => {
                let left = until.map(|at| at.saturating_duration_since(self.now.at));
                self.wait_for_other(basis).within(left)
            }
            Plan::Update(update) if self.state.is_reread => self.send(update, basis),
            Plan::Update(update) => self.prepare(&update, basis),
        };
        if !is_update {
            // The re-read was good for that change only.
            self.return_permit();
        }
        step
    }

    fn return_permit(&mut self) {
        self.state.is_reread = false;
        if let Some(permit) = self.state.permit.take() {
            self.account.limiter.put_back(permit);
        }
    }

    fn abandon(&mut self) -> Effect {
        self.return_permit();
        if let Some((_, update)) = self.state.in_flight.take() {
            self.account.outcome_unknown(update, self.now.at);
        }
        self.finish(Finish::default())
    }

    fn finish_silently(&mut self, requeue: Option<Duration>) -> Effect {
        self.finish(Finish {
            requeue,
            ..Finish::default()
        })
    }

    fn finish(&mut self, mut finish: Finish) -> Effect {
        let owed = self.state.forces_read_at.take();
        let owed = owed.map(|at| at.saturating_duration_since(self.now.at));
        finish.requeue = finish.requeue.into_iter().chain(owed).min();
        if std::mem::take(&mut self.state.holds_report_slot) {
            self.pending.give_back();
        }
        self.state.expects = Expects::Ended;
        Effect::Finish(finish)
    }

    fn desired_of_object(&self) -> Result<Desired, super::desired::InvalidSpec> {
        self.state.object.desired(self.settings.observe_only)
    }

    /// Returns whether the object that holds the user may be in a namespace that is not synced yet: the status of an object
    /// that another one kept from its user is left as it is until then.
    fn depends_on_unseen_claims(&self, all_synced: bool) -> bool {
        let reported = self.state.object.reported;
        reported.is_some_and(Reason::names_another_claim) && !all_synced
    }

    /// Counts a failure of the object, and returns for how long nothing is tried for it.
    fn failed_again(&mut self) -> Duration {
        let attempt = self.object_state().attempt;
        let delay = self.backoff(Backoff::default(), attempt);
        let until = self.now.at + delay;
        self.remember(|object_state| {
            object_state.attempt = attempt.saturating_add(1);
            object_state.not_before = Some(until);
        });
        delay
    }

    /// Returns the time from which a read shows the outcome of everything that was sent before the epoch.
    fn settled_from(&self) -> Moment {
        if self.may_have_former {
            self.epoch + self.settings.settle_window
        } else {
            self.epoch
        }
    }

    fn user_ref(&self, user: &UserId) -> UserRef {
        (self.account.rules.user_of)(&self.state.account, user)
    }

    fn backoff(&mut self, backoff: Backoff, attempt: u32) -> Duration {
        backoff.delay(attempt, self.random.fraction())
    }

    fn object_state(&self) -> ObjectState {
        let object = &self.state.object;
        self.objects.recall(&object.uid, object.generation)
    }

    fn remember(&mut self, change: impl FnOnce(&mut ObjectState)) {
        let object = &self.state.object;
        self.objects.update(&object.uid, object.generation, change);
    }

    /// Records that the user matches the spec at this generation: what differs later is drift.
    fn remember_match(&mut self) {
        let object = &self.state.object;
        self.objects.matched(&object.uid, object.generation);
    }

    /// Returns whether status does not report the spec as it is yet.
    fn is_new_spec(&self) -> bool {
        self.state.current.status.observed_generation != Some(self.state.object.generation)
    }
}

impl Step {
    /// Returns the step with a requeue no later than that.
    fn within(self, limit: Option<Duration>) -> Self {
        let earlier = |next: Option<Duration>| next.into_iter().chain(limit).min();
        match self {
            Self::Again => Self::Again,
            Self::Do(effect, expects) => Self::Do(effect, expects),
            Self::Rest(next) => Self::Rest(earlier(next)),
            Self::Report(finding, next) => Self::Report(finding, earlier(next)),
            Self::ReportWait(finding, next) => Self::ReportWait(finding, earlier(next)),
        }
    }
}

#[cfg(test)]
mod tests;
