//! A driver of the operator's decisions that carries them out against the simulator's model of the account. It shares no
//! code with the plan's engine: answers are decoded from the bytes of the model, time passes, lists repeat, objects come
//! back with their status, and their order is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Attempt, Effect as Effected, Error, Kind};
use fireworks_api::wire::{AccountId, Page, PageToken, User, UserId, decode};
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::updates::Answer;
use fireworks_core::claims::ObjectKey;
use fireworks_core::time::Moment;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::reconcile::{Effect, Input, ObjectRead, Reconcile, WriteOutcome};
use fireworks_core::world::{Now, Settings, World};
use fireworks_gateway_simulator::{Change, Model};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The number of users on a page: small, so that lists have several.
const PAGE: usize = 7;
/// The time that passes: a second list, confirmations and waits end within it.
const HORIZON: Duration = Duration::from_secs(70);
const KEY_VERSION: u64 = 3;
/// The time between a read and its answer.
const LATENCY: Duration = Duration::from_millis(1);
/// Far more steps than a process takes in that time.
const STEPS: usize = 20_000;

/// The account, and what of it cannot be read.
pub struct Gateway {
    pub model: Model,
    pub account: AccountId,
    /// Their rows are malformed.
    pub malformed: BTreeSet<String>,
    /// Single reads of them fail.
    pub unreadable: BTreeSet<String>,
    /// The page of that number, from 0, is malformed as a whole.
    pub broken_page: Option<usize>,
    /// The model's tokens of the pages after the first.
    pub tokens: BTreeMap<usize, String>,
    /// What was changed, by user.
    pub changed: BTreeMap<String, Vec<Change>>,
    pub at_ms: u64,
}

impl Gateway {
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>, Vec<Change>) {
        let uri = format!("/v1/accounts/{}{path}", self.account);
        let (answer, changes) = self.model.answer(method, &uri, body, self.at_ms);
        (answer.status, answer.body, changes)
    }

    pub fn page(&mut self, token: Option<&PageToken>) -> Result<Page, Error> {
        let number = token.map_or(0, |token| token.as_str().parse().unwrap());
        if self.broken_page == Some(number) {
            return Err(failed("list users", false, Kind::Malformed));
        }
        let first = String::new();
        let token = self.tokens.get(&number).unwrap_or(&first);
        let path = format!("/users?pageSize={PAGE}&pageToken={token}");
        let (status, body, _) = self.ask("GET", &path, b"");
        assert_eq!(status, 200);
        let mut page: Value = serde_json::from_slice(&body).unwrap();
        // Pages have numbers here, so that one of them can be broken.
        if let Some(next) = page["nextPageToken"]
            .as_str()
            .filter(|next| !next.is_empty())
        {
            self.tokens.insert(number + 1, next.to_owned());
            page["nextPageToken"] = json!((number + 1).to_string());
        }
        for row in page["users"].as_array_mut().into_iter().flatten() {
            let id = row["name"].as_str().unwrap().rsplit('/').next().unwrap();
            if self.malformed.contains(id) {
                row["name"] = json!(7);
            }
        }
        Ok(decode::page(page.to_string().as_bytes(), &self.account).unwrap())
    }

    pub fn user(&mut self, user: &UserId) -> Result<User, Error> {
        if self.unreadable.contains(user.as_str()) {
            return Err(failed("get user", false, Kind::Transient));
        }
        let answer = self.ask("GET", &format!("/users/{user}"), b"");
        self.answered("get user", false, answer.0, &answer.1)
    }

    fn update(&mut self, user: &UserId, body: &[u8]) -> Result<User, Error> {
        let (status, body, changes) = self.ask("PATCH", &format!("/users/{user}"), body);
        if status == 200 {
            let all = self.changed.entry(user.to_string()).or_default();
            all.extend(changes);
        }
        self.answered("update user", true, status, &body)
    }

    fn answered(&self, what: &str, mutates: bool, status: u16, body: &[u8]) -> Result<User, Error> {
        match status {
            200 => Ok(decode::user(body, &self.account).unwrap()),
            404 => Err(failed(what, mutates, Kind::NotFound)),
            _ => Err(failed(what, mutates, Kind::Rejected)),
        }
    }
}

fn failed(what: &str, mutates: bool, kind: Kind) -> Error {
    Attempt::new(what, mutates, KEY_VERSION).failed(kind, Effected::None, None, "failed")
}

/// The operator's process.
pub struct Process<'a> {
    pub gateway: &'a mut Gateway,
    world: World,
    /// As the API server has them.
    stored: BTreeMap<ObjectKey, Value>,
    watched: BTreeMap<ObjectKey, Arc<CachedUser>>,
    due: Vec<ObjectKey>,
    timers: BTreeMap<ObjectKey, Moment>,
    random: fastrand::Rng,
    began: Moment,
    now: Moment,
    versions: u64,
}

