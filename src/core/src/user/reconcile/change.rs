//! The steps of a change: a permit, the re-read of the object, the PATCH, and what its answer leads to.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::Kind;
use fireworks_api::wire::{Role, State, User};

use super::{Basis, Effect, Expects, KUBE_BACKOFF, ObjectRead, Pass, Sent, Step};
use crate::account::Failure;
use crate::account::limiter::{BlockedBy, Class};
use crate::account::updates::{Answer, Outcome};
use crate::user::events::AppliedUpdate;
use crate::user::plan::{Cause, Finding, Update};

impl Pass<'_> {
    /// Takes a permit, and has the object read again. What is true may have changed meanwhile: the change is planned once
    /// more before it is sent.
    pub(super) fn prepare(&mut self, update: &Update, basis: Basis<'_>) -> Step {
        let now = self.now.at;
        if let Some(at) = basis.object_state.not_before
            && now < at
        {
            return Step::Rest(Some(at - now));
        }
        let class = match update.cause {
            Cause::SpecChange => Class::SpecChange,
            Cause::Drift | Cause::Found => {
                self.account.drift_found(now);
                Class::DriftRepair
            }
        };
        let namespace = &self.state.object.key.namespace;
        let limiter = &mut self.account.limiter;
        match limiter.try_take(&update.user, namespace, class, now) {
            Ok(permit) => {
                self.state.permit = Some(permit);
                Step::Do(Effect::ReadObject, Expects::ObjectRead)
            }
            Err(waiting) => match waiting.blocked_by {
                BlockedBy::KeyRefused => Step::Report(Finding::KeyRefused, None),
                BlockedBy::AccountSuspended => self.wait_for_account(basis),
                BlockedBy::Budget | BlockedBy::Paused => self.wait(basis),
            },
        }
    }

    /// The object was read again since the permit was given.
    pub(super) fn object_read(&mut self, read: ObjectRead) -> Step {
        let step = match read {
            ObjectRead::Same | ObjectRead::Newer | ObjectRead::NotFound
                if (self.account.rules.is_object_unchanged)(read) =>
            {
                self.remember(|object_state| {
                    object_state.unread = 0;
                    object_state.report_pending_at = None;
                });
                self.state.is_reread = true;
                return Step::Again;
            }
            ObjectRead::Same | ObjectRead::Newer | ObjectRead::NotFound => Step::Rest(None),
            ObjectRead::Refused => self.read_refused(),
            ObjectRead::Unavailable => Step::Rest(Some(self.unread_again())),
        };
        self.return_permit();
        step
    }

    /// The API server did not show the object: nothing is changed before it does.
    fn unread_again(&mut self) -> Duration {
        let before = self.count_unread();
        // Each try needs a permit, which bounds their number: once the API server is back a change waits 8 s at most.
        self.backoff(KUBE_BACKOFF, before.min(1))
    }

    /// Reports that the operator has not the right to read the object, once that has lasted: nothing is changed until then.
    fn read_refused(&mut self) -> Step {
        let object_state = self.object_state();
        let before = self.count_unread();
        let next = Some(self.backoff(KUBE_BACKOFF, before));
        let since = object_state.report_pending_at;
        let step = self.report_if_it_lasts(Finding::ReadForbidden, since);
        step.within(next)
    }

    /// Counts a re-read without success, and returns how many there were before, in a row.
    fn count_unread(&mut self) -> u32 {
        let before = self.object_state().unread;
        self.remember(|object_state| object_state.unread = before.saturating_add(1));
        before
    }

    /// Spends the permit, and has the update sent.
    pub(super) fn send(&mut self, update: Update, basis: Basis<'_>) -> Step {
        self.state.is_reread = false;
        let (user, patch, now) = (&update.user, &update.patch, self.now.at);
        let permit = self.state.permit.take();
        let in_flight = permit.and_then(|it| self.account.begin_update(it, user, patch, now));
        let Some(in_flight) = in_flight else {
            // A pause began meanwhile: it takes its place in the queue again.
            return Step::Again;
        };
        let sent = Sent {
            update: update.clone(),
            attempt: basis.object_state.attempt.saturating_add(1),
        };
        self.state.in_flight = Some((update, in_flight));
        Step::Do(Effect::Update(Box::new(sent)), Expects::Answer)
    }

    /// Applies the outcome of the update.
    pub(super) fn answer_applied(&mut self, answer: Answer) -> Step {
        let Some((update, in_flight)) = self.state.in_flight.take() else {
            return Step::Again;
        };
        let now = self.now.at;
        let outcome = self.account.end_update(in_flight, answer, now);
        self.state.outcome = Some(outcome.clone());
        match outcome {
            Outcome::Applied(after) => self.applied(update, after),
            Outcome::Again => Step::Again,
            Outcome::Missing(failure) => self.missing(&failure),
            Outcome::Refused(failure) => {
                let finding = Finding::Refused(failure);
                let sighting = self.account.view(&update.user, now).sighting;
                self.record_refusal(&finding, &sighting);
                // It stands, and is reported as such: with the cause where all changes are refused.
                Step::Again
            }
            Outcome::Failed(failure) => self.retry(Finding::Failed(failure)),
            Outcome::Unknown(failure) => {
                let finding = match failure.kind {
                    Kind::Malformed => Finding::Failed(failure),
                    _ => Finding::Unconfirmed,
                };
                self.retry(finding)
            }
        }
    }

    fn applied(&mut self, update: Update, after: Arc<User>) -> Step {
        let Some(desired) = self.state.desired.clone() else {
            return Step::Rest(None);
        };
        let (now, time) = (self.now.at, self.now.time);
        let user = &update.user;
        self.objects.settle(&self.state.object.uid);
        if update.before.role == Role::Admin && update.patch.role != Role::Admin {
            self.account.denials.demoted(user, time, now);
        }
        if update.cause == Cause::Drift {
            let user = self.user_ref(user);
            self.objects.repaired(&user, now, time);
        }
        let working = matches!(after.state, State::Creating | State::Updating);
        let matches = (self.account.rules.diff)(&desired, &after).is_empty();
        // An answer that newer reads have superseded shows nothing of what Fireworks stores.
        let view = self.account.view(user, now);
        let is_newest = view.sighting.user() == Some(&after);
        let differs = !matches && !working && is_newest;
        self.remember(|object_state| {
            object_state.attempt = 0;
            object_state.not_before = None;
            object_state.progress = 0;
            object_state.tries += u8::from(differs);
        });
        if matches {
            self.remember_match();
        }
        self.state.applied = Some(AppliedUpdate { update, after });
        Step::Again
    }

    /// A read shows whether the user is gone. One that shows it and changes that do not find it may
    /// contradict each other for long: the changes back off, and from the second one on it is reported.
    fn missing(&mut self, failure: &Failure) -> Step {
        let is_first = self.object_state().attempt == 0;
        let failure = Failure {
            // It is the user that was not found, not the account.
            kind: Kind::Transient,
            message: failure.message.clone(),
        };
        let step = self.retry(Finding::Failed(Arc::new(failure)));
        if is_first { Step::Again } else { step }
    }

    fn retry(&mut self, finding: Finding) -> Step {
        Step::Report(finding, Some(self.failed_again()))
    }
}
