//! The start of the program: arguments, telemetry, TLS provider, runtime, exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use operator_runtime::log_writer::LogWriter;
use operator_runtime::{tasks, telemetry};

use crate::cli::{self, Command, KeySource, Settings, UsageError};
use crate::run::{self, Fatal, Options};

/// How long the last log lines may take to be written: together with the end of requests in flight less than the 10 s
/// within which the process exits.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Runs the program with these arguments, its name first, and returns its exit code: 0, 1 where the process cannot be set
/// up, 2 where a setting is missing or invalid. `options` is called within the runtime, before anything else is.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    options: impl FnOnce(&LogWriter) -> Options + Send + 'static,
) -> ExitCode {
    // Also a usage error is written so: a full stderr must not keep the process.
    let logs = match LogWriter::start(io::stderr()) {
        Ok(logs) => logs,
        Err(error) => {
            let ended = Err(Fatal::Setup(format!("start the log thread: {error}")));
            return exit_code(&ended, io::stderr());
        }
    };
    let ended = match cli::parse(arguments) {
        Ok(Command::Run(settings, key)) => run(*settings, key, logs.clone(), options),
        Ok(Command::Crd) => print(fireworks_crd::DEFINITION),
        Ok(Command::Show(text)) => print(&text),
        Err(error) => Err(error.into()),
    };
    let code = exit_code(&ended, &logs);
    logs.flush_within(LAST_LINES);
    code
}

fn exit_code(ended: &Result<(), Fatal>, mut out: impl Write) -> ExitCode {
    let Err(fatal) = ended else {
        return ExitCode::SUCCESS;
    };
    // A stderr that takes nothing leaves the exit code.
    let _ = writeln!(out, "fireworks-user-operator: {fatal}");
    match fatal {
        Fatal::Setting(_) => ExitCode::from(UsageError::EXIT_CODE),
        Fatal::Setup(_) => ExitCode::FAILURE,
    }
}

fn run(
    settings: Settings,
    key: KeySource,
    logs: LogWriter,
    options: impl FnOnce(&LogWriter) -> Options + Send + 'static,
) -> Result<(), Fatal> {
    let filter = settings.log_filter.as_deref();
    telemetry::init(settings.log_format, filter, logs.clone())
        .map_err(|error| UsageError::new("RUST_LOG", error))?;
    forbid_dumps();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Fatal::Setup("the TLS provider could not be installed".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal::Setup(format!("the runtime could not be started: {error}")))?;
    let running = async move {
        let options = options(&logs);
        run::run(settings, key, logs, options).await
    };
    let ended = runtime.block_on(tasks::alone(running));
    // A read or a credential plugin that hangs on a thread of its own must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Keeps the API key in memory from core dumps and from other processes of the same user: no `ptrace`, and `/proc/PID`
/// belongs to root.
#[cfg(target_os = "linux")]
fn forbid_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "failed to make the process not dumpable");
    }
}

#[cfg(not(target_os = "linux"))]
fn forbid_dumps() {}

/// Prints; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Fatal> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fatal::Setup(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
