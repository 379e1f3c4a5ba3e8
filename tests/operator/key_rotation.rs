//! The key file while the operator works: rotated every second as a mounted Secret is and by a plain
//! rename, spoilt in every way, wrong, and good again. The file is read every second, so a key may be used
//! for a second after it was replaced, and by a call that is just leaving for a moment more.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fireworks_gateway_simulator::Entry;
use rig::until;
use tokio::time::{MissedTickBehavior, interval};

use crate::stage::{LONG, Stage, Start, brief, condition, ready};
use crate::witness::Running;

/// A key may be used so long after another took its place: a second until the file is read again, and a
/// second for a call to leave. A machine under load is given three more; to the millisecond the first is
/// tested where the file is read.
const OLDEST: Duration = Duration::from_secs(5);

/// How the file gets a new content.
#[derive(Clone, Copy)]
enum Mount {
    /// Another file takes the name.
    Plain,
    /// The file is a link into a folder that is itself behind a link, and that one is swapped.
    Secret,
}

/// The key file.
struct KeyFile {
    folder: tempfile::TempDir,
    mount: Mount,
    writes: u32,
}

impl KeyFile {
    fn with(mount: Mount, content: &str) -> Self {
        let mut file = Self {
            folder: tempfile::tempdir().unwrap(),
            mount,
            writes: 0,
        };
        file.replace(content);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("api-key")
    }

    /// Writes a new content beside the old one and swaps them at once.
    fn replace(&mut self, content: &str) {
        let place = |name: &str| self.folder.path().join(name);
        match self.mount {
            Mount::Plain => {
                std::fs::write(place("next"), content).unwrap();
                std::fs::rename(place("next"), place("api-key")).unwrap();
            }
            Mount::Secret => {
                self.writes += 1;
                let version = format!("..{}", self.writes);
                std::fs::create_dir(place(&version)).unwrap();
                std::fs::write(place(&version).join("api-key"), content).unwrap();
                symlink(&version, place("..data_tmp")).unwrap();
                std::fs::rename(place("..data_tmp"), place("..data")).unwrap();
                if self.writes == 1 {
                    symlink(Path::new("..data").join("api-key"), place("api-key")).unwrap();
                } else {
                    let former = format!("..{}", self.writes - 1);
                    std::fs::remove_dir_all(place(&former)).unwrap();
                }
            }
        }
    }

