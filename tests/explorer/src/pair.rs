//! Two processes that share an account and nothing else: each has its own API server, and its own model (`world`). What one
//! changes is to the other what another actor does. Time passes for both at once.

use crate::account::Event;
use crate::model::Model;
use crate::operator::{Operator, Tables};
use crate::oracle;
use crate::state;
use crate::step::label;
use crate::trace;
use crate::value::{Body, Remote};
use crate::world::{Next, World};

/// The models of both.
pub(crate) struct Pair<'a>([World<'a>; 2]);

/// A request that makes a user admin again.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Restore {
    user: u8,
    body: Body,
    /// What it was answered with, once it has arrived.
    answer: Option<Remote>,
    /// It has been under way for a tick.
    is_late: bool,
}

/// Both worlds. The remote users are the same.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    pub(crate) slots: [state::State; 2],
    pub(crate) restores: [Option<Restore>; 2],
    /// It has made a user admin again.
    pub(crate) restored: [bool; 2],
    /// For a tick a list was asked for and none came back.
    pub(crate) unlisted: [bool; 2],
    /// The last list showed no admin but its own user.
    pub(crate) alone: [bool; 2],
    /// Ticks without an admin.
    pub(crate) bare: u8,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(tables: [&'a Tables; 2]) -> Self {
        Self(tables.map(|tables| World::new(Operator::new(tables))))
    }

    /// What may come next of one process, while the other is as it is.
    fn of(
        &mut self,
        state: &State,
        slot: usize,
        out: &mut Vec<Next<State>>,
        step: impl FnOnce(&mut World<'a>, &state::State, &mut Vec<Next>),
    ) {
        let mut nexts = Vec::new();
        step(&mut self.0[slot], &state.slots[slot], &mut nexts);
        out.extend(nexts.into_iter().map(|next| self.took(state, slot, next)));
    }

    /// One process took that step.
    fn took(&mut self, state: &State, slot: usize, next: Next) -> Next<State> {
        let before = &state.slots[slot];
        let list = before.read.filter(|read| read.user.is_none());
        let mut after = *state;
        after.slots[slot] = next.state;
        if let (Some(list), None) = (list, next.state.read) {
            after.unlisted[slot] = false;
            let own = self.0[slot].user_of(0);
            let shows_no_other = |users: &[Remote]| {
                let mut others = users.iter().enumerate().filter(|(user, _)| *user != own);
                !others.any(|(_, remote)| remote.is_counted_admin())
            };
            after.alone[slot] = shows_no_other(&list.shows) && shows_no_other(&before.remote);
        }
        let leaves = before.flights[0].is_none() && next.state.flights[0].is_some();
        let departed = leaves
            .then(|| oracle::pair::departure(&after, slot))
            .flatten();
        self.share(&mut after, slot);
        Next {
            state: after,
            label: next.label,
            free: next.free,
            broken: next.broken.or(departed),
        }
    }

    /// The other process finds the users as that one left them.
    fn share(&mut self, state: &mut State, slot: usize) {
        let remote = state.slots[slot].remote;
        let other = &mut state.slots[1 - slot];
        for (user, after) in remote.into_iter().enumerate() {
            self.0[1 - slot].change(other, user, after, false);
        }
        self.0[1 - slot].witness(other);
    }

    /// The restoring of an admin leaves, arrives or is answered.
    fn of_restore(&mut self, state: &State, slot: usize, out: &mut Vec<Next<State>>) {
        let world = &mut self.0[slot];
        let mut after = *state;
        let own = &mut after.slots[slot];
        let what = match state.restores[slot] {
            None => {
                let Some((user, body)) = world.operator.happen(own, Event::Restore).restore else {
                    return;
                };
                after.restores[slot] = Some(Restore {
                    user,
                    body,
                    answer: None,
                    is_late: false,
                });
                after.restored[slot] = true;
                label(
                    "the PATCH that restores an admin leaves, for user",
                    user.into(),
                )
            }
            Some(Restore {
                user,
                answer: Some(answer),
                ..
            }) => {
                world.apply(own, Event::Restored(user, answer));
                after.restores[slot] = None;
                label(
                    "the PATCH that restores an admin is answered, for user",
                    user.into(),
                )
            }
            Some(restore) => {
                let user = usize::from(restore.user);
                let answer = world.after(own.remote[user], restore.body);
                world.change(own, user, answer, false);
                after.restores[slot] = Some(Restore {
                    answer: Some(answer),
                    ..restore
                });
                self.share(&mut after, slot);
                label("the PATCH that restores an admin arrives, for user", user)
            }
        };
        self.0[slot].witness(&mut after.slots[slot]);
        out.push(Next {
            state: after,
            label: what,
            free: true,
            broken: None,
        });
    }

    /// Whether what one of them waits for must come before time passes.
    fn is_busy(&mut self, state: &State) -> bool {
        (0..2).any(|slot| {
            let mut own = state.slots[slot];
            let is_late = state.restores[slot].is_some_and(|restore| restore.is_late);
            let restores = |own: &mut state::State, world: &mut World<'_>| {
                world.operator.happen(own, Event::Restore).restore.is_some()
            };
            let leaves = state.restores[slot].is_none() && restores(&mut own, &mut self.0[slot]);
            is_late || leaves || state.unlisted[slot]
        })
    }

    /// Time passes for both.
    fn tick(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        if self.is_busy(state) {
            return;
        }
        let Some(next) = ticks(&mut self.0, &state.slots) else {
            return;
        };
        let mut after = *state;
        after.slots = next.state;
        for slot in 0..2 {
            let account = state.slots[slot].account;
            after.unlisted[slot] = self.0[slot].operator.awaits_list(account);
            if let Some(restore) = &mut after.restores[slot] {
                restore.is_late = true;
            }
        }
        after.bare = if oracle::pair::has_admin(state) {
            0
        } else {
            (state.bare + 1).min(7)
        };
        out.push(Next {
            state: after,
            label: next.label,
            free: next.free,
            broken: next.broken.or(oracle::pair::lasting(&after)),
        });
    }
}

