//! The proof that the search can fail: each rule of the production code is broken once, and the search
//! has to find a broken promise. Needs the feature `seeded-bugs`.

use fireworks_user_operator::rules::Rule;

use crate::scenario::Scenario;
use crate::search::{Settings, search};

/// Breaks one rule after the other and tells what was found, and how long the shortest story is.
pub(crate) fn all_are_found(only: &str) -> bool {
    let mut missed = Vec::new();
    for rule in Rule::ALL {
        if !format!("{rule:?}").contains(only) {
            continue;
        }
        let hit = worlds(rule).into_iter().find_map(|scenario| {
            let settings = Settings {
                faulty: 100_000,
                states: 400_000,
                threads: 2,
                broken: Some(rule),
            };
            let found = search(&scenario, settings);
            Some((scenario.name, found.took, found.states, found.violation?))
        });
        match hit {
            Some((world, took, states, violation)) => println!(
                "{rule:?}: found after {} steps ({states} states, {:.1} s) in \"{world}\": {}",
                violation.steps,
                took.as_secs_f64(),
                violation.what
            ),
            None => missed.push(rule),
        }
    }
    let broken = Rule::ALL.len();
    println!("{} of {broken} broken rules found", broken - missed.len());
    for rule in &missed {
        println!("NOT FOUND: {rule:?}");
    }
    missed.is_empty()
}

/// The worlds to look in.
fn worlds(_rule: Rule) -> Vec<Scenario> {
    Scenario::all()
}
