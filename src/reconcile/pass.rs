//! One pass step by step: observes, plans, and carries out what the plan says, until there is something
//! to tell or to wait for. The loop is bounded; every decision is the plan's.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::act::{self, Outcome};
use super::desired::{self, Desired};
use super::memory::{Entry, VERDICT_LIFETIME, Verdict};
use super::observe::{self, Observed, Verified};
use super::plan::{self, Cause, Finding, Plan, Read, Update, Why};
use super::report::notes::Done;
use super::report::status::{self, Seen};
use super::report::{Current, Report};
use super::{Context, KUBE_BACKOFF, Next, failed_again, tell};
use crate::audit::{self, Mutation};
use crate::claims::Ownership;
use crate::conditions::{Message, Reason};
use crate::fireworks::budget::{Because, Class};
use crate::fireworks::directory::{Failure, Sighting};
use crate::fireworks::error::Kind;
use crate::fireworks::wire::State;
use crate::runtime::clock;
use crate::watched::Watched;

/// The steps of one pass: a read of the object, a PATCH, one more try, and the verdict.
const STEPS: usize = 8;
/// Reads of a user that Fireworks is working on: after 1, 2, 4, 8 and 16 s; then the sweep.
const PROGRESS_READS: u32 = 5;

/// One pass under way.
pub(super) struct Pass<'a> {
    ctx: &'a Context,
    object: &'a Watched,
    current: Current,
    desired: Desired,
    verified: bool,
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
            verified: false,
            done: None,
        }
    }

    /// Runs to its end.
    pub(super) async fn run(mut self) -> Next {
        for _ in 0..STEPS {
            let now = clock::now();
            let entry = self.entry();
            let status = &self.current.status;
            let observed = observe::observe(
                self.ctx,
                self.object,
                status,
                &self.desired,
                &entry,
                self.verified,
                now,
            );
            let step = match plan::plan(&self.desired, &observed) {
                Plan::InSync => self.in_sync(&observed),
                Plan::Hold(finding) => self.hold(finding, &observed, now),
                Plan::Read(read) => self.ask(read, &observed, &entry, now),
                Plan::List => self.ask_list(&observed, &entry, now),
                Plan::ListFrom(at) => self.ask_list_from(at, &observed, &entry, now),
                Plan::AwaitOther => self.wait(&observed, &entry, now),
                Plan::Verify => self.verify().await,
                Plan::Update(update) => self.change(&update, &observed, &entry, now).await,
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
        Some(KUBE_BACKOFF.delay_now(0))
    }

    fn entry(&self) -> Entry {
        self.ctx
            .memory
            .recall(self.object.uid(), self.object.generation())
    }

    fn remember(&self, change: impl FnOnce(&mut Entry)) {
        self.ctx
            .memory
            .update(self.object.uid(), self.object.generation(), change);
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
        }
    }

    fn in_sync(&self, observed: &Observed) -> Step {
        self.calm(observed);
        self.remember(|entry| {
            entry.attempt = 0;
            entry.not_before = None;
            entry.verdict = None;
            entry.tries = 0;
            entry.applied = false;
            entry.drifted = false;
        });
        Step::Tell(Finding::InSync, None)
    }

    fn hold(&self, finding: Finding, observed: &Observed, now: Instant) -> Step {
        self.calm(observed);
        let next = match &finding {
            Finding::Standing(verdict) => {
                let verdict = verdict.clone();
                let remaining = verdict.expires.saturating_duration_since(now);
                self.remember(|entry| entry.verdict = Some(verdict));
                Some(remaining)
            }
            Finding::Contested => {
                let until = self.ctx.memory.contested_until(&self.desired.user, now);
                until.map(|until| until.saturating_duration_since(now))
            }
            // Another admin may have appeared where nobody reads one; to see that takes a list.
            Finding::LastAdmin => Some(VERDICT_LIFETIME),
            Finding::NotApplied(_) => {
                let key_version = self.ctx.account.client().keys().current().version;
                self.sentence(&finding, &observed.sighting, key_version, now);
                Some(VERDICT_LIFETIME)
            }
            _ => None,
        };
        Step::Tell(finding, next)
    }

    /// A refusal is remembered, so that nothing is tried again that cannot work.
    fn sentence(&self, finding: &Finding, sighting: &Sighting, key_version: u64, now: Instant) {
        let Sighting::Seen { user, .. } = sighting else {
            return;
        };
        let (reason, message) = self.say(finding);
        let verdict = Verdict {
            reason,
            message,
            about: user.clone(),
            key_version,
            expires: now + VERDICT_LIFETIME,
        };
        self.remember(|entry| {
            entry.verdict = Some(verdict);
            entry.tries = 0;
            entry.attempt = 0;
            entry.not_before = None;
        });
    }

    fn say(&self, finding: &Finding) -> (Reason, Message) {
        status::say(&status::Facts {
            generation: self.object.generation(),
            account: self.ctx.account.client().account(),
            desired: Some(&self.desired),
            seen: Seen::Unknown,
            finding,
            spec_manager: self.object.spec_manager.as_deref(),
            now: clock::timestamp(),
        })
    }

    /// Leaves the read to the reader; its end triggers the object.
    fn ask(&self, read: Read, observed: &Observed, entry: &Entry, now: Instant) -> Step {
        self.release(observed);
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
    fn ask_later(&self, entry: &Entry, now: Instant) {
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

    fn ask_list(&self, observed: &Observed, entry: &Entry, now: Instant) -> Step {
        self.want_list();
        match &observed.failure {
            Some(failure) => Step::Tell(Finding::Failed(failure.clone()), None),
            None => self.wait(observed, entry, now),
        }
    }

    /// The list that counts can begin no earlier than that; what is waited for stays the same meanwhile.
    fn ask_list_from(&self, at: Instant, observed: &Observed, entry: &Entry, now: Instant) -> Step {
        let left = at.saturating_duration_since(now);
        if left.is_zero() {
            self.want_list();
            if let Some(failure) = &observed.failure {
                return Step::Tell(Finding::Failed(failure.clone()), None);
            }
        }
        let next = Some(left).filter(|left| !left.is_zero());
        match self.tell_if_it_lasts(Finding::PresumedDemotion, entry, now) {
            Step::Rest(Some(telling)) => {
                Step::Rest(Some(next.map_or(telling, |at| at.min(telling))))
            }
            Step::TellWait(finding, None) => Step::TellWait(finding, next),
            step => step,
        }
    }

    /// A trouble that is told and still there is not talked over by a wait for the next try.
    fn wait(&self, observed: &Observed, entry: &Entry, now: Instant) -> Step {
        if observed.trouble_stands {
            return Step::Rest(None);
        }
        self.tell_if_it_lasts(Finding::Throttled, entry, now)
    }

    /// A wait is told once it has lasted.
    fn tell_if_it_lasts(&self, finding: Finding, entry: &Entry, now: Instant) -> Step {
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

    async fn verify(&mut self) -> Step {
        match observe::verify(self.ctx, self.object).await {
            Verified::Same => {
                self.verified = true;
                Step::Again
            }
            Verified::Moved => Step::Rest(None),
            Verified::Unknown => Step::Rest(Some(KUBE_BACKOFF.delay_now(0))),
        }
    }

    async fn change(
        &mut self,
        update: &Update,
        observed: &Observed,
        entry: &Entry,
        now: Instant,
    ) -> Step {
        if let Some(left) = entry.not_before.map(|at| at.saturating_duration_since(now))
            && !left.is_zero()
        {
            return Step::Rest(Some(left));
        }
        let class = match update.cause {
            Cause::SpecChange => Class::SpecChange,
            Cause::Drift => {
                self.ctx.account.directory().drift_found(now);
                self.remember(|entry| entry.drifted = true);
                Class::DriftRepair
            }
        };
        let budget = self.ctx.account.budget();
        let lane = &self.object.key().namespace;
        let permit = match budget.try_take(&update.user, lane, class, now) {
            Ok(permit) => permit,
            Err(waiting) if waiting.because == Because::KeyRefused => {
                return Step::Tell(Finding::KeyRefused, None);
            }
            Err(_) => return self.wait(observed, entry, now),
        };
        self.remember(|entry| entry.tell_wait_at = None);
        // The spec may move on while the answer is awaited: what was read again is good for one PATCH.
        self.verified = false;
        let audit = self.audit(update, entry).begin();
        let outcome = act::act(&self.ctx.account, permit, update).await;
        audit.end(outcome.as_str(), outcome.answer());
        self.learn(update, outcome)
    }

    fn audit<'u>(&'u self, update: &'u Update, entry: &Entry) -> Mutation<'u> {
        Mutation {
            object: Some(audit::Object {
                key: self.object.key(),
                uid: self.object.uid(),
                generation: self.object.generation(),
                spec_manager: self.object.spec_manager.as_deref(),
            }),
            cause: match update.cause {
                Cause::SpecChange => "spec",
                Cause::Drift => "drift",
            },
            user: &update.user,
            before: &update.before,
            patch: &update.patch,
            attempt: entry.attempt.saturating_add(1),
        }
    }

    fn learn(&mut self, update: &Update, outcome: Outcome) -> Step {
        let now = clock::now();
        match outcome {
            Outcome::Applied(after) => {
                self.ctx.memory.settle(self.object.uid());
                if update.cause == Cause::Drift {
                    self.ctx.memory.repaired(&update.user, now);
                }
                let working = matches!(after.state, State::Creating | State::Updating);
                let matches = desired::diff(&self.desired, &after).is_empty();
                // An answer that newer news have overtaken says nothing of what Fireworks stores.
                let view = self.ctx.account.directory().view(&update.user, now);
                let is_newest =
                    matches!(&view.sighting, Sighting::Seen { user, .. } if *user == after);
                let differs = !matches && !working && is_newest;
                self.remember(|entry| {
                    entry.attempt = 0;
                    entry.not_before = None;
                    entry.progress = 0;
                    entry.tries += u8::from(differs);
                    entry.applied = matches;
                });
                self.done = Some(Done {
                    update: update.clone(),
                    after,
                });
                Step::Again
            }
            Outcome::Again => Step::Again,
            Outcome::Missing(failure) => self.missing(failure, now),
            Outcome::Refused(failure, key_version) => {
                let finding = Finding::Refused(failure);
                let sighting = self
                    .ctx
                    .account
                    .directory()
                    .view(&update.user, now)
                    .sighting;
                self.sentence(&finding, &sighting, key_version, now);
                Step::Tell(finding, Some(VERDICT_LIFETIME))
            }
            Outcome::Failed(failure) => self.retry(Finding::Failed(failure), now),
            Outcome::Lost(failure) => {
                let finding = match failure.kind {
                    Kind::Malformed => Finding::Failed(failure),
                    _ => Finding::Unconfirmed,
                };
                self.retry(finding, now)
            }
        }
    }

    /// A read tells whether the user is gone. One that shows it and changes that do not find it may
    /// contradict each other for long: the changes back off, and from the second one on it is told.
    fn missing(&self, failure: Arc<Failure>, now: Instant) -> Step {
        let is_first = self.entry().attempt == 0;
        let step = self.retry(Finding::Failed(failure), now);
        if is_first { Step::Again } else { step }
    }

    fn retry(&self, finding: Finding, now: Instant) -> Step {
        Step::Tell(finding, Some(failed_again(self.ctx, self.object, now)))
    }

    async fn tell(&self, finding: &Finding, next: Next) -> Next {
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

#[cfg(test)]
mod tests;
