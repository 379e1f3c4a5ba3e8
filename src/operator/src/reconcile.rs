//! DRIVER: one pass over one object, `observe → plan → act → report`, and when to look again. Here is
//! what passes share and what keeps one pass from harming another; its steps are in `pass`.
//!
//! A pass never fails and never waits for the budget: what goes wrong is told in status, and what has
//! to wait comes back by a grant, a read of the directory, or the requeue decided here. Users are read by the reader
//! of the account; a pass makes at most a PATCH, the re-read of its object before it, and a status write.

pub mod act;
pub mod observe;
mod pass;
pub mod report;
#[cfg(feature = "seams")]
pub mod test_hooks;
pub mod waits;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fireworks_core::claims::Claims;
use fireworks_core::time::Moment;
use fireworks_core::user::desired::Desired;
use fireworks_core::user::object::Watched;
use fireworks_core::user::plan::Finding;
use fireworks_core::user::state::Memory;
use fireworks_core::user::status::Seen;
use fireworks_crd::conditions::Reason;
use futures::FutureExt;
use operator_runtime::progress::Progress;
use retry_backoff::Backoff;
use tokio::sync::{Semaphore, mpsc};

use crate::account::Account;
use crate::account::budget::Class;
use crate::clock;
use crate::events::Events;
use crate::locked::Locked;
use crate::metrics::Metrics;
use crate::rights::Rights;
use crate::scopes::Scopes;
use pass::Pass;
use report::{Report, Told};
use waits::Waits;

/// Status writes under way at once.
pub const WRITES_AT_ONCE: usize = 8;
/// The back-off of status writes and of the re-read of an object.
const KUBE_BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(4),
    cap: Duration::from_secs(30),
};

/// What passes are told to do, and their deadlines.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Every object observes.
    pub observe_only: bool,
    /// How long a lost change may still take effect.
    pub settle_window: Duration,
    /// Deadline of one call to the API server.
    pub kube_deadline: Duration,
    /// Deadline of one pass.
    pub pass_deadline: Duration,
    /// How tests make passes fail.
    #[cfg(feature = "seams")]
    pub test_hooks: test_hooks::TestHooks,
}

/// What passes share.
pub struct Context {
    /// The remote side.
    pub account: Arc<Account>,
    /// Who owns which user.
    pub claims: Locked<Claims>,
    /// What the process remembers.
    pub memory: Locked<Memory>,
    /// The API server.
    pub kube: kube::Client,
    /// Where Events go.
    pub events: Events,
    /// Counters.
    pub metrics: Metrics,
    /// Settings.
    pub settings: Settings,
    /// When the process started.
    pub started: Moment,
    /// Slots of status writes.
    pub writes: Semaphore,
    /// When waits are told.
    pub waits: Waits,
    /// Liveness.
    pub progress: Progress,
    /// Which namespaces are synced.
    pub scopes: Arc<Scopes>,
    /// What the API server refuses.
    pub rights: Arc<Rights>,
    /// Where objects go that a re-read found to be newer than the watch has brought them.
    pub newer: mpsc::UnboundedSender<Watched>,
}

impl Context {
    /// Hands on an object that is newer than the watch has brought it.
    fn newer(&self, object: Watched) {
        // A closed channel means that the process is ending.
        let _ = self.newer.send(object);
    }

    /// From when on nothing that a former process sent can take effect any more: a read begun then
    /// shows what has become of it.
    pub(crate) fn settled_from(&self) -> Moment {
        self.started + self.settings.settle_window
    }

    /// Returns the time from which an object in sync of whose user nothing was ever seen reports that. It moves with the
    /// sweep period.
    pub(crate) fn stale_from(&self) -> Moment {
        self.started + self.account.directory().stale_after() + Duration::from_secs(1)
    }
}

/// When to look at the object again, if nothing triggers it before.
pub type Next = Option<Duration>;