impl<'a> Process<'a> {
    pub fn new(gateway: &'a mut Gateway, settings: Settings, objects: &[Value], seed: u64) -> Self {
        let began = Moment::default() + Duration::from_mins(10);
        let key = |object: &Value| watched(object).key.clone();
        let stored: BTreeMap<_, _> = objects.iter().map(|one| (key(one), one.clone())).collect();
        let watched: BTreeMap<_, _> = stored
            .iter()
            .map(|(key, object)| (key.clone(), watched(object)))
            .collect();
        let mut world = World::new(gateway.account.clone(), settings, began, seed);
        world.begin_epoch(watched.values().map(|one| &**one), false, began);
        world.claims.begin(began, true);
        world.claims.complete();
        world.account.open();
        world.account.key_version = KEY_VERSION;
        Self {
            gateway,
            world,
            due: watched.keys().cloned().collect(),
            stored,
            watched,
            timers: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            began,
            now: began,
            versions: 1,
        }
    }

    /// Runs for the time, and returns the objects with their status.
    pub fn run(mut self) -> BTreeMap<ObjectKey, Value> {
        let until = self.began + HORIZON;
        for _ in 0..STEPS {
            self.obey();
            let passed = u64::try_from((self.now - self.began).as_millis()).unwrap();
            self.gateway.at_ms = passed;
            if !self.due.is_empty() {
                let at = self.random.usize(..self.due.len());
                let key = self.due.swap_remove(at);
                self.reconcile(&key);
                continue;
            }
            match self.world.account.next_request(self.now) {
                Todo::Send(request) => self.send(request),
                Todo::WakeAt(at) => {
                    let next = self.timers.values().copied().chain(at).min();
                    match next.map(|at| at.max(self.now)) {
                        Some(at) if at <= until => self.wake(at),
                        _ => return self.stored,
                    }
                }
            }
        }
        panic!("no end after {:?}: {:?}", self.now - self.began, self.due);
    }

    fn wake(&mut self, at: Moment) {
        self.now = at;
        let due: Vec<_> = self.timers.iter().filter(|(_, one)| **one <= at).collect();
        let due: Vec<ObjectKey> = due.into_iter().map(|(key, _)| key.clone()).collect();
        for key in due {
            self.timers.remove(&key);
            self.requeue(key);
        }
    }

    fn requeue(&mut self, key: ObjectKey) {
        if !self.due.contains(&key) {
            self.due.push(key);
        }
    }

    fn obey(&mut self) {
        let signals = self.world.take_signals();
        for user in signals.requeue.iter().chain(&signals.granted) {
            for key in self.world.claims.objects(user) {
                self.requeue(key);
            }
        }
    }

    fn reconcile(&mut self, key: &ObjectKey) {
        self.timers.remove(key);
        let account = self.gateway.account.clone();
        let mut machine = Reconcile::new(self.watched[key].clone(), account);
        let mut input = Input::Begin { all_synced: true };
        loop {
            let passed = SignedDuration::try_from(self.now - self.began).unwrap();
            let now = Now {
                at: self.now,
                time: Timestamp::UNIX_EPOCH.checked_add(passed).unwrap(),
                key_version: KEY_VERSION,
            };
            input = match machine.step(input, &mut self.world, now) {
                Effect::ReadObject => Input::ObjectRead(ObjectRead::Same),
                Effect::Update(sent) => {
                    let body = serde_json::to_vec(&sent.update.patch).unwrap();
                    let result = self.gateway.update(&sent.update.user, &body);
                    Input::UpdateEnded(Answer {
                        result,
                        key_version: KEY_VERSION,
                    })
                }
                Effect::WriteStatus(write) => {
                    let version = self.write(key, &write.wanted);
                    Input::StatusWritten(WriteOutcome::Written(Some(version)))
                }
                Effect::Finish(finish) => {
                    if let Some(after) = finish.requeue {
                        self.timers.insert(key.clone(), self.now + after);
                    }
                    return;
                }
            };
        }
    }

    /// Writes a status. The watch shows the object with it.
    fn write(&mut self, key: &ObjectKey, status: &str) -> String {
        self.versions += 1;
        let version = self.versions.to_string();
        let object = self.stored.get_mut(key).unwrap();
        object["status"] = serde_json::from_str(status).unwrap();
        object["metadata"]["resourceVersion"] = json!(version);
        let shown = watched(object);
        let account = self.gateway.account.clone();
        let requeue = self.world.object_changed(&account, &shown, self.now);
        self.watched.insert(key.clone(), shown);
        for other in requeue {
            self.requeue(other);
        }
        version
    }

    fn send(&mut self, request: Request) {
        let sent = SentAt {
            at: self.now,
            key_version: KEY_VERSION,
        };
        let response = match request {
            Request::Page(token) => Response::Page(self.gateway.page(token.as_ref())),
            Request::User(user) => {
                let result = self.gateway.user(&user);
                Response::User(user, result)
            }
            Request::Account => Response::Account(Ok(None)),
            Request::Restore(repair) => panic!("no demotion goes too far: {repair:?}"),
        };
        self.now += LATENCY;
        self.world.account.apply(response, sent, self.now);
    }
}

fn watched(object: &Value) -> Arc<CachedUser> {
    Arc::new(serde_json::from_value(object.clone()).unwrap())
}
