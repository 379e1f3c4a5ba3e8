//! What a node could leave behind on this machine: processes in its namespaces, mounts, cgroups, settings of the kernel,
//! folders. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Result;

/// Settings that move by themselves: counters, seeds, and what depends on free memory.
const RESTLESS: [&str; 5] = [
    "/proc/sys/fs/",
    "/proc/sys/kernel/random/",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/pty/nr",
    "/proc/sys/net/netfilter/nf_conntrack_count",
];
/// What the parts of a node make, besides what is in its folder, unless they are kept from it.
const FOLDERS: [&str; 8] = [
    "/etc/containerd",
    "/opt/cni",
    "/opt/containerd",
    "/opt/nri",
    "/run/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet",
];

/// Everything at one moment.
pub(crate) struct Traces {
    things: BTreeSet<String>,
    settings: BTreeMap<PathBuf, String>,
}

impl Traces {
    /// Looks around.
    pub(crate) fn take() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mounts = mounts.lines().filter_map(|line| {
            // Its number is another one each time; the fifth word is the place.
            Some(format!("mount {}", line.split_whitespace().nth(4)?))
        });
        let cgroups = cgroups().into_iter().map(|path| format!("cgroup {path}"));
        let folders = FOLDERS.iter().filter(|path| Path::new(path).exists());
        let folders = folders.map(|path| format!("folder {path}"));
        let mut settings = BTreeMap::new();
        read_settings(Path::new("/proc/sys"), &mut settings);
        Ok(Self {
            things: mounts.chain(cgroups).chain(folders).collect(),
            settings,
        })
    }

    /// What is here and was not there, a line each.
    pub(crate) fn besides(&self, before: &Self) -> Vec<String> {
        let new = self.things.difference(&before.things).cloned();
        let changed = self.settings.iter().filter_map(|(path, now)| {
            let was = before.settings.get(path)?;
            (was != now).then(|| format!("{}: {was} became {now}", path.display()))
        });
        new.chain(changed).collect()
    }
}

/// The cgroups that may be a node's: `node-…` as ours are named, or `kubepods` as kubelet names its own.
pub(crate) fn cgroups() -> Vec<String> {
    let mut found = Vec::new();
    for top in entries(Path::new("/sys/fs/cgroup")) {
        for path in entries(&top).into_iter().chain([top]) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && (name.starts_with("node-") || name.starts_with("kubepods")) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// The processes that are in one of these namespaces, each given as in `/proc/PID/ns`.
pub(crate) fn living_in(spaces: &str) -> Vec<String> {
    let inside = |process: &Path| {
        ["pid", "mnt", "net"].into_iter().any(|kind| {
            let space = fs::read_link(process.join("ns").join(kind)).unwrap_or_default();
            spaces
                .split_whitespace()
                .any(|name| space == Path::new(name))
        })
    };
    let all = entries(Path::new("/proc")).into_iter();
    all.filter(|process| inside(process))
        .map(|process| {
            let line = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
            format!("{} {}", process.display(), line.replace('\0', " "))
        })
        .collect()
}

/// The namespaces of this process, in one line.
pub(crate) fn own_spaces() -> Result<String> {
    let mut spaces = String::new();
    for kind in ["pid", "mnt", "net"] {
        let space = fs::read_link(Path::new("/proc/self/ns").join(kind))?;
        spaces = format!("{spaces} {}", space.display());
    }
    Ok(spaces)
}

fn read_settings(folder: &Path, settings: &mut BTreeMap<PathBuf, String>) {
    for path in entries(folder) {
        let text = path.to_string_lossy();
        if RESTLESS.iter().any(|restless| text.starts_with(restless)) {
            continue;
        }
        if path.is_dir() {
            read_settings(&path, settings);
        } else if let Ok(value) = fs::read_to_string(&path) {
            settings.insert(path, value.trim().to_owned());
        }
    }
}

/// What the folder holds; a process or a folder that is gone meanwhile holds nothing.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
