//! What the command line looks like, each name, default and variable once; and clap's errors turned into one line.

// The comments on clap's structures are the text of --help, where backticks would only disturb.
#![allow(clippy::doc_markdown)]

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, CommandFactory as _, Id, Parser, Subcommand};
use fireworks_api::wire::{AccountId, UserId};
use fireworks_client::url::{BaseUrl, ProxyUrl};
use operator_runtime::telemetry::LogFormat;

use super::UsageError;
use super::values::{self, Problem, between, checked, within};

/// The key itself is taken from the environment alone.
pub(super) const API_KEY: &str = "FIREWORKS_API_KEY";
pub(super) const API_KEY_FILE: &str = "FIREWORKS_API_KEY_FILE";
/// The variable every Rust program reads its log filter from.
pub(super) const LOG_FILTER: &str = "RUST_LOG";

/// The number, and the commit where the build names it: `make image` does. Nothing is asked of git here, so that
/// no commit causes a build and a source archive builds as well.
const VERSION: &str = match option_env!("FIREWORKS_USER_OPERATOR_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (commit unknown)"),
};

/// Keeps a Fireworks AI account's users as declared by FireworksUser objects.
#[derive(Debug, Parser)]
#[command(name = "fireworks-user-operator", bin_name = "fireworks-user-operator")]
#[command(subcommand_required = true, version = VERSION)]
pub(super) struct Flags {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the operator until it receives SIGTERM
    #[command(after_help = AFTER_RUN)]
    Run {
        /// File that contains the API key; read again every second
        #[arg(long, value_name = "PATH", env = API_KEY_FILE, value_parser = checked(PathBuf::from_str))]
        api_key_file: Option<PathBuf>,

        #[command(flatten)]
        settings: Box<Settings>,
    },
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

/// The settings of `run` except the API key, checked as far as their text alone allows.
#[derive(Debug, Args)]
pub struct Settings {
    /// ID of the Fireworks account whose users are managed
    #[arg(long, value_name = "ID", env = "FIREWORKS_ACCOUNT_ID",
        value_parser = checked(AccountId::from_str))]
    pub account_id: AccountId,

    /// Base URL of the Fireworks API; plain http only for a loopback address
    #[arg(long, value_name = "URL", env = "FIREWORKS_BASE_URL",
        default_value = "https://api.fireworks.ai", value_parser = checked(values::base_url))]
    pub base_url: BaseUrl,

    /// PEM file of certificate authorities to trust in addition to the system's
    #[arg(long, value_name = "PATH", env = "FIREWORKS_USER_OPERATOR_CA_FILE",
        value_parser = checked(PathBuf::from_str))]
    pub ca_file: Option<PathBuf>,

    /// Proxy for requests to Fireworks; proxy variables of the environment are ignored
    #[arg(long, value_name = "URL", env = "FIREWORKS_USER_OPERATOR_HTTPS_PROXY",
        value_parser = checked(values::proxy))]
    pub https_proxy: Option<ProxyUrl>,

    /// Namespace to watch; repeatable or comma-separated; all namespaces by default
    #[arg(long = "namespace", value_name = "NAME", env = "FIREWORKS_USER_OPERATOR_NAMESPACE",
        value_delimiter = ',', value_parser = checked(values::namespace))]
    pub namespaces: Vec<String>,

    /// Namespace whose objects may grant `admin` and `custom`, change users that have
    /// them, and take them away; repeatable or comma-separated; all by default
    #[arg(long = "grant-namespace", value_name = "NAME",
        env = "FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE", value_delimiter = ',',
        value_parser = checked(values::namespace), verbatim_doc_comment)]
    pub grant_namespaces: Vec<String>,

    /// User that no object changes, in any letter case; repeatable or comma-separated
    #[arg(long = "protected-user", value_name = "ID", env = "FIREWORKS_USER_OPERATOR_PROTECTED_USER",
        value_delimiter = ',', value_parser = checked(UserId::from_str))]
    pub protected_users: Vec<UserId>,

    /// Number of admins that demotions leave, 1 to 1000
    #[arg(long, value_name = "N", env = "FIREWORKS_USER_OPERATOR_MIN_ADMINS",
        default_value = "1", value_parser = checked(within(1..=1000_usize)))]
    pub min_admins: usize,

    /// Report drift and change nothing at Fireworks
    #[arg(long, env = "FIREWORKS_USER_OPERATOR_OBSERVE_ONLY",
        value_parser = checked(values::boolean))]
    pub observe_only: bool,

    /// Minimum interval between full account syncs, 1s to 1h
    #[arg(long, value_name = "DURATION", env = "FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL",
        default_value = "60s", value_parser = checked(between("1s", "1h")))]
    pub sweep_interval: Duration,

    /// Maximum number of requests to Fireworks in any 60 seconds, 1 to 6000;
    /// the account's quota (6000; 10 without a payment method) is shared with inference
    #[arg(long, value_name = "N", env = "FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE",
        default_value = "300", value_parser = checked(within(1..=6000_u32)), verbatim_doc_comment)]
    pub requests_per_minute: u32,

    /// Time after a write in which a read may still return old data, 0s to 10m
    #[arg(long, value_name = "DURATION", env = "FIREWORKS_USER_OPERATOR_SETTLE_WINDOW",
        default_value = "30s", value_parser = checked(between("0s", "10m")))]
    pub settle_window: Duration,

    /// Maximum number of users in a list of the account, 1 to 1000000;
    /// if there are more, the declared users are read one by one
    #[arg(long, value_name = "N", env = "FIREWORKS_USER_OPERATOR_MAX_USERS",
        default_value = "100000", value_parser = checked(within(1..=1_000_000_usize)), verbatim_doc_comment)]
    pub max_users: usize,

    /// Maximum number of concurrent reconciliations, 1 to 256
    #[arg(long, value_name = "N", env = "FIREWORKS_USER_OPERATOR_CONCURRENCY",
        default_value = "16", value_parser = checked(within(1..=256_usize)))]
    pub concurrency: usize,

    /// Make changes only while holding a Lease in the operator's own namespace, so that
    /// several replicas can run
    #[arg(long, env = "FIREWORKS_USER_OPERATOR_LEADER_ELECTION",
        value_parser = checked(values::boolean), verbatim_doc_comment)]
    pub leader_election: bool,

    /// Address that serves /livez, /healthz, /readyz and /metrics; port 0 selects
    /// a free port, which is logged
    #[arg(long, value_name = "ADDRESS:PORT", env = "FIREWORKS_USER_OPERATOR_LISTEN",
        default_value = "[::]:8080", value_parser = checked(values::listen), verbatim_doc_comment)]
    pub listen: SocketAddr,

    /// Format of log lines, json or text
    #[arg(long, value_name = "FORMAT", env = "FIREWORKS_USER_OPERATOR_LOG_FORMAT",
        default_value = "json", value_parser = checked(values::log_format))]
    pub log_format: LogFormat,

    /// The value of RUST_LOG, unchecked
    #[arg(skip)]
    pub log_filter: Option<String>,
}

