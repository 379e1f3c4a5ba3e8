//! Sends one update, between two records for the audit.

use fireworks_core::user::object::CachedUser;
use fireworks_core::user::plan::Cause;
use fireworks_core::user::reconcile::{Effect, Input, Sent};

use super::Running;
use crate::audit::{Mutation, Object};

/// Sends the update, and returns what its outcome leads to.
pub(super) async fn send(running: &mut Running<'_>, object: &CachedUser, sent: &Sent) -> Effect {
    let update = &sent.update;
    let mutation = Mutation {
        object: Some(Object {
            key: &object.key,
            uid: &object.uid,
            generation: object.generation,
            spec_manager: object.spec_manager.as_deref(),
        }),
        cause: match update.cause {
            Cause::SpecChange | Cause::Found => "spec",
            Cause::Drift => "drift",
        },
        user: &update.user,
        before: Some(&update.before),
        patch: &update.patch,
        attempt: sent.attempt,
    };
    let audit = mutation.begin();
    let gateway = &running.ctx.gateway;
    let answer = gateway.update(&update.user, &update.patch).await;
    let effect = running.step(Input::UpdateEnded(answer));
    if let Some(outcome) = running.machine.outcome() {
        audit.end(outcome.as_str(), outcome.answer());
    }
    effect
}
