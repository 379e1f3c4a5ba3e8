//! `kubectl` as a user would run it, against one kubeconfig. How this crate talks to Kubernetes, but for what has to be
//! faster (`rest`) or broken (`proxy`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::error::RigError;

/// No call of a test takes longer; one that hangs is killed then.
const DEADLINE: Duration = Duration::from_mins(2);

/// `kubectl` did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("kubectl {}: {}{}", args.join(" "), code.map_or(String::new(), |code| format!("exit code {code}: ")), stderr.trim())]
pub struct KubectlError {
    /// The arguments, without the kubeconfig's.
    pub args: Vec<String>,
    /// Its exit code; `None` if it was killed or could not be run.
    pub code: Option<i32>,
    /// Its stderr, or why it could not be run.
    pub stderr: String,
}

/// `kubectl` with one kubeconfig: one user of one cluster.
#[derive(Debug, Clone)]
pub struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// That program as the user of that kubeconfig; `home` is a folder for its discovery cache.
    #[must_use]
    pub fn new(binary: PathBuf, kubeconfig: PathBuf, home: &Path) -> Self {
        Self {
            binary,
            kubeconfig,
            cache: home.join("kubectl-cache"),
        }
    }

    /// The same `kubectl` as the user of another kubeconfig.
    #[must_use]
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_path_buf(),
            ..self.clone()
        }
    }

    /// Runs it and hands on what it printed on stdout.
    ///
    /// # Errors
    /// If it exits with another code than 0, or does not end within two minutes.
    pub async fn run(&self, args: &[&str]) -> Result<String, KubectlError> {
        self.answer(args, self.command(args)).await
    }

    /// [`Kubectl::run`] with `input` on stdin, for `-f -`.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Result<String, KubectlError> {
        let mut command = self.command(args);
        command.stdin(file_of(input).map_err(|error| could_not_run(args, &error))?);
        self.answer(args, command).await
    }

    /// `kubectl get ARGS -o json`, decoded.
    ///
    /// # Errors
    /// If `kubectl` fails or prints something else than JSON.
    pub async fn get_json(&self, args: &[&str]) -> Result<Value, RigError> {
        let args = [&["get"], args, &["-o", "json"]].concat();
        let text = self.run(&args).await?;
        serde_json::from_str(&text).map_err(|error| RigError::Answer {
            what: format!("kubectl {}", args.join(" ")),
            why: error.to_string(),
        })
    }

    /// Applies the manifests in `yaml`; those without a namespace go to `namespace`.
    ///
    /// # Errors
    /// If the API server refuses one of them; the others are applied nevertheless.
    pub async fn apply(&self, namespace: &str, yaml: &str) -> Result<String, KubectlError> {
        self.run_with_input(&["apply", "--namespace", namespace, "-f", "-"], yaml)
            .await
    }

    /// Runs it on a thread that may wait.
    pub(crate) fn run_blocking(&self, args: &[&str]) -> Result<String, KubectlError> {
        let output = self
            .command(args)
            .output()
            .map_err(|error| could_not_run(args, &error))?;
        judge(args, &output)
    }

    /// The program, ready to run: with the kubeconfig, and with no more of the environment than it needs.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["--kubeconfig".as_ref(), self.kubeconfig.as_os_str()])
            .args(["--cache-dir".as_ref(), self.cache.as_os_str()])
            .args(args)
            .env_clear()
            .env("HOME", &self.cache)
            .stdin(Stdio::null());
        command
    }

    /// Forgets what is known of the API server's resources, so that a new CRD's short names are seen at once.
    pub(crate) fn forget_discovery(&self) {
        // Not being there is as good.
        let _ = std::fs::remove_dir_all(&self.cache);
    }

    async fn answer(&self, args: &[&str], command: Command) -> Result<String, KubectlError> {
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        match tokio::time::timeout(DEADLINE, command.output()).await {
            Ok(output) => judge(args, &output.map_err(|error| could_not_run(args, &error))?),
            Err(_) => Err(could_not_run(args, &std::io::ErrorKind::TimedOut.into())),
        }
    }
}

fn judge(args: &[&str], output: &Output) -> Result<String, KubectlError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(KubectlError {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        args: owned(args),
    })
}

fn could_not_run(args: &[&str], error: &std::io::Error) -> KubectlError {
    KubectlError {
        code: None,
        stderr: error.to_string(),
        args: owned(args),
    }
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

/// A nameless file that holds `text`: unlike a pipe, it needs no writer while the program runs.
fn file_of(text: &str) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
