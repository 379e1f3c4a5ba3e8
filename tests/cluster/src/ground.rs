//! The outside: the folder, the namespaces, and the watcher that cleans up after them however this process ends. What
//! was here before is here after: `traces` checks it.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rig::Folder;

use crate::failure::{Failure, Result, ensure};
use crate::inside::{HELD, MOUNT_POINTS, SPACES, Task};
use crate::traces::{self, Traces};

/// Leaves a watcher behind and becomes the program, tied to the pipe that only the parent holds: at its end, announced or not,
/// whatever runs inside dies with the first process of its namespace, and the watcher removes the cgroups and the mount
/// points in `NODE_MADE`, which did not exist before. `$1` is the cgroup, `$2` where input comes from; the rest is the
/// program.
const BECOME: &str = r#"
cgroup=$1 input=$2
shift 2
exec 3<&0
(
    trap '' HUP INT TERM
    {
        read -r over <&3 || kill -KILL $$
        for _ in $(seq 600); do
            found=
            for top in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
                [ -d "$top" ] || continue
                found=1
                find "$top" -depth -type d -exec rmdir {} ';'
            done
            if [ ! "$found" ]; then
                # Empty outside the namespaces: what is mounted there is seen inside alone.
                rmdir $NODE_MADE
                exit 0
            fi
            sleep 0.1
        done
    } >/dev/null 2>&1 &
)
exec "$@" 3<&- <"$input"
"#;

/// How long the watcher may take.
const GONE_WITHIN: Duration = Duration::from_mins(1);
/// A start on a busy machine with cold caches.
const UP_WITHIN: Duration = Duration::from_mins(5);

/// What the scenarios need, and that nothing is left of them, nor of a node that was killed.
pub(crate) fn test(scenarios: Vec<String>) -> Result<ExitCode> {
    let before = Traces::take()?;
    let all = scenarios.is_empty();
    let code = enter(&Task::Test { scenarios })?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    until_as("after the scenarios", &before)?;
    if all {
        println!("\na node that is killed leaves nothing behind");
        let begun = Instant::now();
        killed_in_the_middle()?;
        until_as("after a node that was killed", &before)?;
        println!("  ok ({:.1} s)", begun.elapsed().as_secs_f32());
    }
    println!("\nno process, mount, cgroup or changed sysctl is left");
    Ok(ExitCode::SUCCESS)
}

/// Does the task inside, and removes what is left of it.
pub(crate) fn enter(task: &Task) -> Result<ExitCode> {
    let folder = Folder::new("node-")?;
    let cgroup = cgroup_of(folder.path());
    let mut inside = begin(task, folder.path(), &cgroup)?;
    // Taken first: waiting would close it, and that is what the watcher takes for our death.
    let lifeline = inside.stdin.take();
    let ended = inside.wait()?;
    if let Some(mut lifeline) = lifeline {
        // A watcher that is gone needs no word.
        let _ = lifeline.write_all(b"over\n");
    }
    let code = code_of(ended);
    if code != ExitCode::SUCCESS {
        folder.keep();
    }
    until_no_cgroup(&cgroup)?;
    let spaces = fs::read_to_string(folder.join(SPACES)).unwrap_or_default();
    until_no_process_is_left_in(&spaces)?;
    Ok(code)
}

/// The name of everything's cgroup.
pub(crate) fn cgroup_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn begin(task: &Task, folder: &Path, cgroup: &str) -> Result<Child> {
    let input = match task {
        Task::Shell if std::io::stdin().is_terminal() => "/dev/tty",
        _ => "/dev/null",
    };
    let program = std::env::current_exe()?;
    let missing = MOUNT_POINTS
        .into_iter()
        .filter(|path| !Path::new(path).exists());
    let child = Command::new("/bin/sh")
        .env("NODE_MADE", missing.collect::<Vec<_>>().join(" "))
        .args(["-c", BECOME, "sh", cgroup, input])
        .args([
            "unshare",
            "--mount",
            "--pid",
            "--net",
            "--fork",
            "--kill-child",
        ])
        .args(["--mount-proc", "--propagation", "private", "--"])
        .arg(program)
        .arg("init")
        .arg("--folder")
        .arg(folder)
        .args(task.words())
        .stdin(Stdio::piped())
        .spawn()?;
    Ok(child)
}

fn code_of(ended: ExitStatus) -> ExitCode {
    let code = ended.code().or_else(|| Some(128 + ended.signal()?));
    ExitCode::from(u8::try_from(code.unwrap_or(1)).unwrap_or(1))
}

fn until_no_cgroup(cgroup: &str) -> Result {
    let left = || {
        traces::cgroups()
            .into_iter()
            .filter(|path| path.contains(cgroup))
            .collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while !left().is_empty() {
        ensure(begun.elapsed() < GONE_WITHIN, || {
            format!("these cgroups cannot be removed: {:?}", left())
        })?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until no process is left in any of these namespaces: the kernel removes unused ones.
fn until_no_process_is_left_in(spaces: &str) -> Result {
    ensure(!spaces.trim().is_empty(), || {
        "the node did not write its namespaces".to_owned()
    })?;
    let begun = Instant::now();
    loop {
        let living = traces::living_in(spaces);
        if living.is_empty() {
            return Ok(());
        }
        ensure(begun.elapsed() < GONE_WITHIN, || {
            format!(
                "in the node's namespaces still live:\n{}",
                living.join("\n")
            )
        })?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until nothing is there that was not there before.
fn until_as(when: &str, before: &Traces) -> Result {
    let begun = Instant::now();
    loop {
        let differences = Traces::take()?.besides(before);
        if differences.is_empty() {
            return Ok(());
        }
        ensure(begun.elapsed() < GONE_WITHIN, || {
            format!("{when} something is left:\n{}", differences.join("\n"))
        })?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts another one of this program with a node, and kills it when the node is up.
fn killed_in_the_middle() -> Result {
    let mut other = Command::new(std::env::current_exe()?)
        .arg("hold")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let begun = Instant::now();
    let out = other.stdout.take();
    let out = BufReader::new(out.ok_or_else(|| Failure::new("no output"))?);
    let mut spaces = None;
    for line in out.lines() {
        spaces = line?.strip_prefix(HELD).map(str::to_owned);
        if spaces.is_some() || begun.elapsed() > UP_WITHIN {
            break;
        }
    }
    other.kill()?;
    other.wait()?;
    let spaces =
        spaces.ok_or_else(|| Failure::new("the node that was to be killed did not start"))?;
    until_no_process_is_left_in(&spaces)
}
