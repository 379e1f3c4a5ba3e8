//! Long stretches of time within seconds: the operator's timers run ahead of the clock on the wall, and stand still
//! while it makes a call. Ten minutes of outage, a day of sleep. Calls and writes are counted where they arrive, and
//! dated by the clock that the operator had then.

use std::collections::BTreeMap;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, ErrorShape, Fault, Kind, User, Verb};
use rig::{Mark, OperatorProcess, Request, until};
use serde_json::json;

use crate::clock::Clock;
use crate::oracles::lapse::Lapse;
use crate::stage::{Stage, Start, brief, ready};
use crate::witness::Running;

/// For a thousand objects on a busy machine.
const LONGER: Duration = Duration::from_mins(5);
const MINUTE: u64 = 60;
const ALL: usize = 1000;
/// Of a list of all.
const PAGES: usize = ALL / 200;
/// Those whose spec changes while Fireworks is away.
const PENDING: usize = 20;
/// How long an object in sync stays Ready without a read.
const STALE_MS: u64 = 10 * 60_000;

/// An operator with the settings that most people will have.
fn patient() -> Start {
    Start {
        sweep: "60s",
        settle: "30s",
        ..Start::default()
    }
}

/// When a call came, by a clock that went so.
fn called_at(steps: &Lapse, call: &Entry) -> u64 {
    u64::try_from(call.received_unix_ms).unwrap() + steps.ahead_ms(call.received_unix_ms)
}

/// When a status was written, by a clock that went so.
fn written_at(steps: &Lapse, write: &Request) -> u64 {
    let at: jiff::Timestamp = write.at.parse().unwrap();
    u64::try_from(at.as_millisecond()).unwrap() + steps.ahead_ms(at.as_millisecond())
}

