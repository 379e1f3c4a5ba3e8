//! Two replicas that share a Lease: a search of its own, breadth first over all orders of what they, the API server and the
//! clock do, within a bounded time, a number of states and one fault.
//!
//! **Production code:** what decides about the Lease (`next_lease`, `Observed`, `Record`) and when a request may begin and must
//! have ended (`Durations::begin`). **Model:** the store with its versions, lost and late writes, processes that freeze at any
//! point, that stop, and requests that change users. The Lease is deleted only while both know its holder.
//!
//! **Safety:** a request that changes users leaves only while no other replica holds the Lease and none of the other's is in
//! flight.

mod replica;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::time::Duration;

use jiff::Timestamp;
use operator_runtime::lease::{Durations, Record};
use rustc_hash::{FxBuildHasher, FxHashSet};

use replica::{Replica, Request};

/// The name of the world.
pub(crate) const NAME: &str = "two replicas share a Lease";
/// The time by which the clock advances at once.
const TICK: Duration = Duration::from_secs(10);
/// The search ends at that time: long enough for a Lease to end and to be taken over.
const HORIZON: Duration = Duration::from_secs(40);
/// The search ends after that number of states: the shortest way to each bug is found within a quarter of them.
const STATES: usize = 1_000_000;
const DURATIONS: Durations = Durations::PRODUCTION;
const IDENTITIES: [&str; 2] = ["a", "b"];

/// What keeps the promise. Production has all of them; each bug lacks one.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bug of its own")]
pub(crate) struct Rules {
    /// A write carries the version that was read.
    sends_version: bool,
    /// A Lease ends by what was observed of it, not by the wall clock of its holder.
    ends_as_observed: bool,
    /// A Lease is given back only after the last response.
    awaits_responses: bool,
    /// Whether a request may leave is asked again right before.
    asks_again: bool,
    /// A renewal counts from when it was sent.
    counts_from_sending: bool,
    /// The clock of the deadline runs on while the process is frozen.
    runs_while_frozen: bool,
    /// A Lease that was deleted belongs to its holder for a while.
    remembers_holder: bool,
}

const PRODUCTION: Rules = Rules {
    sends_version: true,
    ends_as_observed: true,
    awaits_responses: true,
    asks_again: true,
    counts_from_sending: true,
    runs_while_frozen: true,
    remembers_holder: true,
};

/// Returns the broken forms of the rules.
fn bugs() -> [(&'static str, Rules); 7] {
    let rules = PRODUCTION;
    [
        (
            "lease: no resourceVersion",
            Rules {
                sends_version: false,
                ..rules
            },
        ),
        (
            "lease: wall clock",
            Rules {
                ends_as_observed: false,
                ..rules
            },
        ),
        (
            "lease: given back before the last response",
            Rules {
                awaits_responses: false,
                ..rules
            },
        ),
        (
            "lease: deadline asked once",
            Rules {
                asks_again: false,
                ..rules
            },
        ),
        (
            "lease: deadline from the response",
            Rules {
                counts_from_sending: false,
                ..rules
            },
        ),
        (
            "lease: deadline by a clock that stands still",
            Rules {
                runs_while_frozen: false,
                ..rules
            },
        ),
        (
            "lease: free once it is deleted",
            Rules {
                remembers_holder: false,
                ..rules
            },
        ),
    ]
}

/// The Lease in the store.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Store {
    lease: Option<Record>,
    version: u8,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    now: Duration,
    store: Store,
    replicas: [Replica; 2],
    /// Faults that may still happen.
    faults: u8,
    /// Requests that may still be made.
    requests: u8,
    is_deleted: bool,
}

/// What happens next; the number is that of the replica.
#[derive(Clone, Copy, Debug)]
enum Step {
    Tick,
    DeleteLease,
    Read(usize),
    SendWrite(usize),
    StoreWrite(usize),
    WriteAnswered(usize),
    WriteLost(usize),
    LateWriteStored(usize),
    Decide(usize),
    Leave(usize),
    Answered(usize),
    Stop(usize),
    GiveBack(usize),
    Freeze(usize),
    Thaw(usize),
}

