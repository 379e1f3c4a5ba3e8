//! The crash sweep with two replicas: the leader, and the one that has just taken over, are killed before or after each
//! of their requests. The other replica ends what was begun: the user and the changes are those of one replica that
//! nothing disturbs, with at most one PATCH more.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use operator_under_test::crash::Side;
use rig::until;

use super::replica::{FIRST, Pair, SECOND, STEADY, elected, until_leading, until_standby};
use crate::crash_points::{
    CrashFile, RecordFile, changes, point, until_reached, until_reached_or_end,
};
use crate::crashes::scenarios::{Scenario, Subject};
use crate::crashes::{Phase, Sent, Undisturbed, sent, until_sent};
use crate::stage::{LONG, Start, brief};
use crate::witness::Running;

/// Cases at a time: they mostly wait for the end of a Lease.
const AT_ONCE: usize = 4;
/// No other replica begins a request sooner after the last one of a leader that was killed: the duration of the Lease,
/// less that within which a request has ended, of [`STEADY`].
const APART_MS: u64 = 400;
/// Requests that are sent again and again: only the first one is sure to be sent in each run.
const PERIODIC: [&str; 2] = ["update leases", "listUsers users"];

/// Which replica is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    /// The first one that leads.
    Leader,
    /// The one to which that hands over.
    Successor,
}

impl Victim {
    fn key(self) -> &'static str {
        match self {
            Self::Leader => FIRST,
            Self::Successor => SECOND,
        }
    }

    /// The requests that each run of it sends.
    fn in_each(self) -> &'static [&'static str] {
        match self {
            Self::Leader => &[
                "watch fireworksusers",
                "get leases",
                "create leases",
                "update leases",
                "updateUser users OBJECT",
                "patch fireworksusers/status OBJECT",
                "create events",
            ],
            Self::Successor => &["update leases", "updateUser users OBJECT", "create events"],
        }
    }
}

/// A user of an account of its own, and a Lease of its own.
struct World {
    pair: Pair,
    subject: Subject,
    scenario: Scenario,
    victim: Victim,
}

fn start(key: &str) -> Start {
    let args = ["--test-lease", STEADY, "--requests-per-minute", "6000"];
    Start {
        settle: "100ms",
        ..elected(key, &args)
    }
}

impl World {
    async fn set(scenario: Scenario, victim: Victim, number: usize) -> Self {
        let name = format!("lease-{scenario:?}-{victim:?}-{number}").to_lowercase();
        let pair = Pair::set(&name).await;
        pair.stage.user("root", "admin");
        let subject = Subject::plain("someone".to_owned());
        scenario.put(&pair.stage, &subject.id);
        for manifest in scenario.manifests(&subject.id) {
            pair.stage.apply_all(&manifest).await;
        }
        Self {
            pair,
            subject,
            scenario,
            victim,
        }
    }

    async fn replica(&self, key: &str) -> Running {
        self.pair.stage.operator_with(start(key)).await
    }

    /// Starts the replica that is killed, changed by `hooked`, and the other one. Calls `begins` when the one is about
    /// to do what it is killed at, and the other one stands by.
    async fn replicas(
        &self,
        hooked: impl FnOnce(Start) -> Start,
        begins: impl FnOnce(),
    ) -> [Running; 2] {
        let hooked = hooked(start(self.victim.key()));
        match self.victim {
            Victim::Leader => {
                let victim = self.pair.stage.operator_with(hooked).await;
                until_leading(&victim).await;
                self.until_prepared().await;
                let other = self.replica(SECOND).await;
                until_standby(&other).await;
                begins();
                [victim, other]
            }
            Victim::Successor => {
                let former = self.replica(FIRST).await;
                until_leading(&former).await;
                self.until_prepared().await;
                let victim = self.pair.stage.operator_with(hooked).await;
                until_standby(&victim).await;
                begins();
                former.terminate().unwrap();
                former.wait_exit(LONG).await.unwrap();
                [victim, self.replica(FIRST).await]
            }
        }
    }

    /// Starts a leader that is killed at its start, and the other replica once it leads or has ended.
    async fn replicas_from_the_start(&self, hooked: Start) -> [Running; 2] {
        let victim = self.pair.stage.operator_with(hooked).await;
        tokio::select! {
            _ = until_leading(&victim) => {}
            _ = victim.wait_exit(LONG) => {}
        }
        [victim, self.replica(SECOND).await]
    }

    async fn until_prepared(&self) {
        if !self.scenario.manifests("any").is_empty() {
            self.pair.stage.until_ready(&self.subject.object).await;
        }
    }

