//! One pass step by step: observes, plans, and carries out what the plan says, until there is something
//! to tell or to wait for. The loop is bounded; every decision is the plan's.

use std::time::Duration;

use fireworks_api::error::Kind;
use fireworks_core::account::{Failure, Sighting};
use fireworks_core::claims::Ownership;
use fireworks_core::time::Moment;
use fireworks_core::user::desired::Desired;
use fireworks_core::user::events::Done;
use fireworks_core::user::facts::{Observed, TAKE_OVER_FOR};
use fireworks_core::user::hour::Hour;
use fireworks_core::user::object::Watched;
use fireworks_core::user::plan::{self, Finding, Plan, Read, Why};
use fireworks_core::user::state::{ADMINS_AGAIN, Entry, Verdict};
use fireworks_core::user::status::{self, Seen};
use fireworks_crd::conditions::{self, Message, Reason};

use super::observe;
use super::report::{Current, Report};
use super::{Context, KUBE_BACKOFF, Next, tell};
use crate::account::budget::{Class, Name, Permit};
use crate::clock;

mod change;

/// The steps of one pass: a re-read of the object and a PATCH, the same once more, and what came of it.
const STEPS: usize = 8;
/// Reads of a user that Fireworks is working on: after 1, 2, 4, 8 and 16 s; then the sweep.
const PROGRESS_READS: u32 = 5;

/// One pass under way.
pub(super) struct Pass<'a> {
    ctx: &'a Context,
    object: &'a Watched,
    current: Current,
    desired: Desired,
    /// The right to send one change: the object was read again since it was given.
    permit: Option<Permit>,
    done: Option<Done>,
}

/// What a step leads to.
enum Step {
    /// The facts have changed: observe and plan anew.
    Again,
    /// Say this, and look again then.
    Tell(Finding, Next),
    /// The same of a mere wait, as soon as few others are being told.
    TellWait(Finding, Next),
    /// Say nothing, and look again then.
    Rest(Next),
}

impl<'a> Pass<'a> {
    /// A pass over that object.
    pub(super) fn new(
        ctx: &'a Context,
        object: &'a Watched,
        current: Current,
        desired: Desired,
    ) -> Self {
        Self {
            ctx,
            object,
            current,
            desired,
            permit: None,
            done: None,
        }
    }

    /// Runs to its end.
    pub(super) async fn run(mut self) -> Next {
        for _ in 0..STEPS {
            let now = clock::now();
            let entry = self.entry();
            let status = &self.current.status;
            let observed =
                observe::observe(self.ctx, self.object, status, &self.desired, &entry, now);
            if observed.ownership == Ownership::Mine && entry.contending_since.is_some() {
                self.remember(|entry| (entry.contending_since, entry.tell_wait_at) = (None, None));
            }
            // Unless it is used for this very step, the permit goes back.
            let permit = self.permit.take();
            let step = match plan::plan(&self.desired, &observed) {
                Plan::InSync => self.in_sync(&observed),
                Plan::Hold(finding @ Finding::TakingOver(_)) => {
                    self.await_claim(finding, &observed, &entry, now)
                }
                Plan::Hold(finding) => self.hold(finding, &observed, &entry, now),
                Plan::Read(read) => self.ask(read, &observed, &entry, now),
                Plan::List => self.ask_list(&observed, &entry, now),
                Plan::ListFrom(at) => self.ask_list_from(at, &observed, &entry, now),
                Plan::AwaitOther(until) => {
                    let step = self.wait_for_other(&observed, &entry, now);
                    no_later_than(step, until.map(|at| at.saturating_duration_since(now)))
                }
                Plan::Update(update) => match permit {
                    Some(permit) => self.send(permit, &update, &entry).await,
                    None => self.prepare(&update, &observed, &entry, now).await,
                },
            };
            match step {
                Step::Again => {}
                Step::Rest(next) => return next,
                Step::Tell(finding, next) => return self.tell(&finding, next).await,
                Step::TellWait(finding, next) => {
                    let Some(_turn) = self.ctx.waits.turn() else {
                        let at = self.ctx.waits.again(now);
                        self.remember(|entry| entry.tell_wait_at = Some(at));
                        return Some(at.saturating_duration_since(now));
                    };
                    return self.tell(&finding, next).await;
                }
            }
        }
        Some(KUBE_BACKOFF.delay(0, fastrand::f64()))
    }

