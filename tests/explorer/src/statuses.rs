//! Reported statuses. Statuses are numbers of a table; number 0 is the status that no operator has written.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Reason};
use rustc_hash::FxHashMap;

/// The number of the status of an object that belonged to another account.
pub(crate) const ANOTHER_ACCOUNT: u16 = 1;
/// The number of the status of an object that a former process reported in sync.
pub(crate) const IN_SYNC: u16 = 2;

/// The number of the status of an object that held its user, in sync.
pub(crate) const HELD: u16 = 3;
/// The number of the status of an object that waited for a user that another one held.
pub(crate) const WAITING: u16 = 4;
/// The number of the status of an object that has accepted the first user of its id, which is gone.
pub(crate) const ACCEPTED: u16 = 5;
/// The number of the status of an object whose user the account does not have.
pub(crate) const NOT_FOUND: u16 = 6;

/// How many statuses a search begins with.
const FIRST: usize = 7;

/// One status and what the oracles want to know of it.
pub(crate) struct Reported {
    pub(crate) status: FireworksUserStatus,
    pub(crate) reason: Option<String>,
    pub(crate) ready: bool,
    pub(crate) generation: i64,
    /// What is wrong with it whatever the world is like.
    pub(crate) flaw: Option<String>,
}

/// The statuses, by their JSON.
pub(crate) struct Statuses {
    numbers: Mutex<FxHashMap<String, u16>>,
    rows: RwLock<Vec<Arc<Reported>>>,
}

impl Statuses {
    /// With the statuses that a search may begin with: of a new object, and those that are named above.
    pub(crate) fn new() -> Self {
        let statuses = Self {
            numbers: Mutex::default(),
            rows: RwLock::default(),
        };
        let first: [&str; FIRST] = [
            r#"{"observedGeneration":-1}"#,
            r#"{"observedGeneration":-1,"name":"accounts/other/users/alice"}"#,
            r#"{"observedGeneration":1,"name":"accounts/acme/users/alice","userId":"alice","state":"READY","role":"user",
                "conditions":[{"type":"Ready","status":"True","reason":"InSync","message":"in sync","observedGeneration":1,
                "lastTransitionTime":"1970-01-01T00:00:00Z"}]}"#,
            r#"{"observedGeneration":1,"name":"accounts/acme/users/alice","userId":"alice","state":"READY","role":"user",
                "claim":"Held","conditions":[{"type":"Ready","status":"True","reason":"InSync","message":"in sync",
                "observedGeneration":1,"lastTransitionTime":"1970-01-01T00:00:00Z"}]}"#,
            r#"{"observedGeneration":1,"name":"accounts/acme/users/alice","userId":"alice","state":"READY","role":"user",
                "claim":"Waiting","conditions":[{"type":"Ready","status":"False","reason":"Conflict","message":"held",
                "observedGeneration":1,"lastTransitionTime":"1970-01-01T00:00:00Z"}]}"#,
            r#"{"observedGeneration":1,"name":"accounts/acme/users/alice","userId":"alice","createTime":"1970-01-01T00:08:21Z",
                "conditions":[{"type":"Ready","status":"False","reason":"UserNotFound","message":"none","observedGeneration":1,
                "lastTransitionTime":"1970-01-01T00:00:00Z"}]}"#,
            r#"{"observedGeneration":1,"userId":"alice",
                "conditions":[{"type":"Ready","status":"False","reason":"UserNotFound","message":"none","observedGeneration":1,
                "lastTransitionTime":"1970-01-01T00:00:00Z"}]}"#,
        ];
        for status in first {
            statuses.keep(status.to_owned());
        }
        statuses
    }

    /// How many statuses were met.
    pub(crate) fn len(&self) -> usize {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.len()
    }

    /// Returns the reasons and the guards that the operator has reported.
    pub(crate) fn reasons_and_guards(&self) -> BTreeSet<String> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let found = rows.iter().skip(FIRST).flat_map(|row| row.names());
        found.collect()
    }

    /// The status of that number.
    pub(crate) fn reported(&self, status: u16) -> Arc<Reported> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows[usize::from(status)].clone()
    }

    /// The number of that status.
    pub(crate) fn keep(&self, json: String) -> u16 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
        *numbers.entry(json).or_insert_with_key(|json| {
            let status = serde_json::from_str(json).unwrap_or_default();
            let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            rows.push(Arc::new(Reported::of(status)));
            fresh
        })
    }
}

impl Reported {
    fn of(status: FireworksUserStatus) -> Self {
        let find = |kind| conditions::find(&status.conditions, kind);
        let ready = find("Ready");
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        Self {
            reason: ready.map(|ready| ready.reason.clone()),
            ready: is_ready,
            generation: status.observed_generation.unwrap_or(-1),
            flaw: flaw(&status, is_ready),
            status,
        }
    }

    /// Returns whether it records that the object holds its user.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.status.claim.as_deref(), Some("Held" | "Inherited"))
    }

    /// Returns the reason of `Ready` and the guard, by name.
    fn names(&self) -> impl Iterator<Item = String> {
        let ready = conditions::find(&self.status.conditions, "Ready");
        let reason = ready.and_then(|ready| Reason::reported(&ready.status, &ready.reason));
        let reason = reason.map(|reason| format!("{reason:?}"));
        reason.into_iter().chain(self.status.guard.clone())
    }
}

/// What no status may ever be like.
fn flaw(status: &FireworksUserStatus, ready: bool) -> Option<String> {
    let all = &status.conditions;
    let count = |kind: &str| all.iter().filter(|one| one.type_ == kind).count();
    let generations = all
        .iter()
        .all(|one| one.observed_generation == status.observed_generation);
    if ready && count("Reconciling") + count("Stalled") > 0 {
        Some("Ready beside Reconciling or Stalled".to_owned())
    } else if all.iter().any(|one| count(&one.type_) > 1) {
        Some("a condition stands twice".to_owned())
    } else if !generations {
        Some("a condition speaks of another generation than status does".to_owned())
    } else if status.status.is_some() && status.role.is_none() {
        Some("a status of a user without a role".to_owned())
    } else {
        None
    }
}
