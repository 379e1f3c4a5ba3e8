//! Updates of users: the one in flight, how it ended, and those of which it is not known whether they took effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Effect, Error, Kind};
use fireworks_api::wire::{User, UserId, UserPatch};

use super::Failure;
use crate::rebase::rebase;
use crate::rules::Rules;
use crate::time::Moment;

/// The number of different bodies that are remembered of the unconfirmed updates of one user; more are not distinguished.
const PATCHES_REMEMBERED: usize = 8;

/// One update in flight.
///
/// It must end by [`Account::end_update`](super::Account::end_update) or
/// [`Account::outcome_unknown`](super::Account::outcome_unknown): until then no other admin is demoted. An update that is cut
/// off, by a deadline or at shutdown, has an unknown outcome.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub struct UpdateInFlight {
    /// The user.
    pub user: UserId,
    /// What was sent.
    pub patch: UserPatch,
    /// When it was sent.
    pub sent_at: Moment,
}

rebase! { UpdateInFlight {
    rebased: sent_at;
    kept: user, patch;
} }

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

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        let failure = Arc::new(Failure::from(error));
        match (error.kind(), error.effect()) {
            (Kind::Throttled | Kind::Unauthenticated | Kind::AccountSuspended, _) => Self::Again,
            (Kind::NotFound, _) => Self::Missing(failure),
            (Kind::Rejected | Kind::Denied, _) => Self::Refused(failure),
            (Kind::Transient | Kind::Malformed, Effect::None) => Self::Failed(failure),
            (Kind::Transient | Kind::Malformed, Effect::Unknown) => Self::Unknown(failure),
        }
    }
}

/// The updates of which it is not known whether they took effect. They outlive the objects that asked for them.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Updates {
    pub(super) rules: Rules,
    unconfirmed: BTreeMap<UserId, Unconfirmed>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Unconfirmed {
    given_up: Moment,
    patches: Vec<UserPatch>,
}

impl Updates {
    /// Records an update whose answer is missing, until a read shows what it did.
    pub(super) fn outcome_unknown(&mut self, user: &UserId, patch: &UserPatch, now: Moment) {
        let new = Unconfirmed {
            given_up: now,
            patches: Vec::new(),
        };
        let one = self.unconfirmed.entry(user.clone()).or_insert(new);
        one.given_up = now;
        if !one.patches.contains(patch) && one.patches.len() < PATCHES_REMEMBERED {
            one.patches.push(patch.clone());
        }
    }

    /// Records that an update was answered: a late duplicate of the same body changes nothing.
    pub(super) fn succeeded(&mut self, user: &UserId, patch: &UserPatch) {
        let is_same = |lost: &UserPatch| (self.rules.is_same_update)(lost, patch);
        let is_over = |one: &Unconfirmed| one.patches.iter().all(is_same);
        if self.unconfirmed.get(user).is_some_and(is_over) {
            self.unconfirmed.remove(user);
        }
    }

    /// Records that a read sent at that time showed the user. Returns whether that settled an update.
    pub(super) fn user_observed(
        &mut self,
        user: &UserId,
        sent_at: Moment,
        settle: Duration,
    ) -> bool {
        let is_settled = |one: &Unconfirmed| (self.rules.is_settled)(sent_at, one.given_up, settle);
        let is_settled = self.unconfirmed.get(user).is_some_and(is_settled);
        if is_settled {
            self.unconfirmed.remove(user);
        }
        is_settled
    }

    /// Forgets the updates that take no effect after `at`, of users that no read will show.
    pub(super) fn forget_unshown(
        &mut self,
        at: Moment,
        settle: Duration,
        is_shown: impl Fn(&UserId) -> bool,
    ) {
        self.unconfirmed
            .retain(|user, one| is_shown(user) || at < one.given_up + settle);
    }

    /// Returns the time from which a read shows whether an update of the user took effect, where that is unknown.
    pub(super) fn settles_at(&self, user: &UserId, settle: Duration) -> Option<Moment> {
        self.unconfirmed.get(user).map(|one| one.given_up + settle)
    }

    /// Returns whether an update of the user may still take effect.
    pub(super) fn is_unconfirmed(&self, user: &UserId) -> bool {
        self.unconfirmed.contains_key(user)
    }

    /// Returns whether an update that may still take effect leaves the user another role than `admin`.
    pub(super) fn may_demote(&self, user: &UserId) -> bool {
        let one = self.unconfirmed.get(user);
        one.is_some_and(|one| one.patches.iter().any(self.rules.may_demote))
    }

    /// Returns the number of users with such updates.
    pub(super) fn len(&self) -> usize {
        self.unconfirmed.len()
    }
}

rebase! { Updates {
    rebased: unconfirmed;
    kept: rules;
} }

rebase! { Unconfirmed {
    rebased: given_up;
    kept: patches;
} }