/// What a search has found.
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// A replica has made a request after the other one.
    has_handed_over: bool,
    violation: Option<String>,
}

/// Searches with the rules of production. Prints what was found, and returns whether the promise is kept.
pub(crate) fn is_kept() -> bool {
    let found = search(PRODUCTION);
    println!(
        "{NAME}: {} states, {} transitions",
        found.states, found.transitions
    );
    if let Some(violation) = &found.violation {
        println!("\n{violation}");
    }
    if !found.has_handed_over {
        println!("no replica has ever made a request after the other one");
    }
    found.violation.is_none() && found.has_handed_over
}

/// Searches with one bug after the other. Returns their number, and the names of those that were not found.
pub(crate) fn bugs_are_found(only: &str) -> (usize, Vec<&'static str>) {
    let chosen = bugs().into_iter().filter(|(name, _)| name.contains(only));
    let (mut count, mut missed) = (0, Vec::new());
    for (name, rules) in chosen {
        count += 1;
        let found = search(rules);
        match found.violation {
            Some(violation) => {
                let what = violation.lines().next().unwrap_or_default();
                println!(
                    "{name}: found ({} states) in \"{NAME}\": {what}",
                    found.states
                );
            }
            None => missed.push(name),
        }
    }
    (count, missed)
}

fn search(rules: Rules) -> Found {
    let first = State {
        now: Duration::ZERO,
        store: Store::default(),
        replicas: IDENTITIES.map(|_| Replica::default()),
        faults: 1,
        requests: 2,
        is_deleted: false,
    };
    let hasher = FxBuildHasher;
    let mut seen = FxHashSet::from_iter([hasher.hash_one(&first)]);
    // By the number of a state: that of the one before it, and the step between.
    let mut ways = vec![(0, Step::Tick)];
    let mut queue = VecDeque::from([(0, first)]);
    let mut found = Found {
        states: 1,
        transitions: 0,
        has_handed_over: false,
        violation: None,
    };
    while let Some((number, state)) = queue.pop_front() {
        if seen.len() >= STATES {
            break;
        }
        for step in steps(&state) {
            let mut after = state.clone();
            let Some(outcome) = take(step, &mut after, rules) else {
                continue;
            };
            found.transitions += 1;
            if let Err(what) = outcome {
                ways.push((number, step));
                found.violation = Some(traced(what, &ways));
                found.states = seen.len();
                return found;
            }
            if seen.insert(hasher.hash_one(&after)) {
                found.has_handed_over |= after.replicas.iter().all(|one| one.has_sent);
                ways.push((number, step));
                queue.push_back((ways.len() - 1, after));
            }
        }
    }
    found.states = seen.len();
    found
}

fn traced(what: &str, ways: &[(usize, Step)]) -> String {
    let (mut steps, mut at) = (Vec::new(), ways.len() - 1);
    while at > 0 {
        let (before, step) = ways[at];
        steps.push(step);
        at = before;
    }
    let mut text = format!("{what}, after {} steps:", steps.len());
    for step in steps.iter().rev() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {step:?}");
    }
    text
}

fn steps(state: &State) -> Vec<Step> {
    let mut steps = vec![Step::Tick];
    // A process that has not seen the holder cannot know that there is one once the Lease is deleted.
    let has_seen = |replica: &Replica| replica.has_seen(&state.store);
    let is_known = state.replicas.iter().all(has_seen);
    if !state.is_deleted && state.faults > 0 && is_known {
        steps.push(Step::DeleteLease);
    }
    for at in 0..2 {
        let replica = &state.replicas[at];
        if replica.late.is_some() {
            steps.push(Step::LateWriteStored(at));
        }
        if replica
            .write
            .as_ref()
            .is_some_and(|write| write.outcome.is_none())
        {
            steps.push(Step::StoreWrite(at));
        }
        if replica.is_gone {
            continue;
        }
        if replica.is_frozen {
            steps.push(Step::Thaw(at));
            continue;
        }
        steps.extend([
            Step::Read(at),
            Step::SendWrite(at),
            Step::WriteAnswered(at),
            Step::WriteLost(at),
            Step::Decide(at),
            Step::Leave(at),
            Step::Answered(at),
            Step::Stop(at),
            Step::GiveBack(at),
            Step::Freeze(at),
        ]);
    }
    steps
}

