//! Names are the field's: no item, field, variant or module of `src` is named by a word that once stood for what the field
//! has a name for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The words, in lower case.
const PRIVATE: &str = "agenda ambiguity answered arrived because believes calm course crowd currency cutter depart done \
    entry fate fold frozen glance gone hasten held herd here interest join lane lapse later leave line lives look lost \
    manners memory note pace park partly plot presumed release room saw say saying scene seams sentence sieve silence \
    stage stake standing story strangers tell thaw told turns unlisted untold verdict waits walls wants watched went who \
    whole why wish witness";

/// Names with such a word in its ordinary sense, and which that is.
const ORDINARY: [(&str, &str); 6] = [
    ("Held", "a value of status.claim"),
    ("Line", "a line of text, or of a streamed response"),
    ("line", "the error of a line of a streamed response"),
    ("end_of_line", "the end of a line of a streamed response"),
    (
        "is_one_line",
        "whether an error concerns one line of a streamed response",
    ),
    (
        "done",
        "ends the work on a key, as client-go's work queue calls it",
    ),
];

/// Returns the Rust files below a folder, but for those that hold tests alone.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns the names that a file defines: items wherever they stand, the fields of structs, the variants of enums. Relies on
/// rustfmt: a body ends with the brace at the indentation of its first line.
fn defined(text: &str) -> Vec<String> {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let mut names = Vec::new();
    let mut body: Option<(usize, bool)> = None;
    for line in code.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some((at, is_enum)) = body {
            if indent == at && line.trim_start().starts_with('}') {
                body = None;
            } else if indent == at + 4 {
                names.extend(member(line.trim_start(), is_enum));
            }
        }
        if let Some((kind, name)) = item(line.trim_start()) {
            names.push(name);
            if line.ends_with('{') && (kind == "struct" || kind == "enum") {
                body = Some((indent, kind == "enum"));
            }
        }
    }
    names
}

/// Returns the name at the beginning of `text`.
fn name(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let name: String = text.chars().take_while(|c| is_part(*c)).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Returns `line` without its visibility.
fn public(line: &str) -> &str {
    let rest = line.strip_prefix("pub").unwrap_or(line);
    let rest = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) if rest.len() < line.len() && line.starts_with("pub(") => rest,
        _ => rest,
    };
    rest.trim_start()
}

fn item(line: &str) -> Option<(&'static str, String)> {
    let mut rest = public(line);
    for modifier in ["async ", "unsafe ", "const fn "] {
        if let Some(after) = rest.strip_prefix(modifier) {
            rest = if modifier == "const fn " {
                &rest["const ".len()..]
            } else {
                after
            };
        }
    }
    let kinds = [
        "fn", "struct", "enum", "trait", "type", "mod", "const", "static",
    ];
    kinds.into_iter().find_map(|kind| {
        let after = rest.strip_prefix(kind)?.strip_prefix(' ')?;
        Some((kind, name(after)?))
    })
}

fn member(line: &str, is_enum: bool) -> Option<String> {
    let member = name(public(line))?;
    let is_variant = member.starts_with(char::is_uppercase);
    let after = &public(line)[member.len()..];
    let is_field = after.starts_with(": ");
    (if is_enum { is_variant } else { is_field }).then_some(member)
}

/// Returns the words of a name, in lower case.
fn words(name: &str) -> Vec<String> {
    let is_constant = !name.contains(char::is_lowercase);
    let mut words = Vec::new();
    for part in name.split('_') {
        let mut word = String::new();
        for c in part.chars() {
            if c.is_uppercase() && !is_constant && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(c.to_lowercase());
        }
        words.push(word);
    }
    words
}

#[test]
fn no_name_is_of_a_private_vocabulary() {
    let private: BTreeSet<&str> = PRIVATE.split_whitespace().collect();
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../src"));
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    let mut number = 0;
    for path in files(source) {
        let mut names = defined(&fs::read_to_string(&path).unwrap());
        names.extend(
            path.file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned),
        );
        number += names.len();
        for name in names {
            if !words(&name)
                .iter()
                .any(|word| private.contains(word.as_str()))
            {
                continue;
            }
            match ORDINARY.iter().find(|(ordinary, _)| *ordinary == name) {
                Some((ordinary, _)) => drop(used.insert(*ordinary)),
                None => found.push(format!("{}: {name}", path.display())),
            }
        }
    }
    assert!(number > 2_000, "only {number} names were found");
    assert!(found.is_empty(), "{found:#?}");
    let unused: Vec<_> = ORDINARY
        .iter()
        .filter(|(name, _)| !used.contains(name))
        .collect();
    assert!(unused.is_empty(), "no longer defined: {unused:?}");
}

#[test]
fn names_are_found_wherever_they_are_defined() {
    let text = "\
pub(crate) const FIRST_ONE: u8 = 1;
pub struct Second {
    /// A comment.
    pub(super) third: u8,
    fourth: Vec<u8>,
}
impl Second {
    pub async fn fifth(&self, parameter: u8) {}
    const fn sixth() {}
}
enum Seventh {
    Eighth(u8),
    Ninth { tenth: u8 },
    Eleventh,
}
mod twelfth;
#[cfg(test)]
mod tests {
    fn hidden() {}
}
";
    let expected = [
        "FIRST_ONE",
        "Second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "Seventh",
        "Eighth",
        "Ninth",
        "Eleventh",
        "twelfth",
    ];
    assert_eq!(defined(text), expected);
    assert_eq!(words("FIRST_ONE"), ["first", "one"]);
    assert_eq!(words("TwoWords"), ["two", "words"]);
}
