//! What the command line looks like: clap's structures, the table of environment twins and defaults, and clap's
//! complaints turned into one line. Every value stays text here; `values` gives it meaning.

// The comments on clap's structures are the text of --help, where backticks would only disturb.
#![allow(clippy::doc_markdown)]

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use super::{Command, UsageError};

/// A flag of `run`, its environment twin, and what holds where neither is given.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) flag: &'static str,
    pub(super) variable: &'static str,
    pub(super) default: Option<&'static str>,
}

impl Setting {
    const fn new(
        flag: &'static str,
        variable: &'static str,
        default: Option<&'static str>,
    ) -> Self {
        Self {
            flag,
            variable,
            default,
        }
    }

    /// Both names, for a complaint that neither is set.
    pub(super) fn names(&self) -> String {
        format!("{} (or {})", self.flag, self.variable)
    }
}

/// The key itself is taken from the environment alone.
pub(super) const API_KEY: &str = "FIREWORKS_API_KEY";
/// The variable every Rust program reads its log filter from.
pub(super) const LOG_FILTER: &str = "RUST_LOG";

pub(super) const ACCOUNT_ID: Setting = Setting::new("--account-id", "FIREWORKS_ACCOUNT_ID", None);
pub(super) const BASE_URL: Setting = Setting::new(
    "--base-url",
    "FIREWORKS_BASE_URL",
    Some("https://api.fireworks.ai"),
);
pub(super) const API_KEY_FILE: Setting =
    Setting::new("--api-key-file", "FIREWORKS_API_KEY_FILE", None);
pub(super) const CA_FILE: Setting =
    Setting::new("--ca-file", "FIREWORKS_USER_OPERATOR_CA_FILE", None);
pub(super) const HTTPS_PROXY: Setting =
    Setting::new("--https-proxy", "FIREWORKS_USER_OPERATOR_HTTPS_PROXY", None);
pub(super) const NAMESPACE: Setting =
    Setting::new("--namespace", "FIREWORKS_USER_OPERATOR_NAMESPACE", None);
pub(super) const OBSERVE_ONLY: Setting = Setting::new(
    "--observe-only",
    "FIREWORKS_USER_OPERATOR_OBSERVE_ONLY",
    Some("false"),
);
pub(super) const SWEEP_INTERVAL: Setting = Setting::new(
    "--sweep-interval",
    "FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL",
    Some("60s"),
);
pub(super) const REQUESTS_PER_MINUTE: Setting = Setting::new(
    "--requests-per-minute",
    "FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE",
    Some("300"),
);
pub(super) const SETTLE_WINDOW: Setting = Setting::new(
    "--settle-window",
    "FIREWORKS_USER_OPERATOR_SETTLE_WINDOW",
    Some("30s"),
);
pub(super) const MAX_USERS: Setting = Setting::new(
    "--max-users",
    "FIREWORKS_USER_OPERATOR_MAX_USERS",
    Some("100000"),
);
pub(super) const CONCURRENCY: Setting = Setting::new(
    "--concurrency",
    "FIREWORKS_USER_OPERATOR_CONCURRENCY",
    Some("16"),
);
pub(super) const LISTEN: Setting = Setting::new(
    "--listen",
    "FIREWORKS_USER_OPERATOR_LISTEN",
    Some("[::]:8080"),
);
pub(super) const LOG_FORMAT: Setting = Setting::new(
    "--log-format",
    "FIREWORKS_USER_OPERATOR_LOG_FORMAT",
    Some("json"),
);

/// Each setting.
#[cfg(test)]
pub(super) const ALL: [&Setting; 14] = [
    &ACCOUNT_ID,
    &BASE_URL,
    &API_KEY_FILE,
    &CA_FILE,
    &HTTPS_PROXY,
    &NAMESPACE,
    &OBSERVE_ONLY,
    &SWEEP_INTERVAL,
    &REQUESTS_PER_MINUTE,
    &SETTLE_WINDOW,
    &MAX_USERS,
    &CONCURRENCY,
    &LISTEN,
    &LOG_FORMAT,
];

/// The number, and the commit where the build names it: `make image` does. Nothing is asked of git here, so that
/// no commit causes a build and a source archive builds as well.
const VERSION: &str = match option_env!("FIREWORKS_USER_OPERATOR_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (commit unknown)"),
};

/// Keeps a Fireworks AI account's users as declared by FireworksUser objects.
#[derive(Debug, Parser)]
#[command(
    name = "fireworks-user-operator",
    bin_name = "fireworks-user-operator",
    version = VERSION
)]
#[command(subcommand_required = true)]
pub(super) struct Flags {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the operator until it receives SIGTERM
    #[command(after_help = AFTER_RUN)]
    Run(Box<RunFlags>),
    /// Print the CustomResourceDefinition as YAML
    Crd,
}

const AFTER_RUN: &str = "\
Environment:
  FIREWORKS_API_KEY  API key, if no file is given. There is no flag for it: every user
                     of the machine can read the arguments of a process
  RUST_LOG           log filter, default `info`; `info,fireworks_user_operator=debug`
                     logs every reconciliation. Other crates never log below info,
                     because their output would contain credentials
  KUBECONFIG         access to Kubernetes outside a cluster

A flag takes precedence over its variable; an empty variable counts as unset. Durations
are written 500ms, 30s, 5m or 1h. If a setting is missing or invalid, the operator exits
with status 2 and a one-line error that names it.";

