//! Breadth-first search over all states of one scenario, so that the first broken promise found is
//! one of the shortest. Known are kept whole: two are the same only if they are. Several threads work
//! out what comes next, one keeps the known, in an order that does not depend on the threads.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use fireworks_core::rules::Rules;
use rustc_hash::FxHasher;

use crate::accounts::Accounts;
use crate::forced::ForcedReads;
use crate::liveness;
use crate::model::Model;
use crate::operator::{Operator, Tables};
use crate::pair::Pair;
use crate::possession::Contention;
use crate::reads::Reads;
use crate::scenario::Scenario;
use crate::world::{Next, World};

/// Parents that one thread works out before the known are brought up to date.
const BATCH: usize = 8_192;
/// No such state.
const NONE: u32 = u32::MAX;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// When that many states are known nothing goes wrong any more: what is known is only followed to
    /// where it comes to rest.
    pub(crate) faulty: usize,
    /// No more states than these.
    pub(crate) states: usize,
    pub(crate) threads: usize,
    /// The rules of the operator; one of them may be broken on purpose.
    pub(crate) rules: Rules,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) depth: u32,
    /// Known whose successors were not looked for.
    pub(crate) open: usize,
    pub(crate) accounts: usize,
    pub(crate) memories: usize,
    pub(crate) machines: usize,
    pub(crate) statuses: usize,
    pub(crate) components: usize,
    pub(crate) bottoms: usize,
    /// The reasons and guards that were reported.
    pub(crate) reached: BTreeSet<String>,
    pub(crate) took: Duration,
    /// The broken promise, if there is one.
    pub(crate) violation: Option<Violation>,
}

/// A broken promise, and how it came about.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) steps: usize,
    pub(crate) trace: String,
}

/// All states met.
struct Known<S> {
    states: Vec<S>,
    parents: Vec<u32>,
    index: Vec<u32>,
}

impl<S: Copy + Eq + Hash> Known<S> {
    fn new() -> Self {
        Self {
            states: Vec::new(),
            parents: Vec::new(),
            index: vec![NONE; 1 << 16],
        }
    }

