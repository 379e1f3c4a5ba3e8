//! The witness of one stage: knows when which operator ran, and at the end gathers the evidence and looks at
//! the rules of `oracles`. No test calls it by itself: it speaks up when its stage is dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fireworks_gateway_simulator::Simulator;
use rig::{Exit, OperatorOptions, OperatorProcess, RigError, Timeout};

use crate::oracles::lapse::Lapse;
use crate::oracles::recorder::{Received, Recorder, Records};
use crate::oracles::{Evidence, History, Revision, Rule, Run, Violation};

/// For what is asked of an operator that is about to be ended.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Violations beyond these add nothing.
const SHOWN_MAX: usize = 10;

/// What is known of one stage.
pub struct Witness {
    recorder: Arc<Recorder>,
    gateway: Arc<Simulator>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    namespaces: Vec<String>,
    expected: Vec<(Rule, &'static str)>,
    secrets: Vec<String>,
    written_by_test: Vec<String>,
    runs: Vec<Arc<Started>>,
}

/// A process, and what is noted of it at its end.
struct Started {
    process: OperatorProcess,
    per_minute: usize,
    settle_ms: u64,
    since_ms: u64,
    /// What its clock follows, where a test moves it.
    time: Option<PathBuf>,
    end: Mutex<End>,
}

#[derive(Clone, Default)]
struct End {
    ended_ms: Option<u64>,
    asked: bool,
    unasked: bool,
    metrics: Option<String>,
    livez: Option<String>,
}

/// An operator that a test has started. Dropping it ends it.
pub struct Running {
    started: Arc<Started>,
    witness: Arc<Witness>,
}

impl Witness {
    pub fn new(recorder: Arc<Recorder>, gateway: Arc<Simulator>, namespace: &str) -> Arc<Self> {
        let known = Known {
            namespaces: vec![namespace.to_owned()],
            ..Known::default()
        };
        Arc::new(Self {
            recorder,
            gateway,
            known: Mutex::new(known),
        })
    }

    pub fn expects(&self, rule: Rule, reason: &'static str) {
        self.known().expected.push((rule, reason));
    }

    /// No log, status, Event or metric may show this.
    pub fn secret(&self, text: &str) {
        self.known().secrets.push(text.trim().to_owned());
    }

