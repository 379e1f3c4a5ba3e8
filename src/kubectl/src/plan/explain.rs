//! The explanation of what is decided about one user: what the account has, what the manifest declares, the guards in
//! their order, and the outcome. Facts and guards are those that the operator's own decision was made by.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use fireworks_api::wire::{User, UserId};
use fireworks_core::account::OtherAdmins;
use fireworks_core::claims::ObjectKey;
use fireworks_core::user::desired::Desired;
use fireworks_core::user::facts::Observed;
use fireworks_core::user::guards::Phase;
use fireworks_core::user::identity::Identity;
use fireworks_core::user::reconcile::{Explanation, GuardAnswer};
use fireworks_core::world::Settings;

use super::table::change;
use super::{Action, Item, Plan, named, shown};
use crate::problem::Place;
use crate::snapshot::Snapshot;

/// The user that is asked about, and what is known of it.
#[derive(Clone, Debug)]
pub struct About {
    user: String,
    found: Vec<User>,
    has_emails: bool,
    min_admins: usize,
    objects: BTreeSet<ObjectKey>,
    /// The basis of the decision about each manifest that could be planned.
    pub(super) explanations: Vec<(Place, Explanation)>,
}

impl About {
    /// Returns what the account has of the user. Upper and lower case do not matter.
    pub(super) fn new(user: &str, snapshot: &Snapshot, settings: &Settings) -> Self {
        let is_asked = |one: &&User| one.id.as_str().eq_ignore_ascii_case(user);
        Self {
            user: user.to_owned(),
            found: snapshot.users.values().filter(is_asked).cloned().collect(),
            has_emails: snapshot.has_emails,
            min_admins: settings.grants.min_admins(),
            objects: BTreeSet::new(),
            explanations: Vec::new(),
        }
    }

    /// Takes an object that declares that user.
    pub(super) fn declare(&mut self, object: &ObjectKey, user: &UserId) {
        if user.as_str().eq_ignore_ascii_case(&self.user) {
            self.objects.insert(object.clone());
        }
    }

    /// Returns the objects that declare the user.
    pub(super) fn objects(&self) -> BTreeSet<ObjectKey> {
        self.objects.clone()
    }
}

/// Returns the explanation as text. Only the manifests of that user are left in the plan.
#[must_use]
pub fn explain(about: &About, plan: &mut Plan) -> String {
    let user = shown(&about.user);
    plan.items
        .retain(|item| item.user.eq_ignore_ascii_case(&user));
    let complete = if plan.is_complete {
        "complete"
    } else {
        "incomplete"
    };
    let mut text = format!(
        "user {user}\naccount {}, as of {} ({complete})\n",
        plan.account, plan.taken_at
    );
    account(&mut text, about, plan);
    if plan.items.is_empty() {
        let known = match (about.found.is_empty(), plan.is_complete) {
            (false, _) => "no manifest declares the user: the operator does not change it",
            (true, true) => "neither the account nor a manifest has the user: check the id",
            (true, false) => {
                "no manifest declares the user, and the list of the account is incomplete"
            }
        };
        let _ = writeln!(text, "\noutcome: {known}");
    }
    for item in &plan.items {
        let found = about
            .explanations
            .iter()
            .find(|(place, _)| *place == item.place);
        manifest(&mut text, about, item, found.map(|(_, basis)| basis));
    }
    text
}

fn account(text: &mut String, about: &About, plan: &Plan) {
    text.push_str("\nthe account has\n");
    if about.found.is_empty() {
        let why = if plan.is_complete {
            "no such user"
        } else {
            "no such user in what could be read of it"
        };
        let _ = writeln!(text, "  {why}");
    }
    for user in &about.found {
        let optional = |value: Option<&str>| value.map_or_else(|| "(none)".to_owned(), shown);
        let email = match (about.has_emails, user.email.is_some()) {
            (false, _) => "not in the snapshot",
            (true, true) => "present, not shown",
            (true, false) => "(none)",
        };
        let status = user.status.as_ref().map(|status| shown(&status.code));
        let created = user.create_time.map(|time| time.to_string());
        let facts = [
            ("userId", named(&user.id)),
            (
                "role",
                optional(Some(user.role.as_str()).filter(|role| !role.is_empty())),
            ),
            (
                "permissionPreset",
                optional(user.permission_preset.as_deref()),
            ),
            ("displayName", optional(user.display_name.as_deref())),
            ("serviceAccount", user.service_account.to_string()),
            ("email", email.to_owned()),
            ("state", shown(user.state.as_str())),
            ("status", status.unwrap_or_else(|| "(none)".to_owned())),
            ("createTime", created.unwrap_or_else(|| "(none)".to_owned())),
        ];
        lines(text, facts);
    }
}

