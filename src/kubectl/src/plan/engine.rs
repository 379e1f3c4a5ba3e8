//! Runs the operator's decisions over a snapshot, and carries nothing out: each effect is answered by the copy of the account,
//! each status is kept as the outcome, and time passes only when nothing else is to be done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{AccountId, UserId};
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::updates::Answer;
use fireworks_core::claims::ObjectKey;
use fireworks_core::time::Moment;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::plan::Update;
use fireworks_core::user::reconcile::{
    Effect, Explanation, Input, ObjectRead, Reconcile, WriteOutcome,
};
use fireworks_core::world::{Now, Settings, World};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions;
use jiff::{SignedDuration, Timestamp};

use super::KEY_VERSION;
use super::remote::Remote;
use crate::snapshot::Snapshot;

/// The time after which what still waits is shown as waiting: longer than each wait that ends by itself.
const HORIZON: Duration = Duration::from_mins(5);
/// The time before the plan at which the process seems to have begun, in addition to the settle window.
const BEFORE: Duration = Duration::from_hours(1);
/// The most steps for each object: only a mistake takes more.
const STEPS: usize = 1_000;
/// Reasons that may end without a change of manifest or account: another claim, or a list that fails while single reads succeed.
const PASSING: [&str; 5] = [
    "Throttled",
    "TakingOver",
    "Unconfirmed",
    "RemoteUnavailable",
    "MalformedResponse",
];
/// Determines all jitter, so that equal input gives an equal plan.
const SEED: u64 = 17;

/// What the decisions lead to for one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The updates, in their order.
    pub(super) updates: Vec<Update>,
    /// What the object reports in the end.
    pub(super) report: Option<Report>,
    /// The basis of its first update, or, where it has none, of its last decision; where it was asked for.
    pub(super) explanation: Option<Explanation>,
}

/// What a status reports: the part of it that a plan shows.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The status of `Ready`.
    pub(super) ready: String,
    /// Its reason.
    pub(super) reason: String,
    /// Its message.
    pub(super) message: String,
    /// The guard that holds the change.
    pub(super) guard: Option<String>,
}

impl Report {
    fn of(status: &str) -> Option<Self> {
        let status: FireworksUserStatus = serde_json::from_str(status).ok()?;
        let ready = conditions::find(&status.conditions, "Ready")?;
        Some(Self {
            ready: ready.status.clone(),
            reason: ready.reason.clone(),
            message: ready.message.clone(),
            guard: status.guard,
        })
    }
}

/// One run.
pub(super) struct Engine<'a> {
    world: World,
    remote: Remote<'a>,
    account: AccountId,
    objects: BTreeMap<ObjectKey, Arc<CachedUser>>,
    queue: VecDeque<ObjectKey>,
    queued: BTreeSet<ObjectKey>,
    timers: BTreeMap<ObjectKey, Moment>,
    outcomes: BTreeMap<ObjectKey, Outcome>,
    explained: BTreeSet<ObjectKey>,
    begun_at: Moment,
    now: Moment,
    time: Timestamp,
}

