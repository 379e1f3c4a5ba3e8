//! The operator's logs in a real pipe that is full: a log collector that has stopped reading.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rig::{Folder, Tied, until};

use crate::oracles::Rule;
use crate::stage::{LONG, Stage, Start};

/// The time within which a Pod has to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// `O_NONBLOCK` on Linux.
const NON_BLOCKING: i32 = 0o4000;

/// A named pipe that takes no byte more, and the end that keeps it open.
fn full_pipe(path: &Path) -> File {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success(), "{made}");
    let mut pipe = File::options()
        .read(true)
        .write(true)
        .custom_flags(NON_BLOCKING)
        .open(path)
        .unwrap();
    // The last bytes one by one: a write of several that does not fit is refused as a whole.
    for size in [4096, 1] {
        let refused = loop {
            if let Err(error) = pipe.write_all(&vec![b'\n'; size]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), ErrorKind::WouldBlock, "{refused}");
    }
    pipe
}

/// A full stderr stops neither reconciliation nor probes, and SIGTERM still ends the process in time.
#[tokio::test]
async fn full_log_pipe_stops_nothing() {
    let stage = Stage::set("log-pipe").await;
    stage.expects(Rule::Truth, "the witness reads no logs of this operator");
    stage.user("alice", "user");
    let folder = Folder::new("rig-log-pipe-").unwrap();
    let path = folder.join("stderr");
    let _pipe = full_pipe(&path);
    let options = stage.options(Start::default());
    let operator = Tied::start(&options.command(folder.path()), &path).unwrap();
    stage.apply("alice", "{role: contributor}").await;
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["status"]["role"], "contributor");
    operator.terminate().unwrap();
    let ended = until(STOPPED_WITHIN, "the operator to end", async || {
        operator.ended().unwrap().ok_or("it runs")
    });
    let status = ended.await.unwrap_or_else(|late| panic!("{late}"));
    assert_eq!(status.code(), Some(0), "{status}");
}

/// A start that fails ends the process although nothing reads its last words.
#[tokio::test]
async fn failed_start_exits_with_full_log_pipe() {
    let stage = Stage::set("log-pipe-start").await;
    let folder = Folder::new("rig-log-pipe-").unwrap();
    let path = folder.join("stderr");
    let _pipe = full_pipe(&path);
    let start = Start {
        args: vec!["--listen=192.0.2.1:80".to_owned()],
        ..Start::default()
    };
    let operator = Tied::start(&stage.options(start).command(folder.path()), &path).unwrap();
    let ended = until(LONG, "the operator to end", async || {
        operator.ended().unwrap().ok_or("it runs")
    });
    let status = ended.await.unwrap_or_else(|late| panic!("{late}"));
    assert_eq!(status.code(), Some(2), "{status}");
}