fn lines<'a>(text: &mut String, facts: impl IntoIterator<Item = (&'a str, String)>) {
    for (name, value) in facts {
        let _ = writeln!(text, "  {name:18}{value}");
    }
}

fn manifest(text: &mut String, about: &About, item: &Item, basis: Option<&Explanation>) {
    let Place { file, line, .. } = &item.place;
    let _ = writeln!(
        text,
        "\nthe manifest {}/{} declares ({file}:{line})",
        item.namespace, item.name
    );
    match basis {
        Some(basis) => {
            lines(text, declared(&basis.desired));
            text.push_str("\nfurther facts\n");
            lines(text, facts(&basis.observed, about.min_admins));
            text.push_str("\nguards in the order in which they apply\n");
            for answer in &basis.guards {
                guard(text, answer);
            }
        }
        None => text.push_str("  nothing that is planned: no guard is asked\n"),
    }
    let _ = writeln!(text, "\noutcome: {}", item.action.as_str());
    for one in &item.changes {
        let _ = writeln!(text, "  {}", change(one));
    }
    let guard = item.guard.clone().unwrap_or_default();
    let uncertain = item.uncertain.clone().unwrap_or_default();
    // What a changed user reports comes after the decision.
    let reported = |text: &String| match item.action {
        Action::Change => String::new(),
        _ => text.clone(),
    };
    let parts = [
        ("guard", guard),
        ("reason", reported(&item.reason)),
        ("message", reported(&item.message)),
        ("uncertain", uncertain),
    ];
    let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
    lines(text, parts);
}

fn declared(desired: &Desired) -> Vec<(&'static str, String)> {
    let managed = |value: Option<&str>| match value {
        None => "not managed".to_owned(),
        Some("") => "(none)".to_owned(),
        Some(value) => shown(value),
    };
    let mut facts = vec![
        ("userId", shown(desired.user.as_str())),
        ("role", shown(desired.role.as_str())),
        (
            "permissionPreset",
            managed(desired.permission_preset.as_deref()),
        ),
        ("displayName", managed(desired.display_name.as_deref())),
        ("serviceAccount", desired.service_account.to_string()),
    ];
    if desired.expected_email.is_some() {
        facts.push(("expectEmail", "an address, not shown".to_owned()));
    }
    if let Some(created) = desired.accepts_identity {
        facts.push(("accept-identity", created.to_string()));
    }
    if let Some(role) = &desired.replaces_role {
        facts.push(("replaces role", shown(role)));
    }
    if desired.observe {
        facts.push(("managementPolicy", "Observe".to_owned()));
    }
    if desired.suspended {
        facts.push(("suspend", "true".to_owned()));
    }
    facts
}

fn facts(observed: &Observed, min_admins: usize) -> Vec<(&'static str, String)> {
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let identity = match observed.identity {
        Identity::Unseen => "no user is seen",
        Identity::Accepted => "nothing contradicts it",
        Identity::Renewed(_) => "created again, and accepted",
        Identity::EmailUnread => "the user shows no e-mail address, and one is expected",
        Identity::Unknown => "the account had no such user before",
        Identity::Changed(_) => "created again",
        Identity::Mismatch { is_shown: true } => "another e-mail address than the expected one",
        Identity::Mismatch { is_shown: false } => "no e-mail address, and one is expected",
    };
    let admins = match observed.other_admins {
        OtherAdmins::Known(number) => format!("{number}, enough for a demotion"),
        OtherAdmins::TooFew(needed) => format!("fewer than {needed}, which a demotion needs"),
        OtherAdmins::NotListed => "not needed: no admin is demoted".to_owned(),
        OtherAdmins::Busy => "another admin is demoted first".to_owned(),
        OtherAdmins::Unsettled(_) => "a former demotion may still take effect".to_owned(),
        OtherAdmins::Stopped(_) => "demotions are stopped".to_owned(),
    };
    vec![
        ("identity", identity.to_owned()),
        ("protected", yes(observed.is_protected)),
        ("may grant", yes(observed.may_grant)),
        ("other admins", admins),
        ("min admins", min_admins.to_string()),
    ]
}

fn guard(text: &mut String, answer: &GuardAnswer) {
    let phase = match answer.phase {
        Phase::Object => "object",
        Phase::User => "user",
        Phase::Change => "change",
    };
    let why = match (&answer.holds, answer.is_asked) {
        (Some(why), true) => format!("HOLDS: {}", shown(&why.render())),
        (Some(why), false) => format!("not asked; would hold: {}", shown(&why.render())),
        (None, true) => "does not hold".to_owned(),
        (None, false) => "not asked".to_owned(),
    };
    let _ = writeln!(text, "  {:22}{phase:8}{why}", answer.guard.as_str());
}
