//! The promises, each checked at the step that could break it, and what the world must look like
//! when it has come to rest. Written from what is promised to users; no production code decides here.

pub(crate) mod identity;
pub(crate) mod pair;

use fireworks_core::user::plan::Cause;

use crate::account::age;
use crate::reconcile::{FIGHT, Reconciliation, number};
use crate::state::{Barred, NEVER, State};
use crate::value::{Body, Part, Phase, Remote, Spec};
use crate::world::World;
use identity::Standing;

/// Ticks after which an object in sync may no longer be Ready where no read has shown its user.
pub(crate) const STALE: u8 = 4;
/// A match this many ticks ago makes an object Ready: what is called fresh.
const FRESH: u8 = 2;

/// A PATCH leaves.
pub(crate) fn departure(
    world: &mut World<'_>,
    state: &State,
    pass: &Reconciliation,
    body: Body,
    cause: Cause,
) -> Option<String> {
    let object = &state.objects[pass.object];
    let user = world.user_of(pass.object);
    let spec = world.spec(pass.spec);
    let Some(seen) = world.operator.known(state.account, number(user)).seen else {
        return Some("PATCH for a user that was never seen".to_owned());
    };
    let held_by_another = holder_beside(world, state, pass.object).is_some();
    let own = world.operator.reported(object.server.status);
    let waited = matches!(own.status.claim.as_deref(), Some("Waiting" | "Inherited"));
    let moved = object.server.generation != pass.generation || object.server.deleting;
    let checks = [
        (spec.suspend, "PATCH by a suspended object"),
        (spec.observe, "PATCH by an object that only observes"),
        (object.server.deleting, "PATCH by an object being deleted"),
        (
            held_by_another,
            "PATCH by an object that does not hold the user",
        ),
        (
            world.scenario.apart
                && pass.object > 0
                && (!state.was_free || waited)
                && (seen.has_power() || spec.has_power()),
            "PATCH of an admin or a custom user by an object that can only have inherited it",
        ),
        (
            world.scenario.foreign,
            "PATCH by an object of another account",
        ),
        (
            state.paused || state.counts,
            "PATCH while the account pauses",
        ),
        (
            state.barred != Barred::No && !state.may_probe,
            "PATCH while the account is suspended",
        ),
        (
            seen.phase == Phase::Updating,
            "PATCH while the user is UPDATING",
        ),
        (
            seen.phase == Phase::Deleting,
            "PATCH while the user is DELETING",
        ),
        (seen.phase == Phase::Absent, "PATCH for a user that is gone"),
        (seen.service, "PATCH of a service account"),
        (
            world.scenario.protects == Some(user),
            "PATCH of a protected user",
        ),
        (
            !world.scenario.may_grant && (seen.has_power() || spec.has_power()),
            "PATCH about power from a namespace that may not grant",
        ),
        (
            object.identity.standing(spec, seen) != Standing::Accepted,
            "PATCH of a user that may be another person",
        ),
        (seen.matches(spec), "PATCH although nothing differs"),
        (
            body != seen.body_for(spec),
            "PATCH with other fields than those that differ",
        ),
        (
            object.expected.answer_applied,
            "PATCH although its like was answered and nothing has changed since",
        ),
        (
            object.expected.refused > 0,
            "PATCH although its like was refused and nothing has changed since",
        ),
        (
            object.expected.missed >= 2,
            "PATCH although two answers differed",
        ),
        (state.repairs[user] >= FIGHT, "PATCH in a fight's pause"),
        (moved, "PATCH for a spec that has moved on"),
        (
            object.expected.repairs && cause == Cause::SpecChange,
            "PATCH that repairs a drift and counts as a change of the spec",
        ),
    ];
    let broken = checks.iter().find(|(holds, _)| *holds)?;
    Some(format!("{}: {body:?}", broken.1))
}

/// Another object whose status reports, of its present spec, that it holds the user.
fn holder_beside(world: &mut World<'_>, state: &State, object: usize) -> Option<usize> {
    let user = world.user_of(object);
    world.objects().find(|other| {
        let server = state.objects[*other].server;
        let reported = world.operator.reported(server.status);
        let is_current = reported.generation == i64::from(server.generation);
        *other != object
            && world.user_of(*other) == user
            && !server.deleting
            && !world.spec(server.spec).observe
            && is_current
            && reported.holds()
    })
}