    fn entry(&self) -> Entry {
        self.ctx
            .memory
            .lock()
            .recall(self.object.uid(), self.object.generation())
    }

    fn remember(&self, change: impl FnOnce(&mut Entry)) {
        self.ctx
            .memory
            .lock()
            .update(self.object.uid(), self.object.generation(), change);
    }

    /// Records that the user matches the spec at this generation: what differs later is drift.
    fn remember_match(&self) {
        let (uid, generation) = (self.object.uid(), self.object.generation());
        self.ctx.memory.lock().matched(uid, generation);
    }

    /// Status does not speak of the spec as it is yet.
    fn is_new_spec(&self) -> bool {
        self.current.status.observed_generation != Some(self.object.generation())
    }

    /// Nothing is pending any more.
    fn calm(&self, observed: &Observed) {
        self.release(observed);
        self.remember(|entry| {
            entry.tell_wait_at = None;
            entry.progress = 0;
        });
    }

    /// Gives up the place in the budget's queue. It is the owner's: others may not.
    fn release(&self, observed: &Observed) {
        if observed.ownership == Ownership::Mine && !self.desired.observe {
            self.ctx.account.budget().release(&self.desired.user);
            let directory = self.ctx.account.directory();
            directory.leave_canary(&self.desired.user);
        }
    }

    fn in_sync(&self, observed: &Observed) -> Step {
        self.calm(observed);
        self.remember(|entry| {
            entry.attempt = 0;
            entry.not_before = None;
            entry.verdict = None;
            entry.tries = 0;
            entry.drifted = false;
        });
        self.remember_match();
        Step::Tell(Finding::InSync, None)
    }

    fn hold(&self, finding: Finding, observed: &Observed, entry: &Entry, now: Moment) -> Step {
        if self.is_unreported_wait(&finding) {
            self.release(observed);
            return self.report_hold_if_it_lasts(finding, entry, now);
        }
        self.calm(observed);
        let next = match &finding {
            Finding::Standing(verdict) => {
                let verdict = verdict.clone();
                let next = if verdict.reason == Reason::PermissionDenied {
                    let denials = self.ctx.account.denials();
                    denials.next_look(&self.desired.user, now)
                } else {
                    verdict.hour.left(clock::timestamp())
                };
                self.remember(|entry| entry.verdict = Some(verdict));
                Some(next)
            }
            Finding::Contested(hold) => Some(hold.until.saturating_duration_since(now)),
            // Another admin may have appeared where nobody reads one; to see that takes a list.
            Finding::LastAdmin => Some(ADMINS_AGAIN),
            Finding::FieldCleared(at) | Finding::ChangesStopped(at) => {
                Some(at.saturating_duration_since(now))
            }
            Finding::DemotionsStopped(until) => until.map(|at| at.saturating_duration_since(now)),
            Finding::NotApplied(_) => {
                let key_version = self.ctx.account.client().keys().current().version;
                self.sentence(&finding, &observed.sighting, key_version);
                Some(self.hour().left(clock::timestamp()))
            }
            _ => None,
        };
        Step::Tell(finding, next)
    }

    /// Another object owns the user: this one takes over at once when that one goes.
    fn await_claim(
        &self,
        finding: Finding,
        observed: &Observed,
        entry: &Entry,
        now: Moment,
    ) -> Step {
        self.release(observed);
        let since = entry.contending_since.unwrap_or_else(|| {
            self.remember(|entry| entry.contending_since = Some(now));
            now
        });
        let conflict = (since + TAKE_OVER_FOR).saturating_duration_since(now);
        match self.tell_if_it_lasts(finding, entry, now) {
            Step::Rest(next) => Step::Rest(Some(next.map_or(conflict, |next| next.min(conflict)))),
            Step::TellWait(finding, _) => Step::TellWait(finding, Some(conflict)),
            step => step,
        }
    }

    /// Returns whether a guard that time or another object may lift holds the change, and status does not show it yet.
    fn is_unreported_wait(&self, finding: &Finding) -> bool {
        let (status, generation) = (&self.current.status, self.object.generation());
        finding.guard().is_some_and(|guard| {
            guard.reason() == Reason::Protected && !status::shows_hold(status, generation, guard)
        })
    }

    /// Reports the hold once it has lasted: a hand-over of the last admin in one commit lifts it within that time.
    fn report_hold_if_it_lasts(&self, finding: Finding, entry: &Entry, now: Moment) -> Step {
        match self.tell_if_it_lasts(finding, entry, now) {
            Step::TellWait(finding, _) => {
                self.remember(|entry| entry.tell_wait_at = None);
                Step::TellWait(finding, Some(ADMINS_AGAIN))
            }
            step => step,
        }
    }

