//! What may happen next: steps of the operator, and of everything around it. Each step is one thing
//! that happens at one place; every order of them is searched.

use crate::account::{Event, Failing, STAMP_NOW, age};
use crate::oracle::identity::Identity;
use crate::oracle::{self, STALE};
use crate::reconcile::{FIGHT, number};
use crate::state::{
    Barred, CREATED_AGAIN, Expected, Flight, LateChange, Left, NEVER, Object, STANDS, Stage, State,
    Version,
};
use crate::statuses::IN_SYNC;
use crate::turns::{Effect, Turn, tick};
use crate::value::{MANY, Remote, SPECS};
use crate::world::{Label, Next, World};

/// A label.
pub(crate) fn label(what: &'static str, at: usize) -> Label {
    Label {
        what,
        at: number(at),
    }
}

impl World<'_> {
    /// The world before anything has happened: the operator starts.
    pub(crate) fn beginning(&mut self) -> State {
        let scenario = self.scenario;
        let mut state = State {
            remote: [Remote::default(); MANY],
            before: [None; MANY],
            late_changes: [[None; 2]; MANY],
            objects: [Object::default(); MANY],
            flights: [None; MANY],
            read: None,
            matched: [[NEVER; SPECS]; MANY],
            unread: [0; MANY],
            ungot: [false; MANY],
            account: 0,
            claims: 0,
            started: 0,
            key: 1,
            revoked: false,
            counts: false,
            paused: false,
            gets_fail: false,
            suspended: false,
            barred: Barred::No,
            may_probe: false,
            was_free: false,
            repairs: [0; MANY],
            left: Left {
                edits: scenario.edits,
                deletions: scenario.deletions,
                creations: scenario.creations,
                drifts: scenario.drifts,
                crashes: scenario.crashes,
                faults: scenario.budget.count,
            },
        };
        for (remote, user) in state.remote.iter_mut().zip(&scenario.users) {
            *remote = *user;
        }
        for object in self.objects() {
            state.objects[object].server = Version {
                spec: scenario.first[object],
                generation: 1,
                status: scenario.statuses[object],
                deleting: false,
                again: 0,
            };
            let status = self.operator.reported(scenario.statuses[object]);
            state.objects[object].identity = Identity::of(&status);
        }
        self.start(&mut state);
        self.witness(&mut state);
        state
    }

    pub(crate) fn of_operator(&mut self, state: &State, out: &mut Vec<Next>) {
        for object in self.objects() {
            self.of_object(state, object, out);
            self.of_flight(state, object, out);
        }
        if let Some(read) = state.read {
            self.read_ends(state, read, out);
        }
    }

    /// What happens around the operator, but that time passes.
    pub(crate) fn of_world(&mut self, state: &State, out: &mut Vec<Next>) {
        self.of_reads(state, out);
        self.of_remote(state, out);
        self.of_account(state, out);
        if state.left.crashes > 0 {
            let mut next = *state;
            next.left.crashes -= 1;
            self.crash(&mut next);
            self.push(
                out,
                next,
                label("the operator crashes and starts", 0),
                false,
                None,
            );
        }
    }

    /// The process begins: it knows only what the API server returns.
    fn start(&mut self, state: &mut State) {
        let mut versions = [None; MANY];
        for at in self.objects() {
            state.objects[at].server.again = 0;
            versions[at] = Some(state.objects[at].server);
        }
        let memories;
        (state.account, state.claims, memories) = self.operator.shared().start(versions);
        state.started = STAMP_NOW;
        (state.unread, state.ungot) = ([0; MANY], [false; MANY]);
        for at in self.objects() {
            let object = &mut state.objects[at];
            let reported = self.operator.reported(object.server.status);
            let here = reported.generation == i64::from(object.server.generation);
            let reason = reported.reason.as_deref().filter(|_| here);
            let refused = match reason {
                Some("Rejected") => object.expected.refused,
                // One settle window after the start one object of the account tries again.
                Some("PermissionDenied") => object.expected.refused.min(1),
                _ => 0,
            };
            let unapplied = reason == Some("NotApplied");
            *object = Object {
                server: object.server,
                store: object.server,
                due: true,
                memory: memories[at],
                identity: object.identity,
                expected: Expected {
                    answer_applied: false,
                    refused,
                    missed: if unapplied { object.expected.missed } else { 0 },
                    repairs: matches!(reason, Some("InSync" | "Contested")),
                },
                ..Object::default()
            };
        }
        state.repairs = [self.scenario.repaired; MANY];
        self.apply(state, Event::Nothing);
    }

    fn crash(&mut self, state: &mut State) {
        for object in self.objects() {
            if let Some(flight) = state.flights[object].take() {
                self.abandon(state, object, flight, true);
            }
        }
        for late in state.late_changes.iter_mut().flatten().flatten() {
            late.orphan = true;
        }
        state.read = None;
        (state.counts, state.paused) = (false, false);
        (state.barred, state.may_probe) = (Barred::No, false);
        self.start(state);
    }

    /// Nothing waits for the change any more; if it has not taken effect it still may.
    pub(crate) fn abandon(
        &mut self,
        state: &mut State,
        object: usize,
        flight: Flight,
        orphan: bool,
    ) {
        let user = self.user_of(object);
        if flight.stage == Stage::Sent {
            Self::may_arrive_late(state, user, flight, orphan, false);
        }
        Self::doubt(state, user);
    }

    pub(crate) fn may_arrive_late(
        state: &mut State,
        user: usize,
        flight: Flight,
        orphan: bool,
        excused: bool,
    ) {
        let late = LateChange {
            body: flight.body,
            orphan,
            excused,
        };
        let free = state.late_changes[user]
            .iter_mut()
            .find(|place| place.is_none());
        if let Some(place) = free {
            *place = Some(late);
        }
    }

    fn of_object(&mut self, state: &State, at: usize, out: &mut Vec<Next>) {
        let object = &state.objects[at];
        if object.due && state.flights[at].is_none() {
            self.begin(*state, at, out);
        }
        if object.timer > 0 && state.flights[at].is_none() {
            let mut next = *state;
            let passed = self.operator.shared().duration(object.timer);
            let object = &mut next.objects[at];
            (object.timer, object.due) = (0, true);
            self.operator.wait(&mut next, at, Some(passed));
            self.operator.wait_claims(&mut next, passed);
            next.was_free |= passed > tick() / 16 && self.is_free(state);
            rest(&mut next, self.user_of(at));
            self.push(
                out,
                next,
                label("the timer fires of object", at),
                true,
                None,
            );
        }
        if object.store != object.server {
            let mut next = *state;
            self.deliver(&mut next, at);
            self.push(out, next, label("the watch brings object", at), true, None);
        }
        if self.scenario.budget.overwritten
            && state.left.faults > 0
            && object.server.status > IN_SYNC
        {
            let mut next = *state;
            next.left.faults -= 1;
            let object = &mut next.objects[at];
            self.operator.status_written(object, at, 0);
            let what = label("another writer removes the status of object", at);
            self.push(out, next, what, false, None);
        }
        if state.left.edits > 0 && !object.server.deleting {
            for spec in 0..number(self.scenario.specs.len()) {
                if spec != object.server.spec {
                    let mut next = *state;
                    next.left.edits -= 1;
                    next.objects[at].server.spec = spec;
                    next.objects[at].server.generation += 1;
                    self.push(out, next, label("an edit of object", at), false, None);
                }
            }
        }
        if state.left.deletions > 0 && !object.server.deleting {
            let mut next = *state;
            next.left.deletions -= 1;
            next.objects[at].server.deleting = true;
            self.push(out, next, label("a deletion of object", at), false, None);
        }
        if state.left.creations > 0 && object.store.deleting && object.store == object.server {
            let mut next = *state;
            next.left.creations -= 1;
            next.objects[at].server = Version {
                spec: object.server.spec,
                generation: CREATED_AGAIN,
                ..Version::default()
            };
            self.push(
                out,
                next,
                label("creation again of object", at),
                false,
                None,
            );
        }
    }

    pub(crate) fn deliver(&mut self, state: &mut State, at: usize) {
        let object = &mut state.objects[at];
        let moved = object.store.generation != object.server.generation;
        if moved {
            object.expected = Expected::default();
        }
        let is_first = !object.due;
        let (effect, _) = self.turn(state, at, Turn::Changed(is_first));
        let object = &mut state.objects[at];
        object.store = object.server;
        object.due |= matches!(effect, Effect::Kept(true));
        if state.flights[at].is_none() && self.operator.versions(object.memory, at).is_empty() {
            (object.store.again, object.server.again) = (0, 0);
        }
    }

    /// Time passes: a settle window, and less than a sweep period.
    pub(crate) fn tick(&mut self, state: &State, out: &mut Vec<Next>) {
        let late = |sent| age(sent) > 0;
        let soon = |timer: u16| timer > 0 && self.operator.shared().duration(timer) < tick() / 2;
        let waits = |object: &Object| object.due || soon(object.timer);
        let busy = state.objects.iter().any(waits)
            || state
                .flights
                .iter()
                .flatten()
                .any(|flight| late(flight.sent))
            || state
                .read
                .is_some_and(|read| self.scenario.budget.gets || late(read.sent))
            || self.operator.reads_account(state)
            || self.scenario.budget.gets && !state.gets_fail && self.awaits_get(state);
        if busy {
            return;
        }
        let mut broken = None;
        for at in self.objects() {
            broken = broken.or_else(|| oracle::lasting(self, state, at).filter(|_| !state.paused));
        }
        let mut next = *state;
        let unread = (0..self.scenario.users.len()).any(|user| {
            let is_late = state.unread[user] >= 2 || state.ungot[user];
            self.is_of_interest(state, user) && is_late
        });
        let reads_stopped = state.counts || state.paused || state.suspended;
        let outage = unread && !reads_stopped;
        if outage {
            if !self.scenario.budget.outages || state.left.faults == 0 {
                return;
            }
            next.left.faults -= 1;
        }
        next.late_changes = [[None; 2]; MANY];
        next.before = [None; MANY];
        for (user, unread) in next.unread.iter_mut().enumerate() {
            *unread = if self.is_of_interest(state, user) {
                (*unread + 1).min(3)
            } else {
                0
            };
        }
        for (user, ungot) in next.ungot.iter_mut().enumerate() {
            let is_asked = self
                .operator
                .known(state.account, number(user))
                .is_requested;
            *ungot = is_asked && self.is_of_interest(state, user);
        }
        for matched in next.matched.iter_mut().flatten() {
            *matched = if *matched == NEVER {
                NEVER
            } else {
                (*matched + 1).min(6)
            };
        }
        for at in self.objects() {
            self.operator.wait(&mut next, at, Some(tick()));
            rest(&mut next, self.user_of(at));
            let refused = &mut next.objects[at].expected.refused;
            *refused -= u8::from(!matches!(*refused, 0 | STANDS));
        }
        self.operator.wait_claims(&mut next, tick());
        next.was_free |= self.is_free(state);
        self.apply(&mut next, Event::Tick);
        if outage || (unread && state.counts) {
            self.apply(&mut next, Event::ListFailed(Failing::Outage));
        }
        if age(state.started) < STALE && age(next.started) == STALE {
            self.requeue_unseen(&mut next);
        }
        let what = if outage {
            "time passes without a good read"
        } else {
            "time passes"
        };
        self.push(
            out,
            next,
            label(what, 0),
            !outage && !reads_stopped && !state.gets_fail,
            broken,
        );
    }
}

impl World<'_> {
    /// The first object does not claim its user, as far as the operator knows, and one of another namespace may.
    fn is_free(&self, state: &State) -> bool {
        let store = state.objects[0].store;
        self.scenario.apart && (store.deleting || self.spec(store.spec).observe)
    }

    /// A single read is asked for.
    fn awaits_get(&mut self, state: &State) -> bool {
        (0..number(self.scenario.users.len()))
            .any(|user| self.operator.known(state.account, user).is_requested)
    }
}

/// Time passes: a fight's pause is over, and one more repair begins the next.
fn rest(state: &mut State, user: usize) {
    state.repairs[user] = state.repairs[user].min(FIGHT - 1);
}
