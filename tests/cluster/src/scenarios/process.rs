//! The operator's process as the kernel of the node has it: whose it is, what it sees, what memory it takes. Reads and
//! kills; the scenarios check the result.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, ensure};
use crate::node::ctr;

/// The running container of the operator.
pub(crate) struct Process {
    container: String,
    pid: u32,
}

/// What the kernel has counted for the container, in bytes.
pub(crate) struct Memory {
    /// What it would miss: without files that can be read again. As kubelet counts it.
    pub(crate) working_set: u64,
    /// The most it ever had, files included.
    pub(crate) peak: u64,
    /// How often the kernel killed for it.
    pub(crate) kills: u64,
}

impl Process {
    /// Finds it.
    pub(crate) fn find() -> Result<Self> {
        let filter = r#"labels."io.kubernetes.container.name"==operator"#;
        let containers = ctr(&["-n", "k8s.io", "containers", "list", "-q", filter])?;
        let tasks = ctr(&["-n", "k8s.io", "tasks", "list"])?;
        // A container, its process, its state.
        let running = tasks.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [container, pid, "RUNNING"] = words[..] else {
                return None;
            };
            let ours = containers.lines().any(|id| id == container);
            Some((ours.then(|| container.to_owned())?, pid.parse().ok()?))
        });
        let (container, pid) =
            running.ok_or_else(|| Failure::new(format!("no operator runs: {tasks}")))?;
        Ok(Self { container, pid })
    }

    /// Kills it, as the kernel does where memory is short.
    pub(crate) fn kill(&self) -> Result {
        let words = ["tasks", "kill", "-s", "SIGKILL", &self.container];
        ctr(&[&["-n", "k8s.io"], &words[..]].concat()).map(drop)
    }

    /// A file as the process sees it.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(path)
    }

    /// What `/proc/PID/status` shows of that.
    pub(crate) fn status(&self, key: &str) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let found = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = found.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        value.ok_or_else(|| Failure::new(format!("the process has no {key}")))
    }

    /// The files that are mapped into it.
    pub(crate) fn mapped(&self) -> Result<Vec<String>> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid))?;
        let mut files: Vec<_> = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .filter(|file| file.starts_with('/'))
            .map(str::to_owned)
            .collect();
        files.dedup();
        Ok(files)
    }

    /// What its cgroup counts.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", self.pid))?;
        // `5:memory:/…`, or `0::/…` where there is one hierarchy.
        let of = |controller: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let found = parts.next()?.split(',').any(|name| name == controller);
                found.then(|| parts.next())?
            })
        };
        let top = Path::new("/sys/fs/cgroup");
        if let Some(group) = of("memory") {
            let group = top.join("memory").join(group.trim_start_matches('/'));
            return Memory::read(
                &group,
                ["memory.usage_in_bytes", "memory.max_usage_in_bytes"],
                "total_inactive_file",
                "memory.oom_control",
            );
        }
        let group = of("").ok_or_else(|| Failure::new("the process is in no cgroup"))?;
        let group = top.join(group.trim_start_matches('/'));
        Memory::read(
            &group,
            ["memory.current", "memory.peak"],
            "inactive_file",
            "memory.events",
        )
    }
}

impl Memory {
    fn read(group: &Path, [now, peak]: [&str; 2], inactive: &str, events: &str) -> Result<Self> {
        let number = |file: &str| -> Result<u64> {
            Ok(fs::read_to_string(group.join(file))?.trim().parse()?)
        };
        let line = |file: &str, key: &str| -> Result<u64> {
            let text = fs::read_to_string(group.join(file))?;
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let value = lines.find(|(name, _)| *name == key);
            let (_, value) =
                value.ok_or_else(|| Failure::new(format!("{file} has no {key}: {text}")))?;
            Ok(value.trim().parse()?)
        };
        let inactive = line("memory.stat", inactive)?;
        let memory = Self {
            working_set: number(now)?.saturating_sub(inactive),
            peak: number(peak)?,
            kills: line(events, "oom_kill")?,
        };
        ensure(memory.peak > 0, || "nothing was counted".to_owned())?;
        Ok(memory)
    }
}
