//! Who holds one user while objects of two namespaces come, go and change, and processes end and start: the claims without the
//! account and its users. The other scenarios have claims too, of at most two objects.
//!
//! **Production code:** what is read of an object and its status (`World::object_found`, `World::object_changed`,
//! `World::object_removed`), and the claims. **Model:** the API server, a watch that lags, status writes, and the clock.
//! **Promises** (`promises`): no object takes a user that another namespace holds or has held within a minute; one that waited for
//! another namespace holds the user with limits until a person accepts that; an object that claims a user keeps it.
//!
//! What left no trace on the API server when a process ends is no promise (`docs/security.md`).

mod promises;

use std::time::Duration;

use fireworks_core::account::Account;
use fireworks_core::claims::{Claims, Ownership};
use fireworks_core::time::Moment;
use fireworks_core::user::object::CachedUser;
use fireworks_core::world::World;
use fireworks_crd::ClaimStatus;
use rustc_hash::FxHashMap;
use serde_json::json;

use crate::model::Model;
use crate::operator::Tables;
use crate::world::{Label, Next};
use promises::{Holding, Owner, identity, judge, restart};

const OBJECTS: usize = 3;
/// Namespace, name and user of the objects. A user is one whatever the case of its id.
const NAMES: [(u8, &str, &str, &str); OBJECTS] = [
    (0, "platform", "a", "alice"),
    (0, "platform", "b", "alice"),
    (1, "tenant", "t", "ALICE"),
];
const ACCEPT_CLAIM: &str = "iam.fireworks.ai/accept-claim";
/// Every step happens at this time: those in the state are relative to it.
const NOW: Moment = Moment::from_micros(1 << 40);
/// The time that passes at once.
const TICK: Duration = Duration::from_secs(30);

/// What an object asks for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
enum Mode {
    #[default]
    Manage,
    Suspend,
    Observe,
}

/// One object in one version.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Version {
    /// When it was created, after how many others; 0: it is not there.
    created: u8,
    mode: Mode,
    accepts: bool,
    /// The claim that status records.
    status: Option<ClaimStatus>,
}

impl Version {
    fn is_there(self) -> bool {
        self.created > 0
    }

    fn claims(self) -> bool {
        self.is_there() && self.mode != Mode::Observe
    }

    /// Status records that it holds the user.
    fn is_recorded(self) -> bool {
        let holding = [Some(ClaimStatus::Held), Some(ClaimStatus::Inherited)];
        self.is_there() && holding.contains(&self.status)
    }
}

/// How often what may happen.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Events {
    pub(crate) edits: u8,
    pub(crate) deletions: u8,
    pub(crate) creations: u8,
    pub(crate) crashes: u8,
    /// The tenant writes a status.
    pub(crate) forgeries: u8,
}

/// One state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    /// A number of the table of claims.
    claims: u32,
    /// On the API server.
    server: [Version; OBJECTS],
    /// In the store of the operator.
    store: [Version; OBJECTS],
    owner: Option<Owner>,
    /// It has claimed the user since another namespace held it.
    has_waited: [bool; OBJECTS],
    /// The number of objects that were created.
    created: u8,
    left: Events,
}

/// The model.
pub(crate) struct Contention<'a> {
    tables: &'a Tables,
    events: Events,
    account: Account,
    watched: FxHashMap<(usize, Version), CachedUser>,
}

impl<'a> Contention<'a> {
    pub(crate) fn new(tables: &'a Tables, events: Events) -> Self {
        let id = tables.account.clone();
        let account = Account::new(id, &tables.settings, NOW, 0).with_rules(tables.rules);
        Self {
            tables,
            events,
            account,
            watched: FxHashMap::default(),
        }
    }

    /// The object as the watch brings it.
    fn watched(&mut self, at: usize, version: Version) -> CachedUser {
        let entry = self.watched.entry((at, version));
        entry.or_insert_with(|| watched(at, version)).clone()
    }

    /// The operator's world, as far as it is modelled.
    fn world(&self, claims: Claims) -> World {
        let id = self.tables.account.clone();
        let mut world = World::new(id, self.tables.settings.clone(), NOW, 0);
        world.account = self.account.clone();
        world.claims = claims;
        world
    }

    /// Something happens to the operator. Returns the promise that this breaks.
    fn happens(&mut self, state: &mut State, what: impl FnOnce(&mut World)) -> Option<String> {
        let claims = Claims::clone(&self.tables.claims.get(state.claims));
        let mut world = self.world(claims);
        what(&mut world);
        self.follow(state, world.claims)
    }

