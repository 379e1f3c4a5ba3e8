//! Whether the pages are fresh: what they name exists, and what the program has is in them. Words, links and line lengths
//! are checked by `words.py` in this folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod matrix;
mod named;
mod operations;
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns the text of a file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Returns all files below a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.extension().is_some_and(|found| found == end) {
            found.push(path);
        }
    }
    found
}

/// Returns what is between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the part of a page under the heading, up to the next one of the same or a higher level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = format!("\n{heading}\n");
    let (_, rest) = page.split_once(&start).expect(heading);
    let level = heading.chars().take_while(|c| *c == '#').count();
    let is_end = |line: &str| {
        let hashes = line.chars().take_while(|c| *c == '#').count();
        (1..=level).contains(&hashes) && line[hashes..].starts_with(' ')
    };
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if is_end(line) {
            break;
        }
        end += line.len();
    }
    &rest[..end]
}

/// Returns what a page has between the two marks of a generated part.
fn between_marks<'a>(page: &'a str, part: &str) -> &'a str {
    let start = format!("\n<!-- {part} -->\n");
    let end = format!("<!-- end of {part} -->\n");
    let (_, rest) = page.split_once(&start).expect(part);
    rest.split_once(&end).expect(part).0
}

/// Returns the quoted names in the third-level headings of a section.
fn headings(section: &str) -> BTreeSet<&str> {
    let names = section
        .lines()
        .filter_map(|line| line.strip_prefix("### `"));
    names
        .filter_map(|name| name.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// Returns the rows of all tables of a section, as cells, without heads and rules.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let mut rows: Vec<Vec<&str>> = Vec::new();
    let mut in_table = false;
    for line in section.lines() {
        if !line.starts_with('|') {
            in_table = false;
        } else if line.starts_with("|--") || line.starts_with("|:-") {
            in_table = true;
        } else if in_table {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(str::trim).collect());
        }
    }
    rows
}

/// Returns the first quoted word of each row's first cell.
fn first_words<'a>(rows: &[Vec<&'a str>]) -> BTreeSet<&'a str> {
    rows.iter()
        .filter_map(|row| quoted(row[0]).next())
        .collect()
}

#[test]
fn sections_end_at_headings_of_their_level() {
    let page = "# a\n\n## b\n\nc\n\n### `d`\n\n| e | f |\n|---|---|\n| `g` | h |\n\n## i\n\nj\n";
    let found = section(page, "## b");
    assert!(
        found.contains("### `d`") && !found.contains("## i"),
        "{found}"
    );
    assert_eq!(headings(found), BTreeSet::from(["d"]));
    assert_eq!(rows(found), [["`g`", "h"]]);
    assert_eq!(first_words(&rows(found)), BTreeSet::from(["g"]));
}
