//! DRIVER: carries out the effects of one object's reconciliation and returns their outcomes to it. Every decision is
//! `fireworks_core`'s; here is what keeps one reconciliation from harming another.

mod finish;
mod object_read;
mod send;
mod status_write;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fireworks_core::user::object::CachedUser;
use fireworks_core::user::reconcile::{Effect, Input, Reconcile};
use fireworks_core::world::Now;
use futures::FutureExt;

use crate::clock;
use crate::context::Context;

/// When an object is tried again whose failed reconciliation could not even be reported.
const RETRY: Duration = Duration::from_secs(30);

/// When to reconcile the object again, if nothing triggers it before.
pub type Next = Option<Duration>;

/// Reconciles the object. A panic or a missed deadline is reported in its status and harms no other object.
pub async fn reconcile(ctx: Arc<Context>, object: Arc<CachedUser>) -> Next {
    let _guard = ctx
        .progress
        .begin(ctx.settings.pass_deadline + ctx.settings.kube_deadline);
    let first = drive(
        &ctx,
        &object,
        Reconcile::new(Arc::clone(&object), ctx.account()),
    );
    let first = AssertUnwindSafe(first).catch_unwind();
    let why = match tokio::time::timeout(ctx.settings.pass_deadline, first).await {
        Ok(Ok(next)) => return next,
        Ok(Err(_)) => {
            ctx.metrics.panic_caught();
            "the reconciler panicked"
        }
        Err(_) => "a reconciliation timed out",
    };
    tracing::error!(object = %object.key, "{why}");
    let failed = Reconcile::after_failure(Arc::clone(&object), ctx.account(), why);
    let report = AssertUnwindSafe(drive(&ctx, &object, failed)).catch_unwind();
    // A second panic leaves no trace but the log line above; the object is tried again all the same.
    report.await.unwrap_or(Some(RETRY))
}

async fn drive(ctx: &Context, object: &Arc<CachedUser>, machine: Reconcile) -> Next {
    let mut running = Running { ctx, machine };
    let mut effect = running.step(Input::Begin {
        all_synced: !ctx.scopes.has_unseen(),
    });
    loop {
        effect = match effect {
            Effect::ReadObject => {
                let read = object_read::read(ctx, object).await;
                running.step(Input::ObjectRead(read))
            }
            Effect::Update(sent) => send::send(&mut running, object, &sent).await,
            Effect::WriteStatus(write) => {
                let written = status_write::write(ctx, object, &write).await;
                running.step(Input::StatusWritten(written))
            }
            Effect::Finish(finish) => return finish::finish(ctx, object, finish),
        };
    }
}

/// A machine that gets [`Input::Abandoned`] when its driver is cut off.
struct Running<'a> {
    ctx: &'a Context,
    machine: Reconcile,
}

impl Running<'_> {
    fn step(&mut self, input: Input) -> Effect {
        let now = Now {
            at: clock::now(),
            time: (self.ctx.settings.wall_clock)(),
            key_version: self.ctx.gateway.key_version(),
        };
        let (shared, machine) = (&self.ctx.shared, &mut self.machine);
        shared.change(|world| machine.step(input, world, now))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.machine.has_ended() {
            let _ = self.step(Input::Abandoned);
        }
    }
}

#[cfg(test)]
mod tests;
