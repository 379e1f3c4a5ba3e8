//! Changes of users: how one begins, and what its outcome means for the account.

use std::sync::Arc;

use fireworks_api::error::{Effect, Error, Kind};
use fireworks_api::wire::{User, UserId, UserPatch};

use super::directory::UpdateInFlight;
use super::limiter::Permit;
use super::{Account, Call, Failure};
use crate::time::Moment;

/// How a call that changes a user ended.
#[derive(Debug)]
pub struct Answer {
    /// The user as answered, or why there is none.
    pub result: Result<User, Error>,
    /// The version of the API key in use when the call was made.
    pub key_version: u64,
}

/// What came of a change.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// The server answered with the user as it is now.
    Applied(Arc<User>),
    /// It was not sent, or the server asked to wait: it takes its place in the queue again.
    Again,
    /// The server knows no such user; that is to be checked.
    Missing(Arc<Failure>),
    /// The server refuses it, and asking again with that key would not help.
    Refused(Arc<Failure>),
    /// It failed and had no effect.
    Failed(Arc<Failure>),
    /// Whether it had an effect is unknown.
    Unknown(Arc<Failure>),
}

impl Outcome {
    /// Returns its name in an audit record.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Again => "deferred",
            Self::Missing(_) => "not_found",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Returns the user as answered.
    #[must_use]
    pub fn answer(&self) -> Option<&User> {
        match self {
            Self::Applied(user) => Some(user),
            Self::Again
            | Self::Missing(_)
            | Self::Refused(_)
            | Self::Failed(_)
            | Self::Unknown(_) => None,
        }
    }
}

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
            .then(|| self.directory.begin_update(user, patch, now))
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
                self.directory.refused(update, error);
            }
            return Outcome::Again;
        }
        self.apply_outcome(Call::Update, key_version, error, now);
        let (user, sent_at) = (update.user.clone(), update.sent_at);
        match result {
            Ok(answer) => {
                let after = self.directory.succeeded(update, answer, now);
                let released = self.denials.accepted(&user, key_version, sent_at, now);
                self.signals.requeue.extend(released);
                Outcome::Applied(after)
            }
            Err(error) => {
                if *error.kind() == Kind::Denied {
                    let key_version = error.key_version();
                    let denied = self.denials.refused(&user, key_version, sent_at, now);
                    self.signals.requeue.extend(denied);
                }
                match error.effect() {
                    Effect::None => self.directory.refused(update, &error),
                    Effect::Unknown => self.directory.outcome_unknown(update, now),
                }
                outcome(&error)
            }
        }
    }
}

fn outcome(error: &Error) -> Outcome {
    let failure = Arc::new(Failure::from(error));
    match (error.kind(), error.effect()) {
        (Kind::Throttled | Kind::Unauthenticated | Kind::AccountSuspended, _) => Outcome::Again,
        (Kind::NotFound, _) => Outcome::Missing(failure),
        (Kind::Rejected | Kind::Denied, _) => Outcome::Refused(failure),
        (Kind::Transient | Kind::Malformed, Effect::None) => Outcome::Failed(failure),
        (Kind::Transient | Kind::Malformed, Effect::Unknown) => Outcome::Unknown(failure),
    }
}
