//! The commands about an account: `plan`, `snapshot` and `import`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fireworks_api::wire::UserId;
use fireworks_core::grants::Grants;
use fireworks_core::world::Settings;

use super::account::{self, Account};
use super::cluster::ClusterFlags;
use super::{Failure, Files, Shown, schema};
use crate::exit::Exit;
use crate::import::{self, Folder, Selection};
use crate::input::Input;
use crate::interrupt;
use crate::plan::{self, Declared, Plan as Planned};
use crate::problem::{Level, Problem, annotation};
use crate::snapshot::Snapshot;
use crate::style::{Color, OutputStyle};

/// The settle window of the operator. A plan waits for nothing, so that its length does not matter.
const SETTLE_WINDOW: Duration = Duration::from_secs(30);
/// Requests of a plan are not sent: they wait for no permit.
const UNLIMITED: u32 = 1_000_000;
const USERS_MAX: usize = 1_000_000;
/// The help of the namespaces of a plan.
const NAMESPACES: &str = "Namespace of manifests that name none; with --from-cluster the namespace to plan, repeatable; by default all";

/// Show what the operator would do with manifests, and change nothing
#[derive(Args, Debug)]
#[command(
    mut_arg("paths", |paths| paths.required(false).required_unless_present("from_cluster")),
    mut_arg("namespaces", |names| names.help(NAMESPACES)),
)]
pub(super) struct Plan {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    cluster: ClusterFlags,

    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    operator: Operator,

    /// Format of the plan
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// When the table has colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_possible_values = true)]
    color: Color,

    /// Explain the decisions about one user: facts, guards in their order, outcome
    #[arg(long, value_name = "USER", conflicts_with = "format")]
    explain: Option<String>,

    /// Exit with 0 also if there are changes, or a guard holds one
    #[arg(long)]
    exit_zero: bool,
}

/// Write the account's users to a file, without e-mail addresses
#[derive(Args, Debug)]
pub(super) struct TakeSnapshot {
    #[command(flatten)]
    account: Account,

    /// File to write, or - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Write a manifest for each user of the account
#[derive(Args, Debug)]
pub(super) struct Import {
    #[command(flatten)]
    source: Source,

    /// Folder to write: a new or empty one, unless --force
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Overwrite files in the folder
    #[arg(long)]
    force: bool,

    /// Write manifests that only observe
    #[arg(long)]
    observe: bool,

    /// Import only ids that match a pattern with * and ?; repeatable
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,

    /// Import only users with a role; repeatable
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,

    /// Namespace that the manifests name; by default they name none
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// Where the users of the account are read.
#[derive(Args, Debug)]
struct Source {
    /// File that `snapshot` wrote, in place of the account
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,

    #[command(flatten)]
    account: Account,
}

/// The settings of the operator that decide about changes.
#[derive(Args, Debug)]
struct Operator {
    /// As the operator's flag; repeatable or comma-separated
    #[arg(long = "grant-namespace", value_name = "NAME", value_delimiter = ',')]
    grant_namespaces: Vec<String>,

    /// As the operator's flag; repeatable or comma-separated
    #[arg(long = "protected-user", value_name = "ID", value_delimiter = ',')]
    protected_users: Vec<UserId>,

    /// As the operator's flag
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_admins: usize,

