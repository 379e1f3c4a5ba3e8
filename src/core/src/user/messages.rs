//! What status reports of a finding: a reason, and one message that names the cause and what to do.

use fireworks_api::error::Kind;
use fireworks_api::wire::User;
use fireworks_crd::ACCEPT_IDENTITY;
use fireworks_crd::conditions::{Message, Reason};
use jiff::Timestamp;

use super::desired::Diff;
use super::drift;
use super::guards::Guard;
use super::plan::Finding;
use super::state::RepairHold;
use super::status::{Facts, bounded};
use crate::account::Failure;
use crate::account::denials::Demotion;
use crate::claims::ObjectKey;
use crate::time::Moment;

const SUSPENDED: &str = "suspended: no request is made for this object";
const REMOTE_DELETING: &str = "Fireworks is deleting the user";
const UNCONFIRMED: &str = "an update was sent but no response arrived: a read after the settle window shows whether it \
                           took effect";
const POSSIBLY_IN_FLIGHT: &str = "the operator has just started: the user is read again, because an update sent before \
                                  the start may still take effect";
const DEMOTION_POSSIBLY_IN_FLIGHT: &str = "the operator has just started: the admins are counted again, because a \
                                           demotion sent before the start may still take effect";
const KEY_REFUSED: &str =
    "Fireworks rejected the API key: replace it; the new key is used without a restart";
const READ_FORBIDDEN: &str = "the API server refuses the operator get on fireworksusers.iam.fireworks.ai, so the user is \
                              not changed: grant its ServiceAccount this verb";

/// Returns the reason and the message of a finding.
#[must_use]
pub fn describe(facts: &Facts<'_>) -> (Reason, Message) {
    let account = facts.account.as_str();
    let user = facts.desired.map_or("", |desired| desired.user.as_str());
    let finding = facts.finding;
    let of = |guard: Guard, message: Message| (guard.reason(), message);
    match finding {
        Finding::InSync => (Reason::InSync, "the remote user matches the spec".into()),
        Finding::Suspended { matches: true } => (Reason::SuspendedInSync, SUSPENDED.into()),
        Finding::Suspended { matches: false } => (Reason::Suspended, SUSPENDED.into()),
        Finding::OtherAccount => of(Guard::WrongAccount, other_account(account)),
        Finding::Owned(owner) => (Reason::Conflict, owned(user, owner.as_ref())),
        Finding::TakingOver(owner) => (Reason::TakingOver, taking_over(user, owner.as_ref())),
        Finding::UserNotFound => (Reason::UserNotFound, not_found(user, account)),
        Finding::RemoteDeleting => (Reason::RemoteDeleting, REMOTE_DELETING.into()),
        Finding::RemoteUpdating(state) => (Reason::RemoteUpdating, updating(state.as_str())),
        Finding::RemoteError(user) => remote_error(user),
        Finding::Unconfirmed => (Reason::Unconfirmed, UNCONFIRMED.into()),
        Finding::PossiblyInFlight => (Reason::Unconfirmed, POSSIBLY_IN_FLIGHT.into()),
        Finding::DemotionPossiblyInFlight => {
            (Reason::Unconfirmed, DEMOTION_POSSIBLY_IN_FLIGHT.into())
        }
        Finding::Drifted(diff) => (Reason::Drifted, drifted(&drift::fields(*diff, facts))),
        Finding::Contested(hold) => of(Guard::Contested, contested(user, hold, facts.spec_manager)),
        Finding::ProtectedUser => of(Guard::ProtectedUser, protected_user(user)),
        Finding::NamespaceNotAllowed => of(Guard::NamespaceNotAllowed, namespace_not_allowed(user)),
        Finding::LastAdmin(needed) => of(Guard::LastAdmin, last_admin(user, account, *needed)),
        Finding::ServiceAccount { declared } => {
            of(Guard::ServiceAccount, service_account(user, *declared))
        }
        Finding::UnknownRole(role) => of(Guard::UnknownRole, unknown_role(role.as_str())),
        Finding::InheritedPower => of(Guard::InheritedPower, inherited_power(user)),
        Finding::IdentityUnknown(created) => {
            of(Guard::IdentityUnknown, identity_unknown(user, *created))
        }
        Finding::IdentityChanged(created) => {
            of(Guard::IdentityChanged, identity_changed(user, *created))
        }
        Finding::IdentityMismatch { is_shown } => {
            of(Guard::IdentityMismatch, identity_mismatch(user, *is_shown))
        }
        Finding::DemotionsStopped(until) => {
            of(Guard::LastAdmin, demotions_stopped(account, *until))
        }
        Finding::FieldCleared(_) => of(Guard::Canary, field_cleared(user)),
        Finding::ChangesStopped(_) => of(Guard::Canary, changes_stopped(account)),
        Finding::NotApplied(diff) => not_applied(*diff, facts),
        Finding::StillRefused(refusal) => (refusal.reason, refusal.message.clone()),
        Finding::Refused(failure) => refused(failure),
        Finding::Failed(failure) => failed(failure, account),
        Finding::Stale => (Reason::RemoteUnavailable, stale(user)),
        Finding::Throttled => (Reason::Throttled, "rate limited: update queued".into()),
        Finding::KeyRefused => (Reason::Unauthenticated, KEY_REFUSED.into()),
        Finding::AccountSuspended(state) => account_suspended(account, state.as_deref()),
        Finding::InvalidSpec(why) => (Reason::InvalidSpec, why.clone().into()),
        Finding::ReadForbidden => (Reason::InternalError, READ_FORBIDDEN.into()),
        Finding::Internal(what) => (Reason::InternalError, internal(what)),
    }
}

