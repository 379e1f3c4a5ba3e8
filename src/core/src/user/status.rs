//! What status says. Pure: the last status, the finding and what was seen go in, the next status
//! comes out; the same finding about the same user gives the same status.

use std::sync::Arc;

use fireworks_api::error::Kind;
use fireworks_api::text;
use fireworks_api::wire::{AccountId, User};
use fireworks_crd::conditions::{self, Message, Reason};
use fireworks_crd::{FireworksUserStatus, RemoteStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::drift;
use crate::account::denials::Demotion;
use crate::account::{Failure, Sighting};
use crate::rules::Rules;
use crate::user::desired::Desired;
use crate::user::guards::Guard;
use crate::user::plan::Finding;
use crate::user::state::RepairHold;

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
    /// What is true.
    pub finding: &'a Finding,
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
    /// Not known now: what status says of it is the last that was seen.
    Unknown,
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

/// The next status, which says `reason` in these words.
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
    status.observed_generation = Some(facts.generation);
    status.guard = facts.finding.guard().map(|guard| guard.as_str().to_owned());
    status.conditions = conditions;
    status
}

/// Returns whether the next status is to be written over the previous one. The name of a guard that a former version did
/// not write is no change by itself: it is written with the next one.
#[must_use]
pub fn is_worth_a_write(previous: &FireworksUserStatus, next: &FireworksUserStatus) -> bool {
    if previous.guard.is_some() || next.guard.is_none() {
        return previous != next;
    }
    let named = FireworksUserStatus {
        guard: next.guard.clone(),
        ..previous.clone()
    };
    named != *next
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
        create_time: user.create_time,
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

/// The reason and the words of a finding.
#[must_use]
pub fn describe(facts: &Facts<'_>) -> (Reason, Message) {
    let account = facts.account.as_str();
    let user = facts.desired.map_or("", |desired| desired.user.as_str());
    match facts.finding {
        Finding::InSync => (Reason::InSync, "the remote user matches the spec".into()),
        Finding::Suspended { matches } => (
            if *matches { Reason::SuspendedInSync } else { Reason::Suspended },
            "suspended: no request is made for this object".into(),
        ),
        Finding::OtherAccount => (
            Guard::WrongAccount.reason(),
            format!("this object managed a user of another account than {account}: delete it and create it again")
                .into(),
        ),
        Finding::Owned(owner) => (
            Reason::Conflict,
            format!("user {user} is managed by the older object {owner}: delete one of the two").into(),
        ),
        Finding::TakingOver(owner) => (
            Reason::TakingOver,
            format!("user {user} is managed by the older object {owner}: this object takes over when that one is deleted").into(),
        ),
        Finding::UserNotFound => (
            Reason::UserNotFound,
            format!("account {account} has no user {user}; it is reconciled as soon as it exists").into(),
        ),
        Finding::RemoteDeleting => (Reason::RemoteDeleting, "Fireworks is deleting the user".into()),
        Finding::RemoteUpdating(state) => (
            Reason::RemoteUpdating,
            format!("Fireworks reports the user in state {}; waiting for READY", bounded(state.as_str())).into(),
        ),
        Finding::RemoteError(user) => remote_error(user),
        Finding::Unconfirmed => (
            Reason::Unconfirmed,
            "an update was sent but no response arrived: a read after the settle window shows whether it took effect".into(),
        ),
        Finding::PossiblyInFlight => (
            Reason::Unconfirmed,
            "the operator has just started: the user is read again, because an update sent before the start may still take effect"
                .into(),
        ),
        Finding::DemotionPossiblyInFlight => (
            Reason::Unconfirmed,
            "the operator has just started: the admins are counted again, because a demotion sent before the start may still take effect"
                .into(),
        ),
        Finding::Drifted(diff) => (
            Reason::Drifted,
            format!("observed only, never changed: the remote user differs in {}", drift::fields(*diff, facts)).into(),
        ),
        Finding::Contested(hold) => (Guard::Contested.reason(), contested(user, hold, facts.spec_manager).into()),
        Finding::LastAdmin => (
            Guard::LastAdmin.reason(),
            format!("user {user} is the last admin of account {account}: make another user admin first (READY, without an error, not a service account)").into(),
        ),
        Finding::ServiceAccount { declared } => (
            Guard::ServiceAccount.reason(),
            service_account(user, *declared).into(),
        ),
        Finding::UnknownRole(role) => (Guard::UnknownRole.reason(), unknown_role(role.as_str()).into()),
        Finding::DemotionsStopped(until) => (Guard::LastAdmin.reason(), demotions_stopped(account, until.is_some()).into()),
        Finding::FieldCleared(_) => (
            Guard::Canary.reason(),
            format!("user {user} lost a field that its last update did not contain: held until the update of a second user shows whether Fireworks clears such fields; retried within an hour").into(),
        ),
        Finding::ChangesStopped(_) => (
            Guard::Canary.reason(),
            format!("two users lost a field that their update did not contain: all changes of account {account} are stopped; retried with back-off, at least once an hour").into(),
        ),
        Finding::NotApplied(diff) => (
            Reason::NotApplied,
            format!("Fireworks accepted the update but did not apply it: the user still differs in {}", drift::fields(*diff, facts)).into(),
        ),
        Finding::StillRefused(refusal) => (refusal.reason, refusal.message.clone()),
        Finding::Refused(failure) => refused(failure),
        Finding::Failed(failure) => failed(failure, account),
        Finding::Stale => (
            Reason::RemoteUnavailable,
            format!("no successful read of user {user} for at least 10 minutes").into(),
        ),
        Finding::Throttled => (
            Reason::Throttled,
            "rate limited: update queued".into(),
        ),
        Finding::KeyRefused => (
            Reason::Unauthenticated,
            "Fireworks rejected the API key: replace it; the new key is used without a restart".into(),
        ),
        Finding::AccountSuspended(state) => (
            Reason::AccountSuspended,
            account_suspended(account, state.as_deref()).into(),
        ),
        Finding::InvalidSpec(why) => (Reason::InvalidSpec, why.clone().into()),
        Finding::ReadForbidden => (Reason::InternalError, read_forbidden().into()),
        Finding::Internal(what) => (
            Reason::InternalError,
            format!("internal error: {what}; see the operator's log").into(),
        ),
    }
}

fn read_forbidden() -> &'static str {
    "the API server refuses the operator get on fireworksusers.iam.fireworks.ai, so the user is not changed: grant its ServiceAccount this verb"
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

/// A refused change in terms of the conditions.
fn refused(failure: &Failure) -> (Reason, Message) {
    let (reason, ours) = match failure.kind {
        Kind::Denied => (
            Reason::PermissionDenied,
            "the API key has no permission for this change",
        ),
        _ => (Reason::Rejected, "Fireworks rejected the change"),
    };
    (reason, Message::with_remote(ours, &*failure.message))
}

/// The message where all changes are refused since that demotion.
#[must_use]
pub fn since_demotion(demotion: &Demotion) -> Message {
    let Demotion { user, at } = demotion;
    format!(
        "the API key may change no user since {user} was demoted from admin at {at:.0}: make {user} an admin again at Fireworks, or supply the key of another admin"
    )
    .into()
}

/// A failed call in terms of the conditions. An account-level 404 says nothing of the user.
fn failed(failure: &Failure, account: &str) -> (Reason, Message) {
    let (reason, ours) = match failure.kind {
        Kind::NotFound => {
            let ours = format!("account {account} not found: check FIREWORKS_ACCOUNT_ID");
            let message = Message::with_remote(ours, &*failure.message);
            return (Reason::RemoteUnavailable, message);
        }
        Kind::Transient => (Reason::RemoteUnavailable, "the request to Fireworks failed"),
        Kind::Throttled => (Reason::Throttled, "Fireworks rate limited the request"),
        Kind::AccountSuspended => (Reason::AccountSuspended, "the account is suspended"),
        Kind::Rejected | Kind::Denied => (
            Reason::ReadRefused,
            "Fireworks refused the read of the user",
        ),
        Kind::Unauthenticated => (Reason::Unauthenticated, "Fireworks rejected the API key"),
        Kind::Malformed => (
            Reason::MalformedResponse,
            "Fireworks sent a malformed response",
        ),
    };
    (reason, Message::with_remote(ours, &*failure.message))
}

fn account_suspended(account: &str, state: Option<&str>) -> String {
    let state = state.map_or_else(String::new, |state| format!(" (suspendState {state})"));
    format!(
        "account {account} is suspended{state} and its changes wait: resolve it with Fireworks; one request per minute \
         checks whether it is lifted"
    )
}

fn remote_error(user: &User) -> (Reason, Message) {
    let (code, said) = user
        .status
        .as_ref()
        .map_or(("", ""), |status| (&*status.code, &*status.message));
    let ours = format!("Fireworks reports status {} for the user", bounded(code));
    (
        Reason::RemoteError,
        Message::with_remote(ours, bounded(said)),
    )
}

fn service_account(user: &str, declared: bool) -> String {
    if declared {
        format!(
            "user {user} is no service account, but spec.serviceAccount is true: remove it, or correct userId"
        )
    } else {
        format!(
            "user {user} is a service account: set spec.serviceAccount to true to manage it, or correct userId"
        )
    }
}

fn unknown_role(role: &str) -> String {
    let role = drift::named(role);
    format!(
        "the user has role {role}, which this version does not know: it is replaced only after annotation {} is set \
         to that role",
        fireworks_crd::REPLACE_UNKNOWN_ROLE
    )
}

fn demotions_stopped(account: &str, ends: bool) -> String {
    let until = if ends {
        "for 30 to 90 minutes"
    } else {
        "until the operator is restarted"
    };
    format!(
        "demotions had left account {account} without an admin, so demoted users were made admin again: no admin is \
         demoted {until}; check whether another operator changes this account"
    )
}

fn contested(user: &str, hold: &RepairHold, spec_manager: Option<&str>) -> String {
    let by = spec_manager
        .map(|name| format!(" (the spec was last set by {name})"))
        .unwrap_or_default();
    let repairs = hold.repairs;
    let next = hold.next_repair.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!(
        "another actor keeps reverting user {user} in Fireworks, repaired {repairs} times within an hour{by}: next \
         repair at {next}; stop that actor, or set managementPolicy to Observe"
    )
}
