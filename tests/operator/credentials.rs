//! The API key: refused, replaced, lost. A refused key costs at most one call a minute, and disturbs no
//! object that is in sync.

use std::path::PathBuf;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Fault, Kind, Verb};
use rig::until;

use crate::stage::{LONG, Stage, Start, brief, condition, manifests, ready};

/// How long it may take from a new key in the file to a changed user.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// How long a refused key is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// A file with a key, in a folder of its own.
struct KeyFile {
    folder: tempfile::TempDir,
}

impl KeyFile {
    fn with(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("api-key"), content).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("api-key")
    }

    /// As a mounted Secret changes: another file takes the name.
    fn replace(&self, content: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, self.path()).unwrap();
    }

    fn start(&self) -> Start {
        Start {
            key_file: Some(self.path()),
            ..Start::default()
        }
    }
}

#[tokio::test]
async fn a_refused_key_is_hardly_used_and_a_new_one_at_once() {
    let stage = Stage::set("refused").await;
    stage.user("alice", "user");
    stage.user("calm", "user");
    let file = KeyFile::with(&stage.gateway.api_key());
    stage.apply("calm", "{role: user}").await;
    stage.apply("alice", "{role: user}").await;
    let _operator = stage.operator_with(file.start()).await;
    stage.until_ready("calm").await;
    stage.until_ready("alice").await;

    let mark = stage.mark();
    stage.gateway.set_api_keys(["the-next-key"]);
    stage
        .until_journal("the first 401", |entries| {
            entries.iter().any(|entry| entry.status == Some(401))
        })
        .await;
    stage.apply("alice", "{role: contributor}").await;
    let reported = stage.until_reason("alice", "Unauthenticated").await;
    assert_eq!(ready(&reported)["status"], "False");
    assert_eq!(condition(&reported, "Reconciling")["status"], "True");

    let last = stage.gateway.last_seq();
    let more = |entries: &[Entry]| entries.iter().any(|entry| entry.seq > last);
    let disturbed = stage.gateway.journal_until(WATCHED, more).await;
    assert!(!disturbed, "{:#?}", brief(&stage.gateway.journal()));

    file.replace("the-next-key\n");
    let recovered = tokio::time::timeout(RECOVERED_WITHIN, stage.until_ready("alice")).await;
    recovered.expect("recovered within 5 s of the new key");
    assert_eq!(
        stage.gateway.user("alice").unwrap().role,
        "contributor",
        "by the new key"
    );
    assert_eq!(
        stage.reasons_written(mark, "alice"),
        ["Unauthenticated", "InSync"]
    );
    assert!(stage.reasons_written(mark, "calm").is_empty());
    assert_eq!(ready(&stage.object("calm").await)["status"], "True");
}

#[tokio::test]
async fn unauthenticated_change_waits_for_the_new_key() {
    let stage = Stage::set("refused-change").await;
    for name in ["alice", "bob", "carol"] {
        stage.user(name, "user");
    }
    let file = KeyFile::with(&stage.gateway.api_key());
    // No sweep comes in between: the changes themselves meet the refusal.
    let start = Start {
        sweep: "60s",
        ..file.start()
    };
    stage.apply("alice", "{role: user}").await;
    let _operator = stage.operator_with(start).await;
    stage.until_ready("alice").await;
    stage.gateway.set_api_keys(["the-next-key"]);
    for name in ["alice", "bob", "carol"] {
        stage.apply(name, "{role: contributor}").await;
        stage.until_reason(name, "Unauthenticated").await;
    }
    // The first change of a process is preceded by a read of its user, which meets the refusal.
    let journal = stage.gateway.journal();
    let refused = journal.iter().filter(|entry| entry.status == Some(401));
    assert_eq!(refused.count(), 1, "what came later did not ask again");
    file.replace("the-next-key");
    let recovered = async {
        for name in ["alice", "bob", "carol"] {
            stage.until_ready(name).await;
        }
    };
    let recovered = tokio::time::timeout(RECOVERED_WITHIN, recovered).await;
    recovered.expect("recovered within 5 s of the new key");
}