    /// The number of the state, and whether it is new.
    fn enter(&mut self, state: &S, parent: u32) -> (u32, bool) {
        if self.states.len() * 2 > self.index.len() {
            self.grow();
        }
        let mask = self.index.len() - 1;
        let mut at = place(state) & mask;
        loop {
            let number = self.index[at];
            if number == NONE {
                let number = u32::try_from(self.states.len()).unwrap_or(NONE);
                self.index[at] = number;
                self.states.push(*state);
                self.parents.push(parent);
                return (number, true);
            }
            if self.states[number as usize] == *state {
                return (number, false);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = self.index.len() * 2;
        self.index = vec![NONE; size];
        for (number, state) in (0..).zip(&self.states) {
            let mut at = place(state) & (size - 1);
            while self.index[at] != NONE {
                at = (at + 1) & (size - 1);
            }
            self.index[at] = number;
        }
    }

    /// The numbers of the states from the first to that one.
    fn path(&self, mut at: u32) -> Vec<u32> {
        let mut path = vec![at];
        while self.parents[at as usize] != NONE {
            at = self.parents[at as usize];
            path.push(at);
        }
        path.reverse();
        path
    }
}

fn place(state: &impl Hash) -> usize {
    let mut hasher = FxHasher::default();
    state.hash(&mut hasher);
    let hash = hasher.finish();
    usize::try_from(hash ^ hash >> 32).unwrap_or_default()
}

/// The steps that happen also where nothing goes wrong, as lists of successors one after the other.
#[derive(Default)]
pub(crate) struct Free {
    pub(crate) targets: Vec<u32>,
    /// Where the list of each state that was worked out begins; and the end of the last.
    pub(crate) starts: Vec<u32>,
}

/// Searches one scenario.
pub(crate) fn search(scenario: &Scenario, settings: Settings) -> Found {
    let began = now();
    let tables = Tables::new(scenario, settings.rules);
    let mut found = match (&scenario.beside, scenario.reads, scenario.claims) {
        _ if scenario.forced_reads => explore(|| ForcedReads::new(&tables), settings),
        (None, None, None) => explore(|| World::new(Operator::new(&tables)), settings),
        (None, None, Some(events)) => explore(|| Contention::new(&tables, events), settings),
        (None, Some(size), _) => explore(|| Reads::new(&tables, size), settings),
        (Some(beside), ..) => {
            let others = Tables::new(beside, settings.rules);
            if scenario.shared {
                explore(|| Pair::new([&tables, &others]), settings)
            } else {
                explore(|| Accounts::new([&tables, &others]), settings)
            }
        }
    };
    (found.accounts, found.memories) = (tables.accounts.len(), tables.memories.len());
    (found.machines, found.statuses) = (tables.machines.len(), tables.statuses.len());
    found.reached = tables.statuses.reasons_and_guards();
    found.took = began.elapsed();
    found
}

/// Searches what a model can come to.
fn explore<M: Model>(model: impl Fn() -> M, settings: Settings) -> Found {
    let mut worlds: Vec<M> = (0..settings.threads.max(1)).map(|_| model()).collect();
    let mut known = Known::new();
    let mut free = Free::default();
    let mut found = Found::default();
    let first = worlds[0].first();
    let _ = known.enter(&first, NONE);
    let mut violation = None;
    let mut next_level = 1;
    let mut done = 0;
    while violation.is_none() && done < known.states.len() && known.states.len() < settings.states {
        if done >= next_level {
            next_level = known.states.len();
            found.depth += 1;
        }
        let end = next_level.min(done + BATCH * worlds.len());
        let calm = known.states.len() >= settings.faulty;
        let batches = work_out(&mut worlds, &known.states[done..end], calm);
        for (parent, nexts) in (done..end).zip(batches.into_iter().flatten()) {
            let parent = u32::try_from(parent).unwrap_or(NONE);
            free.starts
                .push(u32::try_from(free.targets.len()).unwrap_or(NONE));
            for next in nexts {
                found.transitions += 1;
                let (number, _) = known.enter(&next.state, parent);
                if next.free && number != parent {
                    free.targets.push(number);
                }
                if let (Some(what), None) = (next.broken, &violation) {
                    let mut path = known.path(parent);
                    path.push(number);
                    violation = Some((what, path));
                }
            }
        }
        done = end;
    }
    free.starts
        .push(u32::try_from(free.targets.len()).unwrap_or(NONE));
    found.open = known.states.len() - done;
    found.states = known.states.len();
    if violation.is_none() {
        let rest = liveness::check(&free, done, |number| {
            worlds[0].at_rest(&known.states[number as usize])
        });
        (found.components, found.bottoms) = (rest.components, rest.bottoms);
        violation = rest.broken.map(|(number, what)| {
            let what = format!("nothing goes wrong any more, and yet: {what}");
            (what, known.path(number))
        });
    }
    found.violation = violation.map(|(what, path)| Violation {
        steps: path.len() - 1,
        trace: crate::trace::describe(&mut worlds[0], &known.states, &path),
        what,
    });
    found
}

/// What comes next of each state, worked out by all threads.
fn work_out<M: Model>(
    worlds: &mut [M],
    states: &[M::State],
    calm: bool,
) -> Vec<Vec<Vec<Next<M::State>>>> {
    let share = states.len().div_ceil(worlds.len()).max(1);
    let expand = |world: &mut M, states: &[M::State]| {
        let all = states.iter().map(|state| {
            let mut out = Vec::new();
            if calm {
                world.calm_successors(state, &mut out);
            } else {
                world.successors(state, &mut out);
            }
            out
        });
        all.collect::<Vec<_>>()
    };
    if states.len() < 64 || worlds.len() == 1 {
        return vec![expand(&mut worlds[0], states)];
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = worlds
            .iter_mut()
            .zip(states.chunks(share))
            .map(|(world, states)| scope.spawn(move || expand(world, states)))
            .collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect()
    })
}

#[allow(clippy::disallowed_methods, reason = "to tell how long it took")]
fn now() -> Instant {
    Instant::now()
}
