//! The steps of the production reconciler, and of what the watch brings: each is a function of the account, of what is
//! remembered of the object, of the claims, and of what happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error;
use fireworks_api::wire::UserRef;
use fireworks_core::account::updates::Answer;
use fireworks_core::claims::{Claims, ObjectKey, RELEASED_FOR};
use fireworks_core::random::Random;
use fireworks_core::time::Moment;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::pending_reports::PendingReports;
use fireworks_core::user::plan::Cause;
use fireworks_core::user::reconcile::{self, Finish, Input, ObjectRead, Reconcile, WriteOutcome};
use fireworks_core::user::state::ObjectStates;
use fireworks_core::world::{Now, World};
use fireworks_crd::ACCEPT_IDENTITY;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::account::{self, STAMP_NOW, TICK, failed_call};
use crate::operator::{Done, Tables};
use crate::state::{CREATED_AGAIN, MANY_STAMPS, Refusal, Stamp, State, Version};
use crate::value::{Body, MANY, Remote, created, user_id};

/// The hour after which a refused change is tried again.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The names of all objects.
const NAMES: [&str; 2] = ["first", "second"];
/// The namespaces of the objects, where they are apart.
const NAMESPACES: [&str; 2] = ["ns", "other"];
/// The number of an object of another account.
const FOREIGN: usize = 7;

/// What happens to one object.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Turn {
    /// The watch brings the version of the API server; `true`: nothing else made a reconciliation due.
    Changed(bool),
    /// A reconciliation of what the store has begins.
    Begin,
    /// That reconciliation goes on.
    Go(u32, Happened),
}

/// What happened to a reconciliation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Happened {
    /// The object was read again: it is the same, or newer, or was not shown.
    ReadSame,
    ReadNewer,
    Unread,
    /// The PATCH was answered, with the key it was sent with.
    Applied(Remote, u8),
    Refused(Refusal, u8),
    Lost(u8),
    /// The status was written, which made that version.
    Written(Version),
    Superseded,
    NotWritten,
}

/// What the operator does next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Effect {
    /// It kept what the watch brought; `true`: a reconciliation of it is due.
    Kept(bool),
    /// It reads the object again.
    Read(u32),
    /// It sends a PATCH, for that reason.
    Update(u32, Body, Cause),
    /// It writes that status over that version.
    Write(u32, Version, u16),
    /// It is done, and requeue again after that time.
    Finish(u16),
    #[default]
    Nothing,
}

/// All that a step depends on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Step {
    pub(crate) account: u32,
    pub(crate) stamps: [Stamp; MANY_STAMPS],
    key: u8,
    at: u8,
    pub(crate) memory: u32,
    pub(crate) claims: u32,
    /// The version of the object, where it matters.
    pub(crate) version: Version,
    turn: Turn,
}

impl Step {
    pub(crate) fn of(state: &State, at: usize, turn: Turn) -> Self {
        let version = match turn {
            Turn::Begin => state.objects[at].store,
            Turn::Changed(_) => state.objects[at].server,
            Turn::Go(..) => Version::default(),
        };
        Self {
            account: state.account,
            stamps: state.stamps(),
            key: state.key,
            at: u8::try_from(at).unwrap_or_default(),
            memory: state.objects[at].memory,
            claims: state.claims,
            version,
            turn,
        }
    }
}

impl Tables {
    /// One step of production code.
    pub(crate) fn turn(&self, key: &Step, object: Arc<CachedUser>) -> Done {
        let mut world = World {
            account: (*self.accounts.get(key.account)).clone(),
            others: BTreeMap::new(),
            claims: (*self.claims.get(key.claims)).clone(),
            objects: (*self.memories.get(key.memory)).clone(),
            pending: PendingReports::default(),
            random: Random::new(0),
            settings: self.settings.clone(),
            epoch: account::at(key.stamps[0]),
            may_have_former: true,
        };
        let mut done = self.act(key, object, &mut world);
        let World {
            mut account,
            objects: mut memory,
            mut claims,
            ..
        } = world;
        done.requeue = self.settle(&mut account, &mut done.stamps, 0);
        self.rest(&mut memory, Duration::ZERO);
        done.account = self.accounts.number(account);
        done.memory = self.memories.number(memory);
        self.rest_claims(&mut claims, Duration::ZERO);
        done.claims = self.claims.number(claims);
        done
    }

