//! Blocks of code in the pages.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).to_owned()
}

/// Returns the text of a page of `docs/`.
pub fn page(name: &str) -> String {
    fs::read_to_string(repository().join("docs").join(name)).unwrap()
}

/// Returns the blocks of that language, without the indentation that they have in a list.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None);
    for line in page.lines() {
        let trimmed = line.trim_start();
        match (&mut open, trimmed) {
            (None, _) if trimmed.strip_prefix("```") == Some(language) => {
                open = Some((line.len() - trimmed.len(), String::new()));
            }
            (Some((_, text)), "```") => {
                found.push(std::mem::take(text));
                open = None;
            }
            (Some((indent, text)), _) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}