    /// A refusal is remembered, so that nothing is tried again that cannot work.
    fn sentence(&self, finding: &Finding, sighting: &Sighting, key_version: u64) {
        let Sighting::Seen { user, .. } = sighting else {
            return;
        };
        let (reason, message) = self.say(finding, Seen::User(user));
        let verdict = Verdict {
            reason,
            message,
            about: user.clone(),
            key_version,
            hour: self.hour(),
        };
        self.remember(|entry| {
            entry.verdict = Some(verdict);
            entry.tries = 0;
            entry.attempt = 0;
            entry.not_before = None;
        });
    }

    /// The hour of a refusal, counted from the time at which Ready has become False, or is about to.
    fn hour(&self) -> Hour {
        let now = clock::timestamp();
        Hour::of(
            conditions::false_since(&self.current.status.conditions, now),
            now,
        )
    }

    fn say(&self, finding: &Finding, seen: Seen<'_>) -> (Reason, Message) {
        status::say(&status::Facts {
            generation: self.object.generation(),
            account: self.ctx.account.client().account(),
            desired: Some(&self.desired),
            seen,
            finding,
            spec_manager: self.object.spec_manager.as_deref(),
            now: clock::timestamp(),
        })
    }

    /// Leaves the read to the reader; its end triggers the object.
    fn ask(&self, read: Read, observed: &Observed, entry: &Entry, now: Moment) -> Step {
        if read.why != Why::Canary {
            self.release(observed);
        }
        let directory = self.ctx.account.directory();
        let urgency = if self.is_new_spec() {
            Class::SpecChange
        } else {
            Class::Sweep
        };
        let user = &self.desired.user;
        let at_once = match read.why {
            Why::First => {
                // The first snapshot will do, also where its request has left already. Of a user that is declared
                // only now nothing is known before the read.
                directory.want(user, urgency, self.ctx.started);
                read.meanwhile != Some(Finding::Silence)
            }
            Why::Refresh => {
                // Any read newer than what is known will do: a list under way, too. Silence is told if none comes.
                directory.want(user, urgency, self.ctx.started);
                read.meanwhile != Some(Finding::Silence)
            }
            Why::Absence => {
                // A list that left for others who are missed confirms this absence too.
                directory.want(user, Class::AbsenceCheck, self.ctx.started);
                true
            }
            Why::Settle(at) => {
                directory.want(user, Class::DriftRepair, at);
                true
            }
            Why::Startup(at) if now < at || entry.progress == 0 => {
                directory.want(user, Class::DriftRepair, at);
                if now >= at {
                    self.remember(|entry| entry.progress = 1);
                }
                false
            }
            // A late enough read was made, and is not believed. The next ones come ever later, until one is.
            Why::Startup(_) => {
                self.ask_later(entry, now);
                false
            }
            // The place in the queue is kept: the read is good for a short time only. While the account is suspended only
            // the change whose turn it is to ask needs it.
            Why::Canary => {
                let budget = self.ctx.account.budget();
                let is_suspended = budget.suspension().is_some();
                let class = if self.is_new_spec() {
                    Class::SpecChange
                } else {
                    Class::DriftRepair
                };
                let lane = &self.object.key().namespace;
                if !is_suspended || budget.await_turn(user, lane, class, now) {
                    directory.want_canary(user, now);
                }
                if is_suspended {
                    return self.wait_for_account(entry, now);
                }
                true
            }
            Why::Progress => {
                if entry.progress < PROGRESS_READS {
                    self.ask_later(entry, now);
                }
                false
            }
        };
        match read.meanwhile {
            Some(finding) if at_once => Step::Tell(finding, None),
            Some(finding) => self.tell_if_it_lasts(finding, entry, now),
            None if observed.ready_here || observed.refused_here => {
                // Once silence has lasted too long, the controller has everybody looked at who is still unseen.
                Step::Rest(None)
            }
            None => self.wait(observed, entry, now),
        }
    }

    /// Asks for one more read: after 1, 2, 4, … s.
    fn ask_later(&self, entry: &Entry, now: Moment) {
        let directory = self.ctx.account.directory();
        if !directory.is_wanted(&self.desired.user) {
            let after = Duration::from_secs(1 << entry.progress);
            directory.want(&self.desired.user, Class::DriftRepair, now + after);
            self.remember(|entry| entry.progress = PROGRESS_READS.min(entry.progress + 1));
        }
    }

