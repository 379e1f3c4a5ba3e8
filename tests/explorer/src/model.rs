//! What is searched: where it begins, what may come next, and what it comes to.

use std::hash::Hash;

use crate::oracle;
use crate::state::State;
use crate::trace;
use crate::world::{Next, World};

/// A model of the operator and all around it, with the tables of one thread.
pub(crate) trait Model: Send {
    type State: Copy + Eq + Hash + Send + Sync;

    /// Before anything has happened: the operator starts.
    fn first(&mut self) -> Self::State;

    /// What is under way comes to its end.
    fn ends(&mut self, state: &Self::State, out: &mut Vec<Next<Self::State>>);

    /// Everything else that may come next.
    fn begins(&mut self, state: &Self::State, out: &mut Vec<Next<Self::State>>);

    /// What must be true of a state at rest.
    fn at_rest(&mut self, state: &Self::State) -> Result<(), String>;

    /// The state for people.
    fn lines(&mut self, state: &Self::State) -> Vec<String>;

    /// Everything that may come next.
    fn successors(&mut self, state: &Self::State, out: &mut Vec<Next<Self::State>>) {
        self.ends(state, out);
        self.begins(state, out);
    }

    /// What comes next where nothing goes wrong any more: what is under way comes to its end first,
    /// one after the other; only then time passes and something new begins.
    fn calm_successors(&mut self, state: &Self::State, out: &mut Vec<Next<Self::State>>) {
        self.ends(state, out);
        out.retain(|next| next.free && !next.label.what.starts_with("the timer"));
        out.truncate(1);
        if out.is_empty() {
            self.successors(state, out);
            out.retain(|next| next.free);
        }
    }
}

impl Model for World<'_> {
    type State = State;

    fn first(&mut self) -> State {
        self.beginning()
    }

    fn ends(&mut self, state: &State, out: &mut Vec<Next>) {
        self.of_operator(state, out);
    }

    fn begins(&mut self, state: &State, out: &mut Vec<Next>) {
        self.of_world(state, out);
        self.tick(state, out);
    }

    fn at_rest(&mut self, state: &State) -> Result<(), String> {
        oracle::at_rest(self, state, false)
    }

    fn lines(&mut self, state: &State) -> Vec<String> {
        trace::lines(self, state)
    }
}
