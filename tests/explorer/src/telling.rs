//! What status says: the production status computation, each input computed once. Statuses and
//! verdicts are numbers of tables; number 0 is the status that no operator has written, and no verdict.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use fireworks_api::wire::AccountId;
use fireworks_core::account::Sighting;
use fireworks_core::claims::ObjectKey;
use fireworks_core::user::desired::{Desired, Diff};
use fireworks_core::user::plan::Finding;
use fireworks_core::user::state::Refusal;
use fireworks_core::user::status::{self, Facts, Seen};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Message, Reason};
use rustc_hash::FxHashMap;

use crate::value::{Remote, Spec};

/// One status and what the oracles want to know of it.
pub(crate) struct Said {
    pub(crate) status: FireworksUserStatus,
    pub(crate) reason: Option<String>,
    pub(crate) ready: bool,
    pub(crate) generation: i64,
    /// What is wrong with it whatever the world is like.
    pub(crate) flaw: Option<String>,
}

/// The tables.
pub(crate) struct Tables {
    account: AccountId,
    statuses: Table<Said>,
    verdicts: Table<Refusal>,
}

struct Table<T> {
    numbers: Mutex<FxHashMap<String, u16>>,
    rows: RwLock<Vec<Arc<T>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            numbers: Mutex::default(),
            rows: RwLock::default(),
        }
    }
}

impl<T> Table<T> {
    fn number(&self, key: String, row: impl FnOnce() -> T) -> u16 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
        *numbers.entry(key).or_insert_with(|| {
            let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            rows.push(Arc::new(row()));
            fresh
        })
    }

    fn get(&self, number: u16) -> Arc<T> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows[usize::from(number)].clone()
    }

    fn len(&self) -> usize {
        self.rows
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// What a pass has to tell.
pub(crate) struct Telling<'a> {
    pub(crate) before: u16,
    pub(crate) generation: u8,
    pub(crate) user: usize,
    pub(crate) spec: Spec,
    pub(crate) sighting: &'a Sighting,
    pub(crate) finding: &'a Finding,
}

impl Tables {
    /// With the status of an object that is new, or, as number 1, of one that belonged to another account.
    pub(crate) fn new() -> Self {
        let account = "acme"
            .parse()
            .unwrap_or_else(|_| unreachable!("a plain name"));
        let tables = Self {
            account,
            statuses: Table::default(),
            verdicts: Table::default(),
        };
        let fresh = FireworksUserStatus {
            observed_generation: Some(-1),
            name: None,
            user_id: None,
            state: None,
            status: None,
            role: None,
            permission_preset: None,
            guard: None,
            drift: Vec::new(),
            create_time: None,
            update_time: None,
            conditions: Vec::new(),
        };
        let mut foreign = fresh.clone();
        foreign.name = Some("accounts/other/users/alice".to_owned());
        tables.keep(fresh);
        tables.keep(foreign);
        tables
    }

    /// How many statuses were met.
    pub(crate) fn len(&self) -> usize {
        self.statuses.len()
    }

    /// The status of that number.
    pub(crate) fn said(&self, status: u16) -> Arc<Said> {
        self.statuses.get(status)
    }

    /// Whether the status names a user of another account.
    pub(crate) fn is_foreign(&self, status: &FireworksUserStatus) -> bool {
        let name = status.name.as_deref();
        name.is_some_and(|name| !self.account.holds(name))
    }

    /// The verdict of that number; 0 is none.
    pub(crate) fn refusal(&self, number: u16) -> Option<Refusal> {
        let row = number.checked_sub(1)?;
        Some((*self.verdicts.get(row)).clone())
    }

    /// The number of a verdict, whose times and key are kept elsewhere.
    pub(crate) fn keep_verdict(&self, refusal: &Refusal) -> u16 {
        let about = &refusal.about;
        let key = format!("{:?} {:?} {about:?}", refusal.reason, refusal.message);
        self.verdicts.number(key, || refusal.clone()) + 1
    }

    fn keep(&self, status: FireworksUserStatus) -> u16 {
        let key = serde_json::to_string(&status).unwrap_or_default();
        self.statuses.number(key, || Said::of(status))
    }

    fn facts<'a>(
        &'a self,
        telling: &'a Telling<'a>,
        desired: &'a Desired,
        seen: Seen<'a>,
    ) -> Facts<'a> {
        Facts {
            generation: i64::from(telling.generation),
            account: &self.account,
            desired: Some(desired),
            seen,
            finding: telling.finding,
            spec_manager: None,
            now: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// The reason and the words.
    pub(crate) fn describe(&self, telling: &Telling<'_>) -> (Reason, Message) {
        let desired = telling.spec.desired(telling.user);
        status::describe(&self.facts(telling, &desired, Seen::from(telling.sighting)))
    }

    fn next(&self, telling: &Telling<'_>) -> u16 {
        let desired = telling.spec.desired(telling.user);
        let facts = self.facts(telling, &desired, Seen::from(telling.sighting));
        let (reason, message) = status::describe(&facts);
        let before = self.said(telling.before);
        let next = status::next(&before.status, &facts, reason, &message);
        if status::is_worth_a_write(&before.status, &next) {
            self.keep(next)
        } else {
            telling.before
        }
    }
}