    /// The status of that `resourceVersion` is the test's own work.
    pub fn wrote_status(&self, version: &str) {
        self.known().written_by_test.push(version.to_owned());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything the rules look at.
    fn evidence(&self) -> Result<Evidence, String> {
        let known = self.known();
        let Records { objects, events } = self.recorder.records(&known.namespaces)?;
        let clock = Clock::of(&self.gateway);
        let objects = objects.into_iter().map(|((namespace, name), all)| {
            let revision = |one: &Received| clock.revision(one, &known.written_by_test);
            let revisions = all.iter().map(revision).collect();
            History {
                namespace,
                name,
                revisions,
            }
        });
        let past = self.gateway.past();
        let people = past.values().flatten().filter_map(|one| one.user.as_ref());
        let mut secrets = self.gateway.keys_ever();
        secrets.extend(people.map(|user| user.email.clone()));
        secrets.extend(known.secrets.iter().cloned());
        Ok(Evidence {
            objects: objects.collect(),
            journal: self.gateway.journal(),
            past,
            runs: known.runs.iter().map(|run| run.reported()).collect(),
            sinks: vec![("an Event".to_owned(), events)],
            secrets,
            contract: self
                .gateway
                .violations()
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }

    /// What was broken and not announced.
    fn violations(&self) -> Vec<Violation> {
        let mut broken = match self.evidence() {
            Ok(evidence) => evidence.violations(),
            Err(why) => panic!("the evidence is not complete: {why}"),
        };
        let expected = &self.known().expected;
        broken.retain(|one| expected.iter().all(|(rule, _)| *rule != one.rule));
        broken
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let broken = self.violations();
        if !broken.is_empty() {
            let reported: Vec<_> = broken
                .iter()
                .take(SHOWN_MAX)
                .map(|one| format!("{:?}: {}", one.rule, one.what))
                .collect();
            panic!(
                "{} violations: {reported:#?}\njournal: {:#?}",
                broken.len(),
                crate::stage::brief(&self.gateway.journal())
            );
        }
    }
}

/// Relates the recorder's clock to the journal's.
struct Clock {
    now: Instant,
    now_ms: u64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests measure with the real clock"
    )]
    fn of(gateway: &Simulator) -> Self {
        Self {
            now_ms: gateway.elapsed_ms(),
            now: Instant::now(),
        }
    }

    fn revision(&self, received: &Received, written_by_test: &[String]) -> Revision {
        let ago = self.now.saturating_duration_since(received.at).as_millis();
        let ago = u64::try_from(ago).unwrap_or(u64::MAX);
        let object = (*received.object).clone();
        let version = object["metadata"]["resourceVersion"].as_str();
        let by_test = written_by_test.iter().any(|one| version == Some(one));
        Revision {
            at_ms: self.now_ms.saturating_sub(ago),
            deleted: received.deleted,
            gap: received.gap,
            by_test,
            object,
        }
    }
}

impl Started {
    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reported(&self) -> Run {
        let End {
            ended_ms,
            unasked,
            metrics,
            livez,
            ..
        } = self.end().clone();
        Run {
            started_ms: self.since_ms,
            ended_ms,
            ended_unasked: unasked,
            per_minute: self.per_minute,
            settle_ms: self.settle_ms,
            lapse: self.time.as_deref().map(Lapse::of).unwrap_or_default(),
            logs: self.process.logs(),
            metrics,
            livez,
        }
    }
}

impl Running {
    /// Starts an operator and waits until it listens.
    ///
    /// # Errors
    /// If it ends before.
    pub async fn spawn(
        witness: &Arc<Witness>,
        options: &OperatorOptions,
    ) -> Result<Self, RigError> {
        let since_ms = witness.gateway.elapsed_ms();
        let process = OperatorProcess::spawn(options).await?;
        let number = |flag: &str| options.values(flag).last().map(str::to_owned);
        let started = Arc::new(Started {
            process,
            per_minute: number("--requests-per-minute").map_or(300, |text| text.parse().unwrap()),
            settle_ms: milliseconds(&number("--settle-window").unwrap()),
            since_ms,
            time: number("--test-time").map(PathBuf::from),
            end: Mutex::new(End {
                asked: options.values("--test-crash-at").next().is_some(),
                ..End::default()
            }),
        });
        let mut known = witness.known();
        known.runs.push(started.clone());
        for namespace in options.values("--namespace") {
            if !known.namespaces.iter().any(|known| known == namespace) {
                known.namespaces.push(namespace.to_owned());
            }
        }
        drop(known);
        Ok(Self {
            started,
            witness: witness.clone(),
        })
    }

    /// From now on its end is no surprise.
    pub fn may_end(&self) {
        self.started.end().asked = true;
    }

    /// [`OperatorProcess::terminate`].
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn terminate(&self) -> Result<(), RigError> {
        self.may_end();
        self.started.process.terminate()
    }

    /// [`OperatorProcess::kill`].
    ///
    /// # Errors
    /// If the operating system does not let us.
    pub fn kill(&self) -> Result<(), RigError> {
        self.may_end();
        let killed = self.started.process.kill();
        self.note_end();
        killed
    }

    /// [`OperatorProcess::wait_exit`].
    ///
    /// # Errors
    /// If it still runs after `deadline`.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<Exit, Timeout> {
        self.may_end();
        let exit = self.started.process.wait_exit(deadline).await?;
        self.note_end();
        Ok(exit)
    }

    fn note_end(&self) {
        let now = self.witness.gateway.elapsed_ms();
        self.started.end().ended_ms.get_or_insert(now);
    }
}

impl Deref for Running {
    type Target = OperatorProcess;

    fn deref(&self) -> &OperatorProcess {
        &self.started.process
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let runs = self.started.process.is_running().unwrap_or(false);
        let asked = runs && !std::thread::panicking();
        let (metrics, livez) = if asked {
            (self.asked("/metrics"), self.asked("/livez"))
        } else {
            (None, None)
        };
        let mut end = self.started.end();
        end.unasked = !runs && !end.asked;
        end.metrics = metrics;
        end.livez = livez;
        drop(end);
        // It is killed again when it is dropped, should that fail.
        let _ = self.started.process.kill();
        self.note_end();
    }
}

impl Running {
    /// What its administration port answers, without waiting for the test's runtime, which waits for us.
    fn asked(&self, path: &str) -> Option<String> {
        let address = self.started.process.known_address()?;
        read(address, path).ok()
    }
}

fn read(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A duration as the operator's flags have it.
fn milliseconds(text: &str) -> u64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits.parse().expect("a duration");
    match &text[digits.len()..] {
        "ms" => number,
        "s" => number * 1_000,
        "m" => number * 60_000,
        "h" => number * 3_600_000,
        unit => panic!("{unit:?} is no unit of time"),
    }
}
