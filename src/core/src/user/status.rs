//! What status reports. Pure: the last status, the finding and what was seen go in, the next status
//! comes out; the same finding about the same user gives the same status.

use std::sync::Arc;

use fireworks_api::text;
use fireworks_api::wire::{AccountId, User};
use fireworks_crd::conditions::{self, Message, Reason};
use fireworks_crd::{ClaimStatus, FireworksUserStatus, RemoteStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::drift;
use super::identity::{self, Identity};
use crate::account::Sighting;
use crate::rules::Rules;
use crate::user::desired::Desired;
use crate::user::guards::Guard;
use crate::user::plan::Finding;

/// What a status is made of.
pub struct Facts<'a> {
    /// The generation that was looked at.
    pub generation: i64,
    /// The account.
    pub account: &'a AccountId,
    /// What the spec asks for, where it can be followed.
    pub desired: Option<&'a Desired>,
    /// The remote user as last seen.
    pub seen: Seen<'a>,
    /// Whether the user is the one that was accepted.
    pub identity: Identity,
    /// What is true.
    pub finding: &'a Finding,
    /// The claim of the object on the user.
    pub claim: Option<ClaimStatus>,
    /// Other objects claim the user too.
    pub is_contended: bool,
    /// Who last set a field of the spec.
    pub spec_manager: Option<&'a str>,
    /// The time, for transitions.
    pub now: Timestamp,
}

/// The remote user as far as this pass knows it.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// As returned.
    User(&'a Arc<User>),
    /// Gone, or never there.
    Nobody,
    /// Not known now: status reports the last that was seen.
    Unknown,
}

impl<'a> Seen<'a> {
    /// Returns the user, if one is seen.
    pub(super) fn user(self) -> Option<&'a User> {
        match self {
            Self::User(user) => Some(user),
            Self::Nobody | Self::Unknown => None,
        }
    }
}

impl<'a> From<&'a Sighting> for Seen<'a> {
    fn from(sighting: &'a Sighting) -> Self {
        match sighting {
            Sighting::Seen { user, .. } => Self::User(user),
            Sighting::Absent => Self::Nobody,
            Sighting::Never | Sighting::Suspected => Self::Unknown,
        }
    }
}

/// The next status, which reports `reason` with that message.
#[must_use]
pub fn next(
    previous: &FireworksUserStatus,
    facts: &Facts<'_>,
    reason: Reason,
    message: &Message,
) -> FireworksUserStatus {
    let conditions = conditions::next(
        &previous.conditions,
        reason,
        message,
        facts.generation,
        facts.now,
    );
    let mut status = match facts.seen {
        Seen::User(user) => remote(previous, user),
        Seen::Nobody => FireworksUserStatus::default(),
        // The drift reported of an older generation is not that of this one.
        Seen::Unknown if previous.observed_generation != Some(facts.generation) => {
            FireworksUserStatus {
                drift: Vec::new(),
                ..previous.clone()
            }
        }
        Seen::Unknown => previous.clone(),
    };
    if let Some(desired) = facts.desired {
        status.user_id = Some(desired.user.as_str().to_owned());
        // The trace of the user that the object managed, set when that was first seen: an account in which no user was
        // ever seen leaves none. It stays, whatever is found, also that of another account: the object would take over
        // that user's namesake one pass later.
        let seen = matches!(facts.seen, Seen::User(_));
        let name = || seen.then(|| facts.account.user_name(&desired.user));
        status.name = previous.name.clone().or_else(name);
        if let Seen::User(user) = facts.seen {
            status.drift = drift::of(desired, user);
        }
    }
    let (create_time, awaits_approval) =
        identity::recorded(facts.identity, previous, facts.seen.user());
    status.create_time = create_time;
    // Whatever else is reported, the guard stays in status: after a restart nothing else shows that the account did not have
    // the user.
    let is_reported = *facts.finding == Finding::UserNotFound;
    let unknown = Guard::IdentityUnknown;
    let guard = facts.finding.guard();
    let guard = guard.or((awaits_approval && !is_reported).then_some(unknown));
    status.observed_generation = Some(facts.generation);
    status.guard = guard.map(|guard| guard.as_str().to_owned());
    status.claim = facts.claim.map(|claim| claim.as_str().to_owned());
    status.conditions = conditions;
    status
}

/// Returns whether the next status is to be written over the previous one. What a former version did not write, the name of a
/// guard and the claim, is no change by itself: it is written with the next one. But where another object claims the user, the
/// next epoch must know which one holds it.
#[must_use]
pub fn is_worth_a_write(
    previous: &FireworksUserStatus,
    next: &FireworksUserStatus,
    is_contended: bool,
) -> bool {
    let FireworksUserStatus { guard, claim, .. } = previous;
    if guard.is_some() && (claim.is_some() || is_contended) {
        return previous != next;
    }
    let written_with_next = FireworksUserStatus {
        guard: guard.clone().or_else(|| next.guard.clone()),
        claim: if is_contended {
            claim.clone()
        } else {
            claim.clone().or_else(|| next.claim.clone())
        },
        ..previous.clone()
    };
    written_with_next != *next
}

/// Returns whether status shows, at this generation, that the guard holds the change.
#[must_use]
pub fn shows_hold(
    status: &FireworksUserStatus,
    generation: i64,
    guard: Guard,
    rules: Rules,
) -> bool {
    let reason = (rules.reason_at)(&status.conditions, generation);
    reason == Some(guard.reason().as_str()) && status.guard.as_deref() == Some(guard.as_str())
}

/// The part of status that speaks of the remote user.
fn remote(previous: &FireworksUserStatus, user: &User) -> FireworksUserStatus {
    FireworksUserStatus {
        state: Some(bounded(user.state.as_str())),
        status: user
            .status
            .as_ref()
            .map(|status| remote_status(previous, &status.code, &status.message)),
        role: Some(user.role.as_str())
            .filter(|role| !role.is_empty())
            .map(bounded),
        permission_preset: user.permission_preset.as_deref().map(bounded),
        update_time: user.update_time,
        ..FireworksUserStatus::default()
    }
}

/// Other words under the same code are no change.
fn remote_status(previous: &FireworksUserStatus, code: &str, message: &str) -> RemoteStatus {
    let code = Some(bounded(code)).filter(|code| !code.is_empty());
    let said_before = previous
        .status
        .as_ref()
        .filter(|old| old.code == code && old.message.is_some());
    let message = Some(bounded(message)).filter(|message| !message.is_empty());
    RemoteStatus {
        message: match (said_before, message) {
            (Some(old), Some(_)) => old.message.clone(),
            (_, message) => message,
        },
        code,
    }
}

/// Remote text, fit to be shown.
pub(super) fn bounded(remote: &str) -> String {
    text::clean(remote, text::MESSAGE_MAX)
}

/// How a version before the reason `ReadRefused` began the message about a refused read.
const OLD_READ_REFUSED: &str = "Fireworks refuses to show the user";

/// Returns the reason of the condition `Ready`.
///
/// A version before the reason `ReadRefused` wrote a refused read as `Rejected` or `PermissionDenied`, and only the
/// message set it apart from a refused change. Such a status is still understood, for one release.
#[must_use]
pub fn reason_of(ready: &Condition) -> &str {
    let refusals = [Reason::Rejected, Reason::PermissionDenied].map(Reason::as_str);
    if refusals.contains(&&*ready.reason) && ready.message.starts_with(OLD_READ_REFUSED) {
        Reason::ReadRefused.as_str()
    } else {
        &ready.reason
    }
}

#[cfg(test)]
mod tests;
