//! The facts that the plan decides by, made of what the account, the claims and the object's state hold. Pure.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::text;
use fireworks_api::wire::{Role, User};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Reason};
use jiff::Timestamp;

use super::desired::Desired;
use super::hour::Hour;
use super::identity::Identity;
use super::messages;
use super::state::{ObjectState, Refusal, RepairHold};
use super::status::reason_of;
use crate::account::denials::Denial;
use crate::account::{Failure, Freshness, Mask, OtherAdmins, Sighting, View};
use crate::claims::Ownership;
use crate::rules::Rules;
use crate::time::Moment;

/// Objects that move between namespaces, or are renamed, meet the former owner for less time than this. After it there is
/// a conflict.
pub const TAKE_OVER_FOR: Duration = Duration::from_mins(1);
/// The facts of one pass.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub struct Observed {
    /// The remote user.
    pub sighting: Sighting,
    /// A change may still take effect until a read begun at that time.
    pub unsettled_until: Option<Moment>,
    /// A change of a former process may still take effect until a read begun at that time.
    pub possibly_in_flight_until: Option<Moment>,
    /// Why the last read failed, if it did.
    pub failure: Option<Arc<Failure>>,
    /// Who holds the user.
    pub ownership: Ownership,
    /// Where another object holds the user: it is not too long ago that this was found, and no conflict was reported yet.
    pub may_take_over: bool,
    /// Status names a user of another account.
    pub other_account: bool,
    /// Whether the user is the one that was accepted.
    pub identity: Identity,
    /// Status says in sync at this generation.
    pub ready_at_generation: bool,
    /// Status says of this generation that the change was refused.
    pub refused_at_generation: bool,
    /// This process has seen the user match this generation of the spec: what differs now is drift.
    pub has_matched: bool,
    /// Status reported this generation in sync when the difference was found.
    pub converged_at_generation: bool,
    /// Status says of this generation that the user matched, be it suspended.
    pub matched_at_generation: bool,
    /// The last good observation is stale; where there never was one, the process has run for that long.
    pub silent_too_long: bool,
    /// A refusal that stands.
    pub refusal: Option<Refusal>,
    /// Answers to our changes that still differed.
    pub tries: u8,
    /// Repairs are held back, because another actor reverts them.
    pub contested: Option<RepairHold>,
    /// No object may change the user.
    pub is_protected: bool,
    /// The namespace of the object may grant powerful roles and take them away.
    pub may_grant: bool,
    /// Other admins of the account; only asked where the user may be one that is demoted.
    pub other_admins: OtherAdmins,
    /// Whether unnamed fields are known to survive a PATCH.
    pub mask: Mask,
    /// Status reports of this generation that the account is suspended, that Fireworks fails or that it left a change
    /// unanswered, and that is still so.
    pub trouble_stands: bool,
}

/// What the facts are made of.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Gathered<'a> {
    /// What the account knows of the user.
    pub view: View,
    /// The status of the object.
    pub status: &'a FireworksUserStatus,
    /// The generation of its spec.
    pub generation: i64,
    /// What is remembered of it.
    pub object_state: &'a ObjectState,
    /// This process has seen the user match this generation.
    pub has_matched: bool,
    /// The account is suspended.
    pub is_suspended: bool,
    /// A former process may have left a change under way: a read begun at that time shows it.
    pub settled_from: Option<Moment>,
    /// Who owns the user.
    pub ownership: Ownership,
    /// Where another object owns the user: it is not too long ago that this was found.
    pub may_take_over_now: bool,
    /// Status names a user of another account.
    pub other_account: bool,
    /// Whether the user is the one that was accepted.
    pub identity: Identity,
    /// The time since the process began.
    pub running_for: Duration,
    /// Repairs are held back, because another actor reverts them.
    pub contested: Option<RepairHold>,
    /// No object may change the user.
    pub is_protected: bool,
    /// The namespace of the object may grant powerful roles and take them away.
    pub may_grant: bool,
    /// Other admins of the account, if they were asked for.
    pub other_admins: OtherAdmins,
    /// Whether unnamed fields are known to survive a PATCH, if that was asked.
    pub mask: Mask,
    /// Whether a change of the user is denied to the API key.
    pub denial: Denial,
    /// The time by the wall clock.
    pub time: Timestamp,
}

