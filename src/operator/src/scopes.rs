//! Which of the watched scopes are synced: a scope is one namespace, or all of them. Objects of a scope are reconciled
//! once it is synced and serving has begun, which is when all scopes are synced, or at the end of a time limit if at
//! least one is.
//!
//! Pure: the controller records what happens, passes and probes ask. No client, no clock: the time is a parameter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use operator_runtime::versions::Versions;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rights::Rights;

/// What stands for all namespaces where one is named; no namespace can have that name.
pub const ALL: &str = "*";

/// One scope, by its place in the settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScopeId(usize);

/// The watched scopes.
#[derive(Default)]
pub struct Scopes {
    names: Vec<Arc<str>>,
    versions: Vec<Arc<Versions>>,
    state: Mutex<State>,
    /// The number of synced scopes.
    synced: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    synced: Vec<bool>,
    is_serving: bool,
    is_standby: bool,
}

impl Scopes {
    /// A scope for each of these namespaces, or one for all namespaces where none is given.
    #[must_use]
    pub fn new(namespaces: &[String]) -> Self {
        let names: Vec<Arc<str>> = if namespaces.is_empty() {
            vec![ALL.into()]
        } else {
            namespaces.iter().map(|name| name.as_str().into()).collect()
        };
        let state = State {
            synced: vec![false; names.len()],
            is_serving: false,
            is_standby: false,
        };
        Self {
            versions: names.iter().map(|_| Arc::default()).collect(),
            names,
            state: Mutex::new(state),
            synced: watch::Sender::new(0),
        }
    }

    /// Each scope.
    pub fn ids(&self) -> impl Iterator<Item = ScopeId> + use<> {
        (0..self.names.len()).map(ScopeId)
    }

    /// The namespace of the scope; `None` where it is all of them.
    #[must_use]
    pub fn namespace(&self, id: ScopeId) -> Option<&str> {
        Some(self.label(id)).filter(|name| *name != ALL)
    }

    /// The namespace of the scope, or [`ALL`].
    #[must_use]
    pub fn label(&self, id: ScopeId) -> &str {
        self.names.get(id.0).map_or(ALL, |name| name)
    }

    /// The versions that the watch of the scope delivered.
    #[must_use]
    pub fn versions(&self, id: ScopeId) -> Arc<Versions> {
        self.versions.get(id.0).cloned().unwrap_or_default()
    }

    /// The same of the scope to which objects of that namespace belong.
    #[must_use]
    pub fn versions_in(&self, namespace: &str) -> Option<&Versions> {
        let covering = self.ids().find(|id| self.covers(*id, namespace))?;
        self.versions.get(covering.0).map(|versions| &**versions)
    }

    /// Whether objects of that namespace belong to the scope.
    #[must_use]
    pub fn covers(&self, id: ScopeId, namespace: &str) -> bool {
        self.namespace(id).is_none_or(|name| name == namespace)
    }

    /// Records that the cache holds every object of the scope. Returns whether it is served from now on.
    pub fn record_synced(&self, id: ScopeId) -> bool {
        let (is_serving, count) = {
            let mut state = self.lock();
            if let Some(synced) = state.synced.get_mut(id.0) {
                *synced = true;
            }
            let count = state.synced.iter().filter(|synced| **synced).count();
            (state.is_serving, count)
        };
        self.synced.send_replace(count);
        is_serving
    }

    /// Whether the scope was synced once.
    #[must_use]
    pub fn is_synced(&self, id: ScopeId) -> bool {
        self.lock().synced.get(id.0).copied().unwrap_or(false)
    }

    /// Records that the synced scopes are ready to be served, as soon as this process leads.
    pub fn stand_by(&self) {
        self.lock().is_standby = true;
    }

    /// Records that the synced scopes are served from now on.
    pub fn begin_serving(&self) {
        self.lock().is_serving = true;
    }

    /// Whether objects of that namespace are reconciled.
    #[must_use]
    pub fn serves(&self, namespace: &str) -> bool {
        let state = self.lock();
        let synced = state.synced.iter().zip(&self.names);
        state.is_serving
            && synced
                .into_iter()
                .any(|(synced, name)| *synced && (**name == *ALL || **name == *namespace))
    }

    /// Whether the objects of some scope are not known yet: an older claim may be among them.
    #[must_use]
    pub fn has_unseen(&self) -> bool {
        self.lock().synced.contains(&false)
    }

