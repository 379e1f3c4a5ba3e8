//! How an update of a user begins, and what its outcome means.

use std::sync::Arc;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{User, UserId, UserPatch};

use crate::account::limiter::Permit;
use crate::account::updates::{Answer, Outcome, UpdateInFlight};
use crate::account::{Account, Call, Class};
use crate::time::Moment;

impl Account {
    /// Spends the permit on an update that leaves now. While it is in flight no other admin is demoted. Returns nothing if a
    /// pause began meanwhile: no request may leave, and the permit goes back.
    #[must_use]
    pub fn begin_update(
        &mut self,
        permit: Permit,
        user: &UserId,
        patch: &UserPatch,
        now: Moment,
    ) -> Option<UpdateInFlight> {
        self.spend(permit, now)
            .then(|| self.update_sent(user, patch, now))
    }

    /// Applies how an update ended.
    pub fn end_update(&mut self, update: UpdateInFlight, answer: Answer, now: Moment) -> Outcome {
        let Answer {
            result,
            key_version,
        } = answer;
        let error = result.as_ref().err();
        if self.was_withheld(error, now) {
            if let Some(error) = error {
                self.update_refused(update, error);
            }
            return Outcome::Again;
        }
        self.apply_outcome(Call::Update, key_version, error, now);
        let (user, sent_at) = (&update.user, update.sent_at);
        match result {
            Ok(answer) => {
                let released = self.denials.accepted(user, key_version, sent_at, now);
                self.requeue(released);
                Outcome::Applied(self.update_succeeded(update, answer, now))
            }
            Err(error) => {
                if *error.kind() == Kind::Denied {
                    let key_version = error.key_version();
                    let denied = self.denials.refused(user, key_version, sent_at, now);
                    self.requeue(denied);
                }
                if (self.rules.may_be_applied)(error.effect()) {
                    self.outcome_unknown(update, now);
                } else {
                    self.update_refused(update, &error);
                }
                Outcome::from(&error)
            }
        }
    }

    /// Records that an update is sent now. While it is in flight no other admin is demoted.
    pub(in super::super) fn update_sent(
        &mut self,
        user: &UserId,
        patch: &UserPatch,
        now: Moment,
    ) -> UpdateInFlight {
        self.canary.update_sent(user, patch);
        self.admins.update_sent(user, patch, &self.users);
        UpdateInFlight {
            user: user.clone(),
            patch: patch.clone(),
            sent_at: now,
        }
    }

    /// Applies the answer to an update: the user as it is now, which is returned shared.
    pub(in super::super) fn update_succeeded(
        &mut self,
        update: UpdateInFlight,
        user: User,
        now: Moment,
    ) -> Arc<User> {
        let UpdateInFlight {
            user: id,
            patch,
            sent_at,
        } = update;
        let user = Arc::new(user);
        self.absence.forget(&id);
        self.refresh.last_failure = None;
        self.updates.succeeded(&id, &patch);
        let settle = self.settle_window;
        let mut affected = self.admins.update_ended(&id, Some(now), settle);
        if self.canary.update_succeeded(&user, &mut affected) {
            self.refresh.request(&id, Class::SpecChange, now);
        }
        if self.users.update_succeeded(&id, &user, sent_at, now) {
            // Of other objects that declare the user, no later read would requeue them.
            affected.push(id.clone());
        }
        affected.extend(self.admins.update_succeeded(&id, &patch, &user));
        self.requests.refresh();
        self.requeue(affected);
        user
    }

    /// Records that an update was refused, or never left: nothing changed.
    pub(in super::super) fn update_refused(&mut self, update: UpdateInFlight, error: &Error) {
        let UpdateInFlight { user, .. } = update;
        if *error.kind() == Kind::NotFound {
            self.absence.suspect(&user, self.refresh.lists);
        }
        self.update_failed(&user, None);
    }

    /// Records that it is not known whether an update took effect.
    pub fn outcome_unknown(&mut self, update: UpdateInFlight, now: Moment) {
        let UpdateInFlight { user, patch, .. } = update;
        self.updates.outcome_unknown(&user, &patch, now);
        self.update_failed(&user, Some(now));
        self.requests.refresh();
    }

    /// Ends an update without an answer that shows the user. `effective_at`: it may have taken effect by then.
    fn update_failed(&mut self, user: &UserId, effective_at: Option<Moment>) {
        let settle = self.settle_window;
        let waiting = self.admins.update_ended(user, effective_at, settle);
        self.requeue(waiting);
        let judged = self.canary.update_failed(user);
        self.requeue(judged);
    }
}
