//! The operator as a process: the built program with explicit arguments and environment, its logs in a file, its
//! administration port found in them. Everything known about it here is known from outside.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::error::{RigError, tail};
use crate::folder::Folder;
use crate::tied::Tied;
use crate::wait::{Timeout, until};

/// How long the program may take to listen. Usually well below a second.
const LISTENING_WITHIN: Duration = Duration::from_secs(30);
/// How long an answer of its administration port may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How to run the operator. The environment is what is set here plus `PATH`, and `HOME` in a temporary folder.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    binary: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl OperatorOptions {
    /// `BINARY run --listen 127.0.0.1:0 --log-format json`, to be completed with [`OperatorOptions::args`].
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let args = ["run", "--listen", "127.0.0.1:0", "--log-format", "json"];
        Self {
            binary: binary.into(),
            args: args.map(str::to_owned).to_vec(),
            env: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Display>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Display) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// The values of a flag, in the order they are given.
    pub fn values<'a>(&'a self, flag: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.args.iter().zip(self.args.iter().skip(1));
        let named = pairs.filter(move |(name, _)| *name == flag);
        named.map(|(_, value)| value.as_str())
    }

    /// The command that runs it in `folder`, for a test that starts it by other means.
    #[must_use]
    pub fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(&self.args)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(folder);
        command
    }

    /// Which Kubernetes API it uses, and as which user.
    #[must_use]
    pub fn kubeconfig(self, path: &Path) -> Self {
        self.env("KUBECONFIG", path.display())
    }

    /// Which gateway it uses: the base URL, the account, and the key (by environment; for a file give
    /// `--api-key-file` as an argument instead of calling this).
    #[must_use]
    pub fn gateway(self, base_url: &str, account: &str, api_key: &str) -> Self {
        self.env("FIREWORKS_BASE_URL", base_url)
            .env("FIREWORKS_ACCOUNT_ID", account)
            .env("FIREWORKS_API_KEY", api_key)
    }
}

/// How a process ended, and how long that was waited for.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// The exit code, or the signal.
    pub status: ExitStatus,
    /// From the call of [`OperatorProcess::wait_exit`] until it was seen.
    pub after: Duration,
}

/// A running operator. Dropping it kills it; so does the end of this process.
#[derive(Debug)]
pub struct OperatorProcess {
    // Before the folder: what writes there ends first.
    process: Tied,
    address: Mutex<Option<SocketAddr>>,
    folder: Folder,
}

impl OperatorProcess {
    /// Starts it and waits until it logs where it listens.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it listens; the error holds the end of its log.
    pub async fn spawn(options: &OperatorOptions) -> Result<Self, RigError> {
        let new = Self::launch(options)?;
        new.address().await?;
        Ok(new)
    }

