//! What a reconciliation leaves when it has ended: metrics, one log line, Events.

use fireworks_core::user::desired::Diff;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::reconcile::{Finish, ReportOutcome, Reported};

use super::Next;
use crate::api_object::reference;
use crate::context::Context;
use crate::events::Item;
use crate::metrics::labels::PassOutcome;

/// Shows how the reconciliation ended, and publishes its Events.
pub(super) fn finish(ctx: &Context, object: &CachedUser, finish: Finish) -> Next {
    let Finish {
        requeue,
        report,
        events,
    } = finish;
    if let Some(report) = report {
        ctx.metrics.pass(label(report.outcome));
        if report.outcome == ReportOutcome::Written {
            ctx.metrics.status_write(report.reason.as_str());
        }
        log(object, report);
    }
    for draft in events {
        let about = reference(object);
        ctx.events.send(Item { about, draft });
    }
    requeue
}

fn label(outcome: ReportOutcome) -> PassOutcome {
    match outcome {
        ReportOutcome::Unchanged => PassOutcome::Unchanged,
        ReportOutcome::Written => PassOutcome::Written,
        ReportOutcome::Superseded => PassOutcome::Superseded,
        ReportOutcome::NotWritten => PassOutcome::NotWritten,
        ReportOutcome::Disputed => PassOutcome::Disputed,
    }
}

/// Logs one line for a reconciliation that did something.
fn log(object: &CachedUser, report: Reported) {
    let Reported {
        reason,
        outcome,
        updated,
    } = report;
    let (object, reason) = (&object.key, reason.as_str());
    if outcome == ReportOutcome::Disputed {
        tracing::warn!(%object, "another writer changes this status, backing off");
    }
    if outcome == ReportOutcome::Unchanged && updated.is_none() {
        tracing::debug!(%object, reason, "nothing to do");
    } else {
        let fields = |diff: Diff| diff.fields().collect::<Vec<_>>().join(",");
        let status = label(outcome).as_str();
        tracing::info!(%object, reason, patched = updated.map(fields), status, "reconciled");
    }
}
