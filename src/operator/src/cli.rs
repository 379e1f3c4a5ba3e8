//! The command line, and the only reader of the environment. Turns both into checked values and every mistake into one
//! line that names the setting. Opens no file, connects to nothing, and never repeats a value in a message: what was
//! put into the wrong place may be the API key.

mod flags;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::FromArgMatches as _;
use fireworks_client::key::ApiKeys;

pub use flags::Settings;
use flags::{Flags, Verb};

/// Looks a variable up.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What the program was asked to do.
#[derive(Debug)]
pub enum Command {
    /// Run the operator with these settings and an API key from there.
    Run(Box<Settings>, KeySource),
    /// Print the `CustomResourceDefinition`.
    Crd,
    /// Print this text, the answer to `--help` or `--version`, and exit 0.
    Show(String),
}

/// Where the API key comes from. Exactly one of the two is set.
#[derive(Debug)]
pub enum KeySource {
    /// The key itself, from the environment.
    Value(ApiKeys),
    /// A file to read it from, again whenever it changes.
    File(PathBuf),
}

/// A setting that is missing, malformed or unknown: one line that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl UsageError {
    /// What the process exits with.
    pub const EXIT_CODE: u8 = 2;

    /// A complaint about a setting, for a later check that finds its value unusable: a file that cannot be
    /// read, an address in use. Must not repeat a secret. Line breaks and other control characters become spaces.
    #[must_use]
    pub fn new(setting: &str, problem: impl fmt::Display) -> Self {
        let line = format!("{setting}: {problem}");
        Self(line.replace(char::is_control, " "))
    }
}

/// Reads these arguments, the program's name first, and the environment.
///
/// # Errors
/// [`UsageError`] for the first setting found missing, malformed or unknown.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    let environment = |name: &str| std::env::var_os(name);
    parse_from(arguments, &environment)
}

/// [`parse`] with the environment given.
///
/// # Errors
/// As [`parse`].
pub fn parse_from(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment<'_>,
) -> Result<Command, UsageError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // By the plain definition: below, values of the environment are defaults, which help would show.
    match flags::definition().try_get_matches_from(&arguments) {
        Err(text) if !text.use_stderr() => return Ok(Command::Show(text.render().to_string())),
        Ok(matches) if matches.subcommand_matches("crd").is_some() => return Ok(Command::Crd),
        Ok(_) | Err(_) => {}
    }
    // clap would read the process's environment, and take an empty variable for a value.
    let without = |arg: clap::Arg| arg.env(None::<&'static str>);
    let mut command = flags::definition().mut_subcommand("run", |run| run.mut_args(without));
    for (id, _, name) in flags::variables() {
        if let Some(value) = variable(&name, environment)? {
            let set = |arg: clap::Arg| arg.required(false).default_value(value);
            command = command.mut_subcommand("run", |run| run.mut_arg(id, set));
        }
    }
    let matches = command.try_get_matches_from(&arguments);
    let flags = matches.and_then(|matches| Flags::from_arg_matches(&matches));
    let flags = flags.map_err(|error| flags::refusal(&error, &arguments))?;
    let Verb::Run {
        api_key_file,
        mut settings,
    } = flags.verb
    else {
        return Ok(Command::Crd);
    };
    settings.namespaces.sort_unstable();
    settings.namespaces.dedup();
    settings.log_filter = variable(flags::LOG_FILTER, environment)?;
    let key = key(variable(flags::API_KEY, environment)?, api_key_file)?;
    Ok(Command::Run(settings, key))
}

/// Returns a variable's trimmed value; unset, empty and blank are the same.
fn variable(name: &str, environment: Environment<'_>) -> Result<Option<String>, UsageError> {
    let value = environment(name).map(OsString::into_string).transpose();
    let text = value.map_err(|_| UsageError::new(name, "is not valid UTF-8"))?;
    let text = text.as_deref().map(str::trim);
    Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// Returns where the key comes from. No [`clap::ArgGroup`] can require it, since there is no flag for the key itself.
fn key(value: Option<String>, file: Option<PathBuf>) -> Result<KeySource, UsageError> {
    use flags::{API_KEY, API_KEY_FILE};
    let names = |word| format!("--api-key-file (or {API_KEY_FILE}) {word} {API_KEY}");
    let refused = |name: &str, problem| Err(UsageError::new(name, problem));
    match (value, file) {
        (None, Some(path)) => Ok(KeySource::File(path)),
        (Some(key), None) if key.len() > 4096 => refused(API_KEY, "is too long to be an API key"),
        (Some(key), None) => ApiKeys::fixed(key)
            .map(KeySource::Value)
            .map_err(|problem| UsageError::new(API_KEY, problem)),
        (Some(_), Some(_)) => refused(&names("and"), "both are set, keep one of them"),
        (None, None) => refused(&names("or"), "none is set, the API key is missing"),
    }
}

#[cfg(test)]
mod tests;
