//! Which requests of the operator the API server refuses (HTTP 403), for want of a verb in its role. A refusal is logged
//! once per outage, and readiness names it, when it has lasted: a role that was bound just now takes a moment to count.
//!
//! Pure but for the log line: the time is a parameter.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::scopes::ALL;

/// A refusal that is repeated for this long has lasted.
pub const LASTING: Duration = Duration::from_secs(5);
/// A refusal that is not repeated for this long concerns nothing any more: the longest back-off is 30 s.
const RECENT: Duration = Duration::from_mins(5);

/// A verb on a resource, as a role contains it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Right {
    /// Lists objects, to compare versions and where lists cannot be streamed.
    List,
    /// Watches objects.
    Watch,
    /// Reads one object again before its user is changed.
    Get,
    /// Writes a status.
    PatchStatus,
    /// Publishes an Event.
    CreateEvents,
}

impl Right {
    /// Returns the verb.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
            Self::Get => "get",
            Self::PatchStatus => "patch",
            Self::CreateEvents => "create",
        }
    }

    /// Returns the resource with its API group.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::List | Self::Watch | Self::Get => "fireworksusers.iam.fireworks.ai",
            Self::PatchStatus => "fireworksusers.iam.fireworks.ai/status",
            Self::CreateEvents => "events.events.k8s.io",
        }
    }

    /// Returns for how long it must be refused before that is reported. An Event is not sent again: the next one may come
    /// days later.
    fn reported_after(self) -> Duration {
        match self {
            Self::List | Self::Watch | Self::Get | Self::PatchStatus => LASTING,
            Self::CreateEvents => Duration::ZERO,
        }
    }

    /// Returns whether no change of an object is seen without it.
    fn is_of_watch(self) -> bool {
        matches!(self, Self::List | Self::Watch)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.verb(), self.resource())
    }
}

/// What is refused at present, for each watched namespace, or for all of them together.
#[derive(Debug, Default)]
pub struct Rights {
    are_namespaces_named: bool,
    refused: Mutex<BTreeMap<(String, Right), Refusal>>,
    /// Re-reads of objects fail in other ways than by a refusal.
    pub reads: Outage,
    /// The same of status writes.
    pub writes: Outage,
}

#[derive(Debug)]
struct Refusal {
    since: Instant,
    last: Instant,
    is_logged: bool,
}

impl Rights {
    /// Returns what no request was refused to yet, where these namespaces are watched; all of them where none is named.
    #[must_use]
    pub fn new(namespaces: &[String]) -> Self {
        Self {
            are_namespaces_named: !namespaces.is_empty(),
            ..Self::default()
        }
    }

    /// Records a refusal, and logs it where it has lasted.
    pub fn refused(&self, right: Right, namespace: &str, error: &dyn fmt::Display, now: Instant) {
        if self.is_to_be_logged(right, namespace, now) {
            let (verb, resource) = (right.verb(), right.resource());
            let namespace = self.scope(namespace);
            tracing::warn!(
                verb,
                resource,
                namespace,
                %error,
                "the API server refuses requests of the operator: grant its ServiceAccount this verb; retrying"
            );
        }
    }

    /// Records a refusal; whether it is to be logged now.
    fn is_to_be_logged(&self, right: Right, namespace: &str, now: Instant) -> bool {
        let scope = self.scope(namespace);
        let mut refused = self.lock();
        if right.is_of_watch() {
            // One follows the other: where the second is refused the first was not.
            refused.retain(|(at, other), _| at != scope || *other == right || !other.is_of_watch());
        }
        let refusal = refused.entry((scope.to_owned(), right));
        let refusal = refusal.or_insert(Refusal {
            since: now,
            last: now,
            is_logged: false,
        });
        refusal.last = now;
        let has_lasted = now.saturating_duration_since(refusal.since) >= right.reported_after();
        has_lasted && !std::mem::replace(&mut refusal.is_logged, true)
    }

    /// Records that such a request was not refused.
    pub fn granted(&self, right: Right, namespace: &str) {
        let removed = {
            let mut refused = self.lock();
            if refused.is_empty() {
                return;
            }
            refused.remove(&(self.scope(namespace).to_owned(), right))
        };
        if removed.is_some_and(|refusal| refusal.is_logged) {
            let (verb, resource) = (right.verb(), right.resource());
            let namespace = self.scope(namespace);
            tracing::info!(
                verb,
                resource,
                namespace,
                "the API server accepts these requests again"
            );
        }
    }

