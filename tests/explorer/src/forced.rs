//! The reads that the annotation forces, while values are set, objects are deleted and created again, and processes end and
//! start: two objects of one user, one of which observes.
//!
//! **Production code:** `Reconcile::step`, the account with the requests that it makes by itself, what is remembered of objects.
//! **Model:** the API server, answers of Fireworks, and the clock. Times are not made relative, so that the search ends at a
//! fixed time. **Promises:** each value is followed by a read within a minute, and two forced reads are a minute apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{Page, Role};
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::random::Random;
use fireworks_core::time::Moment;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::pending_reports::PendingReports;
use fireworks_core::user::reconcile::{Effect, Input, Reconcile, WriteOutcome};
use fireworks_core::world::{Now, Settings, World};
use fireworks_crd::RECONCILE_REQUESTED_AT;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde_json::json;

use crate::model::Model;
use crate::operator::Tables;
use crate::statuses::Statuses;
use crate::value::user_id;
use crate::world::{Label, Next};

const OBJECTS: usize = 2;
const NAMES: [(&str, &str); OBJECTS] = [("alice", "Manage"), ("observed", "Observe")];
/// When the first process begins.
const BEGINNING: Moment = Moment::from_micros(1 << 40);
/// The most time that passes at once.
const TICK: Duration = Duration::from_secs(30);
/// Within this time a value is followed by a read, and as long apart are two forced reads.
const MINUTE: Duration = Duration::from_mins(1);
/// The time after which no value is set.
const CHANGING: Duration = Duration::from_secs(95);
/// The time at which the search ends: no settle window is over yet, and no value is without its read.
const END: Duration = Duration::from_secs(200);
/// No sweep reads the user meanwhile.
const NO_SWEEP: Duration = Duration::from_hours(24);

/// One object.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Object {
    /// How many objects were created before it.
    number: u8,
    /// The value of the annotation; 0: it has none.
    value: u8,
    /// A number of the table of statuses.
    status: u16,
    is_due: bool,
    requeue_at: Option<Moment>,
    /// Since when the value has no read.
    owed_since: Option<Moment>,
}

/// One state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    /// Numbers of the tables of accounts, memories and claims.
    account: u32,
    memory: u32,
    claims: u32,
    began: Moment,
    now: Moment,
    objects: [Object; OBJECTS],
    /// This process has listed the users.
    is_listed: bool,
    /// When the user was last read since.
    read_at: Option<Moment>,
    /// How many values, new objects and crashes are still to come.
    values: u8,
    creations: u8,
    crashes: u8,
    /// Time has passed since the last request: something may change.
    may_change: bool,
}

/// The model.
pub(crate) struct ForcedReads<'a> {
    tables: &'a Tables,
    settings: Settings,
    /// The objects as the watch brings them.
    watched: FxHashMap<(usize, String), Arc<CachedUser>>,
}

impl<'a> ForcedReads<'a> {
    pub(crate) fn new(tables: &'a Tables) -> Self {
        let settings = Settings {
            sweep_interval: NO_SWEEP,
            ..tables.settings.clone()
        };
        Self {
            tables,
            settings,
            watched: FxHashMap::default(),
        }
    }

    fn world(&self, state: &State) -> World {
        World {
            account: (*self.tables.accounts.get(state.account)).clone(),
            others: BTreeMap::new(),
            claims: (*self.tables.claims.get(state.claims)).clone(),
            objects: (*self.tables.memories.get(state.memory)).clone(),
            pending: PendingReports::default(),
            random: Random::new(0),
            settings: self.settings.clone(),
            epoch: state.began,
            may_have_former: state.began > BEGINNING,
        }
    }

    /// Keeps what has become of the world. The objects of users of which something new is known are due.
    fn keep(&self, state: &mut State, mut world: World) {
        if !world.take_signals().requeue.is_empty() {
            for object in &mut state.objects {
                object.is_due = true;
            }
        }
        state.account = self.tables.accounts.number(world.account);
        state.memory = self.tables.memories.number(world.objects);
        state.claims = self.tables.claims.number(world.claims);
    }

    /// The object as the watch brings it.
    fn watched(&mut self, at: usize, object: Object) -> Arc<CachedUser> {
        let status = &self.tables.statuses;
        let entry = self.watched.entry((at, version(object)));
        let watched = entry.or_insert_with(|| Arc::new(watched(at, object, status)));
        watched.clone()
    }

