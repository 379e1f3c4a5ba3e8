//! The crash sweep. Each scenario of a user is run once by an operator that records its requests, and then, for each of these
//! requests, by one that is killed before or after it and started again, as a kubelet does. The end state and the changes must
//! be those of the undisturbed run, with at most one PATCH more.

pub mod scenarios;

use std::collections::BTreeSet;

use operator_under_test::crash::Side;
use rig::until;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::counts::Time;
use crate::crash_points::{
    CrashFile, RecordFile, changes, point, until_reached, until_reached_or_end,
};
use crate::stage::{LONG, Stage, Start, brief, ready};
use crate::tenants::tenant::Tenant;
use crate::witness::Running;
use scenarios::{Scenario, Subject, is_at_its_generation};

/// The scenario, run with several users in one test environment.
struct Sweep {
    stage: Stage,
    scenario: Scenario,
    /// The time of operators that were started again. In the first minute of an epoch no waiting object takes a user over.
    time: Time,
    tenant: Option<Tenant>,
    /// The time of the operator that saw the tenant's objects come.
    clock: Clock,
}

impl Sweep {
    /// Everything up to where the scenario begins.
    async fn set(scenario: Scenario, count: usize) -> (Self, Vec<Subject>) {
        let name = format!("{scenario:?}").to_lowercase();
        let stage = Stage::set(&name).await;
        stage.user("root", "admin");
        let ids: Vec<String> = (0..count).map(|n| format!("{name}-{n:02}")).collect();
        for id in &ids {
            scenario.put(&stage, id);
        }
        let tenant = match scenario {
            Scenario::MadeAgain => Some(Tenant::create(&stage).await),
            _ => None,
        };
        let mut sweep = Self {
            stage,
            scenario,
            time: Time::new(),
            tenant,
            clock: Clock::new(),
        };
        let mut subjects: Vec<Subject> = ids.iter().cloned().map(Subject::plain).collect();
        let manifests: Vec<String> = subjects
            .iter()
            .flat_map(|one| scenario.manifests(&one.id))
            .collect();
        if manifests.is_empty() {
            return (sweep, subjects);
        }
        sweep.stage.apply_all(&manifests.join("---\n")).await;
        let operator = sweep.stage.operator_with(sweep.start()).await;
        let objects = sweep
            .until_objects("the beginning", |objects| {
                objects.len() == manifests.len() && scenario.is_prepared(objects)
            })
            .await;
        if scenario == Scenario::Inherited {
            for subject in &mut subjects {
                subject.find_owner(&objects);
            }
        }
        drop(operator);
        sweep.let_tenant_wait(&ids).await;
        (sweep, subjects)
    }

    /// Has the tenant's objects recorded as waiting. One that the tenant creates only after a restart of the operator, while
    /// the platform's is deleted, may hold the user: the deletion has left no trace (docs/security.md).
    async fn let_tenant_wait(&mut self, ids: &[String]) {
        let Some(tenant) = &self.tenant else {
            return;
        };
        let start = self.clock.start(self.start());
        let operator = self.stage.operator_with(start).await;
        self.until_started(&operator).await;
        for id in ids {
            let spec = json!({"userId": id, "role": "user"});
            tenant.create_object(&format!("{id}-tenant"), spec).await;
        }
        self.clock.pass(10).await;
        for id in ids {
            let name = format!("{id}-tenant");
            tenant.until_claim(&name, "Waiting").await;
        }
    }

    fn start(&self) -> Start {
        let start = Start {
            // Each process waits for it: an update of the one before may still take effect until then.
            settle: "100ms",
            ..Start::default()
        };
        match &self.tenant {
            Some(tenant) => tenant.start(start),
            None => start,
        }
    }

    /// An operator that is started again.
    async fn again(&self) -> Running {
        let mut again = self.start();
        if self.scenario == Scenario::Inherited {
            again.args.extend(self.time.start().args);
        }
        self.stage.operator_with(again).await
    }