/// Time passes for both, where nothing holds it up.
pub(crate) fn ticks(
    worlds: &mut [World<'_>; 2],
    state: &[state::State; 2],
) -> Option<Next<[state::State; 2]>> {
    let mut tick = |at: usize| {
        let mut nexts = Vec::new();
        worlds[at].tick(&state[at], &mut nexts);
        nexts.pop()
    };
    let (first, second) = (tick(0)?, tick(1)?);
    Some(Next {
        state: [first.state, second.state],
        label: first.label,
        free: first.free && second.free,
        broken: first.broken.or(second.broken),
    })
}

impl Model for Pair<'_> {
    type State = State;

    fn first(&mut self) -> State {
        State {
            slots: [0, 1].map(|slot: usize| self.0[slot].first()),
            restores: [None; 2],
            restored: [false; 2],
            unlisted: [false; 2],
            alone: [false; 2],
            bare: 0,
        }
    }

    fn ends(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        for slot in 0..2 {
            self.of(state, slot, out, Model::ends);
            self.of_restore(state, slot, out);
        }
    }

    fn begins(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        for slot in 0..2 {
            self.of(state, slot, out, World::of_world);
        }
        self.tick(state, out);
    }

    fn at_rest(&mut self, state: &State) -> Result<(), String> {
        oracle::pair::at_rest(state)?;
        for slot in 0..2 {
            let stopped = state.restored[slot];
            let at_rest = oracle::at_rest(&mut self.0[slot], &state.slots[slot], stopped);
            at_rest.map_err(|what| format!("process {slot}: {what}"))?;
        }
        Ok(())
    }

    fn lines(&mut self, state: &State) -> Vec<String> {
        let mut lines = vec![format!(
            "restoring {:?}, restored {:?}, unlisted {:?}, alone {:?}, without an admin for {}",
            state.restores, state.restored, state.unlisted, state.alone, state.bare
        )];
        lines.extend(trace::of_both(&mut self.0, &state.slots));
        lines
    }
}
