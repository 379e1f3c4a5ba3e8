//! Wiring only: arguments, telemetry, TLS provider, run, exit code.

use std::process::ExitCode;

use fireworks_user_operator::cli::{self, Command, Settings, UsageError};
use fireworks_user_operator::crd;
use fireworks_user_operator::operator::{self, Fatal};
use fireworks_user_operator::runtime::{tasks, telemetry};
use kube::CustomResourceExt as _;

fn main() -> ExitCode {
    let ended = match cli::parse() {
        Ok(Command::Run(settings)) => run(*settings),
        Ok(Command::Crd) => print_crd(),
        Ok(Command::Show(text)) => print(&text),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            eprintln!("fireworks-user-operator: {fatal}");
            match fatal {
                Fatal::Setting(_) => ExitCode::from(UsageError::EXIT_CODE),
                Fatal::Setup(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn run(settings: Settings) -> Result<(), Fatal> {
    telemetry::init(settings.log_format, settings.log_filter.as_deref())
        .map_err(|error| UsageError::new("RUST_LOG", error))?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Fatal::Setup("the TLS provider could not be installed".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal::Setup(format!("the runtime could not be started: {error}")))?;
    runtime.block_on(tasks::alone(operator::run(settings)))
}

fn print_crd() -> Result<(), Fatal> {
    let text = serde_saphyr::to_string(&crd::FireworksUser::crd())
        .map_err(|error| Fatal::Setup(format!("the definition could not be written: {error}")))?;
    print(&text)
}

/// Prints; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Fatal> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Fatal::Setup(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
