//! The proof that the search can fail: each rule of the production code is broken once, and the search
//! has to find a broken promise. Needs the feature `seeded-bugs`.

use fireworks_crd::rules::Rule;

use crate::scenario::Scenario;
use crate::search::{Settings, search};

/// Breaks one rule after the other and tells what was found, and how long the shortest story is.
pub(crate) fn all_are_found(only: &str) -> bool {
    let mut missed = Vec::new();
    for rule in Rule::ALL {
        if !format!("{rule:?}").contains(only) {
            continue;
        }
        let mut worlds = Scenario::all();
        worlds.retain(|one| one.name == world(rule));
        let hit = worlds.into_iter().find_map(|scenario| {
            let settings = Settings {
                faulty: 200_000,
                states: 2_000_000,
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

/// The world in which the rule matters, so that none is searched in vain.
fn world(rule: Rule) -> &'static str {
    match rule {
        Rule::SuspendedMeansNoCalls
        | Rule::SuspendedIsReadyOnlyWhereItMatches
        | Rule::ObserveSendsNothing
        | Rule::PresetsCountOnlyWithCustom => "observed, suspended, and back",
        Rule::AnotherAccountsObjectIsLeftAlone => "an object of another account",
        Rule::OnlyTheOwnerManages => "two objects claim one user",
        Rule::StaleNewsMakeNobodyReady => "silence",
        Rule::FightsSlowDown | Rule::NewsAreAnnounced => "a second manager",
        Rule::VerdictsEndWithTheUser => "a user moves after a verdict",
        Rule::ReasonsAreOfOneGeneration => "second thoughts about a refused value",
        Rule::OldNewsMakeNobodyReady | Rule::AbsenceIsConfirmed => "reads fail for long",
        Rule::NothingIsSentWhileDeleting
        | Rule::NothingIsSentWhileUpdating
        | Rule::RemoteErrorsAreReported => "the user goes and comes back, and is busy",
        Rule::VerdictsStand | Rule::VerdictsEndWithTheKey | Rule::ObjectsAreReadAgain => {
            "a key that may not, and a revoked one"
        }
        Rule::TriesAreCounted => "a value is not stored as asked",
        Rule::LeavingCustomClearsThePreset | Rule::PresetsAreCompared => {
            "another actor changes the user"
        }
        Rule::TheLastAdminStays
        | Rule::AdminsAreCountedByList
        | Rule::DemotionsGoOneByOne
        | Rule::FormerDemotionsAreWaitedOut
        | Rule::UnconfirmedDemotionsCount => "two admins, both to be demoted",
        Rule::ReplicasLag => "stale reads without updateTime",
        Rule::OnlyWhatDiffersIsSent
        | Rule::SettleWindowsAreWaitedOut
        | Rule::OtherBodiesStayAmbiguous => "changes are lost, late and repeated",
        Rule::UnconfirmedUpdatesAreWaitedOut
        | Rule::StartupIsWaitedOut
        | Rule::UnconfirmedUpdatesAreRecorded
        | Rule::DisplayNamesAreCompared
        | Rule::StatusTellsItsGeneration
        | Rule::ReadyStandsAlone
        | Rule::UnconfirmedIsNotReady
        | Rule::NewerWins => "a value is refused",
    }
}
