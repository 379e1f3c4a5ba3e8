//! OBSERVE: gathers the facts that the plan decides by. Reads the directory, the claims and the
//! memory; the one call it makes is the re-read of the object right before its user is changed.

use std::time::Duration;

use fireworks_core::account::denials::Denial;
use fireworks_core::account::{Mask, OtherAdmins, Sighting};
use fireworks_core::time::Moment;
use fireworks_core::user::desired::{Desired, diff};
use fireworks_core::user::facts::{
    Gathered, Observed, TAKE_OVER_FOR, facts, may_change, may_demote, refusal,
};
use fireworks_core::user::object::Watched;
use fireworks_core::user::state::Entry;
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::Reason;
use kube::Api;
use operator_runtime::effects::{self, Effect};

use super::Context;
use crate::api_object::ApiObject;
use crate::clock;
use crate::rights::Right;

/// Deadline of the re-read of an object: a permit is held meanwhile.
const REREAD_DEADLINE: Duration = Duration::from_secs(5);

/// Gathers the facts.
pub(super) fn observe(
    ctx: &Context,
    object: &Watched,
    status: &FireworksUserStatus,
    desired: &Desired,
    entry: &Entry,
    now: Moment,
) -> Observed {
    let directory = ctx.account.directory();
    let view = directory.view(&desired.user, now);
    let other_admins = if may_demote(desired, &view.sighting) {
        directory.other_admins(&desired.user, ctx.settled_from(), now)
    } else {
        OtherAdmins::Unlisted
    };
    let mask = match &view.sighting {
        Sighting::Seen { user, .. } if may_change(desired, &view.sighting) => {
            let names_display_name = diff(desired, user).display_name;
            directory.mask(&desired.user, names_display_name, now)
        }
        _ => Mask::Trusted,
    };
    let key_version = ctx.account.client().keys().current().version;
    let denial = if may_change(desired, &view.sighting) {
        denial(ctx, object, status, desired, entry, key_version, now)
    } else {
        Denial::default()
    };
    let memory = ctx.memory.lock();
    let presumed = memory.is_presumed_unsettled(object.uid());
    let has_matched = memory.has_matched(object.uid(), object.generation());
    let contested = memory.repair_hold(&desired.user, now);
    drop(memory);
    let ownership = ctx.claims.lock().ownership(object.key(), &desired.user);
    let observed = facts(Gathered {
        view,
        status,
        generation: object.generation(),
        entry,
        has_matched,
        is_suspended: ctx.account.budget().suspension().is_some(),
        settled_from: presumed.then(|| ctx.settled_from()),
        ownership,
        waits_for_claim: entry
            .contending_since
            .is_none_or(|since| now.saturating_duration_since(since) < TAKE_OVER_FOR),
        other_account: is_of_another_account(ctx, status),
        running_for: now.saturating_duration_since(ctx.started),
        contested,
        other_admins,
        mask,
        denial,
        key_version,
        time: clock::timestamp(),
    });
    if presumed && observed.presumed_until.is_none() {
        ctx.memory.lock().settle(object.uid());
    }
    observed
}

/// Whether a change of the user is denied to the key. What the status of a former process reports counts as denied.
fn denial(
    ctx: &Context,
    object: &Watched,
    status: &FireworksUserStatus,
    desired: &Desired,
    entry: &Entry,
    key_version: u64,
    now: Moment,
) -> Denial {
    let mut denials = ctx.account.denials();
    let told = refusal(status, object.generation());
    if entry.verdict.is_none() && told == Some(Reason::PermissionDenied) {
        denials.inherited(&desired.user, ctx.started, ctx.settled_from());
    }
    denials.of(&desired.user, key_version, now)
}

fn is_of_another_account(ctx: &Context, status: &FireworksUserStatus) -> bool {
    let account = ctx.account.client().account();
    status
        .name
        .as_deref()
        .is_some_and(|name| !account.holds(name))
}

/// What the API server holds in place of the object that was planned for.
#[derive(Debug)]
pub(super) enum Reread {
    /// The same object, of the same generation.
    Same,
    /// A newer object, or the same one about to be deleted.
    Newer(Box<Watched>),
    /// None of that name.
    Gone,
    /// The operator has not the right to read it.
    Refused,
    /// The API server did not answer in time, or with an error.
    Unknown,
}

/// Reads the object from the API server, right before its user is changed: what the watch brought may be old.
pub(super) async fn reread(ctx: &Context, object: &Watched) -> Reread {
    let key = object.key();
    let api: Api<ApiObject> = Api::namespaced(ctx.kube.clone(), &key.namespace);
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads an object again"
    )]
    let call = api.get_opt(&key.name);
    let call = effects::around(Effect::Verify, &key.name, call);
    let versions = ctx.scopes.versions_in(&key.namespace);
    let floor = versions.map(|versions| versions.floor_of(object.resource_version()));
    let read = tokio::time::timeout(REREAD_DEADLINE, call).await;
    if matches!(read, Ok(Ok(_))) {
        ctx.rights.reads.end();
        ctx.rights.granted(Right::Get, &key.namespace);
    }
    match read {
        Ok(Ok(Some(ApiObject { object: now, .. }))) => {
            let went_back = versions
                .zip(floor)
                .is_some_and(|(versions, floor)| versions.went_back(floor, now.resource_version()));
            let is_same = now.uid() == object.uid() && now.generation() == object.generation();
            if is_same && !went_back && !now.is_being_deleted() {
                Reread::Same
            } else {
                Reread::Newer(Box::new(now))
            }
        }
        Ok(Ok(None)) => Reread::Gone,
        Ok(Err(kube::Error::Api(refusal))) if refusal.is_forbidden() => {
            let now = operator_runtime::clock::now();
            ctx.rights
                .refused(Right::Get, &key.namespace, &refusal, now);
            Reread::Refused
        }
        Ok(Err(error)) => {
            tracing::debug!(%key, %error, "object not read again, its user is not changed");
            Reread::Unknown
        }
        Err(_) => Reread::Unknown,
    }
}
