//! The steps of a change: a permit, the re-read of the object, the PATCH, and what its answer leads to.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::Kind;
use fireworks_api::wire::{Role, State};
use fireworks_core::account::{Failure, Sighting};
use fireworks_core::time::Moment;
use fireworks_core::user::desired;
use fireworks_core::user::events::Done;
use fireworks_core::user::facts::Observed;
use fireworks_core::user::plan::{Cause, Finding, Update};
use fireworks_core::user::state::Entry;
use fireworks_crd::rules::{Rule, kept};

use super::{Pass, Step, no_later_than};
use crate::account::budget::{Because, Class, Permit};
use crate::audit::{self, Mutation};
use crate::clock;
use crate::reconcile::act::{self, Outcome};
use crate::reconcile::observe::{self, Reread};
use crate::reconcile::{KUBE_BACKOFF, failed_again};

impl Pass<'_> {
    /// Takes a permit and reads the object again. What is true may have changed meanwhile: the change is planned once
    /// more before it is sent.
    pub(super) async fn prepare(
        &mut self,
        update: &Update,
        observed: &Observed,
        entry: &Entry,
        now: Moment,
    ) -> Step {
        if let Some(left) = entry.not_before.map(|at| at.saturating_duration_since(now))
            && !left.is_zero()
        {
            return Step::Rest(Some(left));
        }
        let class = match update.cause {
            Cause::SpecChange => Class::SpecChange,
            Cause::Drift | Cause::Found => {
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
            Err(waiting) if waiting.because == Because::AccountSuspended => {
                return self.wait_for_account(entry, now);
            }
            Err(_) => return self.wait(observed, entry, now),
        };
        if kept(Rule::ObjectsAreReadAgain) {
            match observe::reread(self.ctx, self.object).await {
                Reread::Same => {}
                Reread::Newer(newer) => {
                    self.ctx.newer(*newer);
                    return Step::Rest(None);
                }
                Reread::Gone => return Step::Rest(None),
                Reread::Refused => return self.read_refused(entry, now),
                Reread::Unknown => return Step::Rest(Some(self.unread_again())),
            }
        }
        self.remember(|entry| {
            entry.unread = 0;
            entry.tell_wait_at = None;
        });
        self.permit = Some(permit);
        Step::Again
    }

    /// The API server did not show the object: nothing is changed before it does.
    fn unread_again(&self) -> Duration {
        let before = self.count_unread();
        if self.ctx.rights.reads.begin() {
            let object = self.object.key();
            tracing::warn!(%object, "object not read again: no user is changed until the API server answers; retrying");
        }
        // Each try needs a permit, which bounds their number: once the API server is back a change waits 8 s at most.
        KUBE_BACKOFF.delay(before.min(1), fastrand::f64())
    }

    /// Reports that the operator has not the right to read the object, once that has lasted: nothing is changed until then.
    fn read_refused(&self, entry: &Entry, now: Moment) -> Step {
        let before = self.count_unread();
        let next = Some(KUBE_BACKOFF.delay(before, fastrand::f64()));
        no_later_than(
            self.tell_if_it_lasts(Finding::ReadForbidden, entry, now),
            next,
        )
    }

    /// Counts a re-read without success; how many there were before, in a row.
    fn count_unread(&self) -> u32 {
        let before = self.entry().unread;
        self.remember(|entry| entry.unread = before.saturating_add(1));
        before
    }

    pub(super) async fn send(&mut self, permit: Permit, update: &Update, entry: &Entry) -> Step {
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
                Cause::SpecChange | Cause::Found => "spec",
                Cause::Drift => "drift",
            },
            user: &update.user,
            before: Some(&update.before),
            patch: &update.patch,
            attempt: entry.attempt.saturating_add(1),
        }
    }

    fn learn(&mut self, update: &Update, outcome: Outcome) -> Step {
        let now = clock::now();
        match outcome {
            Outcome::Applied(after) => {
                self.ctx.memory.lock().settle(self.object.uid());
                if update.before.role == Role::Admin && update.patch.role != Role::Admin {
                    let mut denials = self.ctx.account.denials();
                    denials.demoted(&update.user, clock::timestamp(), now);
                }
                if update.cause == Cause::Drift {
                    self.ctx
                        .memory
                        .lock()
                        .repaired(&update.user, now, clock::timestamp());
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
                });
                if matches {
                    self.remember_match();
                }
                self.done = Some(Done {
                    update: update.clone(),
                    after,
                });
                Step::Again
            }
            Outcome::Again => Step::Again,
            Outcome::Missing(failure) => self.missing(&failure, now),
            Outcome::Refused(failure, key_version) => {
                let finding = Finding::Refused(failure);
                let sighting = self
                    .ctx
                    .account
                    .directory()
                    .view(&update.user, now)
                    .sighting;
                self.sentence(&finding, &sighting, key_version);
                // It stands, and is reported as such: with the cause where all changes are refused.
                Step::Again
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
    fn missing(&self, failure: &Failure, now: Moment) -> Step {
        let is_first = self.entry().attempt == 0;
        let failure = Failure {
            // It is the user that was not found, not the account.
            kind: Kind::Transient,
            message: failure.message.clone(),
        };
        let step = self.retry(Finding::Failed(Arc::new(failure)), now);
        if is_first { Step::Again } else { step }
    }

    fn retry(&self, finding: Finding, now: Moment) -> Step {
        Step::Tell(finding, Some(failed_again(self.ctx, self.object, now)))
    }
}
