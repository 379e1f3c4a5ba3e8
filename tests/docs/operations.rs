//! `docs/operations.md` against the program: settings and metrics.

use std::collections::BTreeSet;
use std::process::Command;

use super::{first_words, quoted, rows, section, text};

/// Returns the help of `run` as a user sees it.
pub(super) fn help() -> String {
    let program = env!("CARGO_BIN_EXE_fireworks-user-operator");
    let output = Command::new(program).args(["run", "--help"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Returns the flags that the help lists.
pub(super) fn flags(help: &str) -> BTreeSet<&str> {
    let lines = help.lines().map(str::trim);
    let flags = lines.filter(|line| line.starts_with("--"));
    flags
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

/// Returns the text between the two marks after each occurrence of the first one.
fn between<'a>(text: &'a str, start: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    let rests = text.split(start).skip(1);
    rests.filter_map(move |rest| rest.split(end).next())
}

#[test]
fn settings_table_lists_every_flag_and_variable() {
    let (help, page) = (help(), text("docs/operations.md"));
    let table = rows(section(&page, "## Settings"));
    let words = |column: usize| -> BTreeSet<&str> {
        let cells = table.iter().filter_map(|row| quoted(row[column]).next());
        cells.collect()
    };
    let flags = flags(&help);
    assert!(flags.contains("--account-id"), "{flags:?}");
    let in_page = words(0);
    assert_eq!(in_page, flags);
    let environment = help.split_once("\nEnvironment:\n").unwrap().1;
    let alone = environment.lines().map(str::trim_start);
    let alone = alone.filter_map(|line| line.split_whitespace().next());
    let is_variable =
        |word: &&str| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let variables: BTreeSet<&str> = between(&help, "[env: ", ']')
        .chain(alone.filter(is_variable))
        .collect();
    assert_eq!(words(1), variables);
}

#[test]
fn settings_table_has_the_defaults_of_the_program() {
    let (help, page) = (help(), text("docs/operations.md"));
    let table = rows(section(&page, "## Settings"));
    let mut compared = 0;
    for row in &table {
        let Some(flag) = quoted(row[0]).next() else {
            continue;
        };
        let is_of_flag = |part: &&str| part.split_whitespace().next() == Some(&flag[2..]);
        let part = help.split("\n      --").find(is_of_flag);
        let Some((_, default)) = part.and_then(|part| part.split_once("[default: ")) else {
            continue;
        };
        // The default of --listen has brackets of its own.
        let default = default.lines().next().unwrap().trim_end_matches(']');
        let shown = quoted(row[2]).next().unwrap_or_default();
        assert_eq!(shown.trim_end_matches(']'), default, "{flag}");
        compared += 1;
    }
    assert!(compared > 6, "only {compared} defaults were compared");
}

#[test]
fn metrics_table_lists_every_metric_and_no_other() {
    let page = text("docs/operations.md");
    let code = text("src/operator/src/metrics.rs");
    // One row of the table for each, which ends with `"name", "help";`.
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut registered: Vec<&str> = code.split("\", \"").collect();
    registered.pop();
    let registered: BTreeSet<&str> = registered
        .into_iter()
        .filter_map(|row| row.rsplit('"').next())
        .collect();
    let prefix = "fireworks_user_operator_";
    let without_ends = |name: &str| -> String {
        let ends = ["_total", "_info"];
        let stem = ends.iter().find_map(|end| name.strip_suffix(end));
        stem.unwrap_or(name).to_owned()
    };
    let is_end = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let table = rows(section(&page, "## Metrics"));
    let in_table: BTreeSet<String> = first_words(&table)
        .into_iter()
        .filter_map(|word| word.strip_prefix(prefix)?.split(is_end).next())
        .map(without_ends)
        .collect();
    let registered: BTreeSet<String> = registered.into_iter().map(str::to_owned).collect();
    assert_eq!(in_table, registered);
    // Alerts and other pages must not name what is not there.
    let named = page.split(prefix).skip(1);
    for name in named.filter_map(|rest| rest.split(is_end).next()) {
        assert!(registered.contains(&without_ends(name)), "{name}");
    }
}