    /// Every object is reconciled.
    fn follow(&mut self, state: &mut State, claims: Claims) -> Option<String> {
        let before = *state;
        let holding = self.holding(state, claims);
        let squats = |at: usize| {
            let version = state.store[at];
            let held = before.owner.and_then(|owner| owner.holder);
            let is_new = held.is_none_or(|holder| holder != identity(at, version));
            version.mode == Mode::Suspend && holding[at].is_some() && is_new
        };
        let squats = (0..OBJECTS).any(squats);
        let broken = judge(state, holding).map(str::to_owned);
        broken.or_else(|| squats.then(|| "a suspended object took the user".to_owned()))
    }

    /// How each object holds the user, which is asked for by its reconciliation.
    fn holding(&mut self, state: &mut State, mut claims: Claims) -> Holding {
        let mut holding = [None; OBJECTS];
        for (at, holds) in holding.iter_mut().enumerate() {
            let object = self.watched(at, state.store[at]);
            let claim = object.claim(&self.tables.account, false);
            let Some(claim) = claim.filter(|_| state.store[at].is_there()) else {
                continue;
            };
            let ownership = claims.ownership(&object.key, &claim.user, NOW);
            if let Ownership::Mine(possession) = ownership {
                *holds = Some(possession).filter(|_| claim.claims);
            }
        }
        claims.rebase(NOW, |at| at);
        state.claims = self.tables.claims.number(claims);
        holding
    }

    /// The operator starts.
    fn start(&mut self, state: &mut State) -> Option<String> {
        let mut world = self.world(Claims::with_rules(self.tables.rules));
        state.store = state.server;
        for at in 0..OBJECTS {
            if !state.store[at].is_there() {
                continue;
            }
            let object = self.watched(at, state.store[at]);
            world.object_found(&object);
            let _ = world.object_changed(&self.tables.account, &object, NOW);
        }
        world.claims.begin(NOW, true);
        let is_disputed = restart(state);
        for (at, version) in state.server.iter().enumerate() {
            let limited = [Some(ClaimStatus::Waiting), Some(ClaimStatus::Inherited)];
            state.has_waited[at] &= version.is_there() && limited.contains(&version.status);
            state.has_waited[at] |= is_disputed && version.claims();
        }
        // Also a suspended object may hold the user when an epoch begins.
        let holding = self.holding(state, world.claims);
        judge(state, holding).map(str::to_owned)
    }

    /// The watch brings that version of the object.
    fn deliver(&mut self, state: &mut State, at: usize, version: Version) -> Option<String> {
        let before = self.watched(at, state.store[at]);
        let object = self.watched(at, version);
        let account = self.tables.account.clone();
        state.store[at] = version;
        self.happens(state, |world| {
            let _ = if version.is_there() {
                world.object_changed(&account, &object, NOW)
            } else {
                world.object_removed(&before, NOW)
            };
        })
    }

    /// The object with the status that has to be written, if its status records another claim.
    fn unwritten(&mut self, state: &State, at: usize) -> Option<Version> {
        let version = state.store[at];
        if !version.is_there() || version != state.server[at] {
            return None;
        }
        let key = self.watched(at, version).key;
        let status = self.tables.claims.get(state.claims).status(&key);
        (status != version.status).then_some(Version { status, ..version })
    }

    fn is_quiet(&mut self, state: &State) -> bool {
        state.store == state.server && (0..OBJECTS).all(|at| self.unwritten(state, at).is_none())
    }
}

