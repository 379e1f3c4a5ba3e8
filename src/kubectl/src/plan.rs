//! The plan: what the operator would do with these manifests and that account. The decisions are the operator's own; see
//! `plan/engine.rs` for how they are run without carrying anything out.

mod declared;
mod engine;
mod explain;
mod github;
mod markdown;
mod onto;
mod remote;
mod table;
mod to_json;

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::text;
use fireworks_api::wire::{Role, User, UserId};
use fireworks_core::user::object::CachedUser;
use fireworks_core::user::plan::Update;
use fireworks_core::world::Settings;
use fireworks_crd::conditions::Reason;
use jiff::Timestamp;
use serde_json::Value;

use crate::exit::Exit;
use crate::problem::Place;
use crate::snapshot::{Failed, REDACTED_ID, Snapshot};
pub use declared::{Declared, Manifests};
use engine::{Engine, Outcome};
pub use explain::{About, explain};
pub use github::github;
pub use markdown::markdown;
pub use table::table;
pub use to_json::{VERSION, to_json};

/// The version of the API key that all requests of a plan seem to use.
const KEY_VERSION: u64 = 1;

const HIDDEN_NAME: &str = "the snapshot does not have the display name, which contains an e-mail address: it is not compared";
const NO_EMAILS: &str = "the snapshot has no e-mail addresses: spec.expectEmail is not compared";

/// What would happen to the user of one manifest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// The user would be changed.
    Change,
    /// A guard would hold the change.
    Hold,
    /// Fireworks has refused the change, and it is not tried again yet.
    Refused,
    /// Another manifest manages the same user: neither is planned. Or another object of the cluster holds the user.
    Conflict,
    /// The object would be deleted: its user stays as it is.
    Deleted,
    /// The manifest is invalid: the API server would refuse it.
    Invalid,
    /// The user could not be read: what would happen is not known.
    Unread,
    /// The user is being created, updated or deleted at Fireworks, or has an error of its own.
    Wait,
    /// The user differs and is only observed.
    Drift,
    /// The account has no such user.
    Absent,
    /// The manifest is suspended.
    Suspended,
    /// The user matches.
    InSync,
}

/// A field that would be changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The name of the field, as in the manifest.
    pub field: &'static str,
    /// The value as it is, fit to be shown; nothing where there is none.
    pub from: Option<String>,
    /// The value that it would get.
    pub to: Option<String>,
}

/// One manifest in the plan.
#[derive(Clone, Debug)]
pub struct Item {
    /// Namespace and name of the object.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// Where it was found.
    pub place: Place,
    /// The user id.
    pub user: String,
    /// What would happen.
    pub action: Action,
    /// The fields that would be changed.
    pub changes: Vec<Change>,
    /// The guard that holds the change.
    pub guard: Option<String>,
    /// The reason that the object would report, and its message.
    pub reason: String,
    /// The message.
    pub message: String,
    /// Why the operator may decide otherwise.
    pub uncertain: Option<String>,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The account.
    pub account: String,
    /// When its users were read.
    pub taken_at: Timestamp,
    /// The number of users.
    pub users: usize,
    /// Every user was read.
    pub is_complete: bool,
    /// Why the list of users is incomplete, and what single reads failed.
    pub failures: Vec<String>,
    /// The manifests: changes of admins first, then by action and name.
    pub items: Vec<Item>,
    /// The number of changes, each one request.
    pub requests: usize,
    /// The number of users that no manifest declares.
    pub unmanaged_users: usize,
    /// The admins among them.
    pub unmanaged_admins: Vec<String>,
}

/// Plans the manifests against the snapshot, by the settings that the operator is to have.
#[must_use]
pub fn plan(declared: Declared, snapshot: &Snapshot, settings: &Settings) -> Plan {
    plan_and_explain(declared, snapshot, settings, None).0
}