    /// The scopes whose objects are not known yet, comma-separated.
    #[must_use]
    pub fn unseen(&self) -> String {
        let state = self.lock();
        let unseen = self.names.iter().zip(&state.synced);
        let unseen = unseen.filter(|(_, synced)| !**synced);
        unseen
            .map(|(name, _)| {
                if **name == *ALL {
                    "all namespaces"
                } else {
                    name
                }
            })
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Returns which scopes are not served and what the API server refuses; nothing where all is well. A scope whose
    /// changes are not seen is not served. A standby counts as serving.
    ///
    /// # Errors
    /// The same, in one line, where no scope is served.
    pub fn readiness(&self, rights: &Rights, now: Instant) -> Result<Option<String>, String> {
        let is_served = {
            let state = self.lock();
            let mut scopes = self.names.iter().zip(&state.synced);
            let is_ready = state.is_serving || state.is_standby;
            is_ready && scopes.any(|(name, synced)| *synced && !rights.is_blind(name, now))
        };
        let unseen = self.unseen();
        let unsynced = (!unseen.is_empty()).then(|| {
            let problem = if is_served {
                "not served, since not synced yet"
            } else {
                "the cache is not synced yet"
            };
            format!("{problem}: {unseen}")
        });
        let problems: Vec<String> = rights.missing(now).into_iter().chain(unsynced).collect();
        match (is_served, problems.is_empty()) {
            (true, true) => Ok(None),
            (true, false) => Ok(Some(problems.join("; "))),
            (false, true) => Err("no namespace is served yet".to_owned()),
            (false, false) => Err(problems.join("; ")),
        }
    }

    /// Returns once that number of scopes is synced.
    pub async fn wait_for(&self, count: usize) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as `self`.
        let _ = synced.wait_for(|so_far| *so_far >= count).await;
    }

    /// Returns once all scopes are synced.
    pub async fn wait_for_all(&self) {
        self.wait_for(self.names.len()).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::rights::{LASTING, Right};
    use operator_runtime::clock;

    fn two() -> (Scopes, ScopeId, ScopeId) {
        let scopes = Scopes::new(&["a".to_owned(), "b".to_owned()]);
        let [a, b] = scopes.ids().collect::<Vec<_>>()[..] else {
            panic!("two scopes");
        };
        (scopes, a, b)
    }

    #[test]
    fn readiness_names_the_unsynced_namespaces() {
        let (scopes, a, b) = two();
        let (rights, now) = (Rights::default(), clock::now());
        let readiness = || scopes.readiness(&rights, now);
        let unready = readiness().unwrap_err();
        assert!(unready.ends_with("a, b"), "{unready}");
        assert!(!scopes.record_synced(b));
        assert!(readiness().is_err(), "not serving yet");
        scopes.begin_serving();
        let partly = readiness().unwrap().unwrap();
        assert!(partly.ends_with(": a"), "{partly}");
        assert!(scopes.record_synced(a));
        assert_eq!(readiness(), Ok(None));
    }

    #[test]
    fn standby_is_ready_and_serves_nothing() {
        let (scopes, a, _) = two();
        let (rights, now) = (Rights::default(), clock::now());
        scopes.record_synced(a);
        scopes.stand_by();
        assert!(scopes.readiness(&rights, now).unwrap().is_some());
        assert!(!scopes.serves("a"));
    }

    #[test]
    fn scope_whose_watch_is_refused_is_not_served() {
        let (scopes, a, b) = two();
        let rights = Rights::new(&["a".to_owned(), "b".to_owned()]);
        let now = clock::now();
        for scope in [a, b] {
            scopes.record_synced(scope);
        }
        scopes.begin_serving();
        rights.refused(Right::Get, "b", &"403", now);
        rights.refused(Right::Watch, "a", &"403", now);
        assert_eq!(scopes.readiness(&rights, now), Ok(None));
        let later = now + LASTING;
        let partly = scopes.readiness(&rights, later).unwrap().unwrap();
        for named in ["watch on fireworksusers", "get on fireworksusers"] {
            assert!(partly.contains(named), "{partly}");
        }
        rights.refused(Right::List, "b", &"403", now);
        let blind = scopes.readiness(&rights, later).unwrap_err();
        assert!(blind.contains("list on fireworksusers"), "{blind}");
    }

    #[test]
    fn only_synced_namespaces_are_served() {
        let (scopes, a, b) = two();
        scopes.record_synced(b);
        assert!(!scopes.serves("b"), "not serving yet");
        scopes.begin_serving();
        assert_eq!((scopes.serves("a"), scopes.serves("b")), (false, true));
        assert!(scopes.has_unseen() && !scopes.is_synced(a));
        scopes.record_synced(a);
        assert!(scopes.serves("a") && !scopes.serves("c") && !scopes.has_unseen());
    }

    #[test]
    fn one_scope_covers_all_namespaces() {
        let scopes = Scopes::new(&[]);
        let all = scopes.ids().next().unwrap();
        assert_eq!((scopes.namespace(all), scopes.label(all)), (None, "*"));
        assert!(scopes.wait_for_all().now_or_never().is_none());
        scopes.record_synced(all);
        scopes.begin_serving();
        assert!(scopes.serves("any"));
        assert!(scopes.wait_for_all().now_or_never().is_some());
    }
}
