//! A temporary folder that goes away with the process that made it, however that process ends, unless a test failed:
//! then it stays, and its place is printed, for the logs in it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Once;

use crate::error::RigError;

/// The file whose presence keeps the folder.
const KEEP: &str = "keep";

// Waits for the end of a pipe that only the parent holds. By then the parent is gone and what it started is being
// killed by its watchers; a program that still writes for a moment makes `rm` fail, so it is tried again.
const SWEEP: &str = r#"
read -r end || :
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -e "$1" ] && [ ! -e "$1/keep" ] || exit 0
    sleep 0.1
    rm -rf "$1"
done
"#;

/// A folder under the system's temporary folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    reported: Once,
    sweeper: Child,
    lifeline: Option<ChildStdin>,
}

impl Folder {
    /// Makes a folder, readable by this user alone, whose name starts with `prefix`.
    ///
    /// # Errors
    /// If the folder or the process that watches over it cannot be made.
    pub fn new(prefix: &str) -> Result<Self, RigError> {
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(RigError::io("make a temporary folder"))?;
        let mut sweeper = Command::new("/bin/sh")
            .args(["-c", SWEEP, "sh"])
            .arg(made.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the parent to handle.
            .process_group(0)
            .spawn()
            .map_err(RigError::io("start the sweeper of a temporary folder"))?;
        let lifeline = sweeper.stdin.take();
        Ok(Self {
            path: made.keep(),
            reported: Once::new(),
            sweeper,
            lifeline,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps the folder after the end of this process and prints to stderr, once, where it is.
    pub fn keep(&self) {
        self.reported.call_once(|| {
            let kept = std::fs::write(self.join(KEEP), "");
            match kept {
                Ok(()) => eprintln!("rig: logs are kept in {}", self.path.display()),
                Err(error) => eprintln!(
                    "rig: logs in {} could not be kept: {error}",
                    self.path.display()
                ),
            }
        });
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
        if !self.join(KEEP).exists() {
            // What fails here is tried again by the sweeper.
            let _ = std::fs::remove_dir_all(&self.path);
        }
        drop(self.lifeline.take());
        // Only a folder that could not be removed makes this take more than a moment; at most 2 s.
        let _ = self.sweeper.wait();
    }
}
