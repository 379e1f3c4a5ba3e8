//! Runs the operator's decisions over a snapshot, and carries nothing out: each effect is answered by the copy of the account,
//! each status is kept as the outcome, and time passes only when nothing else is to be done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{AccountId, UserId};
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::updates::Answer;
use fireworks_core::claims::{ObjectKey, Ownership};
use fireworks_core::time::Moment;
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::plan::Update;
use fireworks_core::user::reconcile::{
    Effect, Explanation, Input, ObjectRead, Reconcile, ReportOutcome, WriteOutcome,
};
use fireworks_core::world::{Now, Settings, World};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Reason};
use jiff::{SignedDuration, Timestamp};

use super::KEY_VERSION;
use super::onto::{Name, Onto};
use super::remote::Remote;
use crate::snapshot::Snapshot;

/// The time after which what still waits is shown as waiting: longer than each wait that ends by itself.
const HORIZON: Duration = Duration::from_mins(5);
/// The time before the plan at which the process seems to have begun, in addition to the settle window.
const BEFORE: Duration = Duration::from_hours(1);
/// The time between a read and its answer: of two reads at one time the second would not count as newer.
const LATENCY: Duration = Duration::from_millis(1);
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
    fn of(status: FireworksUserStatus) -> Option<Self> {
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
    /// Further namespaces may have objects.
    is_partial: bool,
}

impl<'a> Engine<'a> {
    /// Returns a run over the snapshot. `objects` are those with which the epoch begins. The process counts as begun a settle window ago: no former one is presumed.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        settings: Settings,
        objects: impl IntoIterator<Item = CachedUser>,
        onto: &Onto,
    ) -> Self {
        let epoch = Moment::default() + BEFORE;
        let now = epoch + settings.settle_window;
        let account = snapshot.account.clone();
        let mut world = World::new(account.clone(), settings, epoch, SEED);
        let objects: Vec<CachedUser> = objects.into_iter().collect();
        world.begin_epoch(objects.iter(), false, epoch);
        world.claims.begin(epoch, !onto.is_partial);
        world.account.open();
        let keys = objects.iter().map(|object| object.key.clone());
        let queue: VecDeque<ObjectKey> = keys.collect();
        Self {
            world,
            remote: Remote::new(snapshot, onto.denied.clone()),
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
            is_partial: onto.is_partial,
        }
    }

    /// Applies manifests after the epoch has begun: `changed` are the objects that they change or create.
    pub(super) fn apply(&mut self, changed: Vec<CachedUser>, deleted: &[Name]) {
        let mut requeue = Vec::new();
        for object in changed {
            let account = self.account.clone();
            requeue.extend(self.world.object_changed(&account, &object, self.now));
            requeue.push(object.key.clone());
            self.objects.insert(object.key.clone(), Arc::new(object));
        }
        for (namespace, name) in deleted {
            let key = ObjectKey {
                namespace: namespace.as_str().into(),
                name: name.as_str().into(),
            };
            if let Some(object) = self.objects.remove(&key) {
                requeue.extend(self.world.object_removed(&object, self.now));
            }
        }
        for key in requeue {
            self.add(key);
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
        let all_synced = self.is_claim_known(&object);
        if !all_synced && object.reported.is_some_and(Reason::names_another_claim) {
            // The object that holds the user is in a namespace that was not read: what is reported stays.
            let outcome = self.outcomes.entry(key.clone()).or_default();
            outcome.report = Report::of(object.status());
        }
        let mut machine = Reconcile::new(Arc::clone(&object), self.account.clone());
        let mut input = Input::Begin { all_synced };
        loop {
            let now = self.clock();
            self.explain(key, &machine, &input);
            let effect = machine.step(input, &mut self.world, now);
            input = match effect {
                Effect::ReadObject => Input::ObjectRead(ObjectRead::Same),
                Effect::Update(sent) => {
                    let (user, patch) = (&sent.update.user, &sent.update.patch);
                    let result = self.remote.update(user, patch, now.time);
                    if result.is_ok() {
                        let outcome = self.outcomes.entry(key.clone()).or_default();
                        outcome.updates.push(sent.update);
                    }
                    Input::UpdateEnded(Answer {
                        result,
                        key_version: KEY_VERSION,
                    })
                }
                Effect::WriteStatus(write) => {
                    let outcome = self.outcomes.entry(key.clone()).or_default();
                    let wanted = serde_json::from_str(&write.wanted).ok();
                    outcome.report = wanted.and_then(Report::of);
                    // The next reconciliation compares with what was written.
                    Input::StatusWritten(WriteOutcome::Written(Some(write.version + "0")))
                }
                Effect::Finish(finish) => {
                    let report = finish.report.map(|report| report.outcome);
                    if report == Some(ReportOutcome::Unchanged) {
                        let outcome = self.outcomes.entry(key.clone()).or_default();
                        let report = outcome.report.take();
                        outcome.report = report.or_else(|| Report::of(object.status()));
                    }
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

    /// Returns whether an object that was not read cannot be the one that holds the user.
    fn is_claim_known(&mut self, object: &CachedUser) -> bool {
        let claim = object.claim(&self.account, self.world.settings.observe_only);
        let Some(claim) = claim.filter(|_| self.is_partial) else {
            return true;
        };
        let claims = &mut self.world.claims;
        let ownership = claims.ownership(&object.key, &claim.user, self.now);
        !matches!(ownership, Ownership::Released(_))
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
        self.now += LATENCY;
        self.world.account.apply(response, sent, self.now);
    }

    fn user(&self, user: UserId) -> Response {
        let result = self.remote.user(&user);
        Response::User(user, result)
    }
}