/// One pass. A panic or a missed deadline is told in the object's status and harms nobody else.
pub async fn reconcile(ctx: Arc<Context>, object: Arc<Watched>) -> Next {
    let _guard = ctx
        .progress
        .begin(ctx.settings.pass_deadline + ctx.settings.kube_deadline);
    #[cfg(feature = "seams")]
    ctx.settings.test_hooks.stick().await;
    let pass = AssertUnwindSafe(drive(&ctx, &object)).catch_unwind();
    let what = match tokio::time::timeout(ctx.settings.pass_deadline, pass).await {
        Ok(Ok(next)) => return next,
        Ok(Err(_)) => {
            ctx.metrics.panic_caught();
            "the reconciler panicked"
        }
        Err(_) => "a reconciliation timed out",
    };
    tracing::error!(object = %object.key(), "{what}");
    let tell = AssertUnwindSafe(tell_internal(&ctx, &object, what)).catch_unwind();
    // A second panic leaves no trace but the log line above; the object is tried again all the same.
    let _ = tell.await;
    let attempt = failed_again(&ctx, &object, clock::now());
    Some(attempt)
}

async fn tell_internal(ctx: &Context, object: &Watched, what: &'static str) {
    let current = report::current(ctx, object);
    let desired = object.desired(ctx.settings.observe_only).ok();
    let finding = Finding::Internal(what);
    let report = Report {
        object,
        current: &current,
        desired: desired.as_ref(),
        seen: Seen::Unknown,
        finding: &finding,
        done: None,
    };
    report::report(ctx, &report).await;
}

async fn drive(ctx: &Context, object: &Watched) -> Next {
    if object.is_being_deleted() {
        return None;
    }
    #[cfg(feature = "seams")]
    ctx.settings.test_hooks.panic_on(object.key());
    if awaits_unseen_claims(ctx, object) {
        return None;
    }
    let current = report::current(ctx, object);
    let desired = match object.desired(ctx.settings.observe_only) {
        Ok(desired) => desired,
        Err(invalid) => {
            let finding = Finding::InvalidSpec(invalid.to_string());
            let report = Report {
                object,
                current: &current,
                desired: None,
                seen: Seen::Unknown,
                finding: &finding,
                done: None,
            };
            return tell(ctx, &report, None).await;
        }
    };
    note_requested_read(ctx, object, &desired);
    Pass::new(ctx, object, current, desired).run().await
}

/// Whether the object that holds the user may be in a namespace that is not synced yet: the status of an object which
/// another one kept from its user is left as it is until then.
fn awaits_unseen_claims(ctx: &Context, object: &Watched) -> bool {
    object.told().is_some_and(Reason::names_another_claim) && ctx.scopes.has_unseen()
}

/// The annotation asks for one read now, once for each new value.
fn note_requested_read(ctx: &Context, object: &Watched, desired: &Desired) {
    let Some(requested) = object.requested_at() else {
        return;
    };
    let (uid, generation) = (object.uid(), object.generation());
    if ctx.memory.lock().recall(uid, generation).requested_at == Some(requested) {
        return;
    }
    ctx.memory.lock().update(uid, generation, |entry| {
        entry.requested_at = Some(requested);
    });
    if !desired.suspended {
        ctx.account.denials().request(&desired.user);
        ctx.account
            .directory()
            .want(&desired.user, Class::SpecChange, clock::now());
    }
}

/// Counts a failure of the object and says how long nothing is tried for it.
fn failed_again(ctx: &Context, object: &Watched, now: Moment) -> Duration {
    let attempt = ctx
        .memory
        .lock()
        .recall(object.uid(), object.generation())
        .attempt;
    let delay = Backoff::default().delay(attempt, fastrand::f64());
    ctx.memory
        .lock()
        .update(object.uid(), object.generation(), |entry| {
            entry.attempt = attempt.saturating_add(1);
            entry.not_before = Some(now + delay);
        });
    delay
}

/// Reports; a status that could not be written is told again, ever later while the API server does not take it.
async fn tell(ctx: &Context, report: &Report<'_>, next: Next) -> Next {
    match report::report(ctx, report).await {
        Told::Unchanged | Told::Written | Told::Superseded => {
            ctx.memory.lock().taken(report.object.uid());
            next
        }
        Told::Disputed(wait) => Some(next.map_or(wait, |next| next.min(wait))),
        Told::NotWritten => {
            let (uid, generation) = (report.object.uid(), report.object.generation());
            let untold = ctx.memory.lock().not_taken(uid, generation);
            let soon = KUBE_BACKOFF.delay(untold, fastrand::f64());
            Some(next.map_or(soon, |next| next.min(soon)))
        }
    }
}
