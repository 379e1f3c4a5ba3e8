//! PLAN: what is to be done about one user. Pure and total: facts go in, one [`Plan`] comes out.
//!
//! Nothing here may wait, read a clock, log, or decide by a string. This is the order of the decisions; the rules by which
//! they are made are in [`rules`](crate::rules), the guards in [`guards`](super::guards).

use std::sync::Arc;

use fireworks_api::wire::{Role, State, User, UserId, UserPatch};
use jiff::Timestamp;

use super::desired::{Desired, Diff};
use super::facts::Observed;
use super::state::{Refusal, RepairHold};
use crate::account::{Failure, Freshness, Mask, OtherAdmins, Sighting};
use crate::claims::{ObjectKey, Ownership};
use crate::rules::Rules;
use crate::time::Moment;
use crate::user::guards::{self, Guard, Phase};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The remote user matches: nothing is to be done.
    InSync,
    /// Nothing can or may be done now; this is why.
    Hold(Finding),
    /// The user has to be read before anything can be said or done.
    Read(Read),
    /// All users have to be listed before an admin may be demoted.
    List,
    /// The same, by a list begun at that time or later: a demotion of a former process may still take
    /// effect until then.
    ListFrom(Moment),
    /// Another user's change is under way that decides whether this one may leave; if it does not end, until then.
    AwaitOther(Option<Moment>),
    /// The user has to be changed.
    Update(Update),
}

/// A read that the plan needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// What for.
    pub reason: ReadReason,
    /// What is true until it has come. `None`: what status says still holds.
    pub meanwhile: Option<Finding>,
}

/// What a read is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadReason {
    /// Nothing is known of the user yet.
    First,
    /// What is known is too old to call a new spec done.
    Refresh,
    /// The user seems to be gone.
    Absence,
    /// A change may still take effect until then.
    Settle(Moment),
    /// A change of a former process may still take effect until then.
    Startup(Moment),
    /// Fireworks is still working on the user.
    Progress,
    /// The user shows no e-mail, and one is expected: one more read shows whether it has none.
    Email,
    /// The change is the canary: what it could clear has to be seen immediately before it.
    Canary,
}

/// What is true of the object when nothing is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The remote user matches.
    InSync,
    /// Suspended; whether the last sighting matches.
    Suspended {
        /// It matches.
        matches: bool,
    },
    /// The object belonged to another account.
    OtherAccount,
    /// Another object holds the user. It is named only where it is of the same namespace.
    Owned(Option<ObjectKey>),
    /// Another object holds the user and may be about to release it, or has just released it.
    TakingOver(Option<ObjectKey>),
    /// The account has no such user.
    UserNotFound,
    /// Fireworks is deleting the user.
    RemoteDeleting,
    /// Fireworks is still working on the user.
    RemoteUpdating(State),
    /// The fields match, but the user's own status is not OK.
    RemoteError(Arc<User>),
    /// A change may or may not have taken effect.
    Unconfirmed,
    /// A former process may have sent a change that has not taken effect yet.
    PossiblyInFlight,
    /// A former process may have sent a demotion that has not taken effect yet.
    DemotionPossiblyInFlight,
    /// Observed only, and these fields differ.
    Drifted(Diff),
    /// Another actor keeps reverting the user.
    Contested(RepairHold),
    /// It would leave the account with fewer admins than that many.
    LastAdmin(usize),
    /// The settings of the operator protect the user.
    ProtectedUser,
    /// The user has, or would get, a role that objects of this namespace may not grant.
    NamespaceNotAllowed,
    /// The object took the user over from another namespace, and the user is or would become an admin or a custom user.
    InheritedPower,
    /// The user is a service account and the object declares none (`false`), or the other way round.
    ServiceAccount {
        /// The object declares a service account.
        declared: bool,
    },
    /// The user has a role that this version does not know.
    UnknownRole(Role),
    /// The account had no such user, and then one that was created at that time: whose it is is not known.
    IdentityUnknown(Option<Timestamp>),
    /// The user was created again, at that time.
    IdentityChanged(Timestamp),
    /// The user has not the expected e-mail.
    IdentityMismatch {
        /// It has another one.
        is_shown: bool,
    },
    /// Demotions had left the account without an admin: none is made until then, or, with `None`, until a restart.
    DemotionsStopped(Option<Moment>),
    /// Fireworks seems to have cleared a field of the user that was not sent: it is not changed before then.
    FieldCleared(Moment),
    /// Fireworks cleared fields of two users that were not sent: no user is changed before then.
    ChangesStopped(Moment),
    /// Fireworks answers our change with these fields still different.
    NotApplied(Diff),
    /// What was said at this generation still stands.
    StillRefused(Refusal),
    /// A call failed.
    Failed(Arc<Failure>),
    /// Fireworks refuses the change.
    Refused(Arc<Failure>),
    /// Nothing good was heard of the remote for too long.
    Stale,
    /// The call waits for the budget.
    Throttled,
    /// The API key is refused; calls wait.
    KeyRefused,
    /// The account is suspended or out of funds, in that state where it is known; changes wait.
    AccountSuspended(Option<Arc<str>>),
    /// The spec cannot be followed.
    InvalidSpec(String),
    /// The API server does not let the operator read the object again.
    ReadForbidden,
    /// A defect of the operator.
    Internal(&'static str),
}