    /// Starts it and does not wait: for one that is expected not to get far.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn launch(options: &OperatorOptions) -> Result<Self, RigError> {
        let folder = Folder::new("rig-operator-")?;
        let command = options.command(folder.path());
        let process = Tied::start(&command, &folder.join("operator.log"))?;
        Ok(Self {
            process,
            address: Mutex::new(None),
            folder,
        })
    }

    /// Where it listens: the field `address` of its log line `listening`.
    ///
    /// # Errors
    /// If it ends before, or does not log that in time.
    pub async fn address(&self) -> Result<SocketAddr, RigError> {
        let known = || self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = *known() {
            return Ok(address);
        }
        let found = until(LISTENING_WITHIN, "the operator to listen", async || {
            // Asked first: what a process printed before its end is in the log once the end is seen.
            let ended = self.process.ended();
            match self.logs().lines().find_map(listening) {
                Some(address) => Ok(Ok(address)),
                None => match ended {
                    Ok(None) => Err("no log line with the message `listening`"),
                    Ok(Some(status)) => Ok(Err(RigError::Ended {
                        what: "the operator",
                        status,
                        log: self.last_logs(),
                    })),
                    Err(error) => Ok(Err(error)),
                },
            }
        });
        let address = found.await.map_err(|timeout| RigError::Late {
            timeout,
            log: self.last_logs(),
        })??;
        *known() = Some(address);
        Ok(address)
    }

    /// [`OperatorProcess::address`], if it was found before.
    #[must_use]
    pub fn known_address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to stdout and stderr so far.
    #[must_use]
    pub fn logs(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the log lines so far that are JSON, decoded.
    #[must_use]
    pub fn log_entries(&self) -> Vec<Value> {
        let logs = self.logs();
        let entries = logs.lines().map(serde_json::from_str);
        entries.filter_map(Result::ok).collect()
    }

    /// The file that holds [`OperatorProcess::logs`].
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("operator.log")
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn terminate(&self) -> Result<(), RigError> {
        self.process.terminate()
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// If the operating system does not let us.
    pub fn kill(&self) -> Result<(), RigError> {
        self.process.kill()
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// If the operating system does not return it.
    pub fn is_running(&self) -> Result<bool, RigError> {
        Ok(self.process.ended()?.is_none())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If it still runs after `deadline`.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<Exit, Timeout> {
        let begun = Instant::now();
        let status = until(deadline, "the operator to end", async || {
            match self.process.ended() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("it runs".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
        Ok(Exit {
            status: status.await?,
            after: begun.elapsed(),
        })
    }

    /// Its resident memory in KiB, from `/proc`.
    ///
    /// # Errors
    /// If it does not run, or there is no `/proc`.
    pub fn rss_kib(&self) -> Result<u64, RigError> {
        let path = format!("/proc/{}/status", self.id());
        let status =
            std::fs::read_to_string(&path).map_err(RigError::io(format!("read {path}")))?;
        let size = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        });
        size.ok_or(RigError::Answer {
            what: format!("read {path}"),
            why: "no VmRSS".to_owned(),
        })
    }

    /// Asks its administration port for `path`; answers the HTTP status and the body.
    ///
    /// # Errors
    /// If it does not listen, or does not answer within 10 s in HTTP.
    pub async fn admin_get(&self, path: &str) -> Result<(u16, String), RigError> {
        let address = self.address().await?;
        let what = format!("GET {path} of the operator");
        let answer = timeout(ANSWER_WITHIN, get(address, path)).await;
        let answer = answer
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(RigError::io(&what))?;
        parse(&answer).ok_or(RigError::Answer {
            what,
            why: format!("no HTTP: {answer:.100}"),
        })
    }

    fn last_logs(&self) -> String {
        tail(&self.log_file(), 20)
    }
}

/// The address in a log line with the message `listening`; its fields may lie beside the message or under `fields`.
fn listening(line: &str) -> Option<SocketAddr> {
    let entry: Value = serde_json::from_str(line).ok()?;
    [&entry, &entry["fields"]]
        .into_iter()
        .find(|fields| fields["message"] == "listening")
        .and_then(|fields| fields["address"].as_str()?.parse().ok())
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Status and body of an HTTP/1.0 answer, which is never chunked.
fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head
        .strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_address_is_read_from_either_form_of_a_log_line() {
        let address = Some(([127, 0, 0, 1], 1234).into());
        assert_eq!(
            listening(r#"{"message":"listening","address":"127.0.0.1:1234"}"#),
            address
        );
        assert_eq!(
            listening(r#"{"fields":{"message":"listening","address":"127.0.0.1:1234"}}"#),
            address
        );
        assert_eq!(
            listening(r#"{"message":"watching","address":"127.0.0.1:1234"}"#),
            None
        );
        assert_eq!(listening("listening"), None);
    }

    #[test]
    fn status_and_body_are_read_from_an_answer() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nno\r\n\r\n";
        assert_eq!(parse(answer), Some((503, "no\r\n\r\n".to_owned())));
        assert_eq!(parse("SSH-2.0-x\r\n\r\n"), None);
    }
}
