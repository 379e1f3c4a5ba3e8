//! The plan as annotations of GitHub Actions, at the file and line of each manifest: what a reviewer must see first.

use std::fmt::Write as _;

use super::table::what;
use super::{Action, Item, Plan};
use crate::problem::{Level, annotation};

/// Returns the annotations of the plan: grants and demotions of admins, holds, conflicts, and what is invalid or could
/// not be read.
#[must_use]
pub fn github(plan: &Plan) -> String {
    let mut text = String::new();
    for item in &plan.items {
        if let Some((level, title)) = level(item) {
            let message = format!("{}/{}: {}", item.namespace, item.name, what(item));
            let _ = writeln!(
                text,
                "{}",
                annotation(level, Some(&item.place), title, &message)
            );
        }
    }
    text
}

fn level(item: &Item) -> Option<(Level, &'static str)> {
    match item.action {
        Action::Change if item.concerns_admin() => Some((Level::Warning, "admin changes")),
        Action::Hold => Some((Level::Warning, "held by a guard")),
        Action::Refused => Some((Level::Warning, "refused by Fireworks")),
        Action::Conflict => Some((Level::Error, "two manifests manage one user")),
        Action::Invalid => Some((Level::Error, "invalid manifest")),
        Action::Unread => Some((Level::Error, "user could not be read")),
        Action::Change
        | Action::Wait
        | Action::Drift
        | Action::Absent
        | Action::Deleted
        | Action::Suspended
        | Action::InSync => None,
    }
}