    /// Returns what has been refused for long enough to be reported, in one line.
    #[must_use]
    pub fn missing(&self, now: Instant) -> Option<String> {
        let refused = self.lock();
        let lasting = refused
            .iter()
            .filter(|((_, right), refusal)| refusal.lasts(*right, now));
        let named = lasting.map(|((scope, right), _)| match scope.as_str() {
            ALL => format!("{right} in all namespaces"),
            namespace => format!("{right} in {namespace}"),
        });
        let named = named.collect::<Vec<_>>().join(", ");
        (!named.is_empty()).then(|| format!("the API server refuses the operator {named}"))
    }

    /// Returns whether changes of the objects in that scope are not seen, since the API server has refused to show them
    /// for long enough.
    #[must_use]
    pub fn is_blind(&self, scope: &str, now: Instant) -> bool {
        let refused = self.lock();
        refused.iter().any(|((at, right), refusal)| {
            at == scope && right.is_of_watch() && refusal.lasts(*right, now)
        })
    }

    fn scope<'a>(&self, namespace: &'a str) -> &'a str {
        if self.are_namespaces_named {
            namespace
        } else {
            ALL
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, Right), Refusal>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    fn lasts(&self, right: Right, now: Instant) -> bool {
        let age = |then| now.saturating_duration_since(then);
        age(self.since) >= right.reported_after() && age(self.last) < RECENT
    }
}

/// Whether requests of one kind fail, so that their failures are logged once and not once per request.
#[derive(Debug, Default)]
pub struct Outage(AtomicBool);

impl Outage {
    /// Records a failure; whether it is the first since the last success.
    pub fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Records a success.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use operator_runtime::clock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn refusal_is_logged_once_after_five_seconds() {
        let rights = Rights::new(&[]);
        let start = clock::now();
        let logged =
            |second: u32| rights.is_to_be_logged(Right::Get, "ns", start + SECOND * second);
        let seconds = [0, 4, 5, 6, 3_600];
        assert_eq!(seconds.map(logged), [false, false, true, false, false]);
        rights.granted(Right::Get, "other");
        let logged =
            |second: u32| rights.is_to_be_logged(Right::Get, "ns", start + SECOND * second);
        assert_eq!([4_000, 4_005].map(logged), [false, true], "another outage");
    }

    #[test]
    fn missing_names_verb_resource_and_namespace() {
        let rights = Rights::new(&["a".to_owned(), "b".to_owned()]);
        let start = clock::now();
        rights.refused(Right::Watch, "a", &"403", start);
        assert_eq!(rights.missing(start + SECOND), None, "it has not lasted");
        let missing = rights.missing(start + LASTING).unwrap();
        let named = "watch on fireworksusers.iam.fireworks.ai in a";
        assert!(missing.ends_with(named), "{missing}");
        assert!(rights.is_blind("a", start + LASTING) && !rights.is_blind("b", start + LASTING));
        rights.granted(Right::Watch, "b");
        assert!(rights.missing(start + LASTING).is_some());
        rights.granted(Right::Watch, "a");
        assert_eq!(rights.missing(start + LASTING), None);
        assert!(!rights.is_blind("a", start + LASTING));
    }

    #[test]
    fn refusal_that_nothing_repeats_is_dropped() {
        let rights = Rights::new(&[]);
        let start = clock::now();
        rights.refused(Right::Get, "ns", &"403", start);
        assert!(rights.missing(start + LASTING).is_some());
        assert_eq!(rights.missing(start + RECENT), None);
    }

    #[test]
    fn list_and_watch_are_not_both_missing() {
        let rights = Rights::new(&[]);
        let start = clock::now();
        rights.refused(Right::List, "*", &"403", start);
        rights.refused(Right::Watch, "*", &"403", start + LASTING);
        let missing = rights.missing(start + LASTING * 2).unwrap();
        assert!(
            missing.contains("watch") && !missing.contains("list"),
            "{missing}"
        );
    }

    #[test]
    fn refused_event_is_reported_at_once() {
        let rights = Rights::new(&[]);
        let start = clock::now();
        assert!(rights.is_to_be_logged(Right::CreateEvents, "ns", start));
        assert!(rights.missing(start).is_some());
        assert!(!rights.is_blind("*", start), "changes are seen");
    }
}