    /// Waits until the operator has synced the objects and, if there are any, the account.
    async fn until_started(&self, operator: &Running) {
        until(LONG, "the operator to be ready", async || {
            match operator.admin_get("/readyz").await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
        if !self.scenario.manifests("any").is_empty() {
            self.stage.until_sweeps(1).await;
        }
    }

    /// Waits for the end of the scenario: status at the object's generation, and the user as declared.
    async fn until_end(&self, subject: &Subject) {
        let stage = &self.stage;
        let what = format!("the end of {}", subject.object);
        until(LONG, &what, async || {
            if self.scenario == Scenario::Inherited {
                self.time.hurry(60);
            }
            self.scenario.check_end(stage, subject).await
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}\n{:#?}", brief(&stage.gateway.journal())));
    }

    async fn until_objects(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let found = until(LONG, what, async || {
            let objects = self.stage.objects().await;
            let objects = objects.map_err(|error| error.to_string())?;
            if objects.iter().all(is_at_its_generation) && holds(&objects) {
                Ok(objects)
            } else {
                let output = objects
                    .iter()
                    .map(|one| format!("{} {}", one["metadata"]["name"], ready(one)));
                Err(output.collect::<Vec<_>>().join("\n"))
            }
        });
        found.await.unwrap_or_else(|timeout| panic!("{timeout}"))
    }
}

/// A request of a scenario's undisturbed run, and when it was sent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sent {
    pub phase: Phase,
    /// Verb, resource and name, as [`Subject::general`] returns them.
    pub request: String,
    pub nth: u32,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Before the scenario begins: an operator that ends there does not see its steps.
    Start,
    /// From its first step on.
    Steps,
}

/// The requests of each scenario, whatever else it sends.
const IN_EACH: [&str; 4] = [
    "watch fireworksusers",
    "listUsers users",
    "patch fireworksusers/status OBJECT",
    "create events",
];

/// What the undisturbed run of a scenario sent and changed.
pub struct Undisturbed {
    requests: BTreeSet<Sent>,
    pub patches: usize,
    pub changes: Vec<(String, String)>,
}

impl Undisturbed {
    /// Runs the scenario, and records it.
    pub async fn run(scenario: Scenario) -> Self {
        let (sweep, subjects) = Sweep::set(scenario, 1).await;
        let subject = &subjects[0];
        let stage = &sweep.stage;
        let mark = stage.gateway.last_seq();
        let record = RecordFile::new();
        let operator = stage.operator_with(record.start(sweep.start())).await;
        sweep.until_started(&operator).await;
        let before = record.requests().len();
        scenario.run(stage, subject).await;
        sweep.until_end(subject).await;
        let is_reported = |sent: &[String]| sent[before..].iter().any(|one| one == "create events");
        until_sent(&record, "an Event", is_reported).await;
        let patches = stage.patches_since(mark, &subject.id);
        let requests = sent(&record.requests(), before, subject);
        for request in IN_EACH {
            let is_sent = requests.iter().any(|sent| sent.request == request);
            assert!(is_sent, "{request}: {requests:#?}");
        }
        Self {
            requests,
            patches: patches.len(),
            changes: changes(&patches),
        }
    }
}

pub async fn until_sent(record: &RecordFile, what: &str, holds: impl Fn(&[String]) -> bool) {
    until(LONG, what, async || {
        let requests = record.requests();
        if holds(&requests) {
            Ok(())
        } else {
            Err(requests.join(", "))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// Returns the requests that the sweep covers. The first `before` of them were sent before the scenario began: of these, only
/// the first of each kind is sure to be sent at each start.
pub fn sent(requests: &[String], before: usize, subject: &Subject) -> BTreeSet<Sent> {
    let mut sent: BTreeSet<Sent> = BTreeSet::new();
    let (earlier, later) = requests.split_at(before);
    for (phase, requests) in [(Phase::Start, earlier), (Phase::Steps, later)] {
        for request in requests {
            let request = subject.general(request);
            let is_same = |one: &&Sent| one.phase == phase && one.request == request;
            let nth = 1 + u32::try_from(sent.iter().filter(is_same).count()).unwrap();
            if nth == 1 || phase == Phase::Steps {
                sent.insert(Sent {
                    phase,
                    request,
                    nth,
                });
            }
        }
    }
    sent
}

/// Runs the scenario once undisturbed, and once for each crash point, each time with another user.
async fn sweep(scenario: Scenario) {
    let undisturbed = Undisturbed::run(scenario).await;
    let requests = undisturbed.requests.iter();
    let points: Vec<(&Sent, Side)> = requests
        .flat_map(|sent| Side::ALL.map(|side| (sent, side)))
        .collect();
    let (sweep, subjects) = Sweep::set(scenario, points.len()).await;
    let stage = &sweep.stage;
    let mark = stage.gateway.last_seq();
    for (subject, (sent, side)) in subjects.iter().zip(&points) {
        let point = point(*side, sent.nth, &subject.particular(&sent.request));
        let crash = CrashFile::new();
        let operator = match sent.phase {
            Phase::Start => {
                crash.arm(std::slice::from_ref(&point));
                stage.operator_with(crash.start(sweep.start())).await
            }
            Phase::Steps => {
                let operator = stage.operator_with(crash.start(sweep.start())).await;
                sweep.until_started(&operator).await;
                crash.arm(std::slice::from_ref(&point));
                operator
            }
        };
        scenario.run(stage, subject).await;
        if sent.nth == 1 {
            until_reached(&operator, &point).await;
        } else {
            until_reached_or_end(&operator, &point, sweep.until_end(subject)).await;
        }
        // The next operator finds nothing to do at its start, as in the undisturbed run.
        let operator = sweep.again().await;
        sweep.until_end(subject).await;
        operator.kill().unwrap();
    }
    let _operator = sweep.again().await;
    for subject in &subjects {
        sweep.until_end(subject).await;
    }
    // Within two sweeps, an operator that is not at its end repeats an update.
    stage.until_sweeps(2).await;
    for (subject, point) in subjects.iter().zip(&points) {
        sweep.until_end(subject).await;
        let patches = stage.patches_since(mark, &subject.id);
        assert_eq!(
            changes(&patches),
            undisturbed.changes,
            "{point:?} {:#?}",
            brief(&patches)
        );
        assert!(
            patches.len() <= undisturbed.patches + 1,
            "{point:?} {:#?}",
            brief(&patches)
        );
    }
}

#[tokio::test]
async fn a_new_object_killed_at_every_point() {
    sweep(Scenario::Declared).await;
}

#[tokio::test]
async fn a_new_admin_killed_at_every_point() {
    sweep(Scenario::MadeAdmin).await;
}

#[tokio::test]
async fn a_new_custom_user_killed_at_every_point() {
    sweep(Scenario::MadeCustom).await;
}

#[tokio::test]
async fn a_repaired_drift_killed_at_every_point() {
    sweep(Scenario::Drifted).await;
}

#[tokio::test]
async fn an_absent_user_killed_at_every_point() {
    sweep(Scenario::Missed).await;
}

#[tokio::test]
async fn a_user_that_appears_killed_at_every_point() {
    sweep(Scenario::Appeared).await;
}

#[tokio::test]
async fn a_new_name_killed_at_every_point() {
    sweep(Scenario::Renamed).await;
}

/// What the tenant asks for is in none of the changes, however the operator ends.
#[tokio::test]
async fn an_object_made_again_killed_at_every_point() {
    sweep(Scenario::MadeAgain).await;
}

#[tokio::test]
async fn a_claim_that_is_inherited_killed_at_every_point() {
    sweep(Scenario::Inherited).await;
}
