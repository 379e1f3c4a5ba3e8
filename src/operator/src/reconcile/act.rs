//! ACT: carries one planned change out and says what came of it. Decides nothing, knows no
//! Kubernetes type.

use std::sync::Arc;

use fireworks_api::error::{Effect, Kind};
use fireworks_api::wire::User;
use fireworks_core::account::Failure;
use fireworks_core::user::plan::Update;

use crate::account::budget::Permit;
use crate::account::{Account, Failed};

/// What came of a change.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The server answered with the user as it is now.
    Applied(Arc<User>),
    /// It was not sent, or the server asked to wait: it takes its place in the queue again.
    Again,
    /// The server knows no such user; that is to be checked.
    Missing(Arc<Failure>),
    /// The server will not do it, and asking again with the key of that version would not help.
    Refused(Arc<Failure>, u64),
    /// It failed and had no effect.
    Failed(Arc<Failure>),
    /// It is not known whether it had an effect.
    Lost(Arc<Failure>),
}

impl Outcome {
    /// Returns its name in an audit record.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Again => "deferred",
            Self::Missing(_) => "not_found",
            Self::Refused(..) => "refused",
            Self::Failed(_) => "failed",
            Self::Lost(_) => "unknown",
        }
    }

    /// Returns the user as answered.
    #[must_use]
    pub fn answer(&self) -> Option<&User> {
        match self {
            Self::Applied(user) => Some(user),
            Self::Again
            | Self::Missing(_)
            | Self::Refused(..)
            | Self::Failed(_)
            | Self::Lost(_) => None,
        }
    }
}

/// Sends the PATCH.
pub async fn act(account: &Account, permit: Permit, update: &Update) -> Outcome {
    let Update {
        user,
        patch,
        diff: _,
        before: _,
        cause: _,
    } = update;
    match account.update(permit, user, patch).await {
        Ok(user) => Outcome::Applied(user),
        Err(Failed::Withheld) => Outcome::Again,
        Err(Failed::Call(error)) => {
            let failure = Arc::new(Failure::from(&error));
            match (error.kind(), error.effect()) {
                (Kind::Throttled | Kind::Unauthenticated | Kind::AccountSuspended, _) => {
                    Outcome::Again
                }
                (Kind::NotFound, _) => Outcome::Missing(failure),
                (Kind::Rejected | Kind::Denied, _) => {
                    Outcome::Refused(failure, error.key_version())
                }
                (Kind::Transient | Kind::Malformed, Effect::None) => Outcome::Failed(failure),
                (Kind::Transient | Kind::Malformed, Effect::Unknown) => Outcome::Lost(failure),
            }
        }
    }
}