impl Model for Contention<'_> {
    type State = State;

    fn first(&mut self) -> State {
        let mut state = State {
            claims: 0,
            server: [Version::default(); OBJECTS],
            store: [Version::default(); OBJECTS],
            owner: None,
            has_waited: [false; OBJECTS],
            created: 1,
            left: self.events,
        };
        state.server[0].created = 1;
        let _ = self.start(&mut state);
        state
    }

    fn ends(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        for at in 0..OBJECTS {
            let (old, new) = (state.store[at], state.server[at]);
            if old != new {
                let mut next = *state;
                let broken = self.deliver(&mut next, at, new);
                push(out, next, "the watch brings object", at, true, broken);
            }
            // Or its deletion is seen first.
            if new.is_there() && old.is_there() && old.created != new.created {
                let mut next = *state;
                let broken = self.deliver(&mut next, at, Version::default());
                push(
                    out,
                    next,
                    "the watch brings the end of object",
                    at,
                    true,
                    broken,
                );
            }
            if let Some(written) = self.unwritten(state, at) {
                let mut next = *state;
                next.server[at] = written;
                push(out, next, "status is written of object", at, true, None);
            }
        }
        if self.is_quiet(state) {
            let mut next = *state;
            let mut claims = Claims::clone(&self.tables.claims.get(state.claims));
            claims.rebase(NOW + TICK, |at| at - TICK);
            if let Some(owner) = &mut next.owner {
                owner.released_for += u8::from(owner.holder.is_none());
            }
            let broken = self.follow(&mut next, claims);
            push(out, next, "time passes", 0, true, broken);
        }
    }

    fn begins(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        for at in 0..OBJECTS {
            of_object(state, at, out);
        }
        // After a forgery the next process may take the user for the tenant's: `docs/security.md`.
        let is_forged = state.left.forgeries < self.events.forgeries;
        if state.left.crashes > 0 && !is_forged {
            let mut next = *state;
            next.left.crashes -= 1;
            let broken = self.start(&mut next);
            push(
                out,
                next,
                "the operator crashes and starts",
                0,
                false,
                broken,
            );
        }
    }

    fn at_rest(&mut self, state: &State) -> Result<(), String> {
        let may_hold = |version: &Version| version.is_there() && version.mode == Mode::Manage;
        let holds = |version: &Version| version.claims() && version.is_recorded();
        if state.server.iter().any(may_hold) && !state.server.iter().any(holds) {
            return Err("objects claim the user, and none holds it".to_owned());
        }
        Ok(())
    }

    fn lines(&mut self, state: &State) -> Vec<String> {
        let mut lines: Vec<_> = (0..OBJECTS)
            .map(|at| {
                format!(
                    "{at}: {:?}, in store {:?}",
                    state.server[at], state.store[at]
                )
            })
            .collect();
        lines.push(format!("{:?}, waited {:?}", state.owner, state.has_waited));
        let claims = self.tables.claims.get(state.claims);
        for at in 0..OBJECTS {
            let key = self.watched(at, state.store[at]).key;
            lines.push(format!("{at}: claim {:?}", claims.status(&key)));
        }
        lines
    }
}

/// What people do with the object.
fn of_object(state: &State, at: usize, out: &mut Vec<Next<State>>) {
    let version = state.server[at];
    if !version.is_there() {
        if state.left.creations > 0 {
            let mut next = *state;
            next.left.creations -= 1;
            next.created += 1;
            next.server[at].created = next.created;
            push(out, next, "a creation of object", at, false, None);
        }
        return;
    }
    if state.left.deletions > 0 {
        let mut next = *state;
        next.left.deletions -= 1;
        next.server[at] = Version::default();
        push(out, next, "a deletion of object", at, false, None);
    }
    if state.left.edits > 0 {
        let modes = [Mode::Manage, Mode::Suspend, Mode::Observe];
        let edited = modes.map(|mode| Version { mode, ..version });
        let accepted = Version {
            accepts: !version.accepts,
            ..version
        };
        for edited in edited.into_iter().chain([accepted]) {
            if edited != version {
                let mut next = *state;
                next.left.edits -= 1;
                next.server[at] = edited;
                push(out, next, "an edit of object", at, false, None);
            }
        }
    }
    if state.left.forgeries > 0 && NAMES[at].0 > 0 && version.status != Some(ClaimStatus::Held) {
        let mut next = *state;
        next.left.forgeries -= 1;
        next.server[at].status = Some(ClaimStatus::Held);
        push(
            out,
            next,
            "the tenant writes status of object",
            at,
            false,
            None,
        );
    }
}

fn push(
    out: &mut Vec<Next<State>>,
    state: State,
    what: &'static str,
    at: usize,
    free: bool,
    broken: Option<String>,
) {
    out.push(Next {
        state,
        label: Label {
            what,
            at: u8::try_from(at).unwrap_or_default(),
        },
        free,
        broken,
    });
}

/// The object in that version.
fn watched(at: usize, version: Version) -> CachedUser {
    let (_, namespace, name, user) = NAMES[at];
    let accepts = version.accepts.then(|| json!({ACCEPT_CLAIM: user}));
    let policy = if version.mode == Mode::Observe {
        "Observe"
    } else {
        "Manage"
    };
    let raw = json!({
        "metadata": {
            "annotations": accepts,
            "namespace": namespace,
            "name": name,
            "uid": format!("uid-{name}-{}", version.created),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": format!("1970-01-01T00:00:{:02}Z", version.created),
        },
        "spec": {
            "userId": user,
            "role": "user",
            "managementPolicy": policy,
            "suspend": version.mode == Mode::Suspend,
        },
        "status": {"claim": version.status.map(ClaimStatus::as_str)},
    });
    serde_json::from_value(raw).unwrap_or_else(|_| unreachable!("an object"))
}
