//! What a process takes of the machine, read from `/proc`.

use std::fs;

use crate::broken::{Broken, Sound};

/// Memory in MiB and CPU in seconds, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Resident memory.
    pub(crate) rss: f64,
    /// The most it ever was.
    pub(crate) peak: f64,
    /// CPU time of all threads that still run.
    pub(crate) cpu: f64,
}

/// What the process takes now.
pub(crate) fn taken(id: u32) -> Sound<Taken> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path)?;
    let mib = |name| {
        let kib = status.lines().find_map(|line| field(line, name));
        kib.map(|kib| kib / 1024.0)
            .ok_or_else(|| Broken::new(format!("no {name} in {path}")))
    };
    Ok(Taken {
        rss: mib("VmRSS:")?,
        peak: mib("VmHWM:")?,
        cpu: cpu(id)?,
    })
}

fn field(line: &str, name: &str) -> Option<f64> {
    let value = line.strip_prefix(name)?.trim();
    value
        .strip_suffix("kB")
        .unwrap_or(value)
        .trim()
        .parse()
        .ok()
}

/// The scheduler counts nanoseconds a thread.
fn cpu(id: u32) -> Sound<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let path = thread?.path().join("schedstat");
        // A thread that has ended meanwhile is none.
        let text = fs::read_to_string(path).unwrap_or_default();
        let spent = text.split(' ').next().and_then(|first| first.parse().ok());
        nanoseconds += spent.unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}

/// The machine: for whoever reads the figures elsewhere.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = cpus
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = memory.lines().find_map(|line| field(line, "MemTotal:"));
    format!(
        "{count} CPUs ({}), {:.0} GiB",
        model.unwrap_or("unknown"),
        memory.unwrap_or(0.0) / 1024.0 / 1024.0
    )
}

/// How busy the machine is with anything at all: runnable tasks over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn this_process_takes_something() {
        let Ok(taken) = taken(std::process::id()) else {
            unreachable!("a process that runs can be read")
        };
        assert!(taken.rss > 0.1 && taken.peak >= taken.rss);
        assert_eq!(field("VmRSS:\t  2048 kB", "VmRSS:"), Some(2048.0));
    }
}
