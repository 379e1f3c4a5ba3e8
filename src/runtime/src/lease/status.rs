//! What of an election the log, the probes and the metrics show.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Record;

/// Who holds the Lease, as last seen.
#[derive(Debug, Default)]
pub struct Status {
    seen: Mutex<Seen>,
    transitions: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    holder: Option<String>,
    transitions: Option<i32>,
}

impl Status {
    /// Returns the identity of the holder, as last seen; none where the Lease is free or was never read.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        self.lock().holder.clone()
    }

    /// Returns how often the Lease has changed hands since this process first read it.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions.load(Ordering::Relaxed)
    }

    /// Records what the Lease contains. Another holder is logged once.
    pub(super) fn see(&self, record: Option<&Record>, identity: &str) {
        let mut seen = self.lock();
        let before = seen.transitions;
        if let Some(record) = record {
            let more = record
                .transitions
                .saturating_sub(before.unwrap_or(record.transitions));
            let more = u64::try_from(more).unwrap_or(0);
            self.transitions.fetch_add(more, Ordering::Relaxed);
            seen.transitions = Some(record.transitions);
        }
        let holder = record.and_then(|record| record.holder.clone());
        if holder == seen.holder {
            return;
        }
        seen.holder.clone_from(&holder);
        drop(seen);
        if let Some(holder) = holder.filter(|holder| holder != identity) {
            tracing::info!(holder, "standing by, another process holds the lease");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A verb on the Lease, as a role contains it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Get,
    Watch,
    Create,
    Update,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
        }
    }
}

/// Why a request for the Lease failed, as far as log lines differ by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    MissingRight,
    Credentials,
    Other,
}

impl Cause {
    fn of(code: Option<u16>) -> Self {
        match code {
            Some(403) => Self::MissingRight,
            Some(401) => Self::Credentials,
            _ => Self::Other,
        }
    }
}

/// Logs failed requests for the Lease, once per verb, cause and outage.
#[derive(Debug)]
pub(super) struct Access {
    lease: String,
    namespace: String,
    logged: Option<(Verb, Cause)>,
}

impl Access {
    pub(super) fn new(lease: &str, namespace: &str) -> Self {
        Self {
            lease: lease.to_owned(),
            namespace: namespace.to_owned(),
            logged: None,
        }
    }

    /// Records a failure, with the HTTP status of a refusal.
    pub(super) fn failed(&mut self, verb: Verb, code: Option<u16>, error: &dyn fmt::Display) {
        let cause = Cause::of(code);
        if !self.begins(verb, cause) {
            return;
        }
        let (lease, namespace, verb) = (&self.lease, &self.namespace, verb.as_str());
        let resource = "leases.coordination.k8s.io";
        match cause {
            Cause::MissingRight => tracing::error!(
                verb,
                resource,
                lease,
                namespace,
                %error,
                "the API server refuses requests for the lease: grant the operator's ServiceAccount this verb; retrying"
            ),
            Cause::Credentials => tracing::error!(
                verb,
                resource,
                lease,
                namespace,
                %error,
                "the API server refuses the operator's credentials; retrying"
            ),
            Cause::Other => {
                tracing::warn!(verb, lease, namespace, %error, "request for the lease failed, retrying");
            }
        }
    }

    /// Records a failure, and returns whether it is another one than the last.
    fn begins(&mut self, verb: Verb, cause: Cause) -> bool {
        self.logged.replace((verb, cause)) != Some((verb, cause))
    }

    /// Records that the Lease was written.
    pub(super) fn succeeded(&mut self) {
        if self.logged.take().is_some() {
            tracing::info!(lease = self.lease, "requests for the lease succeed again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: Option<&str>, transitions: i32) -> Record {
        Record {
            holder: holder.map(str::to_owned),
            transitions,
            ..Record::default()
        }
    }

    #[test]
    fn transitions_count_from_the_first_record_seen() {
        let status = Status::default();
        for (holder, transitions, expected) in [
            (Some("a"), 7, 0),
            (Some("a"), 7, 0),
            (None, 7, 0),
            (Some("b"), 8, 1),
            (Some("c"), 10, 3),
            // It was deleted and created again.
            (Some("d"), 0, 3),
            (Some("a"), 1, 4),
        ] {
            status.see(Some(&record(holder, transitions)), "me");
            assert_eq!(status.transitions(), expected, "{holder:?} {transitions}");
            assert_eq!(status.holder().as_deref(), holder);
        }
        status.see(None, "me");
        assert_eq!(status.holder(), None);
    }

    /// A right that is missing when an outage of the API server ends is not hidden by the line about the outage.
    #[test]
    fn each_missing_right_is_logged_once_also_after_an_outage() {
        let mut access = Access::new("one", "system");
        for (verb, code, is_logged) in [
            (Verb::Get, None, true),
            (Verb::Get, Some(500), false),
            (Verb::Get, Some(403), true),
            (Verb::Get, Some(403), false),
            (Verb::Create, Some(403), true),
            (Verb::Create, Some(401), true),
        ] {
            let logged = access.begins(verb, Cause::of(code));
            assert_eq!(logged, is_logged, "{verb:?} {code:?}");
        }
        access.succeeded();
        assert!(access.begins(Verb::Create, Cause::Credentials));
    }
}
