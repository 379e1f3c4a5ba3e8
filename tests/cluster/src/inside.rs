//! Inside the namespaces: the first process, the ground that a node stands on (mounts, network, kernel settings that
//! only seem to change), and the task.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Subcommand;
use rustix::process::{WaitOptions, wait};

use crate::failure::{Failure, Result};
use crate::ground::cgroup_of;
use crate::node::Node;
use crate::{scenarios, settings, shell, traces};

/// The line, before the namespaces, of a node that is up and waits to be killed.
pub(crate) const HELD: &str = "held in";
/// The file with the namespaces, for the check that no process is left in them.
pub(crate) const SPACES: &str = "namespaces";

/// What kubelet changes on the whole machine, to the values that it wants: it finds them so, in place of the real ones.
const KERNEL: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// What is done with the node.
#[derive(Clone, Subcommand)]
pub(crate) enum Task {
    /// The scenarios whose names contain one of these words, or all.
    Test {
        /// Parts of their names
        scenarios: Vec<String>,
    },
    /// A shell for a person.
    Shell,
    /// Nothing, until it is killed.
    Hold,
}

impl Task {
    /// As arguments of this program.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::Test { scenarios } => std::iter::once("test".to_owned())
                .chain(scenarios.iter().cloned())
                .collect(),
            Self::Shell => vec!["shell".to_owned()],
            Self::Hold => vec!["hold".to_owned()],
        }
    }
}

/// The first process: it gets every orphan of the namespace, and has to wait for each. Ends as the second one ends, and
/// everything with it.
pub(crate) fn first(folder: &Path, task: &Task) -> Result<ExitCode> {
    let second = Command::new(std::env::current_exe()?)
        .arg("inside")
        .arg("--folder")
        .arg(folder)
        .args(task.words())
        .spawn()?;
    let second = i32::try_from(second.id())?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended.as_raw_nonzero().get() == second => {
                let code = status
                    .exit_status()
                    .and_then(|code| u8::try_from(code).ok());
                return Ok(ExitCode::from(code.unwrap_or(1)));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::new(format!("wait for the node: {error}"))),
        }
    }
}

/// What is mounted at places outside the node's own folder.
pub(crate) const MOUNT_POINTS: [&str; 3] =
    ["/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];

/// The second process: the ground, the node, the task.
pub(crate) fn run(folder: &Path, task: Task) -> Result<ExitCode> {
    prepare(folder)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(perform(folder, task))
}

async fn perform(folder: &Path, task: Task) -> Result<ExitCode> {
    let node = Node::start(folder).await?;
    match task {
        Task::Test { scenarios } => scenarios::run(&node, &scenarios).await,
        Task::Shell => scenarios::shell(&node).await,
        Task::Hold => {
            println!("{HELD}{}", traces::own_spaces()?);
            std::future::pending().await
        }
    }
}

/// Prepares everything but programs. The watcher removes the mount points that are made here.
fn prepare(folder: &Path) -> Result {
    fs::write(folder.join(SPACES), traces::own_spaces()?)?;
    // Containers get their mounts from here.
    shell::run("mount", &["--make-rshared", "/"])?;
    let state = settings::state(folder);
    for path in ["state", "logs"] {
        fs::create_dir_all(folder.join(path))?;
    }
    tmpfs(&state)?;
    tmpfs(Path::new("/run"))?;
    for path in ["/run/containerd", "/run/netns"] {
        fs::create_dir_all(path)?;
    }
    for path in MOUNT_POINTS.map(Path::new) {
        fs::create_dir_all(path)?;
        tmpfs(path)?;
    }
    for (setting, value) in KERNEL {
        let file = state.join(setting.replace('/', "-"));
        fs::write(&file, format!("{value}\n"))?;
        let real = Path::new("/proc/sys").join(setting);
        if real.exists() {
            shell::run(
                "mount",
                &["--bind".as_ref(), file.as_os_str(), real.as_os_str()],
            )?;
        }
    }
    make_cgroup(&cgroup_of(folder))?;
    network()
}

fn tmpfs(on: &Path) -> Result {
    shell::run(
        "mount",
        &[
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "tmpfs".as_ref(),
            on.as_os_str(),
        ],
    )?;
    Ok(())
}

/// One cgroup for all that the node's containers get, in each hierarchy there is.
fn make_cgroup(name: &str) -> Result {
    let top = Path::new("/sys/fs/cgroup");
    if top.join("cgroup.controllers").exists() {
        fs::create_dir_all(top.join(name))?;
        return Ok(());
    }
    for entry in fs::read_dir(top)? {
        let hierarchy = entry?.path();
        // Names that stand for two controllers are links to the one folder.
        if hierarchy.is_dir() && !hierarchy.is_symlink() {
            fs::create_dir_all(hierarchy.join(name))?;
        }
    }
    Ok(())
}

/// An address for the node, and the way for what it sends to Services itself.
fn network() -> Result {
    let node = format!("{}/32", settings::NODE_IP);
    let ip = |args: &[&str]| shell::run("ip", args).map(drop);
    ip(&["link", "set", "lo", "up"])?;
    ip(&["addr", "add", &node, "dev", "lo"])?;
    ip(&[
        "route",
        "add",
        settings::SERVICES,
        "dev",
        "lo",
        "src",
        settings::NODE_IP,
    ])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(())
}
