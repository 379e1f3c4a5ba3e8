//! Whether a remote user is the one that its object was accepted for. A user is its id and its creation time: an id that
//! became free may be taken by another person. The e-mail that a spec expects identifies the person. Pure.

use fireworks_api::email::EmailHash;
use fireworks_api::wire::{Role, User};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Reason};
use jiff::Timestamp;

use super::desired::Desired;
use super::guards::Guard;
use crate::rules::Rules;

/// What is known of the identity of a user.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Identity {
    /// No user is seen.
    Unseen,
    /// The user is the one that status names, or no user was known before, or there is no evidence of a change.
    Accepted,
    /// The user was created again, and is accepted.
    Renewed(Approval),
    /// The spec expects an e-mail and the user shows none: one more read decides.
    EmailUnread,
    /// The account had no such user, and whose it is now is not known.
    Unknown,
    /// The user was created again, at that time.
    Changed(Timestamp),
    /// The e-mail is not the expected one, or reads show none.
    Mismatch {
        /// The user has an e-mail.
        is_shown: bool,
    },
}

/// Why a user that was created again is accepted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Approval {
    /// Its e-mail is the expected one.
    Email,
    /// The annotation names its creation time.
    Annotation,
    /// Neither its role nor the desired one grants power.
    NoPower,
}

/// Returns what is known of the identity of that user. `status` is the last one of the object. `lacks_email`: two reads have
/// shown the user without an e-mail.
#[must_use]
pub fn identity(
    desired: &Desired,
    status: &FireworksUserStatus,
    user: Option<&User>,
    lacks_email: bool,
    rules: Rules,
) -> Identity {
    let Some(user) = user else {
        return Identity::Unseen;
    };
    let known = status.create_time.zip(user.create_time);
    let renewed = known.filter(|(before, now)| !(rules.is_same_identity)(*before, *now));
    if let Some(expected) = desired.expected_email {
        return match user.email {
            Some(email) if (rules.is_expected_email)(expected, email) => {
                renewed.map_or(Identity::Accepted, |_| Identity::Renewed(Approval::Email))
            }
            Some(_) => Identity::Mismatch { is_shown: true },
            None if lacks_email => Identity::Mismatch { is_shown: false },
            None => Identity::EmailUnread,
        };
    }
    let is_approved = |created| (rules.is_identity_approved)(desired, created);
    if let Some((_, created)) = renewed {
        return if is_approved(created) {
            Identity::Renewed(Approval::Annotation)
        } else if (rules.grants_power)(&user.role) || (rules.grants_power)(&desired.role) {
            Identity::Changed(created)
        } else {
            Identity::Renewed(Approval::NoPower)
        };
    }
    let is_first =
        status.create_time.is_none() && (rules.was_absent)(status, user.create_time.is_some());
    if is_first && desired.role == Role::Admin && !user.create_time.is_some_and(is_approved) {
        Identity::Unknown
    } else {
        Identity::Accepted
    }
}

/// Returns whether the two creation times are those of one user. A gateway may round them: seconds count.
pub(crate) fn is_same(before: Timestamp, now: Timestamp) -> bool {
    before.as_second() == now.as_second()
}

/// Returns whether the e-mail is the expected one.
pub(crate) fn is_expected(expected: EmailHash, email: EmailHash) -> bool {
    expected == email
}

/// Returns whether the annotation of the object names that creation time.
pub(crate) fn is_approved(desired: &Desired, created: Timestamp) -> bool {
    let accepted = desired.accepts_identity;
    accepted.is_some_and(|accepted| is_same(accepted, created))
}

/// Returns whether the role may do more than use models.
pub(crate) fn grants_power(role: &Role) -> bool {
    matches!(role, Role::Admin | Role::Custom)
}

/// Returns whether the object reported that the account has no such user, and none was accepted since. `shows_create_time`:
/// the gateway returns creation times. Then a guard that applies earlier has held a user that was not accepted, or status
/// would contain one.
pub(crate) fn was_absent(status: &FireworksUserStatus, shows_create_time: bool) -> bool {
    let ready = conditions::find(&status.conditions, "Ready");
    if ready.is_some_and(|ready| ready.reason == Reason::UserNotFound.as_str()) {
        return true;
    }
    match status.guard.as_deref().and_then(Guard::named) {
        Some(Guard::IdentityUnknown | Guard::IdentityMismatch) => true,
        Some(guard) => shows_create_time && guard.precedes(Guard::IdentityUnknown),
        None => false,
    }
}

/// Returns the creation time that the next status records, and whether a user that the account did not have before waits to
/// be accepted.
pub(super) fn recorded(
    identity: Identity,
    previous: &FireworksUserStatus,
    seen: Option<&User>,
) -> (Option<Timestamp>, bool) {
    let before = previous.create_time;
    let now = seen.and_then(|user| user.create_time);
    match identity {
        Identity::Accepted => (before.or(now), false),
        Identity::Renewed(_) => (now.or(before), false),
        Identity::Changed(_) => (before, false),
        Identity::Unknown | Identity::Mismatch { .. } => (before, before.is_none()),
        Identity::Unseen | Identity::EmailUnread => {
            let shows_create_time = seen.is_none() || now.is_some();
            (
                before,
                before.is_none() && was_absent(previous, shows_create_time),
            )
        }
    }
}

#[cfg(test)]
mod tests;