/// Turns what was gathered into the facts, by these rules. Pure.
#[must_use]
pub fn facts(gathered: Gathered<'_>, rules: Rules) -> Observed {
    let Gathered {
        status,
        generation,
        object_state,
        ..
    } = gathered;
    let reason = (rules.reason_at)(&status.conditions, generation);
    let reports = |one: Reason| reason == Some(one.as_str());
    let sighting = match gathered.view.sighting.clone() {
        // Absence was confirmed before the restart: it needs no new confirmation.
        Sighting::Suspected if reports(Reason::UserNotFound) => Sighting::Absent,
        other => other,
    };
    // What a former process may have left behind shows in a read begun late enough.
    let (sent_at, is_stale) = match &sighting {
        Sighting::Seen {
            sent_at, freshness, ..
        } => (Some(*sent_at), *freshness == Freshness::Stale),
        Sighting::Never | Sighting::Suspected | Sighting::Absent => (None, false),
    };
    let is_shown = |from| sent_at.is_some_and(|at| (rules.shows_former_updates)(at, from));
    let possibly_in_flight_until = gathered.settled_from.filter(|from| !is_shown(*from));
    // The user matched, or matches whenever no other actor reverts it.
    let matched_once = reports(Reason::InSync) || reports(Reason::Contested);
    let failure = gathered.view.failure.as_deref();
    let is_outage = is_stale || failure.is_some_and(Failure::is_outage);
    let trouble_stands = reports(Reason::AccountSuspended) && gathered.is_suspended
        || reports(Reason::Unconfirmed) && gathered.view.settles_at.is_some()
        || reports(Reason::InternalError) && object_state.unread > 0
        || reports(Reason::RemoteUnavailable) && is_outage;
    Observed {
        unsettled_until: gathered.view.settles_at,
        possibly_in_flight_until,
        refusal: current_refusal(&gathered, &sighting, rules),
        sighting,
        failure: gathered.view.failure,
        ownership: gathered.ownership,
        may_take_over: gathered.may_take_over_now && !reports(Reason::Conflict),
        other_account: gathered.other_account,
        identity: gathered.identity,
        ready_at_generation: reports(Reason::InSync),
        refused_at_generation: refusal(status, generation, rules).is_some(),
        has_matched: gathered.has_matched,
        converged_at_generation: object_state.drifted || matched_once,
        matched_at_generation: conditions::is_ready_at(&status.conditions, generation),
        silent_too_long: gathered.view.is_stale && gathered.running_for > gathered.view.stale_after,
        tries: object_state.tries,
        contested: gathered.contested,
        is_protected: gathered.is_protected,
        may_grant: gathered.may_grant,
        other_admins: gathered.other_admins,
        mask: gathered.mask,
        trouble_stands,
    }
}

/// Whether the user may have to be changed: then it matters whether unnamed fields survive.
#[must_use]
pub fn may_change(desired: &Desired, sighting: &Sighting, rules: Rules) -> bool {
    let differs = |user: &Arc<User>| !(rules.diff)(desired, user).is_empty();
    !desired.suspended && !desired.observe && sighting.user().is_some_and(differs)
}

/// Whether an admin may have to be demoted: then the other admins matter.
#[must_use]
pub fn may_demote(desired: &Desired, sighting: &Sighting, rules: Rules) -> bool {
    let user = sighting.user();
    let is_admin = user.is_some_and(|user| user.role == Role::Admin);
    is_admin && desired.role != Role::Admin && may_change(desired, sighting, rules)
}

/// The refusal that still stands: remembered, or, after a restart, as status reports it.
fn current_refusal(gathered: &Gathered<'_>, sighting: &Sighting, rules: Rules) -> Option<Refusal> {
    let user = sighting.user()?;
    let Gathered {
        object_state,
        denial,
        time,
        ..
    } = gathered;
    let refusal = match &object_state.refusal {
        Some(refusal) if refusal.reason == Reason::PermissionDenied => {
            denial.stands.then(|| refusal.clone())
        }
        Some(refusal) => {
            let stands = !refusal.hour.is_over(*time) && (rules.is_as_it_was)(&refusal.about, user);
            stands.then(|| refusal.clone())
        }
        None => reported_refusal(gathered, user, rules),
    };
    let Some(demotion) = &denial.since else {
        return refusal;
    };
    // All changes are denied: one that was refused otherwise waits for what it waited for.
    let otherwise = refusal.filter(|refusal| refusal.reason != Reason::PermissionDenied);
    otherwise.or_else(|| {
        Some(Refusal {
            reason: Reason::PermissionDenied,
            message: messages::since_demotion(demotion),
            about: user.clone(),
            hour: Hour::of(*time, *time),
        })
    })
}

/// The refusal that the status of a former process reports.
fn reported_refusal(gathered: &Gathered<'_>, user: &Arc<User>, rules: Rules) -> Option<Refusal> {
    let status = gathered.status;
    let reason = refusal(status, gathered.generation, rules)?;
    // Status shows remote text cleaned: so is what it is compared with.
    let shown = |text: &str| text::clean(text, text::MESSAGE_MAX);
    let stands = if reason == Reason::PermissionDenied {
        gathered.denial.stands
    } else {
        status.role == Some(shown(user.role.as_str()))
            && status.permission_preset == user.permission_preset.as_deref().map(shown)
    };
    let ready = conditions::find(&status.conditions, "Ready")?;
    stands.then(|| Refusal {
        reason,
        message: ready.message.clone().into(),
        about: user.clone(),
        hour: Hour::of(ready.last_transition_time.0, gathered.time),
    })
}

/// Returns the refusal of a change that status reports of this generation.
pub fn refusal(status: &FireworksUserStatus, generation: i64, rules: Rules) -> Option<Reason> {
    (rules.reason_at)(&status.conditions, generation)?;
    let reason = conditions::find(&status.conditions, "Ready").map(reason_of)?;
    [
        Reason::Rejected,
        Reason::PermissionDenied,
        Reason::NotApplied,
    ]
    .into_iter()
    .find(|one| one.as_str() == reason)
}

/// Returns whether the user still has the values that the refusal was about.
pub(crate) fn is_as_it_was(before: &User, now: &User) -> bool {
    before.role == now.role
        && before.permission_preset == now.permission_preset
        && before.display_name == now.display_name
}

#[cfg(test)]
mod tests;
