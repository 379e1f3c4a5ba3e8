//! Which Events a pass gives rise to. Pure. Only transitions are worth an Event: at most one for a
//! change, two for a repaired drift.

use fireworks_api::wire::{User, UserId};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{Message, Reason};

use super::drift;
use super::identity::{Approval, Identity};
use super::messages;
use crate::claims::Contender;
use crate::user::plan::{Cause, Update};

/// A change was sent and refused, or had no effect.
const UPDATE_FAILED: &str = "UpdateFailed";

/// A user that was created again is managed as the one before.
const IDENTITY_ACCEPTED: &str = "IdentityAccepted";

/// One Event to be.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EventDraft {
    /// `PascalCase` reason of the Event.
    pub reason: &'static str,
    /// What was done.
    pub action: String,
    /// For people.
    pub text: String,
    /// Warning rather than Normal.
    pub warning: bool,
    /// About a change of the user that was sent to Fireworks, whether it succeeded or not.
    pub about_change: bool,
}

/// A change that was carried out in this pass.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AppliedUpdate {
    /// What was sent.
    pub update: Update,
    /// The user as answered.
    pub after: std::sync::Arc<User>,
}

/// Returns the Events of a pass that ended with `reason` where status reported `before`. What differs is a drift only
/// where this process `has_matched` the user with the spec: else the spec may have changed, as by a restored backup.
#[must_use]
pub fn notes(
    applied: Option<&AppliedUpdate>,
    before: Option<&str>,
    reason: Reason,
    message: &Message,
    has_matched: bool,
) -> Vec<EventDraft> {
    let mut notes = applied.map(of_change).unwrap_or_default();
    let moved = before != Some(reason.as_str());
    let transition = match reason {
        Reason::UserNotFound => Some("UserNotFound"),
        Reason::Conflict => Some("Conflict"),
        Reason::Protected | Reason::ProtectedStalled | Reason::NamespaceNotAllowed => {
            Some("Protected")
        }
        Reason::Rejected | Reason::PermissionDenied | Reason::NotApplied => Some(UPDATE_FAILED),
        Reason::Drifted | Reason::Contested if has_matched => Some("DriftDetected"),
        _ => None,
    };
    if let (true, Some(event)) = (moved, transition) {
        notes.push(EventDraft {
            reason: event,
            action: reason.as_str().to_owned(),
            text: message.render(),
            warning: true,
            about_change: event == UPDATE_FAILED,
        });
    }
    notes
}

/// Returns the Event of a user that was created again and is accepted; `status` records it.
#[must_use]
pub fn identity_accepted(identity: Identity, status: &FireworksUserStatus) -> Option<EventDraft> {
    let because = match identity {
        Identity::Renewed(Approval::Email) => "its e-mail is spec.expectEmail",
        Identity::Renewed(Approval::Annotation) => "annotation accept-identity names this time",
        Identity::Renewed(Approval::NoPower) => "neither its role nor spec.role is admin or custom",
        Identity::Unseen
        | Identity::Accepted
        | Identity::EmailUnread
        | Identity::Unknown
        | Identity::Changed(_)
        | Identity::Mismatch { .. } => return None,
    };
    let created = status.create_time?;
    Some(EventDraft {
        reason: IDENTITY_ACCEPTED,
        action: IDENTITY_ACCEPTED.to_owned(),
        text: format!(
            "the user was deleted and created again at {created:.0}, and is accepted: {because}"
        ),
        warning: false,
        about_change: false,
    })
}

/// Returns the Event to the object that holds the user, about another one that has begun to claim it.
#[must_use]
pub fn contended(user: &UserId, contender: &Contender) -> EventDraft {
    let contender = messages::named(match contender {
        Contender::Near(key) => Some(key),
        Contender::Elsewhere => None,
    });
    let reason = Reason::Conflict.as_str();
    EventDraft {
        reason,
        action: reason.to_owned(),
        text: format!("{contender} claims user {user}, too: this object keeps managing it"),
        warning: true,
        about_change: false,
    }
}

fn of_change(applied: &AppliedUpdate) -> Vec<EventDraft> {
    let AppliedUpdate { update, after } = applied;
    let fields = update.diff.fields().collect::<Vec<_>>().join(", ");
    let [before, after] = [&update.before, after].map(|user| drift::named(user.role.as_str()));
    let roles = format!("{before} to {after}");
    let note = |reason, text: &str, changed: &str, warning| EventDraft {
        reason,
        action: changed.to_owned(),
        text: format!("{text}{changed}"),
        warning,
        about_change: true,
    };
    match update.cause {
        Cause::Drift => vec![
            note("DriftDetected", "changed in Fireworks: ", &fields, true),
            note("DriftCorrected", "reverted: ", &fields, false),
        ],
        Cause::SpecChange | Cause::Found if update.diff.role => {
            vec![note("RoleChanged", "role changed from ", &roles, false)]
        }
        Cause::SpecChange | Cause::Found => vec![note("Updated", "updated: ", &fields, false)],
    }
}