/// Waits until the operator has written that many statuses with that reason, by its own count.
async fn until_written(operator: &OperatorProcess, reason: &str, count: usize) {
    let what = format!("{count} statuses to report {reason}");
    until(LONGER, &what, async || {
        let metrics = operator.admin_get("/metrics").await;
        let (_, text) = metrics.map_err(|error| error.to_string())?;
        let label = format!("status_writes_total{{reason=\"{reason}\"}}");
        let line = text.lines().find(|line| line.contains(&label));
        let value = line.and_then(|line| line.rsplit(' ').next());
        match value.and_then(|value| value.parse::<usize>().ok()) {
            Some(written) if written >= count => Ok(()),
            _ => Err(format!("{value:?}")),
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// The statuses that each object was given since then, in order.
fn reported(stage: &Stage, since: Mark) -> BTreeMap<String, Vec<Request>> {
    let mut reported: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for write in stage.status_writes(since) {
        reported.entry(write.name.clone()).or_default().push(write);
    }
    reported
}

/// The reasons of these statuses.
fn reasons(writes: Option<&Vec<Request>>) -> Vec<String> {
    let reason = |write: &Request| {
        let body = write.body.as_ref().unwrap();
        ready(body)["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    writes.into_iter().flatten().map(reason).collect()
}

/// Each named object got exactly these reasons.
fn assert_reported_once(
    reported: &BTreeMap<String, Vec<Request>>,
    names: &[String],
    expected: &[&str],
) {
    for name in names {
        assert_eq!(reasons(reported.get(name)), expected, "{name}");
    }
}

fn is_good_list(call: &Entry) -> bool {
    call.verb == Verb::List && call.status == Some(200)
}

/// The tries of one thing that fails for that time, where each wait is as long as the average of its draw:
/// half of 1, 2, 4 … 300 s.
fn paced_tries(time: Duration) -> usize {
    let waits = (0..).map(|n: i32| 2_f64.powi(n.min(20)).min(300.0) / 2.0);
    let times = waits.scan(0.0, |at, wait| {
        *at += wait;
        Some(*at)
    });
    1 + times.take_while(|at| *at < time.as_secs_f64()).count()
}

/// Those in sync, those whose change cannot be made, and what they live in.
struct Burst {
    operator: Running,
    stage: Stage,
    // Ends last: it knows how to date what the others have seen.
    clock: Clock,
    changed: Vec<String>,
    in_sync: Vec<String>,
}

impl Burst {
    async fn settled(objects: usize, others: usize) -> Self {
        let stage = Stage::set("virtual-time").await;
        let names: Vec<_> = (0..objects).map(|n| format!("user-{n:04}")).collect();
        // Without an e-mail address to lose, none of the changes has to go alone.
        let nobodys = (0..others).map(|n| format!("nobodys-{n:04}"));
        for name in names.iter().cloned().chain(nobodys) {
            stage.gateway.put_user(User::new(name, "user"));
        }
        let clock = Clock::new();
        let operator = stage.operator_with(clock.start(patient())).await;
        stage.create_all(&names, &json!({"role": "user"})).await;
        until_written(&operator, "InSync", objects).await;
        let (changed, in_sync) = names.split_at(PENDING);
        Self {
            operator,
            stage,
            clock,
            changed: changed.to_vec(),
            in_sync: in_sync.to_vec(),
        }
    }

    /// Lets minutes pass until a sweep that began after now has shown all users.
    async fn see_all(&mut self, pages: usize) {
        let since = self.stage.gateway.last_seq();
        self.clock.pass(70).await;
        let good = |call: &&Entry| call.seq > since && is_good_list(call);
        self.stage
            .until_journal("a sweep", |calls| {
                calls.iter().filter(good).count() >= pages
            })
            .await;
    }

    /// Fireworks fails from now on, with other words each time.
    fn begin_outage(&self) {
        for n in 0..3 {
            let fault = Kind::Error {
                code: 14,
                status: None,
                shape: ErrorShape::Plain,
                message: Some(format!("upstream is away (request 7f3a-{n}-{})", n * 7919)),
            };
            let times = if n < 2 { 40 } else { 0 };
            let fault = Fault::new(fault).from_nth(n + 1).times(times);
            self.stage.gateway.add_fault(fault);
        }
    }

    /// Some are changed, and each change is tried once before time goes on.
    async fn change_some(&self) {
        let rest = self.stage.plane.rest().unwrap();
        let role = json!({"spec": {"role": "contributor"}});
        for name in &self.changed {
            let path = format!("{}/{name}", self.stage.objects_path());
            let sent = rest.send("PATCH", &path, Some(&role)).await;
            assert_eq!(sent.unwrap().0, 200);
        }
        until_written(&self.operator, "Unconfirmed", PENDING).await;
    }

    /// One row of tries for each change and one for the lists, each at the pace of its back-off.
    fn assert_calls_are_paced(&self, since: u64) {
        let calls = self.stage.calls_since(since);
        let steps = self.clock.steps();
        let times = calls.iter().map(|call| called_at(&steps, call));
        let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
        let paced = (PENDING + 1) * paced_tries(Duration::from_millis(last - first));
        let made = calls.len();
        assert!(made <= paced * 11 / 10, "{made} calls, {paced} paced");
    }

    /// Each object in sync was reported as unreachable once, and not before its last good read was old enough.
    fn assert_ready_until_stale(&self, reported: &BTreeMap<String, Vec<Request>>, since: u64) {
        assert_reported_once(reported, &self.in_sync, &["RemoteUnavailable"]);
        assert_reported_once(reported, &self.changed, &["Unconfirmed"]);
        let steps = self.clock.steps();
        let before = self.stage.gateway.journal().into_iter();
        let good = before.filter(|call| call.seq <= since && is_good_list(call));
        // The pages of the last sweep; the users on the first of them were seen the longest ago.
        let pages: Vec<_> = good.map(|call| called_at(&steps, &call)).collect();
        let seen = pages[pages.len() - PAGES];
        for name in &self.in_sync {
            let unanswered = written_at(&steps, &reported[name][0]) - seen;
            assert!(
                unanswered > STALE_MS,
                "{name} was reported after {unanswered} ms"
            );
        }
    }
}

#[tokio::test]
async fn remote_unavailable_for_ten_minutes_costs_two_writes_an_object() {
    let mut burst = Burst::settled(ALL, 0).await;
    burst.see_all(PAGES).await;
    let (mark, since) = (burst.stage.mark(), burst.stage.gateway.last_seq());
    burst.begin_outage();
    burst.change_some().await;
    burst.clock.pass(17 * MINUTE).await;
    until_written(&burst.operator, "RemoteUnavailable", burst.in_sync.len()).await;
    burst.assert_calls_are_paced(since);
    let outage = reported(&burst.stage, mark);
    burst.assert_ready_until_stale(&outage, since);

    burst.stage.gateway.clear_faults();
    // The longest wait between two tries is five minutes.
    burst.clock.pass(6 * MINUTE).await;
    until_written(&burst.operator, "InSync", 2 * ALL).await;
    let all = reported(&burst.stage, mark);
    assert_reported_once(&all, &burst.in_sync, &["RemoteUnavailable", "InSync"]);
    assert_reported_once(&all, &burst.changed, &["Unconfirmed", "InSync"]);
    let (code, _) = burst.operator.admin_get("/livez").await.unwrap();
    assert_eq!(code, 200);
}

#[tokio::test]
async fn a_day_of_sleep_costs_one_sweep_and_no_status_write() {
    let mut burst = Burst::settled(50, 400).await;
    burst.see_all(3).await;
    let (mark, since) = (burst.stage.mark(), burst.stage.gateway.last_seq());
    burst.clock.sleep(24 * 60 * MINUTE).await;
    // Another object's change wakes its objects before Fireworks has answered.
    let rest = burst.stage.plane.rest().unwrap();
    let label = json!({"metadata": {"labels": {"awake": "yes"}}});
    for name in burst.changed.iter().chain(&burst.in_sync) {
        let path = format!("{}/{name}", burst.stage.objects_path());
        let sent = rest.send("PATCH", &path, Some(&label)).await;
        assert_eq!(sent.unwrap().0, 200);
    }
    let good = |call: &&Entry| call.seq > since && is_good_list(call);
    let whole = |calls: &[Entry]| calls.iter().filter(good).count() >= 3;
    burst
        .stage
        .until_journal("a sweep after a day", whole)
        .await;
    burst.clock.spend(30).await;
    let calls = burst.stage.calls_since(since);
    assert_eq!(
        calls.iter().filter(good).count(),
        calls.len(),
        "{:#?}",
        brief(&calls)
    );
    assert_eq!(calls.len(), 3, "{:#?}", brief(&calls));
    assert_eq!(reported(&burst.stage, mark).len(), 0);
    burst.stage.until_all_ready().await;
}

#[tokio::test]
async fn endless_throttling_is_reported_once_reads_are_stale() {
    let mut burst = Burst::settled(PENDING + 5, 0).await;
    burst.see_all(1).await;
    let mark = burst.stage.mark();
    let wait = Kind::Throttle {
        retry_after: Some((5 * MINUTE).to_string()),
        retry_after_ms: None,
    };
    burst.stage.gateway.add_fault(Fault::new(wait).always());
    burst.clock.pass(9 * MINUTE).await;
    assert_eq!(reported(&burst.stage, mark).len(), 0);
    burst.clock.pass(4 * MINUTE).await;
    until_written(&burst.operator, "RemoteUnavailable", PENDING + 5).await;
    burst.stage.gateway.clear_faults();
    burst.clock.pass(6 * MINUTE).await;
    until_written(&burst.operator, "InSync", 2 * (PENDING + 5)).await;
    let all = reported(&burst.stage, mark);
    for names in [&burst.changed, &burst.in_sync] {
        assert_reported_once(&all, names, &["RemoteUnavailable", "InSync"]);
    }
}

#[tokio::test]
async fn a_start_into_an_outage_leaves_an_object_ready_until_its_read_is_stale() {
    let stage = Stage::set("virtual-time").await;
    stage.user("alice", "user");
    let before = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    drop(before);
    let mark = stage.mark();
    let away = Kind::Error {
        code: 14,
        status: None,
        shape: ErrorShape::Plain,
        message: None,
    };
    stage.gateway.add_fault(Fault::new(away).always());
    let mut clock = Clock::new();
    let operator = stage.operator_with(clock.start(patient())).await;
    let failed = |calls: &[Entry]| calls.iter().any(|call| call.status == Some(503));
    stage.until_journal("a failed list", failed).await;
    clock.pass(9 * MINUTE).await;
    assert_eq!(reported(&stage, mark).len(), 0);
    clock.pass(2 * MINUTE).await;
    until_written(&operator, "RemoteUnavailable", 1).await;
    stage.gateway.clear_faults();
    clock.pass(6 * MINUTE).await;
    until_written(&operator, "InSync", 1).await;
    let expected = ["RemoteUnavailable", "InSync"];
    assert_reported_once(&reported(&stage, mark), &["alice".to_owned()], &expected);
    // It ends first: the rules on its pace count by its clock.
    drop(operator);
}

#[tokio::test]
async fn who_is_missed_by_one_list_stays_ready_however_long_the_operator_has_run() {
    let stage = Stage::set("virtual-time").await;
    for name in ["alice", "bob"] {
        stage.user(name, "user");
        stage.apply(name, "{role: user}").await;
    }
    let mut clock = Clock::new();
    let operator = stage.operator_with(clock.start(patient())).await;
    stage.until_all_ready().await;
    clock.pass(11 * MINUTE).await;
    let mark = stage.mark();
    let hides = Kind::OmittedUsers {
        ids: vec!["alice".to_owned()],
    };
    stage
        .gateway
        .add_fault(Fault::new(hides).on(Verb::List).always());
    clock.pass(3 * MINUTE).await;
    let is_read = |call: &Entry| call.verb == Verb::Get && call.user.as_deref() == Some("alice");
    let read = |calls: &[Entry]| calls.iter().any(is_read);
    stage.until_journal("a read of who is missed", read).await;
    clock.pass(2 * MINUTE).await;
    assert_eq!(reported(&stage, mark).len(), 0);
    drop(operator);
}
