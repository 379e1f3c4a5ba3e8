//! What must hold of every test, whatever it is about: rules over all revisions of the objects, the gateway's
//! journal, and everything the operator showed. They are looked at when a stage ends; a test that breaks one
//! on purpose declares it, with its reason. Each rule is a module of pure functions over [`Evidence`], with
//! histories made by hand in its tests to show that it can fail; `recorder` gathers the revisions.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_gateway_simulator::{Entry, Moment, Verb};
use lapse::Lapse;
use serde_json::Value;

pub mod budget;
pub mod kstatus;
pub mod lapse;
pub mod patches;
pub mod process;
pub mod recorder;
pub mod secrets;
pub mod truth;

#[cfg(test)]
mod made;

/// The rules, as a test names the one that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Ready=True for the current generation: the remote user matched, after the last call whose fate is unknown.
    Truth,
    /// Every revision of a status is well-formed and does not contradict itself.
    Kstatus,
    /// A PATCH holds what is managed and differs, and is sent for a reason.
    Patches,
    /// Nothing is sent inside a pause that the gateway asked for, nor more than the budget allows.
    Budget,
    /// The operator neither panics nor ends unasked, nor reports that it is stuck.
    Process,
    /// No key and no e-mail address is shown.
    Secrets,
    /// Requests, and answers that no fault spoilt, are as the gateway's OpenAPI document has them.
    Contract,
}

/// A rule that was broken, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

impl Violation {
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { rule, what }
    }
}

/// One revision of one object.
#[derive(Clone, Debug)]
pub struct Revision {
    /// When it was seen, on the clock of the gateway's journal.
    pub at_ms: u64,
    /// The object is gone; its last revision is shown.
    pub deleted: bool,
    /// Revisions before it may have been missed.
    pub gap: bool,
    /// The test wrote the status itself.
    pub by_test: bool,
    pub object: Value,
}

impl Revision {
    pub fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub fn generation(&self) -> i64 {
        self.object["metadata"]["generation"].as_i64().unwrap_or(0)
    }

    pub fn status(&self) -> &Value {
        &self.object["status"]
    }

    pub fn conditions(&self) -> &[Value] {
        let all = self.status()["conditions"].as_array();
        all.map_or(&[], Vec::as_slice)
    }

    /// The remote user that the object is about.
    pub fn user(&self) -> &str {
        let spelt = self.object["spec"]["userId"].as_str();
        let name = || self.object["metadata"]["name"].as_str();
        spelt.or_else(name).unwrap_or_default()
    }
}

/// All revisions that an object's name has had, the oldest first.
#[derive(Clone, Debug)]
pub struct History {
    pub namespace: String,
    pub name: String,
    pub revisions: Vec<Revision>,
}

impl History {
    /// The revisions, with the one before each where that was of the same object.
    pub fn steps(&self) -> impl Iterator<Item = (Option<&Revision>, &Revision)> {
        self.revisions.iter().enumerate().map(|(place, one)| {
            let before = place.checked_sub(1).map(|before| &self.revisions[before]);
            let same = before.filter(|before| !before.deleted && before.uid() == one.uid());
            (same, one)
        })
    }

    pub fn label(&self, revision: &Revision) -> String {
        let version = &revision.object["metadata"]["resourceVersion"];
        format!(
            "{}/{} at {} ms (resourceVersion {version})",
            self.namespace, self.name, revision.at_ms
        )
    }
}

/// One process of the operator, from its start to its end.
#[derive(Clone, Debug)]
pub struct Run {
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
    /// It ended although it was not asked to.
    pub ended_unasked: bool,
    pub per_minute: usize,
    pub settle_ms: u64,
    /// How far its clock was ahead of the true time, and since when.
    pub lapse: Lapse,
    pub logs: String,
    /// The metrics at its end; none if it could not be asked any more.
    pub metrics: Option<String>,
    /// The HTTP answer of its liveness probe then.
    pub livez: Option<String>,
}

impl Run {
    pub fn covers(&self, at_ms: u64) -> bool {
        self.started_ms <= at_ms && self.ended_ms.is_none_or(|end| at_ms <= end)
    }
}

/// Everything the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub objects: Vec<History>,
    pub journal: Vec<Entry>,
    pub past: BTreeMap<String, Vec<Moment>>,
    pub runs: Vec<Run>,
    /// Whatever else the operator showed: a name and the text.
    pub sinks: Vec<(String, String)>,
    pub secrets: BTreeSet<String>,
    /// What the simulator found wrong with single exchanges.
    pub contract: Vec<String>,
}

impl Evidence {
    /// The requests of the operator itself; a test may send some of its own.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let ours = |entry: &&Entry| {
            let agent = entry.user_agent.as_deref().unwrap_or_default();
            agent.starts_with("fireworks-user-operator/")
        };
        self.journal.iter().filter(ours)
    }

    /// The operator's PATCHes of that user.
    pub fn patches_of(&self, user: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        let of_user =
            move |entry: &&Entry| entry.verb == Verb::Patch && entry.user.as_deref() == Some(user);
        self.calls().filter(of_user)
    }

    /// The answers that showed that user, or may have: its reads, its PATCHes, and pages of lists.
    pub fn sightings(&self, user: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        let shows = move |entry: &&Entry| {
            let about = match entry.verb {
                Verb::List => true,
                Verb::Get | Verb::Patch => entry.user.as_deref() == Some(user),
                Verb::Post | Verb::Account | Verb::Other => false,
            };
            about && entry.status == Some(200)
        };
        self.calls().filter(shows)
    }

    /// What the user truly was from the one time to the other: its state at the start and each one after it.
    pub fn states(&self, user: &str, from: u64, to: u64) -> Vec<&Moment> {
        let past = self.past.get(user).map_or(&[][..], Vec::as_slice);
        let first = past.iter().rposition(|one| one.at_ms < from).unwrap_or(0);
        let inside = past[first.min(past.len())..].iter();
        inside.take_while(|one| one.at_ms <= to).collect()
    }

    /// The run that was under way then, if it was the only one.
    pub fn only_run(&self, at_ms: u64) -> Option<&Run> {
        let mut there = self.runs.iter().filter(|run| run.covers(at_ms));
        let run = there.next()?;
        there.next().is_none().then_some(run)
    }

    /// All rules that were broken.
    pub fn violations(&self) -> Vec<Violation> {
        let contract = self.contract.iter();
        let contract = contract.map(|what| Violation::new(Rule::Contract, what));
        [
            contract.collect(),
            kstatus::check(self),
            truth::check(self),
            patches::check(self),
            budget::check(self),
            process::check(self),
            secrets::check(self),
        ]
        .concat()
    }
}