/// Takes the step: nothing where it is not possible; an error where it breaks the promise.
fn take(step: Step, state: &mut State, rules: Rules) -> Option<Result<(), &'static str>> {
    let now = state.now;
    match step {
        Step::Tick => tick(state, rules)?,
        Step::DeleteLease => {
            state.faults -= 1;
            state.is_deleted = true;
            state.store.lease = None;
            state.store.version += 1;
        }
        Step::Read(at) => state.replicas[at].read(&state.store, IDENTITIES[at], now, rules)?,
        Step::SendWrite(at) => state.replicas[at].send_write(IDENTITIES[at], now, rules)?,
        Step::StoreWrite(at) => {
            let write = state.replicas[at].write.as_mut()?;
            write.store(&mut state.store, rules);
        }
        Step::LateWriteStored(at) => {
            let mut write = state.replicas[at].late.take()?;
            write.store(&mut state.store, rules);
        }
        Step::WriteAnswered(at) => state.replicas[at].write_answered(IDENTITIES[at], now, rules)?,
        Step::WriteLost(at) => {
            state.faults = state.faults.checked_sub(1)?;
            state.replicas[at].write_lost()?;
        }
        Step::Decide(at) => {
            state.requests = state.requests.checked_sub(1)?;
            state.replicas[at].decide(now, rules)?;
        }
        Step::Leave(at) => return leave(state, at, rules),
        Step::Answered(at) => {
            let replica = &mut state.replicas[at];
            replica.request.take_if(|request| request.has_left)?;
        }
        Step::Stop(at) => state.replicas[at].stop()?,
        Step::GiveBack(at) => {
            state.replicas[at].give_back(&mut state.store, IDENTITIES[at], rules)?;
        }
        Step::Freeze(at) => {
            state.faults = state.faults.checked_sub(1)?;
            state.replicas[at].is_frozen = true;
        }
        Step::Thaw(at) => state.replicas[at].is_frozen = false,
    }
    Some(Ok(()))
}

/// A request leaves, unless it may not any more: then the process is about to end.
fn leave(state: &mut State, at: usize, rules: Rules) -> Option<Result<(), &'static str>> {
    let now = state.now;
    let replica = &mut state.replicas[at];
    let request = replica.request.filter(|request| !request.has_left)?;
    if rules.asks_again && replica.begin(now, rules).is_none() {
        replica.request = None;
        replica.is_gone = true;
        return Some(Ok(()));
    }
    replica.has_sent = true;
    replica.request = Some(Request {
        has_left: true,
        ..request
    });
    let holder = state
        .store
        .lease
        .as_ref()
        .and_then(|lease| lease.holder.as_deref());
    if holder == Some(IDENTITIES[1 - at]) {
        return Some(Err(
            "a request leaves while the other replica holds the Lease",
        ));
    }
    let is_in_flight = |request: Request| request.has_left && now < request.ends;
    if state.replicas[1 - at].request.is_some_and(is_in_flight) {
        return Some(Err(
            "a request leaves while one of the other replica is in flight",
        ));
    }
    Some(Ok(()))
}

/// Time passes. Whatever a running process has to do by now is done: a leader whose time is over has ended, and a write without
/// an answer was given up.
fn tick(state: &mut State, rules: Rules) -> Option<()> {
    let now = state.now + TICK;
    if now > HORIZON {
        return None;
    }
    for replica in &mut state.replicas {
        replica.tick(now, rules)?;
    }
    state.now = now;
    Some(())
}

/// Returns the time that a Lease shows to people.
fn wall_clock(now: Duration) -> Timestamp {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or_default()
}