/// Returns the definition of the command line. Help shows variables and defaults below the text, and no variable's value.
pub(super) fn definition() -> clap::Command {
    let shown = |arg: Arg| {
        let help = arg.get_help().cloned().unwrap_or_default();
        arg.help(format!("{help}\n")).hide_env_values(true)
    };
    Flags::command().mut_subcommand("run", |run| run.mut_args(shown))
}

/// Returns the id, the flag and the variable of each argument of `run` that has a variable.
pub(super) fn variables() -> Vec<(Id, String, String)> {
    let names = |arg: &Arg| {
        let (id, flag) = (arg.get_id().clone(), format!("--{}", arg.get_long()?));
        Some((id, flag, arg.get_env()?.to_str()?.to_owned()))
    };
    let definition = definition();
    let run = definition.find_subcommand("run").into_iter();
    run.flat_map(clap::Command::get_arguments)
        .filter_map(names)
        .collect()
}

/// Turns what clap refused into one line. clap's own text is not used: it spans lines and repeats what was typed.
pub(super) fn refusal(error: &clap::Error, typed: &[OsString]) -> UsageError {
    let named = |kind: ContextKind| {
        let text = match error.get(kind) {
            Some(ContextValue::String(text)) => text,
            Some(ContextValue::Strings(texts)) => texts.first().map_or("", |text| text),
            _ => "",
        };
        text.split_whitespace().next().unwrap_or_default()
    };
    let argument = named(ContextKind::InvalidArg);
    let variables = variables();
    let variable = variables.iter().find(|(_, flag, _)| flag == argument);
    let variable = variable.map_or("", |(_, _, variable)| variable);
    match error.kind() {
        ErrorKind::ValueValidation => {
            let mut flags = typed
                .iter()
                .filter_map(|text| text.to_str()?.split('=').next());
            let is_typed = flags.any(|flag| flag == argument);
            let problem = error.source().and_then(<dyn Error>::downcast_ref);
            let problem = problem.map_or("is not valid", |Problem(problem)| problem);
            UsageError::new(if is_typed { argument } else { variable }, problem)
        }
        ErrorKind::MissingRequiredArgument => {
            UsageError::new(&format!("{argument} (or {variable})"), "is not set")
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
    }
}

fn unknown(argument: &str, suggestion: &str) -> UsageError {
    if argument == "--api-key" {
        let problem = "does not exist, every user of the machine could read the key; \
                       use --api-key-file or FIREWORKS_API_KEY";
        return UsageError::new(argument, problem);
    }
    // Only what cannot be a key, a password or an address is repeated: flags are short lower-case words.
    let looks_like_a_flag = argument.strip_prefix("--").is_some_and(|name| {
        name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    });
    if !looks_like_a_flag {
        let problem = "one is unexpected (not shown, it may be a secret)";
        return UsageError::new("arguments", problem);
    }
    let hint = match suggestion {
        "" => "see --help".to_owned(),
        flag => format!("did you mean {flag}?"),
    };
    UsageError::new(argument, format!("is no flag of this command, {hint}"))
}