    /// The step in that world, which is left as production code leaves it.
    pub(crate) fn act(&self, key: &Step, object: Arc<CachedUser>, world: &mut World) -> Done {
        let at = usize::from(key.at);
        let now = Now {
            at: account::now(),
            time: Timestamp::UNIX_EPOCH,
            key_version: u64::from(key.key),
        };
        if let Some(account) = world.account_of(&self.account) {
            account.key_version = now.key_version;
        }
        let mut stamps = key.stamps;
        let mut objects = 0;
        let effect = match key.turn {
            Turn::Changed(is_first) => {
                for requeued in world.object_changed(&self.account, &object, now.at) {
                    objects |= 1 << self.object_number(&requeued);
                }
                let memory = &mut world.objects;
                let is_echo = is_first && memory.is_echo(&object.uid, &object.version);
                Effect::Kept(!is_echo)
            }
            Turn::Begin => {
                let machine = Reconcile::new(object, self.account.clone());
                self.step(machine, Input::Begin { all_synced: true }, world, now)
            }
            Turn::Go(machine, happened) => {
                let mut machine = (*self.machines.get(machine)).clone();
                let sent = std::mem::take(&mut stamps[1 + at]);
                machine.rebase(|_| account::at(sent));
                let input = self.input(at, happened);
                self.step(machine, input, world, now)
            }
        };
        if let Effect::Update(..) = effect {
            stamps[1 + at] = STAMP_NOW;
        }
        Done {
            stamps,
            objects,
            effect,
            ..Done::default()
        }
    }

    fn step(&self, mut machine: Reconcile, input: Input, world: &mut World, now: Now) -> Effect {
        let effect = machine.step(input, world, now);
        let mut number = || {
            machine.rebase(|_| Moment::default());
            self.machines.number(machine.clone())
        };
        match effect {
            reconcile::Effect::ReadObject => Effect::Read(number()),
            reconcile::Effect::Update(sent) => {
                let update = &sent.update;
                Effect::Update(number(), Body::of(&update.patch), update.cause)
            }
            reconcile::Effect::WriteStatus(write) => {
                let wanted = self.statuses.keep(write.wanted);
                Effect::Write(number(), Version::named(&write.version), wanted)
            }
            reconcile::Effect::Finish(Finish { requeue, .. }) => {
                Effect::Finish(self.timer(requeue))
            }
        }
    }

    fn input(&self, at: usize, happened: Happened) -> Input {
        let failed = |kind, effect, key: u8| {
            Input::UpdateEnded(Answer {
                result: Err(failed_call(kind, effect, key)),
                key_version: u64::from(key),
            })
        };
        match happened {
            Happened::ReadSame => Input::ObjectRead(ObjectRead::Same),
            Happened::ReadNewer => Input::ObjectRead(ObjectRead::Newer),
            Happened::Unread => Input::ObjectRead(ObjectRead::Unavailable),
            Happened::Applied(after, key) => Input::UpdateEnded(Answer {
                result: Ok(after.answer(self.scenario.objects[at], self.timed)),
                key_version: u64::from(key),
            }),
            Happened::Refused(refusal, key) => {
                let kind = match refusal {
                    Refusal::NotFound => error::Kind::NotFound,
                    Refusal::Invalid => error::Kind::Rejected,
                    Refusal::Denied => error::Kind::Denied,
                    Refusal::Key => error::Kind::Unauthenticated,
                    Refusal::Throttled => error::Kind::Throttled,
                    Refusal::Suspended => error::Kind::AccountSuspended,
                    Refusal::Aborted => error::Kind::Transient,
                };
                failed(kind, error::Effect::None, key)
            }
            Happened::Lost(key) => failed(error::Kind::Transient, error::Effect::Unknown, key),
            Happened::Written(version) => {
                Input::StatusWritten(WriteOutcome::Written(Some(version.name())))
            }
            Happened::Superseded => Input::StatusWritten(WriteOutcome::Superseded),
            Happened::NotWritten => Input::StatusWritten(WriteOutcome::NotWritten),
        }
    }

    /// Brings a memory into its canonical form, so much later.
    pub(crate) fn rest(&self, memory: &mut ObjectStates, passed: Duration) {
        let (before, now) = (account::now(), account::now() + passed);
        // Only where it matters how long ago something was.
        let is_kept = self.scenario.contends();
        memory.rebase(now, |at| {
            if is_kept || at > before {
                at - passed
            } else {
                before
            }
        });
    }

    /// Brings claims into their canonical form, so much later.
    pub(crate) fn rest_claims(&self, claims: &mut Claims, passed: Duration) {
        let now = account::now();
        let contends = self.scenario.contends();
        claims.rebase(now + passed, |at| {
            if contends {
                at - passed
            } else {
                // No other object waits for it.
                now + RELEASED_FOR
            }
        });
    }

    /// So much time passes for those claims.
    pub(crate) fn wait_claims(&self, claims: u32, passed: Duration) -> u32 {
        let mut claims = (*self.claims.get(claims)).clone();
        self.rest_claims(&mut claims, passed);
        self.claims.number(claims)
    }

