//! The tables of all that the operator holds, and the steps of production code from one of their rows to another, each
//! computed once.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fireworks_api::wire::{AccountId, UserId};
use fireworks_core::account::Account;
use fireworks_core::claims::Claims;
use fireworks_core::grants::Grants;
use fireworks_core::rules::Rules;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::reconcile::Reconcile;
use fireworks_core::user::state::ObjectStates;
use fireworks_core::world::Settings;
use rustc_hash::FxHashMap;

use crate::account::{self, Event, Known, SETTLE, SWEEP};
use crate::beside::{Beside, Content};
use crate::scenario::Scenario;
use crate::state::{Barred, MANY_STAMPS, Object, Stamp, State, Version};
use crate::statuses::{Reported, Statuses};
use crate::table::Table;
use crate::turns::{Effect, Step, Turn};
use crate::value::{Body, account_id, user_id};

/// Calls a minute: more than are ever made.
const UNLIMITED: u32 = 1_000_000;

/// The tables.
pub(crate) struct Tables {
    pub(crate) scenario: Scenario,
    /// Users have an `updateTime`.
    pub(crate) timed: bool,
    /// Changes may be denied to the key.
    pub(crate) denies: bool,
    pub(crate) account: AccountId,
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    pub(crate) accounts: Table<Account>,
    pub(crate) memories: Table<ObjectStates>,
    pub(crate) machines: Table<Reconcile>,
    pub(crate) claims: Table<Claims>,
    pub(crate) statuses: Statuses,
    durations: RwLock<Vec<Duration>>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Done {
    pub(crate) account: u32,
    pub(crate) stamps: [Stamp; MANY_STAMPS],
    /// Users whose objects are to be requeued, as bits.
    pub(crate) requeue: u8,
    /// Objects that are to be requeued, as bits.
    pub(crate) objects: u8,
    pub(crate) memory: u32,
    pub(crate) claims: u32,
    pub(crate) effect: Effect,
    /// The user that is to be made admin again, and how.
    pub(crate) restore: Option<(u8, Body)>,
}

/// The tables as one thread uses them.
pub(crate) struct Operator<'a> {
    shared: &'a Tables,
    events: FxHashMap<(u32, u8, Event, [Stamp; MANY_STAMPS]), Done>,
    turns: FxHashMap<Step, Done>,
    waits: FxHashMap<(u32, Option<Duration>), u32>,
    versions: FxHashMap<(u32, usize), Arc<Vec<Version>>>,
    known: FxHashMap<(u32, u8), Arc<Known>>,
    lists: FxHashMap<u32, bool>,
    watched: FxHashMap<(u8, Version), Arc<CachedUser>>,
    claims: FxHashMap<(u32, Duration), u32>,
    reported: FxHashMap<u16, Arc<Reported>>,
    /// The other account of the process.
    pub(crate) beside: Option<Beside<'a>>,
    pub(crate) compared: FxHashMap<(Step, Content), Option<&'static str>>,
    /// How a step differed from what it is without the other account.
    pub(crate) differs: Option<&'static str>,
}

impl Tables {
    /// The tables of one search.
    pub(crate) fn new(scenario: &Scenario, rules: Rules) -> Self {
        Self {
            timed: scenario.timed,
            denies: scenario.weak_key,
            scenario: scenario.clone(),
            account: account_id(scenario.place),
            settings: Settings {
                settle_window: SETTLE,
                sweep_interval: SWEEP,
                requests_per_minute: UNLIMITED,
                grants: grants(scenario),
                ..builders::settings()
            },
            rules,
            accounts: Table::default(),
            memories: Table::default(),
            machines: Table::default(),
            claims: Table::default(),
            statuses: Statuses::new(),
            durations: RwLock::default(),
        }
    }

    /// The number of a duration; 0 is none.
    pub(crate) fn timer(&self, after: Option<Duration>) -> u16 {
        let Some(after) = after else {
            return 0;
        };
        let mut durations = self
            .durations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let known = durations.iter().position(|one| *one == after);
        let at = known.unwrap_or_else(|| {
            durations.push(after);
            durations.len() - 1
        });
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }

    /// The duration of that number.
    pub(crate) fn duration(&self, timer: u16) -> Duration {
        let durations = self
            .durations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        durations[usize::from(timer) - 1]
    }
}

/// Returns what flags let the objects of the scenario grant. The flag has the user in other letters than the objects.
fn grants(scenario: &Scenario) -> Grants {
    let users = scenario.protects.map(|user| {
        let listed = user_id(user).as_str().to_uppercase();
        UserId::from_remote(&listed).unwrap_or_else(|_| unreachable!("a plain name"))
    });
    let namespace = (!scenario.may_grant).then_some("another");
    Grants::new(namespace, &users, scenario.min_admins)
}

