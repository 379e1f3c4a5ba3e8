//! REPORT: makes status show what is true, by one write and only when something changed, and names the Events of
//! transitions.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::Kind;
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Message, Reason};

use super::{
    Current, Effect, Expects, Finish, KUBE_BACKOFF, Pass, ReportOutcome, Reported, StatusWrite,
    WriteOutcome,
};
use crate::account::Failure;
use crate::account::limiter::suspension::Name;
use crate::claims::Ownership;
use crate::user::events::{self, EventDraft, notes};
use crate::user::identity::{Identity, identity};
use crate::user::messages;
use crate::user::plan::Finding;
use crate::user::status::{self, Facts, Seen};

/// A report whose write is under way.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Writing {
    pub(super) requeue: Option<Duration>,
    pub(super) reason: Reason,
    pub(super) message: Message,
    /// What `Ready` reported before.
    pub(super) before: Option<String>,
    /// The Event of a user that was created again and is accepted by this status.
    pub(super) accepted: Option<EventDraft>,
    pub(super) status: FireworksUserStatus,
    pub(super) wanted: String,
}

impl Pass<'_> {
    /// Returns the status to compare with.
    pub(super) fn current(&mut self) -> Current {
        let version = self.state.object.version.to_string();
        let object_state = self.object_state();
        if let Some(written) = object_state.written_since(&version) {
            return Current {
                status: written.status.clone(),
                version: written.version.clone(),
            };
        }
        if object_state.written.is_some() {
            self.remember(|object_state| object_state.written = None);
        }
        Current {
            status: Arc::new(self.state.object.status()),
            version,
        }
    }

    /// Reports the wait, or tries again later while too many others are being reported.
    pub(super) fn report_wait(&mut self, finding: Finding, next: Option<Duration>) -> Effect {
        if self.pending.acquire() {
            self.state.holds_report_slot = true;
            return self.report(finding, next);
        }
        let now = self.now.at;
        let at = self.pending.again(now);
        self.remember(|object_state| object_state.report_pending_at = Some(at));
        self.finish_silently(Some(at.saturating_duration_since(now)))
    }

    pub(super) fn report(&mut self, finding: Finding, next: Option<Duration>) -> Effect {
        let finding = self.named_suspension(finding);
        let Some(desired) = self.state.desired.clone() else {
            return self.report_unseen(&finding, next);
        };
        let view = self.account.view(&desired.user, self.now.at);
        self.report_seen(&finding, Seen::from(&view.sighting), next)
    }

    /// Reports without a fact about the remote user.
    pub(super) fn report_unseen(&mut self, finding: &Finding, next: Option<Duration>) -> Effect {
        self.report_seen(finding, Seen::Unknown, next)
    }

    /// A read was refused as changes are where the account is suspended: it is reported in the same words.
    fn named_suspension(&self, finding: Finding) -> Finding {
        let is_suspended = |failure: &Failure| failure.kind == Kind::AccountSuspended;
        match finding {
            Finding::Failed(failure) if is_suspended(&failure) => {
                let name = self.account.limiter.suspension();
                Finding::AccountSuspended(name.and_then(Name::known))
            }
            finding => finding,
        }
    }

    pub(super) fn status_facts<'a>(&'a self, finding: &'a Finding, seen: Seen<'a>) -> Facts<'a> {
        let desired = self.state.desired.as_deref();
        let identity = desired.map_or(Identity::Unseen, |desired| {
            let view = self.account.view(&desired.user, self.now.at);
            let (status, rules) = (&self.state.current.status, self.account.rules);
            identity(desired, status, seen.user(), view.lacks_email, rules)
        });
        Facts {
            generation: self.state.object.generation,
            account: &self.account.id,
            desired,
            seen,
            identity,
            finding,
            claim: self.claims.status(&self.state.object.key),
            is_contended: self.is_contended(),
            spec_manager: self.state.object.spec_manager.as_deref(),
            now: self.now.time,
        }
    }

    /// Returns whether other objects claim the user too.
    fn is_contended(&self) -> bool {
        let desired = self.state.desired.as_deref();
        desired.is_some_and(|desired| self.claims.is_contended(&self.user_ref(&desired.user)))
    }

    fn report_seen(&mut self, finding: &Finding, seen: Seen<'_>, next: Option<Duration>) -> Effect {
        let previous = Arc::clone(&self.state.current.status);
        let facts = self.status_facts(finding, seen);
        let (reason, message) = messages::describe(&facts);
        let is_contended = facts.is_contended;
        let status = (self.account.rules.next_status)(&previous, &facts, reason, &message);
        let accepted = events::identity_accepted(facts.identity, &status);
        let ready = conditions::find(&previous.conditions, "Ready");
        let before = ready.map(|ready| status::reason_of(ready).to_owned());
        // A status is plain data: it always serialises.
        let json = |status: &FireworksUserStatus| serde_json::to_string(status).unwrap_or_default();
        let mut writing = Writing {
            requeue: next,
            reason,
            message,
            before,
            accepted,
            wanted: String::new(),
            status,
        };
        if !status::is_worth_a_write(&previous, &writing.status, is_contended) {
            return self.reported(&writing, ReportOutcome::Unchanged);
        }
        writing.wanted = json(&writing.status);
        let found = json(&previous);
        let object = &self.state.object;
        let (uid, generation) = (&object.uid, object.generation);
        let now = self.now.at;
        if let Some(wait) = self.objects.disputed(uid, generation, &found, now) {
            writing.requeue = Some(earlier(next, wait));
            return self.reported(&writing, ReportOutcome::Disputed);
        }
        let write = StatusWrite {
            version: self.state.current.version.clone(),
            found,
            wanted: writing.wanted.clone(),
        };
        self.state.writing = Some(Box::new(writing));
        self.state.expects = Expects::StatusWritten;
        Effect::WriteStatus(write)
    }

    /// The status write ended.
    pub(super) fn status_written(&mut self, outcome: WriteOutcome) -> Effect {
        let Some(mut writing) = self.state.writing.take() else {
            return self.finish(Finish::default());
        };
        let object = Arc::clone(&self.state.object);
        let (uid, generation) = (&object.uid, object.generation);
        match outcome {
            WriteOutcome::Written(version) => {
                self.objects.said(uid, generation, &writing.wanted);
                if let Some(version) = version {
                    let status = std::mem::take(&mut writing.status);
                    let (base, over) = (&object.version, self.state.current.version.clone());
                    self.remember(|object_state| object_state.wrote(base, &over, version, status));
                }
                self.reported(&writing, ReportOutcome::Written)
            }
            WriteOutcome::Superseded => self.reported(&writing, ReportOutcome::Superseded),
            WriteOutcome::NotWritten => {
                let before = self.objects.not_taken(uid, generation);
                let soon = self.backoff(KUBE_BACKOFF, before);
                writing.requeue = Some(earlier(writing.requeue, soon));
                self.reported(&writing, ReportOutcome::NotWritten)
            }
        }
    }

    fn reported(&mut self, writing: &Writing, outcome: ReportOutcome) -> Effect {
        let object = Arc::clone(&self.state.object);
        let (uid, generation) = (&object.uid, object.generation);
        let is_shown = matches!(outcome, ReportOutcome::Written | ReportOutcome::Unchanged);
        if is_shown || outcome == ReportOutcome::Superseded {
            self.objects.taken(uid);
        }
        let contended = is_shown.then(|| self.contended()).flatten();
        let applied = self.state.applied.as_ref();
        let has_matched = self.objects.has_matched(uid, generation);
        let before = writing.before.as_deref();
        let mut events = if is_shown {
            notes(
                applied,
                before,
                writing.reason,
                &writing.message,
                has_matched,
            )
        } else {
            Vec::new()
        };
        if outcome == ReportOutcome::Written {
            events.extend(writing.accepted.clone());
        }
        events.extend(contended);
        let report = Reported {
            reason: writing.reason,
            outcome,
            updated: applied.map(|applied| applied.update.diff),
        };
        self.finish(Finish {
            requeue: writing.requeue,
            report: Some(report),
            events,
        })
    }
}

impl Pass<'_> {
    /// Returns the Event about another object that has begun to claim the user that this one holds.
    fn contended(&mut self) -> Option<EventDraft> {
        let object = Arc::clone(&self.state.object);
        if !self.objects.has_contender(&object.uid) || !self.is_contended() {
            return None;
        }
        let (desired, now) = (self.state.desired.clone()?, self.now.at);
        let user = self.user_ref(&desired.user);
        let ownership = self.claims.ownership(&object.key, &user, now);
        if desired.observe || !matches!(ownership, Ownership::Mine(_)) {
            return None;
        }
        let contender = self.objects.take_contender(&object.uid, now)?;
        Some(events::contended(&desired.user, &contender))
    }
}

fn earlier(next: Option<Duration>, limit: Duration) -> Duration {
    next.map_or(limit, |next| next.min(limit))
}