    /// So much time passes for a memory; `None`: an hour by the wall clock.
    pub(crate) fn wait(&self, memory: u32, time: Option<Duration>) -> u32 {
        let mut memory = (*self.memories.get(memory)).clone();
        match time {
            Some(passed) => self.rest(&mut memory, passed),
            None => memory.rebase_hours(|_| Timestamp::UNIX_EPOCH - HOUR),
        }
        self.memories.number(memory)
    }

    /// The versions that are remembered of an object.
    pub(crate) fn versions(&self, memory: u32, at: usize) -> Vec<Version> {
        let object_state = self.memories.get(memory).recall(&self.uid(at), 0);
        let written = object_state.written.iter();
        written
            .flat_map(|written| written.bases.iter().chain([&written.version]))
            .map(|name| Version::named(name))
            .collect()
    }

    /// A process begins with those objects: the account, and what is remembered of each object.
    pub(crate) fn start(&self, versions: [Option<Version>; MANY]) -> (u32, u32, [u32; MANY]) {
        let now = account::at(STAMP_NOW);
        let mut world = World::new(self.account.clone(), self.settings.clone(), now, 0);
        world.account = world.account.with_rules(self.rules);
        world.claims = Claims::with_rules(self.rules);
        let mut memories = [0; MANY];
        let versions = versions.into_iter().enumerate();
        for (at, version) in versions.filter_map(|(at, version)| Some((at, version?))) {
            world.objects = ObjectStates::default();
            let object = self.watched(at, version);
            world.object_found(&object);
            let _ = world.object_changed(&self.account, &object, now);
            for _ in 0..self.scenario.repaired {
                let user = UserRef {
                    account: self.account.clone(),
                    user: user_id(self.scenario.objects[at]),
                };
                world.objects.repaired(&user, now, Timestamp::UNIX_EPOCH);
            }
            let mut memory = std::mem::take(&mut world.objects);
            self.rest(&mut memory, Duration::ZERO);
            memories[at] = self.memories.number(memory);
        }
        world.claims.begin(now, true);
        self.rest_claims(&mut world.claims, Duration::ZERO);
        let mut account = world.account;
        account.open();
        self.settle(&mut account, &mut [STAMP_NOW, 0, 0, 0], 0);
        let claims = self.claims.number(world.claims);
        (self.accounts.number(account), claims, memories)
    }

    /// The object in that version, as the watch brings it.
    pub(crate) fn watched(&self, at: usize, version: Version) -> CachedUser {
        let key = self.object_key(at);
        let user = self.scenario.objects.get(at).copied().unwrap_or_default();
        let spec = self.scenario.specs[usize::from(version.spec)];
        let status = self.statuses.reported(version.status);
        let is_created_again = version.generation >= CREATED_AGAIN;
        let place = self.scenario.place + at + if is_created_again { MANY } else { 0 };
        let accepts = created(spec.accepts).map(|time| json!({ACCEPT_IDENTITY: time.to_string()}));
        let raw = json!({
            "metadata": {
                "annotations": accepts,
                "namespace": &*key.namespace,
                "name": &*key.name,
                "uid": self.uid(at),
                "resourceVersion": version.name(),
                "generation": version.generation,
                "creationTimestamp": format!("1970-01-01T00:00:0{place}Z"),
                "deletionTimestamp": version.deleting.then_some("1970-01-01T00:00:09Z"),
            },
            "spec": spec.json(user),
            "status": status.status,
        });
        serde_json::from_value(raw).unwrap_or_else(|_| unreachable!("an object"))
    }

    fn uid(&self, object: usize) -> String {
        format!("uid-{}", self.scenario.place + object)
    }

    /// The key of an object.
    fn object_key(&self, object: usize) -> ObjectKey {
        ObjectKey {
            namespace: if self.scenario.apart {
                NAMESPACES[object].into()
            } else {
                NAMESPACES[0].into()
            },
            name: NAMES[self.scenario.place + object].into(),
        }
    }

    fn object_number(&self, key: &ObjectKey) -> usize {
        (0..self.scenario.objects.len())
            .find(|at| self.object_key(*at) == *key)
            .unwrap_or(FOREIGN)
    }
}

impl Version {
    /// Its resourceVersion.
    pub(crate) fn name(self) -> String {
        let [low, high] = self.status.to_le_bytes();
        let flags = self.spec << 5 | self.again << 1 | u8::from(self.deleting);
        u32::from_le_bytes([low, high, self.generation, flags]).to_string()
    }

    fn named(name: &str) -> Self {
        let [low, high, generation, flags] = name.parse::<u32>().unwrap_or_default().to_le_bytes();
        Self {
            spec: flags >> 5,
            again: flags >> 1 & 15,
            generation,
            status: u16::from_le_bytes([low, high]),
            deleting: flags & 1 == 1,
        }
    }
}

/// What passes for memories in a tick.
pub(crate) const fn tick() -> Duration {
    TICK
}
