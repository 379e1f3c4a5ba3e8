//! How the commands end before they are done: Ctrl-C, and a reader that has closed the pipe.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use fireworks_gateway_simulator::{Fault, Kind, Settings, Simulator, User, Verb};

use crate::command::{interruptible, manifest, program};

const SIGINT: i32 = 2;
const WITHIN: Duration = Duration::from_secs(20);

fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Returns whether the program ended by Ctrl-C: of the signal, or with the code that shells give it.
fn is_interrupted(status: ExitStatus) -> bool {
    status.signal() == Some(SIGINT) || status.code() == Some(128 + SIGINT)
}

fn entries(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).unwrap();
    all.map(|one| one.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn interrupted_import_and_snapshot_leave_nothing() {
    for command in ["import", "snapshot"] {
        let gateway = Simulator::start(Settings::default()).unwrap();
        gateway.seed(450);
        let slow = Fault::new(Kind::Hang { applied: false })
            .on(Verb::List)
            .from_nth(2)
            .always();
        gateway.add_fault(slow);
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("users");
        let run = interruptible([command, "-o", target.to_str().unwrap()]).account(&gateway);
        let mut child = run.spawn();
        assert!(
            gateway
                .journal_until(WITHIN, |journal| journal.len() >= 2)
                .await
        );
        interrupt(&child);
        let status = child.wait().unwrap();
        assert!(is_interrupted(status), "{command}: {status:?}");
        assert_eq!(entries(home.path()), Vec::<String>::new(), "{command}");
    }
}

/// Ctrl-C while files are written: the folder is there as a whole or not at all, and nothing is left beside it.
#[tokio::test]
async fn import_interrupted_while_it_writes_leaves_nothing_or_all() {
    const USERS: usize = 3_000;
    let gateway = Simulator::start(Settings::default()).unwrap();
    gateway.seed(USERS);
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("users");
    let run = interruptible(["import", "-o", target.to_str().unwrap()]).account(&gateway);
    let mut child = run.spawn();
    rig::until(WITHIN, "the import writes", async || {
        let is_writing = !entries(home.path()).is_empty();
        is_writing.then_some(()).ok_or("no file yet")
    })
    .await
    .unwrap();
    interrupt(&child);
    let status = child.wait().unwrap();
    if status.success() {
        assert_eq!(entries(home.path()), ["users"]);
        assert_eq!(entries(&target.join("users")).len(), USERS);
    } else {
        assert!(is_interrupted(status), "{status:?}");
        assert_eq!(entries(home.path()), Vec::<String>::new());
    }
}

/// The exit code is that of the plan, and no panic is printed.
#[test]
fn closed_stdout_changes_neither_exit_code_nor_problems() {
    let gateway = Simulator::start(Settings::default()).unwrap();
    gateway.put_user(User::new("alice", "user"));
    let text = manifest("alice", "{role: contributor}");
    let args = ["plan", "-f", "-"];
    let whole = program(args).account(&gateway).input(text.clone()).run();
    let closed = program(args)
        .account(&gateway)
        .input(text)
        .without_stdout()
        .run();
    assert_eq!((closed.code, &*closed.err), (whole.code, &*whole.err));
    assert_eq!((whole.code, &*closed.out), (1, ""));
}
