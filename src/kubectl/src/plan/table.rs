//! The plan for people: one line for each manifest that would not stay as it is, and a summary.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Action, Change, Item, Plan};
use crate::style::OutputStyle;

/// The least columns of the text beside an object: where the terminal has fewer left, the text begins on the next line.
const TEXT_MIN: usize = 24;
/// The columns between two cells, and before a text on a line of its own.
const GAP: usize = 2;

/// Returns the plan as text. Only with a width do lines wrap.
#[must_use]
pub fn table(plan: &Plan, style: OutputStyle) -> String {
    let mut text = String::new();
    let shown = plan
        .items
        .iter()
        .filter(|item| item.action != Action::InSync);
    let rows: Vec<Row> = shown.map(row).collect();
    let column = |width: fn(&Row) -> usize| rows.iter().map(width).max().unwrap_or_default();
    let first = column(|row| row.action.as_str().len());
    let second = column(|row| row.object.width());
    for row in &rows {
        line(&mut text, row, first, second, style);
    }
    if !rows.is_empty() {
        text.push('\n');
    }
    text + &summary(plan)
}

struct Row {
    action: Action,
    is_about_admin: bool,
    object: String,
    what: String,
}

fn row(item: &Item) -> Row {
    Row {
        action: item.action,
        is_about_admin: item.concerns_admin(),
        object: format!("{}/{}", item.namespace, item.name),
        what: what(item),
    }
}

/// Writes one row, whose first cells have these widths.
fn line(text: &mut String, row: &Row, first: usize, second: usize, style: OutputStyle) {
    let action = format!("{:first$}", row.action.as_str());
    let action = style.action(row.action, row.is_about_admin, &action);
    let pad = " ".repeat(second - row.object.width());
    let indent = first + second + 2 * GAP;
    let _ = write!(text, "{action}  {}", row.object);
    let Some(width) = style.width else {
        let _ = writeln!(text, "{pad}  {}", row.what);
        return;
    };
    let is_below = indent + TEXT_MIN > width;
    let indent = if is_below { 2 * GAP } else { indent };
    let lines = wrapped(&row.what, width.saturating_sub(indent).max(1));
    for (at, part) in lines.iter().enumerate() {
        if at == 0 && !is_below {
            let _ = write!(text, "{pad}  {part}");
        } else {
            let _ = write!(text, "\n{:indent$}{part}", "");
        }
    }
    text.push('\n');
}

/// Returns the text in lines of at most that many columns, cut at spaces where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.width());
        if last > 0 && last + 1 + word.width() > width {
            lines.push(String::new());
        } else if last > 0 {
            push(&mut lines, ' ');
        }
        for c in word.chars() {
            let used = lines.last().map_or(0, |line| line.width());
            if used > 0 && used + c.width().unwrap_or(0) > width {
                lines.push(String::new());
            }
            push(&mut lines, c);
        }
    }
    lines
}

fn push(lines: &mut [String], c: char) {
    if let Some(line) = lines.last_mut() {
        line.push(c);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_at_the_width_and_loses_nothing() {
        let text = "displayName: 山田太郎山田太郎 -> averyverylongwordwithoutanyspace x";
        for width in [2, 7, 20, 200] {
            let lines = wrapped(text, width);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:?}");
            let all: String = lines.concat().replace(' ', "");
            assert_eq!(all, text.replace(' ', ""));
        }
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }

    #[test]
    fn row_begins_its_text_below_where_the_terminal_is_narrow() {
        let row = Row {
            action: Action::Change,
            is_about_admin: false,
            object: "default/alice".to_owned(),
            what: "role: user -> contributor".to_owned(),
        };
        let shown = |width| {
            let mut text = String::new();
            let style = OutputStyle {
                width,
                has_color: false,
            };
            line(&mut text, &row, 6, 13, style);
            text
        };
        assert_eq!(
            shown(None),
            "change  default/alice  role: user -> contributor\n"
        );
        assert_eq!(
            shown(Some(30)),
            "change  default/alice\n    role: user -> contributor\n"
        );
        assert_eq!(
            shown(Some(47)),
            "change  default/alice  role: user ->\n                       contributor\n"
        );
    }
}