/// A PATCH of ours takes effect.
pub(crate) fn effect(
    world: &World<'_>,
    state: &State,
    user: usize,
    after: Remote,
) -> Option<String> {
    let admins = |of: &dyn Fn(usize) -> Remote| {
        (0..world.scenario.users.len())
            .filter(|user| of(*user).is_counted_admin())
            .count()
    };
    let before = admins(&|one| state.remote[one]);
    let left = admins(&|one| {
        if one == user {
            after
        } else {
            state.remote[one]
        }
    });
    // Another process may demote at the same moment; what must come of that see `pair`.
    let least = world.scenario.min_admins;
    let is_last = left < before && left < least && !world.scenario.shared;
    is_last.then(|| "a PATCH leaves the account with too few admins".to_owned())
}

/// Status is written.
pub(crate) fn write(
    world: &mut World<'_>,
    state: &State,
    pass: &Reconciliation,
    next: u16,
) -> Option<String> {
    let reported = world.operator.reported(next);
    let server = state.objects[pass.object].server;
    let old = world.operator.reported(server.status);
    let user = world.user_of(pass.object);
    if let Some(flaw) = &reported.flaw {
        return Some(flaw.clone());
    }
    if reported.generation < old.generation {
        return Some("observedGeneration goes back".to_owned());
    }
    if reported.generation != i64::from(pass.generation) {
        return Some("observedGeneration is not the one that was looked at".to_owned());
    }
    if reported.reason.as_deref() == Some("UserNotFound") && !may_be_absent(world) {
        return Some("UserNotFound, and the user was there all the time".to_owned());
    }
    if reported.reason.as_deref() == Some("Rejected") && !world.scenario.refuses_custom {
        return Some("Rejected, and no value is refused".to_owned());
    }
    if reported.reason.as_deref() == Some("Throttled") && awaits_account(world, state, pass) {
        return Some("Throttled, and the account is suspended".to_owned());
    }
    if let Some(flaw) = identity::written(world, state, pass, next) {
        return Some(flaw);
    }
    let current = reported.generation == i64::from(server.generation);
    let was_ready = old.ready && old.generation == reported.generation;
    if !reported.ready || !current || was_ready {
        return None;
    }
    becomes_ready(world, state, pass, user)
}

/// A change is due, as far as the operator knows, and was refused since the account is suspended.
fn awaits_account(world: &mut World<'_>, state: &State, pass: &Reconciliation) -> bool {
    let user = number(world.user_of(pass.object));
    let known = world.operator.known(state.account, user);
    let spec = world.spec(pass.spec);
    let differs = known.seen.is_some_and(|seen| !seen.matches(spec));
    state.barred == Barred::Changes && differs && !known.unsettled
}

/// An object becomes Ready at its current generation.
fn becomes_ready(
    world: &mut World<'_>,
    state: &State,
    pass: &Reconciliation,
    user: usize,
) -> Option<String> {
    let spec = world.spec(pass.spec);
    let seen = world.operator.known(state.account, number(user)).seen;
    if spec.suspend {
        let matches = seen.is_none_or(|seen| seen.matches(spec));
        return (!matches).then(|| "suspended, Ready, and last seen different".to_owned());
    }
    if seen.is_some_and(|seen| seen.broken) {
        return Some("Ready although the user's own status is an error".to_owned());
    }
    let identity = state.objects[pass.object].identity;
    if seen.is_some_and(|seen| identity.standing(spec, seen) == Standing::Held) {
        return Some("Ready, and the user may be another person".to_owned());
    }
    let matched = state.matched[user][usize::from(pass.spec)];
    if matched > FRESH {
        let since = if matched == NEVER {
            "since a change was lost".to_owned()
        } else {
            format!("for {matched} ticks")
        };
        return Some(format!("Ready, and the user has not matched {since}"));
    }
    let late = state.late_changes[user]
        .iter()
        .flatten()
        .find(|late| !late.excused && !world.after(state.remote[user], late.body).matches(spec));
    late.map(|late| format!("Ready, and a lost PATCH may still undo it: {:?}", late.body))
}

/// Whether users of this world can be gone at all.
fn may_be_absent(world: &World<'_>) -> bool {
    let gone = |remote: &Remote| matches!(remote.phase, Phase::Deleting | Phase::Absent);
    let scenario = world.scenario;
    scenario.users.iter().chain(&scenario.drift).any(gone)
}

