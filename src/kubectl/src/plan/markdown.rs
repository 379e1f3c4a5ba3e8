//! The plan for the comment on a pull request. Remote text is escaped: it can neither mention a person, nor link, nor be HTML.

use std::fmt::Write as _;

use super::table::{summary, what};
use super::{Action, Item, Plan};

/// The longest comment, in characters: GitHub accepts 65,536.
const MAX: usize = 60_000;
/// What stands in place of the rows that do not fit.
const CUT: &str = "\n\nThe plan is longer than a comment can be: see the output of the job.\n";

/// Returns the plan as Markdown.
#[must_use]
pub fn markdown(plan: &Plan) -> String {
    let shown = plan
        .items
        .iter()
        .filter(|item| item.action != Action::InSync);
    let (first, others): (Vec<&Item>, Vec<&Item>) = shown.partition(|item| {
        matches!(
            item.action,
            Action::Change | Action::Hold | Action::Refused | Action::Conflict | Action::Deleted
        )
    });
    let mut text = String::from("### Plan of FireworksUsers\n\n");
    for line in summary(plan).lines() {
        let _ = writeln!(text, "{}  ", escaped(line));
    }
    rows(&mut text, &first);
    if !others.is_empty() {
        let _ = write!(
            text,
            "\n<details><summary>{} others</summary>\n",
            others.len()
        );
        rows(&mut text, &others);
        text.push_str("\n</details>\n");
    }
    if text.chars().count() <= MAX {
        return text;
    }
    let cut: String = text.chars().take(MAX - 200 - CUT.len()).collect();
    let whole = cut.rfind('\n').map_or("", |end| &cut[..end]);
    let is_open = whole.matches("<details>").count() > whole.matches("</details>").count();
    let end = if is_open { "\n\n</details>\n" } else { "" };
    format!("{whole}{end}{CUT}")
}

fn rows(text: &mut String, items: &[&Item]) {
    if items.is_empty() {
        return;
    }
    text.push_str("\n| | object | |\n|---|---|---|\n");
    for item in items {
        let object = escaped(&format!("{}/{}", item.namespace, item.name));
        let action = item.action.as_str();
        let _ = writeln!(text, "| {action} | {object} | {} |", escaped(&what(item)));
    }
}

/// Returns the text so that Markdown shows it as it is: what could mention, link, or be HTML becomes an entity, and any
/// other character that means something gets a backslash.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' | '#' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            ':' => out.push_str("&#58;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '\r' | '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out.replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Change;
    use crate::problem::Place;

    fn changed(number: usize) -> Item {
        let change = Change {
            field: "displayName",
            from: Some("@team <b>x</b> | `y` [a](http://b.c)".to_owned()),
            to: Some("A name".to_owned()),
        };
        Item {
            namespace: "default".to_owned(),
            name: format!("user-{number}"),
            place: Place {
                file: "users.yaml".into(),
                document: number,
                line: number,
            },
            user: format!("user-{number}"),
            action: Action::Change,
            changes: vec![change],
            guard: None,
            reason: String::new(),
            message: String::new(),
            uncertain: None,
        }
    }

    #[test]
    fn comment_about_10_000_changes_has_at_most_60_000_characters() {
        let plan = Plan {
            account: "acme".to_owned(),
            taken_at: jiff::Timestamp::UNIX_EPOCH,
            users: 10_000,
            is_complete: true,
            failures: Vec::new(),
            items: (1..=10_000).map(changed).collect(),
            requests: 10_000,
            unmanaged_users: 0,
            unmanaged_admins: Vec::new(),
        };
        let text = markdown(&plan);
        let length = text.chars().count();
        assert!((59_000..=MAX).contains(&length), "{length}");
        assert!(text.contains("10000 change; 10000 requests"));
        assert!(text.ends_with(CUT));
    }

    #[test]
    fn remote_text_cannot_mention_link_or_be_html() {
        let text = "@team <b>x</b> [a](http://b.c) www.d.e | `x` #1 <!-- \n";
        let escaped = escaped(text);
        for part in ["@", "<", ">", "http://", "www.", "\n", " #", "](", " | "] {
            assert!(!escaped.contains(part), "{part:?} in {escaped}");
        }
    }
}
