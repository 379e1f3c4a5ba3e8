//! The command line, and the only reader of the environment. Turns both into checked values and every mistake into one
//! line that names the setting. Opens no file, connects to nothing, and never repeats a value in a message: what was
//! put into the wrong place may be the API key.

mod flags;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use flags::{Flags, RunFlags, Setting, Verb};
use operator_runtime::telemetry::LogFormat;

/// What the program was asked to do.
#[derive(Debug)]
pub enum Command {
    /// Run the operator.
    Run(Box<Settings>),
    /// Print the `CustomResourceDefinition`.
    Crd,
    /// Print this text, the answer to `--help` or `--version`, and exit 0.
    Show(String),
}

/// The settings of `run`, checked as far as their text alone allows.
#[derive(Debug)]
pub struct Settings {
    /// The Fireworks account's id, without `accounts/`: 1 to 128 letters, digits and `._~+-`.
    pub account_id: String,
    /// `https://…`, or `http://…` to a loopback address; no user, query, fragment or trailing slash.
    pub base_url: String,
    /// Where the API key comes from.
    pub api_key: KeySource,
    /// A PEM file of further certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The proxy for calls to Fireworks, `http://…` or `https://…`. May hold a password.
    pub https_proxy: Option<Secret>,
    /// The namespaces to watch, sorted, none twice; empty means all.
    pub namespaces: Vec<String>,
    /// Treat every object as if it said `managementPolicy: Observe`.
    pub observe_only: bool,
    /// The shortest time between two looks at the whole account, 1 s to 1 h.
    pub sweep_interval: Duration,
    /// How many requests to Fireworks may begin in any 60 s, 1 to 6000.
    pub requests_per_minute: u32,
    /// How long a read may lag behind a write at Fireworks, 0 s to 10 min.
    pub settle_window: Duration,
    /// Maximum number of users that a list of the account may have, 1 to 1,000,000.
    pub max_users: usize,
    /// How many objects are worked on at once, 1 to 256.
    pub concurrency: usize,
    /// Where probes and metrics are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The value of `RUST_LOG`, unchecked.
    pub log_filter: Option<String>,
}

/// Where the API key comes from. Exactly one of the two is set.
#[derive(Debug)]
pub enum KeySource {
    /// The key itself, from the environment: visible ASCII, not empty.
    Value(Secret),
    /// A file to read it from, again whenever it changes.
    File(PathBuf),
}

/// A text that no log, message or debug output may show.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
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
pub fn parse_from<A>(
    arguments: A,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError>
where
    A: IntoIterator<Item = OsString>,
{
    match Flags::try_parse_from(arguments) {
        Ok(Flags {
            verb: Verb::Run(run),
        }) => Ok(Command::Run(Box::new(settings(*run, environment)?))),
        Ok(Flags { verb: Verb::Crd }) => Ok(Command::Crd),
        Err(error) => flags::shown_or_refused(&error),
    }
}

fn settings(
    given: RunFlags,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Settings, UsageError> {
    let source = Source { environment };
    Ok(Settings {
        account_id: source.required(&flags::ACCOUNT_ID, given.account_id, values::account_id)?,
        base_url: source.required(&flags::BASE_URL, given.base_url, values::base_url)?,
        api_key: source.key(given.api_key_file)?,
        ca_file: source.optional(&flags::CA_FILE, given.ca_file, values::path)?,
        https_proxy: source.optional(&flags::HTTPS_PROXY, given.https_proxy, values::proxy)?,
        namespaces: source.namespaces(&given.namespace)?,
        observe_only: given.observe_only
            || source.required(&flags::OBSERVE_ONLY, None, values::boolean)?,
        sweep_interval: source.required(
            &flags::SWEEP_INTERVAL,
            given.sweep_interval,
            values::sweep_interval,
        )?,
        requests_per_minute: source.required(
            &flags::REQUESTS_PER_MINUTE,
            given.requests_per_minute,
            values::requests_per_minute,
        )?,
        settle_window: source.required(
            &flags::SETTLE_WINDOW,
            given.settle_window,
            values::settle_window,
        )?,
        max_users: source.required(&flags::MAX_USERS, given.max_users, values::max_users)?,
        concurrency: source.required(
            &flags::CONCURRENCY,
            given.concurrency,
            values::concurrency,
        )?,
        listen: source.required(&flags::LISTEN, given.listen, values::listen)?,
        log_format: source.required(&flags::LOG_FORMAT, given.log_format, values::log_format)?,
        log_filter: source.variable(flags::LOG_FILTER)?,
    })
}

/// Where a value comes from: the flag, else its environment twin, else the default.
struct Source<'a> {
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Source<'_> {
    /// A variable's value; unset, empty and blank are the same.
    fn variable(&self, name: &str) -> Result<Option<String>, UsageError> {
        let Some(value) = (self.environment)(name) else {
            return Ok(None);
        };
        let text = value
            .into_string()
            .map_err(|_| UsageError::new(name, "is not valid UTF-8"))?;
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn optional<T>(
        &self,
        setting: &Setting,
        given: Option<String>,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, UsageError> {
        let (name, text) = match (given, self.variable(setting.variable)?) {
            (Some(text), _) => (setting.flag, text),
            (None, Some(text)) => (setting.variable, text),
            (None, None) => match setting.default {
                Some(text) => (setting.flag, text.to_owned()),
                None => return Ok(None),
            },
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(UsageError::new(name, "is empty"));
        }
        parse(text)
            .map(Some)
            .map_err(|problem| UsageError::new(name, problem))
    }

    fn required<T>(
        &self,
        setting: &Setting,
        given: Option<String>,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Result<T, UsageError> {
        let missing = || UsageError::new(&setting.names(), "is not set");
        self.optional(setting, given, parse)?.ok_or_else(missing)
    }

    fn key(&self, given: Option<String>) -> Result<KeySource, UsageError> {
        let file = self.optional(&flags::API_KEY_FILE, given, values::path)?;
        match (self.variable(flags::API_KEY)?, file) {
            (None, Some(path)) => Ok(KeySource::File(path)),
            (Some(key), None) => values::api_key(&key)
                .map(KeySource::Value)
                .map_err(|problem| UsageError::new(flags::API_KEY, problem)),
            (Some(_), Some(_)) => Err(UsageError::new(
                &format!("{} and {}", flags::API_KEY_FILE.names(), flags::API_KEY),
                "both are set, keep one of them",
            )),
            (None, None) => Err(UsageError::new(
                &format!("{} or {}", flags::API_KEY_FILE.names(), flags::API_KEY),
                "none is set, the API key is missing",
            )),
        }
    }

    fn namespaces(&self, given: &[String]) -> Result<Vec<String>, UsageError> {
        let joined = (!given.is_empty()).then(|| given.join(","));
        Ok(self
            .optional(&flags::NAMESPACE, joined, values::namespaces)?
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