/// Plans the manifests, and returns what the decisions about one user are based on, if one is asked for.
#[must_use]
pub fn plan_and_explain(
    declared: Declared,
    snapshot: &Snapshot,
    settings: &Settings,
    about: Option<&str>,
) -> (Plan, Option<About>) {
    let Declared {
        objects,
        mut items,
        mut onto,
    } = declared;
    let mut about = about.map(|user| About::new(user, snapshot, settings));
    let users: BTreeSet<UserId> = objects.iter().map(|(_, _, user)| user.folded()).collect();
    let (mut planned, mut applied) = (onto.former(), Vec::new());
    let mut open = BTreeMap::new();
    for (mut item, stored, user) in objects {
        let (object, uncertain) = comparable(&stored, &user, snapshot);
        let causes = item.uncertain.take().into_iter().chain(uncertain);
        item.uncertain = causes.reduce(|all, cause| all + "; " + &cause);
        if let Some(object) = object {
            let name = (item.namespace.clone(), item.name.clone());
            let is_applied = onto.applied.contains(&name);
            if let Some(about) = &mut about {
                about.declare(&object.key, &user);
            }
            open.insert(object.key.clone(), item);
            if is_applied {
                applied.push(object);
            } else {
                planned.push(object);
            }
        }
    }
    let explained = about.as_ref().map(About::objects).unwrap_or_default();
    let mut engine = Engine::new(snapshot, settings.clone(), planned, &onto).explaining(explained);
    engine.apply(applied, &onto.deleted);
    let mut outcomes = engine.run();
    let mut requests = 0;
    for (key, mut item) in open {
        let outcome = outcomes.remove(&key).unwrap_or_default();
        requests += outcome.updates.len();
        if let (Some(about), Some(basis)) = (&mut about, &outcome.explanation) {
            about.explanations.push((item.place.clone(), basis.clone()));
        }
        item.conclude(&outcome);
        items.push(item);
    }
    sort(&mut items);
    let unmanaged = snapshot
        .users
        .values()
        .filter(|user| !users.contains(&user.id.folded()));
    let unmanaged: Vec<&User> = unmanaged.collect();
    let admins = unmanaged.iter().filter(|user| user.role == Role::Admin);
    let plan = Plan {
        account: snapshot.account.to_string(),
        taken_at: snapshot.taken_at,
        users: snapshot.users.len(),
        is_complete: snapshot.is_complete(),
        failures: failures(snapshot),
        items,
        requests,
        unmanaged_users: unmanaged.len(),
        unmanaged_admins: admins.map(|user| named(&user.id)).collect(),
    };
    (plan, about)
}

/// Puts the items into the order of the plan.
fn sort(items: &mut [Item]) {
    items.sort_by_cached_key(|item| {
        (
            item.rank(),
            item.namespace.clone(),
            item.name.clone(),
            item.place.clone(),
        )
    });
}

/// Returns the object without what the snapshot cannot be compared with, and why that makes the plan uncertain.
fn comparable(
    stored: &str,
    user: &UserId,
    snapshot: &Snapshot,
) -> (Option<CachedUser>, Option<String>) {
    let mut causes = Vec::new();
    let mut stored: Value = serde_json::from_str(stored).unwrap_or_default();
    if let Some(spec) = stored["spec"].as_object_mut() {
        let is_hidden = snapshot.hidden_names.contains(user);
        if is_hidden && spec.remove("displayName").is_some() {
            causes.push(HIDDEN_NAME);
        }
        if !snapshot.has_emails && spec.remove("expectEmail").is_some() {
            causes.push(NO_EMAILS);
        }
    }
    let uncertain = (!causes.is_empty()).then(|| causes.join("; "));
    (serde_json::from_value(stored).ok(), uncertain)
}

fn failures(snapshot: &Snapshot) -> Vec<String> {
    let mut failures: Vec<String> = Vec::new();
    failures.extend(
        snapshot
            .failure
            .as_ref()
            .map(|failed| failed.message.clone()),
    );
    if snapshot.malformed > 0 {
        failures.push(format!(
            "list users: {} rows could not be read",
            snapshot.malformed
        ));
    }
    let unread = |failed: &Failed| failed.message.clone();
    failures.extend(snapshot.unread.values().map(unread));
    failures
}

impl Plan {
    /// Returns how `plan` exits.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let all = self.items.iter().map(|item| item.action.exit());
        let read = if self.failures.is_empty() {
            Exit::Nothing
        } else {
            Exit::Incomplete
        };
        all.fold(read, Exit::or)
    }

    /// Returns the number of manifests of each action that occurs.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        let mut counts = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.action).or_default() += 1;
        }
        counts
    }
}

