//! A child process that ends with its parent, however the parent ends: also by SIGKILL, also from a `static` that is
//! never dropped.
//!
//! The child is started by a few lines of `sh` that leave a watcher behind and then *become* the program, so the
//! process id, the signals and the exit status are the program's own. The watcher reads a pipe whose other end only
//! the parent holds: at its end the parent is gone, and the program is killed.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::RigError;

// `$$` stays the process id of the outermost shell, which `exec` hands to the program. A line on the pipe shows that
// the program was waited for, so that its process id is never killed when it may belong to another process.
// The watcher gets no terminal and no log: only the pipe.
const BECOME: &str = r#"
exec 3<&0
( { read -r waited_for <&3 || kill -KILL $$; } >/dev/null 2>&1 & )
exec "$@" 3<&- </dev/null
"#;

/// A running (or ended) program that cannot outlive this process. Dropping it kills it.
#[derive(Debug)]
pub struct Tied {
    id: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Child,
    /// The parent's end of the pipe; `None` once the child was waited for.
    lifeline: Option<ChildStdin>,
    ended: Option<ExitStatus>,
}

impl Tied {
    /// Starts what `command` describes (program, arguments, environment, folder), with both outputs going to the end
    /// of the file `log` and nothing as input, in a process group of its own: Ctrl-C is for the parent to handle.
    ///
    /// Of the environment the program gets what `command` sets and nothing of this process's own.
    ///
    /// # Errors
    /// If `log` cannot be opened or no process can be started.
    pub fn start(command: &Command, log: &Path) -> Result<Self, RigError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |step: &str| format!("start {program}: {step}");
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(RigError::io(failed("open its log")))?;
        let err = out
            .try_clone()
            .map_err(RigError::io(failed("share its log")))?;
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", BECOME, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        // `Command` does not show whether its environment was cleared: it is always explicit here.
        shell.env_clear().envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(RigError::io(failed("run /bin/sh")))?;
        let lifeline = child.stdin.take();
        Ok(Self {
            id: child.id(),
            state: Mutex::new(State {
                child,
                lifeline,
                ended: None,
            }),
        })
    }

    /// The program's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the program ended, or `None` while it runs.
    ///
    /// # Errors
    /// If the operating system does not return it.
    pub fn ended(&self) -> Result<Option<ExitStatus>, RigError> {
        self.lock().ended()
    }

    /// Sends SIGTERM; nothing happens if the program has ended.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn terminate(&self) -> Result<(), RigError> {
        let mut state = self.lock();
        if state.ended()?.is_some() {
            return Ok(());
        }
        // Not waited for yet (the lock is held), so the process id is still the program's.
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -TERM \"$1\"", "sh", &self.id.to_string()])
            .status()
            .map_err(RigError::io("send SIGTERM"))?;
        if sent.success() || state.ended()?.is_some() {
            Ok(())
        } else {
            Err(RigError::Answer {
                what: format!("send SIGTERM to {}", self.id),
                why: sent.to_string(),
            })
        }
    }

    /// Sends SIGKILL and waits until the program is gone.
    ///
    /// # Errors
    /// If the operating system does not let us.
    pub fn kill(&self) -> Result<(), RigError> {
        self.lock().kill()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ended(&mut self) -> Result<Option<ExitStatus>, RigError> {
        if self.ended.is_none() {
            self.ended = self
                .child
                .try_wait()
                .map_err(RigError::io("ask for a child's exit status"))?;
            if self.ended.is_some() {
                self.dismiss_watcher();
            }
        }
        Ok(self.ended)
    }

    fn kill(&mut self) -> Result<(), RigError> {
        if self.ended()?.is_none() {
            self.child.kill().map_err(RigError::io("kill a child"))?;
            self.ended = Some(
                self.child
                    .wait()
                    .map_err(RigError::io("wait for a killed child"))?,
            );
            self.dismiss_watcher();
        }
        Ok(())
    }

    fn dismiss_watcher(&mut self) {
        if let Some(mut lifeline) = self.lifeline.take() {
            // A watcher that is gone needs no dismissal.
            let _ = lifeline.write_all(b"ended\n");
        }
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        // If it fails, the pipe closes with `self` and the watcher kills the program.
        let _ = self.lock().kill();
    }
}
