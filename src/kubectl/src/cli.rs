//! The command line: what is asked for goes to a command, its result to standard output, what went wrong to standard error.

mod account;
mod cluster;
mod plan;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::input::Input;
use crate::schema::Schema;
use crate::validate;

/// Plan, check and import the FireworksUser manifests of a Fireworks AI account
///
/// No command changes anything, at Fireworks or in a cluster. As kubectl-fireworks on the PATH it is also
/// `kubectl fireworks`.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-fireworks",
    bin_name = "kubectl fireworks",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(Box<plan::Plan>),
    Import(Box<plan::Import>),
    Validate(Validate),
    Snapshot(plan::TakeSnapshot),
    Completions(Completions),
    /// Print the version
    Version,
}

/// Check manifests as the API server does, without a cluster
#[derive(Args, Debug)]
struct Validate {
    #[command(flatten)]
    files: Files,

    /// Format of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Exit with 0 also if a manifest is invalid
    #[arg(long)]
    exit_zero: bool,
}

/// Print a completion script for a shell
#[derive(Args, Debug)]
struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Where manifests are.
#[derive(Args, Debug)]
struct Files {
    /// File or folder of manifests, or - for standard input; repeatable
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Read folders with all folders in them
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Namespace of manifests that name none; by default default
    #[arg(short, long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
}

/// How invalid manifests are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// Annotations of GitHub Actions
    Github,
}

/// What a command has to show.
struct Shown {
    /// The result, for standard output.
    result: String,
    /// What went wrong, for standard error.
    problems: String,
    exit: Exit,
}

/// Why a command has no result: one line.
enum Failure {
    /// The command line, or a setting, is wrong.
    Usage(String),
    /// Something cannot be read or written.
    Incomplete(String),
}

impl Failure {
    fn shown(self) -> Shown {
        match self {
            Self::Usage(why) => Shown {
                exit: Exit::Usage,
                ..Shown::failed(&why)
            },
            Self::Incomplete(why) => Shown::failed(&why),
        }
    }
}

/// Runs the program with these arguments.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let command_line = match definition().try_get_matches_from(args) {
        Ok(matches) => <Cli as clap::FromArgMatches>::from_arg_matches(&matches),
        Err(error) => return refused(&error),
    };
    let shown = match command_line {
        Ok(command_line) => run(command_line.command),
        Err(error) => return refused(&error),
    };
    print(&shown)
}

/// Returns the definition of the command line. Help ends with the exit codes.
fn definition() -> clap::Command {
    let mut codes = String::from("Exit codes:\n");
    let mut all = Exit::ALL;
    all.sort_by_key(|exit| exit.code());
    for exit in all {
        let _ = writeln!(codes, "  {}  {}", exit.code(), exit.meaning());
    }
    Cli::command().after_help(codes)
}

fn run(command: Command) -> Shown {
    let shown = match command {
        Command::Plan(arguments) => plan::plan(&arguments),
        Command::Import(arguments) => plan::import(&arguments),
        Command::Snapshot(arguments) => plan::snapshot(&arguments),
        Command::Validate(arguments) => validate(&arguments),
        Command::Completions(Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut definition(), "kubectl-fireworks", &mut script);
            Ok(Shown::result(String::from_utf8_lossy(&script).into_owned()))
        }
        Command::Version => Ok(Shown::result(format!(
            "kubectl-fireworks {}\n",
            env!("CARGO_PKG_VERSION")
        ))),
    };
    shown.unwrap_or_else(Failure::shown)
}

fn schema() -> Result<Schema, Failure> {
    Schema::built_in().map_err(|error| Failure::Incomplete(error.to_string()))
}

fn validate(arguments: &Validate) -> Result<Shown, Failure> {
    let Validate {
        files,
        format,
        exit_zero,
    } = arguments;
    let schema = schema()?;
    let namespace = files.namespace()?;
    let input = files.read();
    let found = validate::check(&input, &schema, namespace);
    let mut shown = Shown::result(String::new());
    for problem in &input.problems {
        let _ = writeln!(shown.problems, "error: {problem}");
    }
    // GitHub reads annotations from standard output: there they are the result.
    let unread = input.problems.iter().filter(|_| *format == Format::Github);
    for problem in unread.chain(&found) {
        let _ = match format {
            Format::Text => writeln!(shown.result, "{problem}"),
            Format::Github => writeln!(shown.result, "{}", problem.annotation()),
        };
    }
    let _ = writeln!(shown.problems, "{}", validate::summary(&input, &found));
    if !found.is_empty() {
        shown.exit = shown.exit.or(Exit::Found);
    }
    if !input.problems.is_empty() {
        shown.exit = shown.exit.or(Exit::Incomplete);
    }
    shown.exit = shown.exit.or_zero(*exit_zero);
    Ok(shown)
}

impl Files {
    fn read(&self) -> Input {
        Input::read(&self.paths, self.recursive, &mut io::stdin().lock())
    }

    /// Returns the namespace of manifests that name none.
    fn namespace(&self) -> Result<&str, Failure> {
        match &self.namespaces[..] {
            [] => Ok(validate::NAMESPACE),
            [only] => Ok(only),
            _ => Err(Failure::Usage("--namespace is set twice".to_owned())),
        }
    }
}

impl Shown {
    fn result(result: String) -> Self {
        Self {
            result,
            problems: String::new(),
            exit: Exit::Nothing,
        }
    }

    fn failed(why: &str) -> Self {
        Self {
            result: String::new(),
            problems: format!("error: {why}\n"),
            exit: Exit::Incomplete,
        }
    }
}

/// Shows what clap refused, in one line that repeats no value: it may be a secret.
fn refused(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return print(&Shown::result(error.to_string()));
    }
    let named = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let argument = named(ContextKind::InvalidArg);
    let why = match error.kind() {
        clap::error::ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            format!(
                "{argument}: {}",
                why.unwrap_or_else(|| "is not valid".to_owned())
            )
        }
        clap::error::ErrorKind::InvalidValue => {
            format!(
                "{argument}: must be one of {}",
                named(ContextKind::ValidValue)
            )
        }
        clap::error::ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
        clap::error::ErrorKind::UnknownArgument => "an argument is unknown; see --help".to_owned(),
        clap::error::ErrorKind::InvalidSubcommand
        | clap::error::ErrorKind::MissingSubcommand
        | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "the command is missing or unknown; see --help".to_owned()
        }
        kind => format!("{argument}: {kind}"),
    };
    print(&Failure::Usage(why).shown())
}

/// Prints it, and returns the exit code. A reader that has closed the pipe wants no more.
fn print(shown: &Shown) -> Exit {
    let _ = io::stderr().write_all(shown.problems.as_bytes());
    let mut stdout = io::stdout();
    let written = stdout.write_all(shown.result.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(
                io::stderr(),
                "error: cannot write the result: {}",
                error.kind()
            );
            shown.exit.or(Exit::Incomplete)
        }
        _ => shown.exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_sound() {
        definition().debug_assert();
    }
}