fn other_account(account: &str) -> Message {
    format!("this object managed a user of another account than {account}: delete it and create it again").into()
}

fn owned(user: &str, holder: Option<&ObjectKey>) -> Message {
    let holder = named(holder);
    format!("user {user} is managed by {holder}: delete one of the two").into()
}

fn taking_over(user: &str, holder: Option<&ObjectKey>) -> Message {
    let holder = named(holder);
    format!(
        "user {user} is managed by {holder}, or was until a moment ago: this object waits until the user is released"
    )
    .into()
}

/// An object of another namespace is not named: who reads this status may have no right to know of it.
pub(super) fn named(other: Option<&ObjectKey>) -> String {
    let shown = |key: &ObjectKey| format!("object {key}");
    other.map_or_else(|| "an object of another namespace".to_owned(), shown)
}

fn inherited_power(user: &str) -> Message {
    format!(
        "an object of another namespace claims or claimed user {user}, who is or would become admin or custom: to let this \
         object change the user, set annotation {} to {user}",
        fireworks_crd::ACCEPT_CLAIM
    )
    .into()
}

fn not_found(user: &str, account: &str) -> Message {
    format!("account {account} has no user {user}; it is reconciled as soon as it exists").into()
}

fn updating(state: &str) -> Message {
    let state = bounded(state);
    format!("Fireworks reports the user in state {state}; waiting for READY").into()
}

fn drifted(fields: &str) -> Message {
    format!("observed only, never changed: the remote user differs in {fields}").into()
}

fn last_admin(user: &str, account: &str, needed: usize) -> Message {
    let cause = if needed > 1 {
        format!(
            "account {account} must keep {needed} other admins (--min-admins) when user {user} is demoted"
        )
    } else {
        format!("user {user} is the last admin of account {account}")
    };
    format!(
        "{cause}: make another user admin first (READY, without an error, not a service account)"
    )
    .into()
}

fn protected_user(user: &str) -> Message {
    format!(
        "user {user} is listed in --protected-user: no object changes it; correct the spec, or remove the user from the \
         operator's settings"
    )
    .into()
}

fn namespace_not_allowed(user: &str) -> Message {
    format!(
        "user {user} has, or would get, role admin, custom or one that this version does not know, and --grant-namespace \
         does not list this namespace: add the namespace to the operator's settings, or declare the user in a namespace \
         that is listed"
    )
    .into()
}