    fn want_list(&self) {
        let urgency = if self.is_new_spec() {
            Class::SpecChange
        } else {
            Class::DriftRepair
        };
        let directory = self.ctx.account.directory();
        directory.want_list(&self.desired.user, urgency);
    }

    fn ask_list(&self, observed: &Observed, entry: &Entry, now: Moment) -> Step {
        self.want_list();
        match &observed.failure {
            Some(failure) => Step::Tell(Finding::Failed(failure.clone()), None),
            None => self.wait(observed, entry, now),
        }
    }

    /// The list that counts can begin no earlier than that; what is waited for stays the same meanwhile.
    fn ask_list_from(&self, at: Moment, observed: &Observed, entry: &Entry, now: Moment) -> Step {
        let left = at.saturating_duration_since(now);
        if left.is_zero() {
            self.want_list();
            if let Some(failure) = &observed.failure {
                return Step::Tell(Finding::Failed(failure.clone()), None);
            }
        }
        let next = Some(left).filter(|left| !left.is_zero());
        no_later_than(
            self.tell_if_it_lasts(Finding::PresumedDemotion, entry, now),
            next,
        )
    }

    /// A trouble that is told and still there is not talked over by a wait for the next try.
    fn wait(&self, observed: &Observed, entry: &Entry, now: Moment) -> Step {
        if observed.trouble_stands {
            return Step::Rest(None);
        }
        if self.ctx.account.budget().is_key_refused() {
            return Step::Tell(Finding::KeyRefused, None);
        }
        self.tell_if_it_lasts(Finding::Throttled, entry, now)
    }

    /// The change of another user decides. While the account is suspended that one cannot leave either.
    fn wait_for_other(&self, observed: &Observed, entry: &Entry, now: Moment) -> Step {
        if self.ctx.account.budget().suspension().is_some() {
            return self.wait_for_account(entry, now);
        }
        self.wait(observed, entry, now)
    }

    /// The account is suspended. Its state is read once, and reported with it: until then nothing is, or only what has
    /// lasted.
    fn wait_for_account(&self, entry: &Entry, now: Moment) -> Step {
        match self.ctx.account.budget().suspension() {
            Some(Name::Asked) | None => {
                self.tell_if_it_lasts(Finding::AccountSuspended(None), entry, now)
            }
            Some(name) => Step::Tell(Finding::AccountSuspended(name.known()), None),
        }
    }

    /// A wait is told once it has lasted.
    fn tell_if_it_lasts(&self, finding: Finding, entry: &Entry, now: Moment) -> Step {
        let at = entry.tell_wait_at.unwrap_or_else(|| {
            let at = self.ctx.waits.begin(now);
            self.remember(|entry| entry.tell_wait_at = Some(at));
            at
        });
        let left = at.saturating_duration_since(now);
        if left.is_zero() {
            Step::TellWait(finding, None)
        } else {
            Step::Rest(Some(left))
        }
    }

    async fn tell(&self, finding: &Finding, next: Next) -> Next {
        // A read was refused as changes are: it is reported in the same words.
        let is_suspended = |failure: &Failure| failure.kind == Kind::AccountSuspended;
        let account = match finding {
            Finding::Failed(failure) if is_suspended(failure) => {
                let name = self.ctx.account.budget().suspension();
                Some(Finding::AccountSuspended(name.and_then(Name::known)))
            }
            _ => None,
        };
        let finding = account.as_ref().unwrap_or(finding);
        let view = self
            .ctx
            .account
            .directory()
            .view(&self.desired.user, clock::now());
        let report = Report {
            object: self.object,
            current: &self.current,
            desired: Some(&self.desired),
            seen: Seen::from(&view.sighting),
            finding,
            done: self.done.as_ref(),
        };
        tell(self.ctx, &report, next).await
    }
}

/// Returns the step with a requeue no later than that.
fn no_later_than(step: Step, limit: Next) -> Step {
    let earlier = |next: Next| next.into_iter().chain(limit).min();
    match step {
        Step::Again => Step::Again,
        Step::Rest(next) => Step::Rest(earlier(next)),
        Step::Tell(finding, next) => Step::Tell(finding, earlier(next)),
        Step::TellWait(finding, next) => Step::TellWait(finding, earlier(next)),
    }
}

#[cfg(test)]
mod tests;
