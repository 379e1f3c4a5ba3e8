//! What every step of the world shares: the scenario, the tables of one thread, and the few changes
//! that many steps are made of.

use crate::account::Event;
use crate::operator::{Done, Operator};
use crate::reconcile::number;
use crate::scenario::Scenario;
use crate::state::{Expected, NEVER, Stamp, State};
use crate::turns::{Effect, Turn};
use crate::value::{Phase, Remote, SPECS, Spec};

/// What happened, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) what: &'static str,
    pub(crate) at: u8,
}

/// One state that may come next.
pub(crate) struct Next<S = State> {
    pub(crate) state: S,
    pub(crate) label: Label,
    /// It happens also where nothing goes wrong any more.
    pub(crate) free: bool,
    /// The promise that this step breaks.
    pub(crate) broken: Option<String>,
}

/// A scenario with the tables of one thread.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) operator: Operator<'a>,
}

impl<'a> World<'a> {
    pub(crate) fn new(operator: Operator<'a>) -> Self {
        Self {
            scenario: &operator.shared().scenario,
            operator,
        }
    }

    pub(crate) fn spec(&self, spec: u8) -> Spec {
        self.scenario.specs[usize::from(spec)]
    }

    pub(crate) fn user_of(&self, object: usize) -> usize {
        self.scenario.objects[object]
    }

    pub(crate) fn objects(&self) -> std::ops::Range<usize> {
        0..self.scenario.objects.len()
    }

    /// Whether the reader reads the user: an object that may make calls declares it.
    pub(crate) fn is_of_interest(&self, state: &State, user: usize) -> bool {
        self.objects().any(|object| {
            let store = state.objects[object].store;
            self.user_of(object) == user
                && store.generation > 0
                && !store.deleting
                && !self.spec(store.spec).suspend
        })
    }

    /// Something happens to the account; the objects that it requeues are due.
    pub(crate) fn apply(&mut self, state: &mut State, event: Event) {
        let requeue = self.operator.apply(state, event);
        self.requeue(state, requeue, 0);
    }

    /// Something happens to the object. What the operator does next, and the time of a PATCH that leaves.
    pub(crate) fn turn(&mut self, state: &mut State, at: usize, turn: Turn) -> (Effect, Stamp) {
        let done = self.operator.turn(state, at, turn);
        let Done {
            stamps,
            requeue,
            objects,
            effect,
            ..
        } = done;
        self.requeue(state, requeue, objects);
        (effect, stamps[1 + at])
    }

    /// The objects of all users of which nothing is known yet are requeued.
    pub(crate) fn requeue_unseen(&mut self, state: &mut State) {
        let mut users = 0;
        for user in 0..number(self.scenario.users.len()) {
            let is_unseen = self.operator.known(state.account, user).is_unseen;
            users |= u8::from(is_unseen) << user;
        }
        self.requeue(state, users, 0);
    }

    fn requeue(&self, state: &mut State, users: u8, objects: u8) {
        if users == 0 && objects == 0 {
            return;
        }
        for at in self.objects() {
            let store = state.objects[at].store;
            let is_named = users & 1 << self.user_of(at) != 0 || objects & 1 << at != 0;
            state.objects[at].due |= is_named && store.generation > 0 && !store.deleting;
        }
    }

    /// The remote user becomes that; `ours`: by a change of this process.
    pub(crate) fn change(&self, state: &mut State, user: usize, after: Remote, ours: bool) {
        let before = std::mem::replace(&mut state.remote[user], after);
        if before == after {
            return;
        }
        if self.scenario.budget.stale && before.phase != Phase::Absent {
            state.before[user] = Some(before);
        }
        for object in self.objects().filter(|at| self.user_of(*at) == user) {
            let expected = &mut state.objects[object].expected;
            expected.answer_applied = false;
            if !ours {
                *expected = Expected {
                    repairs: expected.repairs,
                    ..Expected::default()
                };
            }
        }
    }

    /// It is not known any more whether the remote user matches.
    pub(crate) fn doubt(state: &mut State, user: usize) {
        state.matched[user] = [NEVER; SPECS];
    }

    /// What the oracles remember follows the world.
    pub(crate) fn witness(&self, state: &mut State) {
        for (remote, matched) in state.remote.iter().zip(&mut state.matched) {
            for (spec, matched) in self.scenario.specs.iter().zip(matched) {
                if remote.matches(*spec) {
                    *matched = 0;
                }
            }
        }
    }
}