    /// As the operator's flag
    #[arg(long)]
    observe_only: bool,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// Lines for people
    Table,
    /// JSON, as docs/schemas/plan.v1.json has it
    Json,
    /// A comment on a pull request
    Markdown,
    /// Annotations of GitHub Actions
    Github,
}

impl Source {
    fn read(&self, declared: &[UserId]) -> Result<Snapshot, Failure> {
        let snapshot = match &self.snapshot {
            Some(path) => account::stored(path)?,
            None => self.account.fetch(declared)?,
        };
        usable(snapshot)
    }
}

/// Returns the snapshot, unless nothing at all could be read.
fn usable(snapshot: Snapshot) -> Result<Snapshot, Failure> {
    match &snapshot.failure {
        Some(failure) if snapshot.users.is_empty() => {
            Err(Failure::Incomplete(failure.message.clone()))
        }
        _ => Ok(snapshot),
    }
}

impl Operator {
    fn settings(&self) -> Settings {
        let namespaces = self.grant_namespaces.iter().map(String::as_str);
        Settings {
            grants: Grants::new(namespaces, &self.protected_users, self.min_admins),
            observe_only: self.observe_only,
            ..settings()
        }
    }
}

fn settings() -> Settings {
    Settings {
        observe_only: false,
        settle_window: SETTLE_WINDOW,
        sweep_interval: Duration::from_mins(1),
        requests_per_minute: UNLIMITED,
        max_users: USERS_MAX,
        grants: Grants::default(),
    }
}

pub(super) fn plan(arguments: &Plan) -> Result<Shown, Failure> {
    let Plan {
        files,
        cluster,
        source,
        operator,
        format,
        color,
        explain,
        exit_zero,
    } = arguments;
    let input = files.read();
    let declared = cluster.declared(files, &input)?;
    let Input {
        problems,
        manifests,
        ..
    } = input;
    let is_empty = manifests.is_empty() && (declared.is_empty() || !files.paths.is_empty());
    // Of many manifests these are most of what is kept.
    drop(manifests);
    let snapshot = source.read(&declared.users())?;
    let (mut planned, about) = plan::plan_and_explain(
        declared,
        &snapshot,
        &operator.settings(),
        explain.as_deref(),
    );
    let unread = planned.failures.len();
    planned
        .failures
        .extend(problems.iter().map(ToString::to_string));
    let result = match (about, format) {
        // The exit code is that of the user's manifests.
        (Some(about), _) => plan::explain(&about, &mut planned),
        (None, Format::Table) => plan::table(&planned, OutputStyle::of_stdout(*color)),
        (None, Format::Markdown) => plan::markdown(&planned),
        (None, Format::Github) => annotations(&planned, unread, &problems),
        (None, Format::Json) => format!("{:#}\n", plan::to_json(&planned)),
    };
    let mut shown = Shown::result(result);
    for failure in &planned.failures {
        let _ = writeln!(shown.problems, "error: {failure}");
    }
    if is_empty {
        shown
            .problems
            .push_str("warning: the input has no FireworksUser\n");
    }
    shown.exit = planned.exit().or_zero(*exit_zero);
    Ok(shown)
}

/// Returns the annotations of the plan, and those of what could not be read: `unread` failures are about the account.
fn annotations(planned: &Planned, unread: usize, problems: &[Problem]) -> String {
    let account = planned.failures[..unread].iter();
    let account = account.map(|why| annotation(Level::Error, None, "account incomplete", why));
    let files = problems.iter().map(Problem::annotation);
    let mut text: String = account.chain(files).map(|line| line + "\n").collect();
    text.push_str(&plan::github(planned));
    text
}

pub(super) fn snapshot(arguments: &TakeSnapshot) -> Result<Shown, Failure> {
    let snapshot = usable(arguments.account.fetch(&[])?)?;
    let text = snapshot.to_file();
    let mut shown = Shown::result(String::new());
    if arguments.output.as_os_str() == "-" {
        shown.result = text;
    } else {
        write(&arguments.output, &text)?;
    }
    if !snapshot.is_complete() {
        let why = snapshot
            .failure
            .as_ref()
            .map(|failed| failed.message.as_str());
        let why = why.unwrap_or("rows could not be read");
        let _ = writeln!(shown.problems, "error: the snapshot is incomplete: {why}");
        shown.exit = Exit::Incomplete;
    }
    let _ = writeln!(shown.problems, "{} users", snapshot.users.len());
    Ok(shown)
}

/// Writes the file beside its place and moves it there, so that there is never half of one.
fn write(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.partial-{}", std::process::id()));
    let _writing = interrupt::writing();
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        Failure::Incomplete(format!("cannot write {}: {}", path.display(), error.kind()))
    })
}

pub(super) fn import(arguments: &Import) -> Result<Shown, Failure> {
    let selection = Selection {
        only: arguments.only.clone(),
        roles: arguments.roles.clone(),
        observe: arguments.observe,
        namespace: arguments.namespace.clone(),
    };
    let snapshot = arguments.source.read(&[])?;
    let manifests = import::manifests(&snapshot, &selection);
    // Dropped after the folder, which then has removed what is not complete.
    let _writing = interrupt::writing();
    let incomplete = |error: import::CannotWrite| Failure::Incomplete(error.to_string());
    let folder =
        Folder::write(&arguments.output, &manifests, arguments.force).map_err(incomplete)?;
    let planned = proof(&folder, &snapshot)?;
    let differences = import::differences(&planned);
    if let Some(first) = differences.first() {
        let number = differences.len();
        let why = format!(
            "the manifests of {number} users would not leave them as they are, nothing is written: {first}"
        );
        return Err(Failure::Incomplete(why));
    }
    folder.publish().map_err(incomplete)?;
    let mut shown = Shown::result(String::new());
    let (files, unmanaged) = (manifests.files.len(), manifests.unmanaged.len());
    let _ = writeln!(
        shown.result,
        "{files} manifests written to {}, whose plan changes nothing; {unmanaged} users cannot be declared; {} not selected",
        arguments.output.display(),
        manifests.left_out
    );
    for (user, why) in &manifests.unmanaged {
        let _ = writeln!(shown.problems, "unmanaged: {user}: {why}");
    }
    if !snapshot.is_complete() {
        let _ = writeln!(shown.problems, "error: the list of users is incomplete");
        shown.exit = Exit::Incomplete;
    }
    Ok(shown)
}

/// Returns the plan of what was written, read back.
fn proof(folder: &Folder, snapshot: &Snapshot) -> Result<Planned, Failure> {
    let input = Input::read(&[folder.path().to_owned()], true, &mut io::empty());
    if let Some(problem) = input.problems.first() {
        return Err(Failure::Incomplete(problem.to_string()));
    }
    let declared = Declared::of(&input, &schema()?, crate::validate::NAMESPACE);
    drop(input);
    Ok(plan::plan(declared, snapshot, &settings()))
}