    async fn until_end(&self) {
        let stage = &self.pair.stage;
        until(LONG, "the end", || {
            self.scenario.check_end(stage, &self.subject)
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}\n{:#?}", brief(&stage.gateway.journal())));
    }

    /// The requests that the replica sends where it is not killed.
    async fn requests(&self) -> BTreeSet<Sent> {
        let record = RecordFile::new();
        let mut before = 0;
        let hooked = |start| record.start(start);
        let begins = || before = record.requests().len();
        let _replicas = self.replicas(hooked, begins).await;
        self.scenario.run(&self.pair.stage, &self.subject).await;
        self.until_end().await;
        let is_complete = |requests: &[String]| {
            let later = &requests[before..];
            ["create events", "update leases"]
                .iter()
                .all(|one| later.iter().any(|request| request.starts_with(one)))
        };
        until_sent(&record, "an Event and a renewal", is_complete).await;
        let requests: Vec<String> = record.requests().iter().map(|one| unnamed(one)).collect();
        let mut requests = sent(&requests, before, &self.subject);
        requests.retain(|sent| sent.nth == 1 || !PERIODIC.contains(&&*sent.request));
        // A standby sends it, at about the time from which requests are counted.
        requests.retain(|sent| sent.request != "watch leases");
        for request in self.victim.in_each() {
            let is_sent = requests.iter().any(|sent| sent.request == *request);
            assert!(is_sent, "{request}: {requests:#?}");
        }
        if (self.victim, self.scenario) != (Victim::Leader, Scenario::Declared) {
            // That one covers the start, which is the same in each.
            requests.retain(|sent| sent.phase == Phase::Steps);
        }
        requests
    }

    /// Kills the replica at that point, and looks at what the other one makes of it.
    async fn kill_at(&self, sent: &Sent, side: Side, undisturbed: &Undisturbed) {
        let stage = &self.pair.stage;
        let point = point(side, sent.nth, &self.subject.particular(&sent.request));
        let crash = CrashFile::new();
        let arm = || crash.arm(std::slice::from_ref(&point));
        let [victim, other] = match sent.phase {
            Phase::Start => {
                arm();
                let hooked = crash.start(start(self.victim.key()));
                self.replicas_from_the_start(hooked).await
            }
            Phase::Steps => self.replicas(|start| crash.start(start), arm).await,
        };
        let mark = stage.gateway.last_seq();
        self.scenario.run(stage, &self.subject).await;
        if sent.nth == 1 {
            until_reached(&victim, &point).await;
        } else {
            until_reached_or_end(&victim, &point, self.until_end()).await;
        }
        until_leading(&other).await;
        self.until_end().await;
        // Within two sweeps, a leader that is not at its end repeats an update.
        stage.until_sweeps(2).await;
        self.until_end().await;
        let patches = stage.patches_since(mark, &self.subject.id);
        let shown = brief(&patches);
        assert_eq!(changes(&patches), undisturbed.changes, "{point} {shown:#?}");
        let most = undisturbed.patches + 1;
        assert!(patches.len() <= most, "{point} {shown:#?}");
        self.assert_apart();
    }

    /// No request of the other replica among those of the one that was killed, nor before its Lease had ended.
    fn assert_apart(&self) {
        let gateway = &self.pair.stage.gateway;
        let credential = Some(gateway.credential_of(self.victim.key()));
        let journal = gateway.journal();
        let mut own = (0..journal.len()).filter(|place| journal[*place].credential == credential);
        let Some(first) = own.next() else { return };
        let last = own.next_back().unwrap_or(first);
        let is_own = |call: &fireworks_gateway_simulator::Entry| call.credential == credential;
        assert!(
            journal[first..=last].iter().all(is_own),
            "{:#?}",
            brief(&journal)
        );
        if let Some(next) = journal.get(last + 1) {
            let apart = next.received_ms - journal[last].received_ms;
            assert!(apart >= APART_MS, "{apart} ms {:#?}", brief(&journal));
        }
    }
}

/// A request for the Lease without its name, which differs by account.
fn unnamed(request: &str) -> String {
    match request.split_once(" leases") {
        Some((verb, _)) => format!("{verb} leases"),
        None => request.to_owned(),
    }
}

/// Runs the scenario once undisturbed, and once for each point, each time in another account.
async fn sweep(scenario: Scenario, victim: Victim) {
    let undisturbed = Undisturbed::run(scenario).await;
    let requests = World::set(scenario, victim, 0).await.requests().await;
    let points = requests
        .iter()
        .flat_map(|sent| Side::ALL.map(|side| (sent, side)));
    let undisturbed = &undisturbed;
    stream::iter((1..).zip(points))
        .for_each_concurrent(AT_ONCE, async |(number, (sent, side))| {
            let world = World::set(scenario, victim, number).await;
            world.kill_at(sent, side, undisturbed).await;
        })
        .await;
}

#[tokio::test]
async fn leader_election_new_object_and_leader_killed_at_every_request() {
    sweep(Scenario::Declared, Victim::Leader).await;
}

#[tokio::test]
async fn leader_election_drift_and_leader_killed_at_every_request() {
    sweep(Scenario::Drifted, Victim::Leader).await;
}

#[tokio::test]
async fn leader_election_new_object_and_successor_killed_at_every_request() {
    sweep(Scenario::Declared, Victim::Successor).await;
}