    /// A process starts: it reads the objects and lists the users.
    fn start(&mut self, state: &mut State) {
        let id = self.tables.account.clone();
        let mut world = World::new(id, self.settings.clone(), state.now, 0);
        world.account = world.account.with_rules(self.tables.rules);
        let objects: Vec<_> = (0..OBJECTS)
            .map(|at| self.watched(at, state.objects[at]))
            .collect();
        let had_former = state.now > BEGINNING;
        world.begin_epoch(
            objects.iter().map(|object| &**object),
            had_former,
            state.now,
        );
        world.claims.begin(state.now, true);
        world.claims.complete();
        world.account.open();
        (state.began, state.is_listed, state.read_at) = (state.now, false, None);
        for object in &mut state.objects {
            (object.is_due, object.requeue_at) = (true, None);
        }
        self.keep(state, world);
    }

    fn clock(state: &State) -> Now {
        Now {
            at: state.now,
            time: Timestamp::UNIX_EPOCH,
            key_version: 1,
        }
    }

    /// The object is reconciled. Returns the promise that this breaks.
    fn reconcile(&mut self, state: &mut State, at: usize) -> Option<String> {
        let mut world = self.world(state);
        let object = self.watched(at, state.objects[at]);
        let mut machine = Reconcile::new(object, self.tables.account.clone());
        let mut input = Input::Begin { all_synced: true };
        (state.objects[at].is_due, state.objects[at].requeue_at) = (false, None);
        loop {
            input = match machine.step(input, &mut world, Self::clock(state)) {
                Effect::WriteStatus(write) => {
                    state.objects[at].status = self.tables.statuses.keep(write.wanted);
                    let written = version(state.objects[at]);
                    Input::StatusWritten(WriteOutcome::Written(Some(written)))
                }
                Effect::Finish(finish) => {
                    let after = finish.requeue;
                    state.objects[at].requeue_at = after.map(|after| state.now + after);
                    break;
                }
                Effect::ReadObject | Effect::Update(_) => {
                    return Some("a change of a user that matches".to_owned());
                }
            };
        }
        self.keep(state, world);
        None
    }

    /// The account makes its next request, which is answered at once, or waits. Returns the promise that this breaks.
    fn advance(&self, state: &mut State) -> Option<String> {
        let mut world = self.world(state);
        let user = builders::user(user_id(0).as_str(), Role::User);
        state.may_change = false;
        let response = match world.account.next_request(state.now) {
            Todo::Send(Request::Page(_)) => Response::Page(Ok(Page {
                users: vec![user],
                malformed: 0,
                next: None,
                total: Some(1),
            })),
            Todo::Send(Request::User(id)) => Response::User(id, Ok(user)),
            Todo::Send(Request::Account | Request::Restore(_)) => {
                return Some("a request that nothing asks for".to_owned());
            }
            Todo::WakeAt(at) => {
                let timers = state.objects.iter().filter_map(|one| one.requeue_at);
                let next = timers.chain(at).chain([state.now + TICK]).min();
                state.now = next.unwrap_or(state.now).max(state.now);
                state.may_change = true;
                for object in &mut state.objects {
                    object.is_due |= object.requeue_at.take_if(|at| *at <= state.now).is_some();
                }
                return broken(state);
            }
        };
        let sent = SentAt {
            at: state.now,
            key_version: 1,
        };
        world.account.apply(response, sent, state.now);
        let too_soon = state.read_at.is_some_and(|at| state.now - at < MINUTE);
        if state.is_listed {
            state.read_at = Some(state.now);
        }
        state.is_listed = true;
        for object in &mut state.objects {
            object.owed_since = None;
        }
        self.keep(state, world);
        too_soon.then(|| "two forced reads within a minute".to_owned())
    }

    /// The watch brings another object or another value.
    fn change(&mut self, state: &State, at: usize, change: impl FnOnce(&mut State)) -> State {
        let mut next = *state;
        change(&mut next);
        let (before, after) = (state.objects[at], next.objects[at]);
        let mut world = self.world(state);
        if before.number != after.number {
            let _ = world.object_removed(&self.watched(at, before), state.now);
        }
        let _ = world.object_changed(&self.tables.account, &self.watched(at, after), state.now);
        let object = &mut next.objects[at];
        object.is_due = true;
        if object.value > 0 {
            object.owed_since = object.owed_since.or(Some(state.now));
        }
        self.keep(&mut next, world);
        next
    }
}

