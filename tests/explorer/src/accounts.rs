//! Two accounts of one process: each is modelled alone, and each step is also made in a process that serves both, where the
//! same must come of it (`beside`). Time passes for both at once.

use crate::beside::Beside;
use crate::model::Model;
use crate::operator::{Operator, Tables};
use crate::oracle;
use crate::pair::ticks;
use crate::state;
use crate::trace;
use crate::world::{Next, World};

/// The models of both.
pub(crate) struct Accounts<'a>([World<'a>; 2]);

type State = [state::State; 2];

impl<'a> Accounts<'a> {
    pub(crate) fn new(tables: [&'a Tables; 2]) -> Self {
        Self(tables.map(|tables| World::new(Operator::new(tables))))
    }

    /// What may come next of one account, while the other is as it is.
    fn of(
        &mut self,
        state: &State,
        at: usize,
        out: &mut Vec<Next<State>>,
        step: impl FnOnce(&mut World<'a>, &state::State, &mut Vec<Next>),
    ) {
        let other = self.0[1 - at].operator.shared();
        let world = &mut self.0[at];
        world.operator.beside = Some(Beside::of(other, &state[1 - at]));
        let mut nexts = Vec::new();
        step(world, &state[at], &mut nexts);
        let differs = world.operator.differs.take();
        out.extend(nexts.into_iter().map(|next| {
            let mut after = *state;
            after[at] = next.state;
            Next {
                state: after,
                label: next.label,
                free: next.free,
                broken: next.broken.or(differs.map(str::to_owned)),
            }
        }));
    }
}

impl Model for Accounts<'_> {
    type State = State;

    fn first(&mut self) -> State {
        [0, 1].map(|at: usize| self.0[at].first())
    }

    fn ends(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        for at in 0..2 {
            self.of(state, at, out, Model::ends);
        }
    }

    fn begins(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        for at in 0..2 {
            self.of(state, at, out, World::of_world);
        }
        out.extend(ticks(&mut self.0, state));
    }

    fn at_rest(&mut self, state: &State) -> Result<(), String> {
        for (at, own) in state.iter().enumerate() {
            let at_rest = oracle::at_rest(&mut self.0[at], own, false);
            at_rest.map_err(|what| format!("account {at}: {what}"))?;
        }
        Ok(())
    }

    fn lines(&mut self, state: &State) -> Vec<String> {
        trace::of_both(&mut self.0, state)
    }
}
