//! The plan for people: one line for each manifest that would not stay as it is, and a summary.

use std::fmt::Write as _;

use super::{Action, Change, Item, Plan};

/// Returns the plan as text.
#[must_use]
pub fn table(plan: &Plan) -> String {
    let mut text = String::new();
    let shown = plan
        .items
        .iter()
        .filter(|item| item.action != Action::InSync);
    let rows: Vec<[String; 3]> = shown.map(row).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    for [action, object, what] in &rows {
        let _ = writeln!(text, "{action:first$}  {object:second$}  {what}");
    }
    if !rows.is_empty() {
        text.push('\n');
    }
    text + &summary(plan)
}

fn row(item: &Item) -> [String; 3] {
    let object = format!("{}/{}", item.namespace, item.name);
    [item.action.as_str().to_owned(), object, what(item)]
}

/// Returns what is shown of a manifest beside its name.
pub(super) fn what(item: &Item) -> String {
    let mut parts = Vec::new();
    if item.user != item.name {
        parts.push(format!("user {}", item.user));
    }
    parts.extend(item.changes.iter().map(change));
    if let Some(guard) = &item.guard {
        parts.push(format!("guard {guard}"));
    }
    if item.action != Action::Change && !item.message.is_empty() {
        parts.push(item.message.clone());
    }
    parts.extend(
        item.uncertain
            .as_ref()
            .map(|why| format!("uncertain: {why}")),
    );
    parts.join("; ")
}

pub(super) fn change(change: &Change) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    format!(
        "{}: {} -> {}",
        change.field,
        shown(&change.from),
        shown(&change.to)
    )
}

/// Returns what the plan is about, and the numbers.
pub(super) fn summary(plan: &Plan) -> String {
    let mut text = String::new();
    let complete = if plan.is_complete {
        "complete"
    } else {
        "incomplete"
    };
    let _ = writeln!(
        text,
        "account {}, {} users as of {} ({complete})",
        plan.account, plan.users, plan.taken_at
    );
    let counts = plan.counts();
    let counts: Vec<String> = Action::ALL
        .iter()
        .filter_map(|action| Some(format!("{} {}", counts.get(action)?, action.as_str())))
        .collect();
    let counts = if counts.is_empty() {
        "no manifests".to_owned()
    } else {
        counts.join(", ")
    };
    let _ = writeln!(text, "{counts}; {} requests to change users", plan.requests);
    let admins = match &plan.unmanaged_admins[..] {
        [] => String::new(),
        admins => format!(", of them admins: {}", admins.join(", ")),
    };
    let _ = writeln!(
        text,
        "{} users without a manifest{admins}",
        plan.unmanaged_users
    );
    text
}