/// Time passes over an object that is left alone.
pub(crate) fn lasting(world: &mut World<'_>, state: &State, at: usize) -> Option<String> {
    let object = &state.objects[at];
    let reported = world.operator.reported(object.server.status);
    let current = reported.generation == i64::from(object.server.generation);
    let settled = object.store == object.server;
    let in_sync = reported.ready && reported.reason.as_deref() == Some("InSync");
    let quiet = object.timer == 0 && state.flights[at].is_none();
    // That a user is gone is concluded from a list, for which the model sets no time.
    let stale_after = STALE + u8::from(may_be_absent(world));
    // The read before the first change may take as long as the one that shows the drift.
    let stale_after = stale_after + 2 * u8::from(world.scenario.budget.gets);
    // A process that has just begun relies on the reported status.
    let unseen = state.matched[world.user_of(at)][usize::from(object.server.spec)] >= stale_after
        && age(state.started) >= STALE;
    // Whether a refusal that a former process reported was by the key in use is not known.
    let denied = reported.reason.as_deref() == Some("PermissionDenied")
        && state.left.crashes == world.scenario.crashes;
    let checks = [
        (
            in_sync && quiet && unseen,
            "stays Ready although the user has not matched for too long",
        ),
        (
            denied && state.key > 1 && !state.counts && state.flights[at].is_none(),
            "a refusal outlives its key",
        ),
    ];
    let applies = settled && !object.server.deleting;
    if applies && !current && state.flights[at].is_none() {
        return Some("a wait of the newest spec is not reported".to_owned());
    }
    let broken = checks
        .iter()
        .find(|(holds, _)| applies && current && *holds)?;
    Some(broken.1.to_owned())
}

/// Where nothing goes wrong any more the world comes to this, for good. `stopped`: this process had to make users admin again,
/// and may demote no more.
pub(crate) fn at_rest(world: &mut World<'_>, state: &State, stopped: bool) -> Result<(), String> {
    for at in world.objects() {
        let object = &state.objects[at];
        if object.server.deleting {
            continue;
        }
        let expected = expected(world, state, at, stopped)?;
        // What is denied to the key is tried again every ten minutes.
        if state.flights[at].is_some() && expected != "PermissionDenied" {
            return Err(format!(
                "a PATCH is under way for object {at}, again and again"
            ));
        }
        let reported = world.operator.reported(object.server.status);
        if reported.generation != i64::from(object.server.generation) {
            return Err(format!(
                "status of object {at} does not speak of its newest spec"
            ));
        }
        let reason = reported.reason.as_deref().unwrap_or("nothing");
        // Once an hour, or before a demotion that was denied is tried again, admins are counted by a list, which may be
        // waited for.
        let is_listing = matches!(expected, "Protected" | "PermissionDenied")
            && reason == "Throttled"
            && state.remote[world.user_of(at)].role == Part::Admin;
        if reason != expected && !is_listing {
            return Err(format!(
                "object {at} reports {reason} where {expected} is the truth"
            ));
        }
        if reported.ready != (expected == "InSync") && expected != "Suspended" {
            return Err(format!("object {at} reports {reason} with the wrong Ready"));
        }
    }
    Ok(())
}

fn expected(
    world: &mut World<'_>,
    state: &State,
    at: usize,
    stopped: bool,
) -> Result<&'static str, String> {
    let scenario = world.scenario;
    let user = world.user_of(at);
    let remote = state.remote[user];
    let spec: Spec = world.spec(state.objects[at].server.spec);
    let owned = holder_beside(world, state, at).is_some();
    let own = world.operator.reported(state.objects[at].server.status);
    if owned && own.holds() && !spec.observe {
        return Err("two objects hold one user".to_owned());
    }
    let is_inherited = own.status.claim.as_deref() == Some("Inherited");
    let others = (0..scenario.users.len())
        .filter(|other| *other != user && state.remote[*other].is_counted_admin())
        .count();
    let has_power = remote.has_power() || spec.has_power();
    let standing = state.objects[at].identity.standing(spec, remote);
    let wrong_name = spec.name != 0 && remote.name != spec.name;
    Ok(if spec.suspend {
        "Suspended"
    } else if scenario.foreign || (owned && !spec.observe) {
        "Conflict"
    } else if remote.phase == Phase::Absent {
        "UserNotFound"
    } else if remote.service || standing == Standing::Held {
        "Protected"
    } else if remote.matches(spec) && remote.broken {
        "RemoteError"
    } else if remote.matches(spec) {
        "InSync"
    } else if spec.observe {
        "Drifted"
    } else if scenario.protects == Some(user) {
        "Protected"
    } else if !scenario.may_grant && has_power {
        "NamespaceNotAllowed"
    } else if standing == Standing::Unknown || is_inherited && has_power {
        "Protected"
    } else if spec.role == Part::Custom && scenario.refuses_custom {
        "Rejected"
    } else if spec.role == Part::Custom && scenario.weak_key && state.key == 1 {
        "PermissionDenied"
    } else if remote.role == Part::Admin
        && spec.role != Part::Admin
        && (others < scenario.min_admins || stopped)
    {
        "Protected"
    } else if scenario.stubborn && wrong_name && remote.role == spec.role {
        "NotApplied"
    } else {
        "InSync"
    })
}
