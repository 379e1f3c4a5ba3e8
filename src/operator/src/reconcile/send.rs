//! Sends one update, between two records for the audit.

use fireworks_core::account::updates::{Answer, Outcome};
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::plan::Cause;
use fireworks_core::user::reconcile::Sent;

use crate::audit::{Mutation, Object};
use crate::context::Context;

/// An update in flight. Dropped before its end is recorded, it records that its outcome is not known.
pub(super) struct InFlight<'a> {
    object: &'a CachedUser,
    sent: Box<Sent>,
    has_ended: bool,
}

impl<'a> InFlight<'a> {
    /// Records that the update is about to be sent.
    pub(super) fn begin(object: &'a CachedUser, sent: Box<Sent>) -> Self {
        let in_flight = Self {
            object,
            sent,
            has_ended: false,
        };
        in_flight.mutation().record_begin();
        in_flight
    }

    /// Sends the update.
    pub(super) async fn send(&self, ctx: &Context) -> Answer {
        let update = &self.sent.update;
        ctx.gateway.update(&update.user, &update.patch).await
    }

    /// Records what came of the update.
    pub(super) fn end(mut self, outcome: &Outcome) {
        self.has_ended = true;
        self.mutation()
            .record_end(outcome.as_str(), outcome.answer());
    }

    fn mutation(&self) -> Mutation<'_> {
        let update = &self.sent.update;
        Mutation {
            object: Some(Object {
                key: self.object.key(),
                uid: self.object.uid(),
                generation: self.object.generation(),
                spec_manager: self.object.spec_manager.as_deref(),
            }),
            cause: match update.cause {
                Cause::SpecChange | Cause::Found => "spec",
                Cause::Drift => "drift",
            },
            user: &update.user,
            before: Some(&update.before),
            patch: &update.patch,
            attempt: self.sent.attempt,
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.mutation().record_end("unknown", None);
        }
    }
}