impl Said {
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

/// The tables as one thread uses them.
pub(crate) struct Teller<'a> {
    shared: &'a Tables,
    next: FxHashMap<(u16, u8, u8, Spec, u64), u16>,
    said: FxHashMap<u16, Arc<Said>>,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(shared: &'a Tables) -> Self {
        Self {
            shared,
            next: FxHashMap::default(),
            said: FxHashMap::default(),
        }
    }

    pub(crate) fn shared(&self) -> &'a Tables {
        self.shared
    }

    pub(crate) fn said(&mut self, status: u16) -> Arc<Said> {
        let shared = self.shared;
        let entry = self.said.entry(status);
        entry.or_insert_with(|| shared.said(status)).clone()
    }

    /// The number of the next status; `what` tells apart the user seen.
    pub(crate) fn next(&mut self, telling: &Telling<'_>) -> u16 {
        let finding = u64::from(self.number(telling.finding));
        let what = finding << 32 | u64::from(sighted(telling.sighting));
        let user = u8::try_from(telling.user).unwrap_or_default();
        let key = (telling.before, telling.generation, user, telling.spec, what);
        let shared = self.shared;
        *self.next.entry(key).or_insert_with(|| shared.next(telling))
    }

    /// A number for each finding that says something else.
    fn number(&self, finding: &Finding) -> u32 {
        let bits = |diff: &Diff| {
            u32::from(diff.role)
                | u32::from(diff.permission_preset) << 1
                | u32::from(diff.display_name) << 2
        };
        let (kind, more) = match finding {
            Finding::InSync => (1, 0),
            Finding::Suspended { matches } => (2, u32::from(*matches)),
            Finding::OtherAccount => (3, 0),
            Finding::Owned(owner) => (4, u32::from(*owner == object_key(1))),
            Finding::TakingOver(owner) => (24, u32::from(*owner == object_key(1))),
            Finding::UserNotFound => (5, 0),
            Finding::RemoteDeleting => (6, 0),
            Finding::RemoteUpdating(_) => (7, 0),
            Finding::RemoteError(_) => (8, 0),
            Finding::Unconfirmed => (9, 0),
            Finding::PossiblyInFlight => (10, 0),
            Finding::DemotionPossiblyInFlight => (10, 1),
            Finding::Drifted(diff) => (11, bits(diff)),
            Finding::Contested(_) => (12, 0),
            Finding::LastAdmin => (13, 0),
            Finding::ServiceAccount { declared } => (27, u32::from(*declared)),
            Finding::UnknownRole(_) => (25, 0),
            Finding::DemotionsStopped(until) => (13, 1 + u32::from(until.is_some())),
            Finding::FieldCleared(_) => (14, 0),
            Finding::ChangesStopped(_) => (14, 1),
            Finding::NotApplied(diff) => (15, bits(diff)),
            Finding::StillRefused(refusal) => (16, u32::from(self.shared.keep_verdict(refusal))),
            Finding::Failed(failure) => (17, failure.kind as u32),
            Finding::Stale => (18, 0),
            Finding::Throttled => (19, 0),
            Finding::KeyRefused => (20, 0),
            Finding::AccountSuspended(_) => (26, 0),
            Finding::InvalidSpec(_) => (21, 0),
            Finding::Internal(_) => (22, 0),
            Finding::ReadForbidden => (22, 1),
            Finding::Refused(failure) => (23, failure.kind as u32),
        };
        kind << 16 | more
    }
}

/// A number for each user as seen.
fn sighted(sighting: &Sighting) -> u32 {
    match sighting {
        Sighting::Never | Sighting::Suspected => 0,
        Sighting::Absent => 1,
        Sighting::Seen { user, .. } => {
            let remote = Remote::of(user);
            let second = user.update_time.map_or(0, jiff::Timestamp::as_second);
            let fields = [
                remote.life as u32,
                remote.role as u32,
                u32::from(remote.preset),
                u32::from(remote.name),
                u32::from(remote.broken),
            ];
            let number = fields.iter().fold(0, |number, field| number << 3 | field);
            u32::try_from(second).unwrap_or(0) << 16 | number | 1 << 15
        }
    }
}

/// The key of an object.
pub(crate) fn object_key(object: usize) -> ObjectKey {
    ObjectKey {
        namespace: "ns".into(),
        name: ["first", "second"][object].into(),
    }
}
