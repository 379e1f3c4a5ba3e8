//! The rig's one error: what could not be started, asked or read, with enough of a log to see why.
//! Nothing here decides anything; a test unwraps it, the demo prints it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::kubectl::KubectlError;
use crate::wait::Timeout;

/// Why the rig could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// The control plane's binaries are in neither of the places looked at.
    #[error("no {missing} in {}: run tests/controlplane/build.sh, or set KUBEBUILDER_ASSETS", folder.display())]
    NoBinary {
        /// The binary that is missing.
        missing: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file, a process or a socket could not be used.
    #[error("{what}")]
    Io {
        /// What was attempted, on what.
        what: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A process that should be running has ended.
    #[error("{what} ended too early ({status}); its log ends with:\n{log}")]
    Ended {
        /// The process.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// No attempt found ports that no other process took meanwhile.
    #[error("no free ports: other processes took them in each of {attempts} attempts")]
    Ports {
        /// How often it was tried.
        attempts: u32,
    },
    /// Something did not become true in time.
    #[error("{timeout}; the log ends with:\n{log}")]
    Late {
        /// What was awaited and what was seen instead.
        timeout: Timeout,
        /// The last lines of the log of the process that was waited for.
        log: String,
    },
    /// `kubectl` failed.
    #[error(transparent)]
    Kubectl(#[from] KubectlError),
    /// An answer could not be understood.
    #[error("{what}: {why}")]
    Answer {
        /// Whose answer to what.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something was asked that this rig was not started with.
    #[error("{0}")]
    NotThere(&'static str),
}

impl RigError {
    /// Makes the conversion for `map_err`: `what` names the attempt.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The last `lines` lines of the file; an unreadable one is as good as an empty one for a message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