/// The object as the watch brings it, with its status.
fn watched(at: usize, object: Object, statuses: &Statuses) -> CachedUser {
    let (name, policy) = NAMES[at];
    let value = object.value.to_string();
    let annotations = (object.value > 0).then(|| json!({RECONCILE_REQUESTED_AT: value}));
    let raw = json!({
        "metadata": {
            "annotations": annotations,
            "namespace": "ns",
            "name": name,
            "uid": format!("uid-{at}-{}", object.number),
            "resourceVersion": version(object),
            "generation": 1,
            "creationTimestamp": format!("1970-01-01T00:00:{:02}Z", object.number),
        },
        "spec": {"userId": user_id(0).as_str(), "role": "user", "managementPolicy": policy},
        "status": statuses.reported(object.status).status,
    });
    serde_json::from_value(raw).unwrap_or_else(|_| unreachable!("an object"))
}

/// The resourceVersion of the object.
fn version(object: Object) -> String {
    format!("{}{:02}{:03}", object.number, object.value, object.status)
}

fn broken(state: &State) -> Option<String> {
    let waits = |object: &Object| {
        let since = object.owed_since?;
        (state.now - since > MINUTE).then_some(state.now - since)
    };
    let longest = state.objects.iter().filter_map(waits).max()?;
    Some(format!(
        "a value of the annotation has no read after {longest:?}"
    ))
}

impl Model for ForcedReads<'_> {
    type State = State;

    fn first(&mut self) -> State {
        let object = |number| Object {
            number,
            value: 0,
            status: 0,
            is_due: true,
            requeue_at: None,
            owed_since: None,
        };
        let mut state = State {
            account: 0,
            memory: 0,
            claims: 0,
            began: BEGINNING,
            now: BEGINNING,
            objects: [object(0), object(1)],
            is_listed: false,
            read_at: None,
            values: 3,
            creations: 1,
            crashes: 1,
            may_change: false,
        };
        self.start(&mut state);
        state
    }

    fn ends(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        if state.now >= BEGINNING + END {
            return;
        }
        let mut push = |next, what, at: usize, broken| {
            let at = u8::try_from(at).unwrap_or_default();
            out.push(Next {
                state: next,
                label: Label { what, at },
                free: true,
                broken,
            });
        };
        for at in 0..OBJECTS {
            if state.objects[at].is_due {
                let mut next = *state;
                let broken = self.reconcile(&mut next, at);
                push(next, "a reconciliation of object", at, broken);
            }
        }
        if state.objects.iter().any(|object| object.is_due) {
            return;
        }
        let mut next = *state;
        let broken = self.advance(&mut next);
        let what = if next.may_change {
            "time passes"
        } else {
            "the account makes a request"
        };
        push(next, what, 0, broken);
    }

    fn begins(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        if !state.may_change || state.now > BEGINNING + CHANGING {
            return;
        }
        let mut push = |state, what, at: usize| {
            let at = u8::try_from(at).unwrap_or_default();
            out.push(Next {
                state,
                label: Label { what, at },
                free: false,
                broken: None,
            });
        };
        for at in 0..OBJECTS {
            if state.values > 0 {
                let next = self.change(state, at, |next| {
                    next.values -= 1;
                    next.objects[at].value += 1;
                });
                push(next, "a new value of the annotation of object", at);
            }
            if state.creations > 0 {
                let next = self.change(state, at, |next| {
                    next.creations -= 1;
                    let object = &mut next.objects[at];
                    (object.number, object.status) = (object.number + 2, 0);
                });
                push(next, "deletion and creation again of object", at);
            }
        }
        if state.crashes > 0 {
            let mut next = *state;
            next.crashes -= 1;
            // The list of the new process reads all users.
            self.start(&mut next);
            push(next, "the operator crashes and starts", 0);
        }
    }

    fn at_rest(&mut self, state: &State) -> Result<(), String> {
        let owed = state.objects.iter().any(|one| one.owed_since.is_some());
        if owed {
            return Err("a value of the annotation has no read in the end".to_owned());
        }
        Ok(())
    }

    fn lines(&mut self, state: &State) -> Vec<String> {
        let after = |at: Option<Moment>| at.map(|at| at - BEGINNING);
        let mut lines = vec![format!(
            "after {:?}, user read after {:?}",
            state.now - BEGINNING,
            after(state.read_at)
        )];
        lines.extend((0usize..).zip(state.objects).map(|(at, object)| {
            format!(
                "object {at}: number {}, value {}, due {}, owed a read after {:?}",
                object.number,
                object.value,
                object.is_due,
                after(object.owed_since)
            )
        }));
        lines
    }
}