impl<'a> Engine<'a> {
    /// Returns a run over the snapshot. The process counts as begun a settle window ago: no former one is presumed.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        settings: Settings,
        objects: impl IntoIterator<Item = CachedUser>,
    ) -> Self {
        let epoch = Moment::default() + BEFORE;
        let now = epoch + settings.settle_window;
        let account = snapshot.account.clone();
        let mut world = World::new(account.clone(), settings, epoch, SEED);
        let objects: Vec<CachedUser> = objects.into_iter().collect();
        world.begin_epoch(objects.iter(), false, epoch);
        world.claims.begin(epoch, true);
        world.claims.complete();
        world.account.open();
        let keys = objects.iter().map(|object| object.key.clone());
        let queue: VecDeque<ObjectKey> = keys.collect();
        Self {
            world,
            remote: Remote::new(snapshot),
            account,
            queued: queue.iter().cloned().collect(),
            queue,
            objects: objects
                .into_iter()
                .map(|object| (object.key.clone(), Arc::new(object)))
                .collect(),
            timers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            explained: BTreeSet::new(),
            begun_at: now,
            now,
            time: snapshot.taken_at,
        }
    }

    /// Explains the decisions about these objects.
    pub(super) fn explaining(mut self, objects: BTreeSet<ObjectKey>) -> Self {
        self.explained = objects;
        self
    }

    /// Runs until nothing more happens, and returns the outcome of each object.
    pub(super) fn run(mut self) -> BTreeMap<ObjectKey, Outcome> {
        let until = self.now + HORIZON;
        let steps = STEPS * (self.objects.len() + 1);
        for _ in 0..steps {
            self.obey();
            if let Some(key) = self.queue.pop_front() {
                self.queued.remove(&key);
                self.reconcile(&key);
                continue;
            }
            match self.world.account.next_request(self.now) {
                Todo::Send(request) => self.answer(request),
                Todo::WakeAt(at) => {
                    let next = self.timers.values().copied().chain(at).min();
                    match next {
                        Some(at) if at <= until && !self.has_settled() => self.pass_to(at),
                        _ => break,
                    }
                }
            }
        }
        self.outcomes
    }

    /// Returns whether every object reports something that does not change by waiting.
    fn has_settled(&self) -> bool {
        let is_settled = |key: &ObjectKey| {
            let outcome = self.outcomes.get(key);
            let report = outcome.and_then(|outcome| outcome.report.as_ref());
            report.is_some_and(|report| !PASSING.contains(&report.reason.as_str()))
        };
        self.objects.keys().all(is_settled)
    }

    fn pass_to(&mut self, at: Moment) {
        self.now = at.max(self.now);
        let now = self.now;
        let due = self.timers.iter().filter(|(_, at)| **at <= now);
        let due: Vec<ObjectKey> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            self.timers.remove(&key);
            self.add(key);
        }
    }

    fn add(&mut self, key: ObjectKey) {
        if self.objects.contains_key(&key) && self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    /// Requeues what the last change of the world concerns.
    fn obey(&mut self) {
        let signals = self.world.take_signals();
        for user in signals.requeue.iter().chain(&signals.granted) {
            for key in self.world.claims.objects(user) {
                self.add(key);
            }
        }
    }

    fn clock(&self) -> Now {
        let passed = SignedDuration::try_from(self.now - self.begun_at).unwrap_or_default();
        Now {
            at: self.now,
            time: self.time.checked_add(passed).unwrap_or(self.time),
            key_version: KEY_VERSION,
        }
    }

    fn reconcile(&mut self, key: &ObjectKey) {
        let Some(object) = self.objects.get(key).cloned() else {
            return;
        };
        self.timers.remove(key);
        let mut machine = Reconcile::new(object, self.account.clone());
        let mut input = Input::Begin { all_synced: true };
        loop {
            let now = self.clock();
            self.explain(key, &machine, &input);
            let effect = machine.step(input, &mut self.world, now);
            input = match effect {
                Effect::ReadObject => Input::ObjectRead(ObjectRead::Same),
                Effect::Update(sent) => {
                    let (user, patch) = (&sent.update.user, &sent.update.patch);
                    let result = self.remote.update(user, patch, now.time);
                    let outcome = self.outcomes.entry(key.clone()).or_default();
                    outcome.updates.push(sent.update);
                    Input::UpdateEnded(Answer {
                        result,
                        key_version: KEY_VERSION,
                    })
                }
                Effect::WriteStatus(write) => {
                    let outcome = self.outcomes.entry(key.clone()).or_default();
                    outcome.report = Report::of(&write.wanted);
                    // The next reconciliation compares with what was written.
                    Input::StatusWritten(WriteOutcome::Written(Some(write.version + "0")))
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

    /// Keeps the basis of the decision that the input leads to.
    fn explain(&mut self, key: &ObjectKey, machine: &Reconcile, input: &Input) {
        let decides = matches!(input, Input::Begin { .. } | Input::ObjectRead(_));
        if !decides || !self.explained.contains(key) {
            return;
        }
        let explanation = machine.explain(&self.world, self.clock());
        let outcome = self.outcomes.entry(key.clone()).or_default();
        if outcome.updates.is_empty() {
            outcome.explanation = explanation;
        }
    }

    fn answer(&mut self, request: Request) {
        let sent = SentAt {
            at: self.now,
            key_version: KEY_VERSION,
        };
        let response = match request {
            Request::Page(token) => Response::Page(self.remote.page(token.as_ref())),
            Request::User(user) => self.user(user),
            Request::Account => Response::Account(Ok(None)),
            Request::Restore(repair) => {
                let time = self.clock().time;
                let answer = Answer {
                    result: self.remote.update(&repair.user, &repair.patch, time),
                    key_version: KEY_VERSION,
                };
                let _ = self
                    .world
                    .account
                    .end_restore(&repair.user, answer, self.now);
                return;
            }
        };
        self.world.account.apply(response, sent, self.now);
    }

    fn user(&self, user: UserId) -> Response {
        let result = self.remote.user(&user);
        Response::User(user, result)
    }
}