impl Item {
    /// Takes what the decisions lead to.
    fn conclude(&mut self, outcome: &Outcome) {
        self.changes = outcome.updates.iter().flat_map(changes).collect();
        let report = outcome.report.as_ref();
        if let Some(report) = report {
            self.reason.clone_from(&report.reason);
            self.message.clone_from(&report.message);
        }
        let guard = report.and_then(|report| report.guard.clone());
        let reason = report.and_then(|report| Reason::reported(&report.ready, &report.reason));
        self.action = match reason {
            _ if !outcome.updates.is_empty() => Action::Change,
            Some(reason) => action(reason, guard.is_some()),
            None => Action::Unread,
        };
        self.guard = guard.filter(|_| self.action == Action::Hold);
    }

    /// Returns its place in the order of the plan: grants and demotions of admins come first.
    fn rank(&self) -> (bool, Action) {
        (!self.concerns_admin(), self.action)
    }

    /// Returns whether the change grants the role `admin` or takes it away.
    fn concerns_admin(&self) -> bool {
        let is_admin = |value: &Option<String>| value.as_deref() == Some(Role::Admin.as_str());
        let is_about = |change: &Change| {
            change.field == "role" && (is_admin(&change.from) || is_admin(&change.to))
        };
        self.changes.iter().any(is_about)
    }
}

fn action(reason: Reason, is_held: bool) -> Action {
    match reason {
        Reason::InSync => Action::InSync,
        Reason::Protected
        | Reason::ProtectedStalled
        | Reason::NamespaceNotAllowed
        | Reason::Contested => Action::Hold,
        Reason::Conflict | Reason::TakingOver if is_held => Action::Hold,
        Reason::Conflict | Reason::TakingOver => Action::Conflict,
        Reason::Rejected | Reason::PermissionDenied | Reason::NotApplied => Action::Refused,
        Reason::UserNotFound => Action::Absent,
        Reason::Drifted => Action::Drift,
        Reason::Suspended | Reason::SuspendedInSync => Action::Suspended,
        Reason::RemoteUpdating | Reason::RemoteDeleting | Reason::RemoteError => Action::Wait,
        Reason::InvalidSpec => Action::Invalid,
        _ => Action::Unread,
    }
}

/// Returns the fields that the update changes.
fn changes(update: &Update) -> Vec<Change> {
    let (before, patch) = (&*update.before, &update.patch);
    let value = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(shown);
    let change = |field, from: Option<&str>, to: Option<&str>| Change {
        field,
        from: value(from),
        to: value(to),
    };
    let role = change(
        "role",
        Some(before.role.as_str()),
        Some(patch.role.as_str()),
    );
    let is_changed = before.role != patch.role;
    let mut changes: Vec<Change> = is_changed.then_some(role).into_iter().collect();
    if let Some(preset) = patch.permission_preset.as_deref() {
        let from = before.permission_preset.as_deref();
        changes.push(change("permissionPreset", from, Some(preset)));
    }
    if let Some(name) = patch.display_name.as_deref() {
        changes.push(change(
            "displayName",
            before.display_name.as_deref(),
            Some(name),
        ));
    }
    changes
}

impl Action {
    /// All of them, in the order of the plan.
    pub const ALL: [Self; 12] = [
        Self::Change,
        Self::Hold,
        Self::Refused,
        Self::Conflict,
        Self::Deleted,
        Self::Invalid,
        Self::Unread,
        Self::Wait,
        Self::Drift,
        Self::Absent,
        Self::Suspended,
        Self::InSync,
    ];

    /// Returns the name that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Hold => "hold",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::Deleted => "deleted",
            Self::Invalid => "invalid",
            Self::Unread => "unread",
            Self::Wait => "wait",
            Self::Drift => "drift",
            Self::Absent => "absent",
            Self::Suspended => "suspended",
            Self::InSync => "in-sync",
        }
    }

    /// Returns how a plan with one of these exits.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Change | Self::Deleted => Exit::Found,
            Self::Hold | Self::Refused | Self::Conflict => Exit::Held,
            Self::Invalid | Self::Unread => Exit::Incomplete,
            Self::Wait | Self::Drift | Self::Absent | Self::Suspended | Self::InSync => {
                Exit::Nothing
            }
        }
    }
}

/// Returns the id fit to be shown. A snapshot in a file numbers the ids that look like e-mail addresses.
fn named(user: &UserId) -> String {
    if user.as_str().starts_with(REDACTED_ID) {
        return REDACTED_ID.to_owned();
    }
    shown(user.as_str())
}

/// Returns a text fit to be shown: one line, without e-mail addresses and control characters.
pub(crate) fn shown(text: &str) -> String {
    text::clean(text, text::MESSAGE_MAX)
}