impl Finding {
    /// Returns the guard that holds the change, if one does.
    #[must_use]
    pub fn guard(&self) -> Option<Guard> {
        match self {
            Self::OtherAccount => Some(Guard::WrongAccount),
            Self::ServiceAccount { .. } => Some(Guard::ServiceAccount),
            Self::UnknownRole(_) => Some(Guard::UnknownRole),
            Self::IdentityUnknown(_) => Some(Guard::IdentityUnknown),
            Self::IdentityChanged(_) => Some(Guard::IdentityChanged),
            Self::IdentityMismatch { .. } => Some(Guard::IdentityMismatch),
            Self::ProtectedUser => Some(Guard::ProtectedUser),
            Self::NamespaceNotAllowed => Some(Guard::NamespaceNotAllowed),
            Self::InheritedPower => Some(Guard::InheritedPower),
            Self::LastAdmin(_) | Self::DemotionsStopped(_) => Some(Guard::LastAdmin),
            Self::FieldCleared(_) | Self::ChangesStopped(_) => Some(Guard::Canary),
            Self::Contested(_) => Some(Guard::Contested),
            Self::InSync
            | Self::Suspended { .. }
            | Self::Owned(_)
            | Self::TakingOver(_)
            | Self::UserNotFound
            | Self::RemoteDeleting
            | Self::RemoteUpdating(_)
            | Self::RemoteError(_)
            | Self::Unconfirmed
            | Self::PossiblyInFlight
            | Self::DemotionPossiblyInFlight
            | Self::Drifted(_)
            | Self::NotApplied(_)
            | Self::StillRefused(_)
            | Self::Failed(_)
            | Self::Refused(_)
            | Self::Stale
            | Self::Throttled
            | Self::KeyRefused
            | Self::AccountSuspended(_)
            | Self::InvalidSpec(_)
            | Self::ReadForbidden
            | Self::Internal(_) => None,
        }
    }
}

/// Why a change is made.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cause {
    /// The spec asks for something new.
    SpecChange,
    /// The remote user moved away from a spec that this process has seen it match.
    Drift,
    /// The remote user differs from a spec that a former process reported in sync. Whether the user has changed since, or
    /// the object, by a restored backup, is not known.
    Found,
}

/// One change of one user.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Update {
    /// The user.
    pub user: UserId,
    /// The body.
    pub patch: UserPatch,
    /// What differs.
    pub diff: Diff,
    /// The user before.
    pub before: Arc<User>,
    /// Why.
    pub cause: Cause,
}

/// The body that removes the difference: the role, which the API requires, and the managed fields
/// that differ. Leaving custom clears the preset.
#[must_use]
pub fn patch(desired: &Desired, user: &User, diff: Diff, rules: Rules) -> UserPatch {
    let (preset, name) = (&desired.permission_preset, &desired.display_name);
    UserPatch {
        role: desired.role.clone(),
        permission_preset: if (rules.leaves_custom)(desired, user) {
            Some("".into())
        } else {
            preset.clone().filter(|_| diff.permission_preset)
        },
        display_name: name.clone().filter(|_| (rules.sends_display_name)(diff)),
    }
}

/// Decides by these rules.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, rules: Rules) -> Plan {
    if (rules.is_suspended)(desired) {
        let matches = match &observed.sighting {
            Sighting::Seen { user, .. } => (rules.matches_while_suspended)(desired, user),
            Sighting::Never => observed.matched_at_generation,
            Sighting::Suspected | Sighting::Absent => false,
        };
        return Plan::Hold(Finding::Suspended { matches });
    }
    if let Some(finding) = guards::first(rules.guards, Phase::Object, desired, observed) {
        return Plan::Hold(finding);
    }
    if (rules.yields_to_owner)(desired) {
        match &observed.ownership {
            Ownership::Mine(_) => {}
            Ownership::Released(_) => return Plan::Hold(Finding::TakingOver(None)),
            Ownership::Of(owner) if observed.may_take_over => {
                return Plan::Hold(Finding::TakingOver(owner.clone()));
            }
            Ownership::Of(owner) => return Plan::Hold(Finding::Owned(owner.clone())),
        }
    }
    match &observed.sighting {
        Sighting::Never => read(ReadReason::First, observed, rules),
        Sighting::Suspected => read(ReadReason::Absence, observed, rules),
        Sighting::Absent => Plan::Hold(Finding::UserNotFound),
        Sighting::Seen {
            user, freshness, ..
        } => plan_seen(desired, observed, user, *freshness, rules),
    }
}

