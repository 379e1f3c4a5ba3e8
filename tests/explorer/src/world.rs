//! What every step of the world shares: the scenario, the tables of one thread, and the few changes
//! that many steps are made of.

use crate::belief::Event;
use crate::believer::{AppliedUpdate, Believer};
use crate::machine::{Effect, Turn};
use crate::scenario::Scenario;
use crate::state::{Ghost, NEVER, Stamp, State};
use crate::value::{Life, Remote, SPECS, Spec};

/// What happened, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) what: &'static str,
    pub(crate) at: u8,
}

/// One state that may come next.
pub(crate) struct Next {
    pub(crate) state: State,
    pub(crate) label: Label,
    /// It happens also where nothing goes wrong any more.
    pub(crate) free: bool,
    /// The promise that this step breaks.
    pub(crate) broken: Option<String>,
}

/// A scenario with the tables of one thread.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) believer: Believer<'a>,
}

impl<'a> World<'a> {
    pub(crate) fn new(believer: Believer<'a>) -> Self {
        Self {
            scenario: &believer.shared().scenario,
            believer,
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
    pub(crate) fn tell(&mut self, state: &mut State, event: Event) {
        let looks = self.believer.tell(state, event);
        self.requeue(state, looks, 0);
    }

    /// Something happens to the object. What the operator does next, and the time of a PATCH that leaves.
    pub(crate) fn turn(&mut self, state: &mut State, at: usize, turn: Turn) -> (Effect, Stamp) {
        let done = self.believer.turn(state, at, turn);
        let AppliedUpdate {
            stamps,
            looks,
            objects,
            effect,
            ..
        } = done;
        self.requeue(state, looks, objects);
        (effect, stamps[1 + at])
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
        if self.scenario.budget.stale && before.life != Life::Absent {
            state.before[user] = Some(before);
        }
        for object in self.objects().filter(|at| self.user_of(*at) == user) {
            let ghost = &mut state.objects[object].ghost;
            ghost.answer_applied = false;
            if !ours {
                *ghost = Ghost {
                    repairs: ghost.repairs,
                    ..Ghost::default()
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