    fn start(&self) -> Start {
        Start {
            key_file: Some(self.path()),
            ..Start::default()
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "compared with the journal's time"
)]
fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

/// Rotates the key every second while one user is changed all the time.
async fn rotated(mount: Mount, rotations: usize) {
    let stage = Stage::set("rotated").await;
    stage.user("alice", "user");
    let key = |number: usize| format!("fw_rotation_{number:03}_not_a_real_key");
    let mut file = KeyFile::with(mount, &key(0));
    stage.gateway.set_api_keys((0..=rotations).map(key));
    let mark = stage.mark();
    stage.apply("alice", "{role: user}").await;
    let mut start = file.start();
    start.args = ["--requests-per-minute", "6000"]
        .map(str::to_owned)
        .to_vec();
    let operator = stage.operator_with(start).await;
    stage.until_ready("alice").await;

    let mut replaced_at = vec![];
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1..=rotations {
        ticks.tick().await;
        file.replace(&key(number));
        replaced_at.push(unix_ms());
        let role = ["user", "contributor"][number % 2];
        stage.apply("alice", &format!("{{role: {role}}}")).await;
    }
    let last = stage.gateway.credential_of(&key(rotations));
    let uses_last = |entry: &Entry| entry.credential.as_ref() == Some(&last);
    stage
        .until_journal("the last key", |entries| entries.iter().any(uses_last))
        .await;
    stage.until_ready("alice").await;

    let journal = stage.gateway.journal();
    let ages = (0..rotations).flat_map(|number| {
        let credential = stage.gateway.credential_of(&key(number));
        let gone = replaced_at[number];
        let with = journal
            .iter()
            .filter(move |entry| entry.credential.as_ref() == Some(&credential));
        with.map(move |entry| entry.received_unix_ms - gone)
    });
    let oldest = ages.max().expect("calls");
    eprintln!("the oldest key was used {oldest} ms after it was replaced");
    assert!(
        oldest <= i64::try_from(OLDEST.as_millis()).unwrap(),
        "{oldest} ms"
    );
    let keys: std::collections::BTreeSet<_> = journal.iter().map(|one| &one.credential).collect();
    assert!(
        keys.len() > rotations / 3,
        "only {} of {rotations} keys were used",
        keys.len()
    );
    assert!(
        journal.iter().all(|entry| entry.status == Some(200)),
        "{:#?}",
        brief(&journal)
    );
    let reasons = stage.reasons_written(mark, "alice");
    assert!(
        reasons.iter().all(|reason| reason == "InSync"),
        "{reasons:?}"
    );
    assert!(!operator.logs().contains("fw_rotation"), "a key in the log");
}

#[tokio::test]
async fn rotated_every_second_for_a_minute_as_a_mounted_secret_is() {
    rotated(Mount::Secret, 60).await;
}

#[tokio::test]
async fn rotated_every_second_by_a_plain_rename() {
    rotated(Mount::Plain, 10).await;
}

#[tokio::test]
async fn a_spoilt_file_takes_no_key_away_and_the_next_good_one_is_used_at_once() {
    let stage = Stage::set("spoilt").await;
    stage.user("alice", "user");
    let good = stage.gateway.api_key();
    let mut file = KeyFile::with(Mount::Plain, &format!("{good}\n"));
    stage.apply("alice", "{role: user}").await;
    let operator = stage.operator_with(file.start()).await;
    stage.until_ready("alice").await;
    let spoilt = [
        Some(""),
        Some("\n"),
        Some("fw_canary one\n"),
        Some("fw_canary\nfw_canary\n"),
        None,
    ];
    for (reported, content) in spoilt.iter().enumerate() {
        match content {
            Some(content) => file.replace(content),
            None => std::fs::remove_file(file.path()).unwrap(),
        }
        until_logged(
            &operator,
            "failed to reload API key, keeping the previous one",
            reported + 1,
        )
        .await;
        let role = ["contributor", "user"][reported % 2];
        stage.apply("alice", &format!("{{role: {role}}}")).await;
        stage.until_ready("alice").await;
        assert_eq!(stage.gateway.user("alice").unwrap().role, role);
        file.replace(&good);
        until_logged(&operator, "API key file recovered", reported + 1).await;
    }
    let reported = operator.logs().matches("keeping the previous one").count();
    assert_eq!(reported, spoilt.len(), "each spell is logged once");
    let journal = stage.gateway.journal();
    assert!(
        journal.iter().all(|entry| entry.status == Some(200)),
        "{:#?}",
        brief(&journal)
    );
    assert!(!operator.logs().contains("fw_canary"), "a key in the log");

    // A key that looks good and is refused: reported, until the next has come.
    file.replace("fw_of_somebody_else");
    let refused = |entry: &Entry| entry.status == Some(401);
    stage
        .until_journal("the refusal", |entries| entries.iter().any(refused))
        .await;
    stage.apply("alice", "{role: inference-user}").await;
    let reported = stage.until_reason("alice", "Unauthenticated").await;
    assert_eq!(ready(&reported)["status"], "False");
    assert_eq!(condition(&reported, "Reconciling")["status"], "True");
    let before = stage.gateway.last_seq();
    file.replace(&format!("{good}\n"));
    stage.until_ready("alice").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "inference-user");
    // One probe a minute may just have been due.
    let later = stage.gateway.journal_since(before);
    assert!(
        later.iter().filter(|one| refused(one)).count() <= 1,
        "{:#?}",
        brief(&later)
    );
}

/// Waits until the log has these words that number of times.
async fn until_logged(operator: &Running, words: &str, times: usize) {
    until(LONG, words, async || {
        let reported = operator.logs().matches(words).count();
        if reported >= times {
            Ok(())
        } else {
            Err(reported)
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}\n{}", operator.logs()));
}

/// A sidecar or a CSI driver writes the key file after the start: probes report the wait, and then all goes on.
#[tokio::test]
async fn key_file_written_after_the_start_is_used() {
    let stage = Stage::set("late-key").await;
    stage.user("alice", "user");
    let folder = rig::Folder::new("rig-late-key-").unwrap();
    let file = folder.join("key");
    let operator = stage
        .operator_with(Start {
            key_file: Some(file.clone()),
            ..Start::default()
        })
        .await;
    let (code, body) = operator.admin_get("/readyz").await.unwrap();
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("waiting for the API key file"), "{body}");
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    std::fs::write(&file, stage.gateway.api_key()).unwrap();
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
}