fn plan_seen(
    desired: &Desired,
    observed: &Observed,
    user: &Arc<User>,
    freshness: Freshness,
    rules: Rules,
) -> Plan {
    if (rules.is_stale)(freshness) {
        // Without a failure no read was made for long: the machine slept. The user is read before anything is reported.
        return match observed
            .failure
            .clone()
            .filter(|_| observed.ready_at_generation)
        {
            Some(failure) => Plan::Hold(Finding::Failed(failure)),
            None => read(ReadReason::Refresh, observed, rules),
        };
    }
    if (rules.is_deleting)(user) {
        return Plan::Hold(Finding::RemoteDeleting);
    }
    if (rules.is_updating)(user) {
        return progress(user);
    }
    if let Some(finding) = guards::first(rules.guards, Phase::User, desired, observed) {
        return Plan::Hold(finding);
    }
    if (rules.must_read_email)(observed.identity) {
        return read(ReadReason::Email, observed, rules);
    }
    let diff = (rules.diff)(desired, user);
    if diff.is_empty() {
        plan_matching(observed, user, freshness, rules)
    } else {
        plan_differing(desired, observed, user, diff, rules)
    }
}

fn plan_matching(
    observed: &Observed,
    user: &Arc<User>,
    freshness: Freshness,
    rules: Rules,
) -> Plan {
    if let Some(at) = (rules.unsettled_until)(observed) {
        return read_meanwhile(ReadReason::Settle(at), Finding::Unconfirmed);
    }
    if let Some(at) = observed.possibly_in_flight_until {
        return read_meanwhile(ReadReason::Startup(at), Finding::PossiblyInFlight);
    }
    if (rules.is_too_old_for_new_spec)(freshness, observed) {
        return read(ReadReason::Refresh, observed, rules);
    }
    if matches!(user.state, State::Other(_)) {
        return progress(user);
    }
    if (rules.has_remote_error)(user) {
        return Plan::Hold(Finding::RemoteError(user.clone()));
    }
    Plan::InSync
}

fn plan_differing(
    desired: &Desired,
    observed: &Observed,
    user: &Arc<User>,
    diff: Diff,
    rules: Rules,
) -> Plan {
    if (rules.only_observes)(desired) {
        return Plan::Hold(Finding::Drifted(diff));
    }
    if let Some(refusal) = (rules.refusal_in_force)(observed) {
        return Plan::Hold(Finding::StillRefused(refusal.clone()));
    }
    if (rules.has_no_tries_left)(observed) {
        return Plan::Hold(Finding::NotApplied(diff));
    }
    if let Some(finding) = guards::first(rules.guards, Phase::Change, desired, observed) {
        return Plan::Hold(finding);
    }
    if guards::demotes(desired, observed) {
        let others = observed.other_admins;
        if (rules.are_admins_uncounted)(others) {
            return Plan::List;
        }
        if let OtherAdmins::Unsettled(at) = others {
            return Plan::ListFrom(at);
        }
        if (rules.is_another_demoted)(others) {
            return Plan::AwaitOther(None);
        }
    }
    match observed.mask {
        Mask::Busy(until) => return Plan::AwaitOther(Some(until)),
        Mask::Unread => return read(ReadReason::Canary, observed, rules),
        Mask::Trusted | Mask::UserStopped(_) | Mask::Stopped(_) => {}
    }
    Plan::Update(Update {
        user: desired.user.clone(),
        patch: patch(desired, user, diff, rules),
        diff,
        before: user.clone(),
        cause: if observed.has_matched {
            Cause::Drift
        } else if observed.converged_at_generation {
            Cause::Found
        } else {
            Cause::SpecChange
        },
    })
}

/// A read of a user of whom too little is known. An object that is Ready stays so until silence has
/// lasted too long; one with work pending says at once that the read failed.
fn read(reason: ReadReason, observed: &Observed, rules: Rules) -> Plan {
    let failed = observed.failure.clone().map(Finding::Failed);
    // A refusal that status reports stands until a read shows a change: it is not overwritten.
    let stands = observed.ready_at_generation || observed.refused_at_generation;
    let is_outage = observed.failure.as_deref().is_some_and(Failure::is_outage);
    let meanwhile = match (stands, observed.silent_too_long) {
        // It is known to differ, and the change waits for a read that fails.
        (true, false)
            if (rules.must_report_failed_read)(reason) && !observed.refused_at_generation =>
        {
            failed
        }
        (true, false) => None,
        (true, true) => Some(failed.unwrap_or(Finding::Stale)),
        // Whether the change took effect is not known: that reads fail, too, is no news.
        (false, _) if is_outage && observed.unsettled_until.is_some() => Some(Finding::Unconfirmed),
        (false, _) => failed,
    };
    Plan::Read(Read { reason, meanwhile })
}

fn progress(user: &Arc<User>) -> Plan {
    let finding = Finding::RemoteUpdating(user.state.clone());
    read_meanwhile(ReadReason::Progress, finding)
}

fn read_meanwhile(reason: ReadReason, finding: Finding) -> Plan {
    let meanwhile = Some(finding);
    Plan::Read(Read { reason, meanwhile })
}

#[cfg(test)]
mod tests;
