//! The rig's view of an operator process, against a few lines of shell that behave like one where it matters:
//! it logs where it listens, ends on a signal, or does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rig::{Folder, OperatorOptions, OperatorProcess, RigError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const DEADLINE: Duration = Duration::from_secs(20);
/// Logs that it listens, and runs until its first signal; a shell reports a signal once its child is gone.
const WELL_BEHAVED: &str = r#"
trap 'echo ending; exit 0' TERM
echo "{\"fields\":{\"message\":\"listening\",\"address\":\"$ADDRESS\"}}"
echo "args: $*; home: $HOME; canary: ${CARGO_MANIFEST_DIR:-unset}" >&2
while :; do read -r nothing || sleep 0.05; done
"#;

/// Writes the script by another process: had this one the file open for writing while a test in another thread
/// starts a process, the file could not be run for a moment.
fn program(folder: &Folder, script: &str) -> PathBuf {
    let path = folder.join("operator");
    let written = Command::new("/bin/sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod 700 "$2""#,
            "sh",
            script,
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(written.success());
    path
}

#[tokio::test]
async fn an_operator_is_started_with_what_it_was_given_and_nothing_else() {
    let folder = Folder::new("rig-test-operator-").unwrap();
    let options = OperatorOptions::new(program(&folder, WELL_BEHAVED))
        .args(["--sweep-interval", "1s"])
        .env("ADDRESS", "127.0.0.1:4");
    let operator = OperatorProcess::spawn(&options).await.unwrap();
    assert_eq!(operator.address().await.unwrap().port(), 4);

    let wanted = "args: run --listen 127.0.0.1:0 --log-format json --sweep-interval 1s; home: /";
    let logs = rig::until(DEADLINE, "the second line", async || {
        let logs = operator.logs();
        if logs.lines().count() > 1 {
            Ok(logs)
        } else {
            Err(logs)
        }
    });
    let logs = logs.await.unwrap();
    assert!(
        logs.contains(wanted) && logs.contains("canary: unset"),
        "{logs}"
    );
    assert!(operator.rss_kib().unwrap() > 100);
}

#[tokio::test]
async fn a_terminated_operator_ends_in_its_own_way() {
    let folder = Folder::new("rig-test-operator-").unwrap();
    let options =
        OperatorOptions::new(program(&folder, WELL_BEHAVED)).env("ADDRESS", "127.0.0.1:4");
    let operator = OperatorProcess::spawn(&options).await.unwrap();
    assert!(operator.is_running().unwrap());

    operator.terminate().unwrap();
    let exit = operator.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(exit.status.code(), Some(0));
    assert!(exit.after < DEADLINE);
    assert!(operator.logs().ends_with("ending\n"), "{}", operator.logs());
    // Signals to one that has ended go nowhere.
    operator.terminate().unwrap();
    operator.kill().unwrap();
}

#[tokio::test]
async fn a_stubborn_operator_is_killed_in_the_end() {
    let folder = Folder::new("rig-test-operator-").unwrap();
    let stubborn = WELL_BEHAVED.replace("echo ending; exit 0", "echo no");
    let options = OperatorOptions::new(program(&folder, &stubborn)).env("ADDRESS", "127.0.0.1:4");
    let operator = OperatorProcess::spawn(&options).await.unwrap();

    operator.terminate().unwrap();
    let late = operator
        .wait_exit(Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(late.to_string().ends_with("last seen: it runs"), "{late}");
    operator.kill().unwrap();
    let exit = operator.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(exit.status.signal(), Some(9));
}

#[tokio::test]
async fn an_operator_that_ends_before_it_listens_shows_its_last_words() {
    let folder = Folder::new("rig-test-operator-").unwrap();
    let options = OperatorOptions::new(program(&folder, "echo 'no account' >&2; exit 2"));
    let error = OperatorProcess::spawn(&options).await.unwrap_err();
    let RigError::Ended { status, log, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((status.code(), log.as_str()), (Some(2), "no account"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_reported_by_name() {
    let error = OperatorProcess::spawn(&OperatorOptions::new("/nowhere/operator"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/operator"), "{error}");
}

#[tokio::test]
async fn the_administration_port_is_that_of_the_log() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = Folder::new("rig-test-operator-").unwrap();
    let address = listener.local_addr().unwrap();
    let options = OperatorOptions::new(program(&folder, WELL_BEHAVED)).env("ADDRESS", address);
    let operator = OperatorProcess::spawn(&options).await.unwrap();

    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.unwrap();
        stream
            .write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\nnot yet")
            .await
            .unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    };
    let (request, answer) = tokio::join!(serve, operator.admin_get("/readyz"));
    assert!(request.starts_with("GET /readyz HTTP/1.0\r\n"), "{request}");
    assert_eq!(answer.unwrap(), (503, "not yet".to_owned()));
}

#[tokio::test]
async fn logs_outlive_a_failed_test_and_nothing_else_does() {
    let dropped = Folder::new("rig-test-folder-").unwrap();
    let (gone, mut kept) = (dropped.path().to_path_buf(), PathBuf::new());
    drop(dropped);
    assert!(!gone.exists());

    let failing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let folder = Folder::new("rig-test-folder-").unwrap();
        std::fs::write(folder.join("log"), "why").unwrap();
        kept = folder.path().to_path_buf();
        // Not `panic!`: that would print a failure where there is none.
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(failing.is_err());
    assert_eq!(std::fs::read_to_string(kept.join("log")).unwrap(), "why");
    std::fs::remove_dir_all(kept).unwrap();
}