fn field_cleared(user: &str) -> Message {
    format!(
        "user {user} lost a field that its last update did not contain: held until the update of a second user shows \
         whether Fireworks clears such fields; retried within an hour"
    )
    .into()
}

fn changes_stopped(account: &str) -> Message {
    format!(
        "two users lost a field that their update did not contain: all changes of account {account} are stopped; retried \
         with back-off, at least once an hour"
    )
    .into()
}

fn not_applied(diff: Diff, facts: &Facts<'_>) -> (Reason, Message) {
    let fields = drift::fields(diff, facts);
    let message = format!(
        "Fireworks accepted the update but did not apply it: the user still differs in {fields}"
    );
    (Reason::NotApplied, message.into())
}

fn stale(user: &str) -> Message {
    format!("no successful read of user {user} for at least 10 minutes").into()
}

fn internal(what: &str) -> Message {
    format!("internal error: {what}; see the operator's log").into()
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

/// A failed call in terms of the conditions. An account-level 404 is not about the user.
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

fn account_suspended(account: &str, state: Option<&str>) -> (Reason, Message) {
    let state = state.map_or_else(String::new, |state| format!(" (suspendState {state})"));
    let message = format!(
        "account {account} is suspended{state} and its changes wait: resolve it with Fireworks; one request per minute \
         checks whether it is lifted"
    );
    (Reason::AccountSuspended, message.into())
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

fn service_account(user: &str, declared: bool) -> Message {
    let message = if declared {
        format!(
            "user {user} is no service account, but spec.serviceAccount is true: remove it, or correct userId"
        )
    } else {
        format!(
            "user {user} is a service account: set spec.serviceAccount to true to manage it, or correct userId"
        )
    };
    message.into()
}

fn unknown_role(role: &str) -> Message {
    let role = drift::named(role);
    format!(
        "the user has role {role}, which this version does not know: it is replaced only after annotation {} is set \
         to that role",
        fireworks_crd::REPLACE_UNKNOWN_ROLE
    )
    .into()
}

fn identity_unknown(user: &str, created: Option<Timestamp>) -> Message {
    let Some(created) = created else {
        return format!(
            "user {user} was created after this object, so the user may be another person: role admin \
             is granted once spec.expectEmail is the user's e-mail"
        )
        .into();
    };
    format!(
        "user {user} was created at {created:.0}, after this object, and may be another person: role admin is granted once \
         spec.expectEmail is the user's e-mail, or annotation {ACCEPT_IDENTITY} is set to {created:.0}"
    )
    .into()
}

fn identity_changed(user: &str, created: Timestamp) -> Message {
    format!(
        "user {user} was deleted and created again at {created:.0}, and may be another person: it is not changed before \
         spec.expectEmail is its e-mail, or annotation {ACCEPT_IDENTITY} is set to {created:.0}"
    )
    .into()
}

fn identity_mismatch(user: &str, is_shown: bool) -> Message {
    let message = if is_shown {
        format!(
            "the e-mail of user {user} is not spec.expectEmail, so the user may be another person: correct or remove \
             spec.expectEmail, or correct userId"
        )
    } else {
        format!(
            "two reads of user {user} showed no e-mail to compare with spec.expectEmail: set the user's e-mail at \
             Fireworks, or remove spec.expectEmail"
        )
    };
    message.into()
}

fn demotions_stopped(account: &str, until: Option<Moment>) -> Message {
    let until = if until.is_some() {
        "for 30 to 90 minutes"
    } else {
        "until the operator is restarted"
    };
    format!(
        "demotions had left account {account} without an admin, so demoted users were made admin again: no admin is \
         demoted {until}; check whether another operator changes this account"
    )
    .into()
}

fn contested(user: &str, hold: &RepairHold, spec_manager: Option<&str>) -> Message {
    let by = spec_manager
        .map(|name| format!(" (the spec was last set by {name})"))
        .unwrap_or_default();
    let repairs = hold.repairs;
    let next = hold.next_repair.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!(
        "another actor keeps reverting user {user} in Fireworks, repaired {repairs} times within an hour{by}: next \
         repair at {next}; stop that actor, or set managementPolicy to Observe"
    )
    .into()
}