#[derive(Debug, Args)]
pub(super) struct RunFlags {
    /// ID of the Fireworks account whose users are managed
    /// [env: FIREWORKS_ACCOUNT_ID]
    #[arg(long, value_name = "ID", verbatim_doc_comment)]
    pub(super) account_id: Option<String>,

    /// Base URL of the Fireworks API; plain http only for a loopback address
    /// [env: FIREWORKS_BASE_URL] [default: https://api.fireworks.ai]
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    pub(super) base_url: Option<String>,

    /// File that contains the API key; read again every second
    /// [env: FIREWORKS_API_KEY_FILE]
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    pub(super) api_key_file: Option<String>,

    /// PEM file of certificate authorities to trust in addition to the system's
    /// [env: FIREWORKS_USER_OPERATOR_CA_FILE]
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    pub(super) ca_file: Option<String>,

    /// Proxy for requests to Fireworks; proxy variables of the environment are ignored
    /// [env: FIREWORKS_USER_OPERATOR_HTTPS_PROXY]
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    pub(super) https_proxy: Option<String>,

    /// Namespace to watch; repeatable or comma-separated; all namespaces by default
    /// [env: FIREWORKS_USER_OPERATOR_NAMESPACE]
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    pub(super) namespace: Vec<String>,

    /// Report drift and change nothing at Fireworks
    /// [env: FIREWORKS_USER_OPERATOR_OBSERVE_ONLY]
    #[arg(long, verbatim_doc_comment)]
    pub(super) observe_only: bool,

    /// Minimum interval between full account syncs, 1s to 1h
    /// [env: FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL] [default: 60s]
    #[arg(long, value_name = "DURATION", verbatim_doc_comment)]
    pub(super) sweep_interval: Option<String>,

    /// Maximum number of requests to Fireworks in any 60 seconds, 1 to 6000;
    /// the account's quota (6000; 10 without a payment method) is shared with inference
    /// [env: FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE] [default: 300]
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    pub(super) requests_per_minute: Option<String>,

    /// Time after a write in which a read may still return old data, 0s to 10m
    /// [env: FIREWORKS_USER_OPERATOR_SETTLE_WINDOW] [default: 30s]
    #[arg(long, value_name = "DURATION", verbatim_doc_comment)]
    pub(super) settle_window: Option<String>,

    /// Maximum number of users in a list of the account, 1 to 1000000;
    /// if there are more, the declared users are read one by one
    /// [env: FIREWORKS_USER_OPERATOR_MAX_USERS] [default: 100000]
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    pub(super) max_users: Option<String>,

    /// Maximum number of concurrent reconciliations, 1 to 256
    /// [env: FIREWORKS_USER_OPERATOR_CONCURRENCY] [default: 16]
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    pub(super) concurrency: Option<String>,

    /// Address that serves /livez, /healthz, /readyz and /metrics; port 0 selects
    /// a free port, which is logged
    /// [env: FIREWORKS_USER_OPERATOR_LISTEN] [default: [::]:8080]
    #[arg(long, value_name = "ADDRESS:PORT", verbatim_doc_comment)]
    pub(super) listen: Option<String>,

    /// Format of log lines, json or text
    /// [env: FIREWORKS_USER_OPERATOR_LOG_FORMAT] [default: json]
    #[arg(long, value_name = "FORMAT", verbatim_doc_comment)]
    pub(super) log_format: Option<String>,
}

/// Help and version are shown; anything else clap stopped at becomes one line. clap's own text is not used: it spans
/// lines and repeats what was typed.
pub(super) fn shown_or_refused(error: &clap::Error) -> Result<Command, UsageError> {
    let named = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.split_whitespace().next().unwrap_or_default(),
        _ => "",
    };
    let argument = named(ContextKind::InvalidArg);
    Err(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return Ok(Command::Show(error.render().to_string()));
        }
        ErrorKind::UnknownArgument => unknown(argument, named(ContextKind::SuggestedArg)),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            UsageError::new("command", "is missing, it is `run` or `crd`, or see --help")
        }
        ErrorKind::InvalidSubcommand => {
            UsageError::new("command", "is unknown, it is `run` or `crd`, or see --help")
        }
        ErrorKind::InvalidUtf8 => UsageError::new("arguments", "one of them is not valid UTF-8"),
        ErrorKind::ArgumentConflict => UsageError::new(argument, "is given more than once"),
        ErrorKind::TooManyValues => UsageError::new(argument, "takes no value"),
        ErrorKind::InvalidValue => UsageError::new(argument, "needs a value"),
        kind => UsageError::new("arguments", kind),
    })
}

fn unknown(argument: &str, suggestion: &str) -> UsageError {
    if argument == "--api-key" {
        let problem = "does not exist, every user of the machine could read the key; \
                       use --api-key-file or FIREWORKS_API_KEY";
        return UsageError::new(argument, problem);
    }
    if !looks_like_a_flag(argument) {
        return UsageError::new(
            "arguments",
            "one is unexpected (not shown, it may be a secret)",
        );
    }
    if suggestion.is_empty() {
        UsageError::new(argument, "is no flag of this command, see --help")
    } else {
        UsageError::new(
            argument,
            format!("is no flag of this command, did you mean {suggestion}?"),
        )
    }
}

/// Only what cannot be a key, a password or an address is repeated: flags are short lower-case words.
fn looks_like_a_flag(argument: &str) -> bool {
    argument.strip_prefix("--").is_some_and(|name| {
        name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    })
}
