//! Searches all states that the operator and its environment can reach together for one that breaks a guarantee. The search
//! is explicit and breadth first, so the trace of what it finds is one of the shortest; within its bounds it is complete,
//! where tests of the running operator are samples.
//!
//! **Production code:** `Reconcile::step` with everything that it decides, the whole `Account` (cached users, absence,
//! admins, canary, limiter, denials), the claims, the state kept of objects, and the status. The explorer calls them as the
//! driver does and answers their effects; it contains no decision of the operator (`turns`, `account`).
//!
//! **Model:** the gateway and its users (`step`, `value`), the API server and the watch, the clock (ticks, and the order
//! within a tick; see `account`), the process and its crashes. Reads of the account are answered at any time, one at a
//! time, whether the account has asked for them or not. Every value of production is entered in a table in its canonical
//! form, with times relative to now, so that states recur (`operator`, `table`).
//! A second process that shares the account is a second model beside the first, with the same remote users (`pair`). The
//! requests that the account makes by itself, at the times at which it makes them, are a model of their own (`reads`), and so are
//! who holds a user that objects of two namespaces claim (`possession`) and the reads that the annotation forces (`forced`). A
//! second account of the same process is one, too, and no step may depend on it (`accounts`, `beside`). Two replicas that share
//! a Lease are a search of their own (`lease`).
//! Not modelled: malformed answers, more than two users or objects, an unavailable API server beyond single failures.
//!
//! **Safety** is checked at every step (`oracle`). **Liveness:** from a given number of states on no more faults happen; the
//! states that are then never left again (`liveness`) must be correct: status is the truth, and no PATCH is in flight.
//!
//! `--states N` bounds the search, `--only WORD` picks scenarios by name, `--bugs` replaces one rule in the table of
//! production at a time, or leaves out a guard, and must find each.

mod account;
mod accounts;
mod around;
mod beside;
mod bugs;
mod forced;
mod lease;
mod liveness;
mod model;
mod operator;
mod oracle;
mod pair;
mod possession;
#[cfg(test)]
mod reached;
mod reads;
mod reconcile;
mod scenario;
mod search;
mod state;
mod statuses;
mod step;
mod table;
mod trace;
mod turns;
mod updates;
mod value;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use fireworks_core::rules::Rules;
use scenario::Scenario;
use search::{Found, Settings};

/// What the command line asks for.
struct Order {
    states: usize,
    only: String,
    bugs: bool,
}

fn main() -> ExitCode {
    let order = match order(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(word) => {
            eprintln!("explorer [--states N] [--only WORD] [--bugs]: {word} is not understood");
            return ExitCode::from(2);
        }
    };
    let kept = if order.bugs {
        bugs::all_are_found(&order.only)
    } else {
        (!lease::NAME.contains(&order.only) || lease::is_kept()) && all_is_kept(&order)
    };
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn order(mut words: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut order = Order {
        states: 10_000_000,
        only: String::new(),
        bugs: false,
    };
    while let Some(word) = words.next() {
        match (word.as_str(), &mut words) {
            ("--bugs", _) => order.bugs = true,
            ("--only", rest) => order.only = rest.next().ok_or(word)?,
            ("--states", rest) => {
                let number = rest.next().and_then(|text| text.parse().ok());
                order.states = number.ok_or(word)?;
            }
            _ => return Err(word),
        }
    }
    Ok(order)
}

/// Searches every world; the states are shared among them, and what one does not need the next may use.
fn all_is_kept(order: &Order) -> bool {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let all = Scenario::all();
    let chosen: Vec<_> = all
        .iter()
        .filter(|one| one.name.contains(&order.only))
        .collect();
    let (mut left, mut sum, mut took) = (order.states, Found::default(), Duration::ZERO);
    for (number, scenario) in chosen.iter().enumerate() {
        let share = left / (chosen.len() - number);
        let settings = Settings {
            faulty: share / 6,
            states: share * 2,
            threads,
            rules: Rules::default(),
        };
        let found = search::search(scenario, settings);
        println!("{}", reported(scenario.name, &found));
        if let Some(violation) = &found.violation {
            println!(
                "\n{}\nafter {} steps:\n{}",
                violation.what, violation.steps, violation.trace
            );
            return false;
        }
        left = left.saturating_sub(found.states);
        took += found.took;
        sum.reached.extend(found.reached);
        sum.states += found.states;
        sum.transitions += found.transitions;
        sum.components += found.components;
        sum.bottoms += found.bottoms;
        sum.depth = sum.depth.max(found.depth);
        sum.accounts += found.accounts;
        sum.memories += found.memories;
        sum.machines += found.machines;
        sum.statuses += found.statuses;
    }
    sum.took = took;
    println!("{}", reported("all worlds", &sum));
    true
}

fn reported(name: &str, found: &Found) -> String {
    let Found {
        states,
        transitions,
        depth,
        components,
        bottoms,
        accounts,
        memories,
        machines,
        statuses,
        reached,
        ..
    } = found;
    let reached: Vec<&str> = reached.iter().map(String::as_str).collect();
    let open = if found.open == 0 {
        String::new()
    } else {
        format!(", {} not followed", found.open)
    };
    format!(
        "{name}: {states} states, {transitions} transitions, depth {depth}, {accounts} accounts, \
         {memories} memories, {machines} machines, {statuses} statuses, {components} components, {bottoms} of them at rest{open}, {:.1} s; \
         reports {}",
        found.took.as_secs_f64(),
        reached.join(", ")
    )
}