impl<'a> Operator<'a> {
    pub(crate) fn new(shared: &'a Tables) -> Self {
        Self {
            shared,
            events: FxHashMap::default(),
            turns: FxHashMap::default(),
            waits: FxHashMap::default(),
            versions: FxHashMap::default(),
            known: FxHashMap::default(),
            lists: FxHashMap::default(),
            watched: FxHashMap::default(),
            claims: FxHashMap::default(),
            reported: FxHashMap::default(),
            beside: None,
            compared: FxHashMap::default(),
            differs: None,
        }
    }

    pub(crate) fn shared(&self) -> &'a Tables {
        self.shared
    }

    /// Something happens to the account. The users whose objects are to be requeued, as bits; they are not yet due.
    pub(crate) fn apply(&mut self, state: &mut State, event: Event) -> u8 {
        self.happen(state, event).requeue
    }

    /// Something happens to the account.
    pub(crate) fn happen(&mut self, state: &mut State, event: Event) -> Done {
        let (account, key, stamps) = (state.account, state.key, state.stamps());
        let shared = self.shared;
        let entry = self.events.entry((account, key, event, stamps));
        let done = *entry.or_insert_with(|| shared.account_step(account, key, event, stamps));
        state.account = done.account;
        state.set_stamps(done.stamps);
        done
    }

    /// Whether the state of the suspended account is being read.
    pub(crate) fn reads_account(&self, state: &State) -> bool {
        state.barred != Barred::No
            && account::reads_account(&self.shared.accounts.get(state.account))
    }

    /// Whether that account asks for a list, for more than the sweep.
    pub(crate) fn awaits_list(&mut self, account: u32) -> bool {
        let shared = self.shared;
        let entry = self.lists.entry(account);
        *entry.or_insert_with(|| account::awaits_list(&shared.accounts.get(account)))
    }

    /// A step of what concerns one object.
    pub(crate) fn turn(&mut self, state: &mut State, at: usize, turn: Turn) -> Done {
        let key = Step::of(state, at, turn);
        let done = if let Some(done) = self.turns.get(&key) {
            *done
        } else {
            let object = self.watched(at, key.version);
            let done = self.shared.turn(&key, object);
            self.turns.insert(key, done);
            done
        };
        self.compare(key, &done);
        state.account = done.account;
        state.claims = done.claims;
        state.objects[at].memory = done.memory;
        if let Turn::Go(..) = turn {
            // If it goes on to another PATCH, that takes its place.
            state.flights[at] = None;
        }
        state.set_stamps(done.stamps);
        done
    }

    /// So much time passes for what is remembered of an object; `None`: an hour by the wall clock.
    pub(crate) fn wait(&mut self, state: &mut State, at: usize, time: Option<Duration>) {
        let memory = &mut state.objects[at].memory;
        let shared = self.shared;
        let entry = self.waits.entry((*memory, time));
        *memory = *entry.or_insert_with(|| shared.wait(*memory, time));
    }

    /// So much time passes for the claims.
    pub(crate) fn wait_claims(&mut self, state: &mut State, passed: Duration) {
        let shared = self.shared;
        let entry = self.claims.entry((state.claims, passed));
        let before = state.claims;
        state.claims = *entry.or_insert_with(|| shared.wait_claims(before, passed));
    }

    /// The object on the API server gets that status, and with it a version that the operator does not know.
    pub(crate) fn status_written(&mut self, object: &mut Object, at: usize, status: u16) {
        let versions = self.versions(object.memory, at);
        let mut server = object.server;
        if server.status == status {
            return;
        }
        (server.status, server.again) = (status, 0);
        while server == object.store || versions.contains(&server) {
            server.again += 1;
        }
        object.server = server;
    }

    /// The versions that are remembered of an object.
    pub(crate) fn versions(&mut self, memory: u32, at: usize) -> Arc<Vec<Version>> {
        let shared = self.shared;
        let entry = self.versions.entry((memory, at));
        entry
            .or_insert_with(|| Arc::new(shared.versions(memory, at)))
            .clone()
    }

    /// The object in that version.
    pub(crate) fn watched(&mut self, at: usize, version: Version) -> Arc<CachedUser> {
        let number = u8::try_from(at).unwrap_or_default();
        let shared = self.shared;
        let entry = self.watched.entry((number, version));
        entry
            .or_insert_with(|| Arc::new(shared.watched(at, version)))
            .clone()
    }

    /// What is known of the user.
    pub(crate) fn known(&mut self, account: u32, user: u8) -> Arc<Known> {
        let shared = self.shared;
        let entry = self.known.entry((account, user));
        let known =
            entry.or_insert_with(|| Arc::new(Known::of(&shared.accounts.get(account), user)));
        known.clone()
    }

    /// The status of that number.
    pub(crate) fn reported(&mut self, status: u16) -> Arc<Reported> {
        let shared = self.shared;
        let entry = self.reported.entry(status);
        entry
            .or_insert_with(|| shared.statuses.reported(status))
            .clone()
    }
}