/// A refused change stops the reads, too: an object whose user was never read waits for the key and not for the rate.
#[tokio::test]
async fn unauthenticated_change_is_reported_where_a_read_waits() {
    let stage = Stage::set("refused-read").await;
    for name in ["alice", "bob"] {
        stage.user(name, "user");
    }
    // No sweep comes in between: its success would show that the key is good.
    let start = Start {
        sweep: "60s",
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    // The first change of a process is preceded by a read.
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let refuse = Fault::new(Kind::error(16)).on(Verb::Patch);
    stage.gateway.add_fault(refuse.always());
    stage.apply("alice", "{role: user}").await;
    stage.until_reason("alice", "Unauthenticated").await;
    let mark = stage.mark();
    stage.apply("bob", "{role: contributor}").await;
    until(LONG, "a status of bob", async || {
        let reasons = stage.reasons_written(mark, "bob");
        if reasons.is_empty() {
            Err("none")
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    assert_eq!(stage.reasons_written(mark, "bob"), ["Unauthenticated"]);
}

#[tokio::test]
async fn however_many_changes_wait_a_refused_key_stops_them_at_once() {
    let stage = Stage::set("refused-many").await;
    let names: Vec<String> = (0..60).map(|number| format!("user-{number:02}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    let file = KeyFile::with(&stage.gateway.api_key());
    let refuse = Fault::new(Kind::error(16)).on(Verb::Patch).from_nth(3);
    stage.gateway.add_fault(refuse.always());
    let manifests = manifests(&names, "{role: contributor}");
    stage.apply_all(&manifests).await;
    let fast = ["--requests-per-minute", "6000"].map(str::to_owned);
    // No sweep comes in between: its success would show that the key is good.
    let start = Start {
        args: fast.to_vec(),
        sweep: "60s",
        ..file.start()
    };
    let _operator = stage.operator_with(start).await;
    let refused = |entry: &&Entry| entry.status == Some(401);
    stage
        .until_journal("the first 401", |entries| {
            entries.iter().any(|e| refused(&e))
        })
        .await;
    let journal = stage.gateway.journal();
    let first = journal.iter().find(refused).unwrap().answered_ms.unwrap();
    // What was on the wire, on a machine that may be busy.
    let later = move |entries: &[Entry]| entries.iter().any(|e| e.received_ms > first + 300);
    let went_on = stage.gateway.journal_until(WATCHED / 4, later).await;
    assert!(!went_on, "{:#?}", brief(&stage.gateway.journal()));

    stage.gateway.clear_faults();
    stage.gateway.set_api_keys(["the-next-key"]);
    file.replace("the-next-key");
    stage.until_all_ready().await;
}

#[tokio::test]
async fn unauthenticated_from_the_start_ends_with_another_key() {
    let stage = Stage::set("never-good").await;
    stage.user("alice", "user");
    let file = KeyFile::with("a-key-of-somebody-else");
    stage.apply("alice", "{role: contributor}").await;
    let _operator = stage.operator_with(file.start()).await;
    let reported = stage.until_reason("alice", "Unauthenticated").await;
    assert_eq!(ready(&reported)["status"], "False");
    file.replace(&stage.gateway.api_key());
    let recovered = tokio::time::timeout(RECOVERED_WITHIN, stage.until_ready("alice")).await;
    recovered.expect("recovered within 5 s of the new key");
}

#[tokio::test]
async fn a_trailing_newline_is_no_part_of_the_key_and_an_emptied_file_takes_no_key_away() {
    let stage = Stage::set("emptied").await;
    stage.user("alice", "user");
    let file = KeyFile::with(&format!("{}\n", stage.gateway.api_key()));
    stage.apply("alice", "{role: contributor}").await;
    let operator = stage.operator_with(file.start()).await;
    stage.until_ready("alice").await;

    file.replace("");
    until(LONG, "the empty file to be noticed", async || {
        let warnings = warnings(&operator.logs());
        if warnings.is_empty() {
            Err("no warning")
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    stage.until_sweeps(3).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    let entries = stage.gateway.journal();
    assert!(entries.iter().all(|entry| entry.status == Some(200)));
    let warnings = warnings(&operator.logs());
    assert_eq!(warnings.len(), 1, "logged once: {warnings:#?}");
}

fn warnings(logs: &str) -> Vec<String> {
    let warns = logs
        .lines()
        .filter(|line| line.contains(r#""level":"WARN""#));
    warns.map(str::to_owned).collect()
}
