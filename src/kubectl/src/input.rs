//! Reads manifests: files, folders and standard input, of YAML or JSON, with several documents and Lists. Other kinds are
//! skipped. The input is hostile until it is shown to be harmless: its size is bounded, links do not leave their folder, and
//! one broken document hides no other.

pub mod json;
pub mod scalar;
pub mod tree;
pub mod yaml;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fireworks_api::text;

use crate::problem::{Place, Problem};
use tree::Tree;

/// The largest file that is read, in bytes: 10,000 users take a fifth of it.
pub const FILE_MAX: u64 = 16 * 1024 * 1024;
/// The API group of the manifests.
const GROUP: &str = "iam.fireworks.ai";
/// The longest name of a file that is shown, in characters.
const NAME_MAX: usize = 1024;

/// One object of our kind, as it was written.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where it was found.
    pub place: Place,
    /// The object.
    pub tree: Tree,
}

/// All that was read.
#[derive(Debug, Default)]
pub struct Input {
    /// The objects of our kind, in the order of the input.
    pub manifests: Vec<Manifest>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// The number of documents of other kinds.
    pub skipped: usize,
    /// The number of files that were read.
    pub files: usize,
}

impl Manifest {
    /// Returns the text at `metadata.NAME`, or nothing.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let value = self.tree.get("metadata")?.get(name)?;
        value.text().filter(|text| !text.is_empty())
    }

    /// Returns namespace and name as people write them.
    #[must_use]
    pub fn title(&self) -> String {
        let name = self
            .metadata("name")
            .or_else(|| self.metadata("generateName"));
        let name = text::clean(name.unwrap_or("without a name"), text::MESSAGE_MAX);
        match self.metadata("namespace") {
            Some(namespace) => format!("{}/{name}", text::clean(namespace, text::MESSAGE_MAX)),
            None => name,
        }
    }
}

impl Input {
    /// Reads all of these files and folders; `-` is `stdin`. A folder is read with the folders in it where `is_recursive`.
    pub fn read(paths: &[PathBuf], is_recursive: bool, stdin: &mut dyn Read) -> Self {
        let mut input = Self::default();
        for path in paths {
            if path.as_os_str() == "-" {
                input.stream("standard input", stdin);
            } else if path.is_dir() {
                input.folder(path, is_recursive);
            } else {
                input.file(path);
            }
        }
        input
    }

    fn file(&mut self, path: &Path) {
        match File::open(path) {
            Ok(mut file) => self.stream(&shown(path), &mut file),
            Err(error) => self.unread(&shown(path), format!("cannot be read: {}", words(&error))),
        }
    }

    fn folder(&mut self, root: &Path, is_recursive: bool) {
        let Ok(home) = root.canonicalize() else {
            return self.unread(&shown(root), "cannot be read".to_owned());
        };
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut paths = match fs::read_dir(&folder).and_then(Iterator::collect) {
                Ok(entries) => paths_of(entries),
                Err(error) => {
                    self.unread(
                        &shown(&folder),
                        format!("cannot be read: {}", words(&error)),
                    );
                    continue;
                }
            };
            paths.sort();
            for path in paths.iter().filter(|path| is_manifest(path)) {
                match path.canonicalize() {
                    Ok(target) if !target.starts_with(&home) => {
                        self.unread(&shown(path), "a link that leaves the folder".to_owned());
                    }
                    Ok(target) if target.is_file() => self.file(path),
                    Ok(_) => {}
                    Err(error) => {
                        self.unread(&shown(path), format!("cannot be read: {}", words(&error)));
                    }
                }
            }
            if is_recursive {
                let is_folder = |path: &PathBuf| path.is_dir() && !path.is_symlink();
                // The last one is taken first.
                folders.extend(paths.into_iter().filter(is_folder).rev());
            }
        }
    }

    fn stream(&mut self, name: &str, from: &mut dyn Read) {
        let mut bytes = Vec::new();
        if let Err(error) = from.take(FILE_MAX + 1).read_to_end(&mut bytes) {
            return self.unread(name, format!("cannot be read: {}", words(&error)));
        }
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
            return self.unread(name, "is larger than 16 MiB".to_owned());
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return self.unread(name, "is not UTF-8".to_owned());
        };
        self.files += 1;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let file: Arc<str> = name.into();
        let mut number = 0;
        for (line, piece) in pieces(text) {
            let (trees, broken) = documents(piece, line);
            for tree in trees.into_iter().filter(|tree| *tree != Tree::Null) {
                number += 1;
                let place = Place {
                    file: Arc::clone(&file),
                    document: number,
                    line,
                };
                self.document(place, tree);
            }
            if let Some(broken) = broken {
                number += 1;
                let place = Place {
                    file: Arc::clone(&file),
                    document: number,
                    line: line + broken.line.max(1) - 1,
                };
                self.problems.push(Problem::unread(place, broken.message));
            }
        }
    }

    /// Takes what is of our kind from a document.
    fn document(&mut self, place: Place, tree: Tree) {
        let kind = tree.get("kind").and_then(Tree::text).unwrap_or_default();
        let version = tree.get("apiVersion").and_then(Tree::text);
        let group = version.and_then(|version| version.split('/').next());
        let is_list = kind == "List" || kind == "FireworksUserList";
        if is_list && let Some(Tree::List(items)) = tree.get("items") {
            for item in items {
                self.document(place.clone(), item.clone());
            }
        } else if kind == "FireworksUser" || group == Some(GROUP) {
            let line = tree
                .members()
                .first()
                .map_or(place.line, |entry| entry.line);
            let place = Place { line, ..place };
            self.manifests.push(Manifest { place, tree });
        } else {
            self.skipped += 1;
        }
    }

    fn unread(&mut self, file: &str, why: String) {
        let place = Place {
            file: file.into(),
            document: 0,
            line: 0,
        };
        self.problems.push(Problem::unread(place, why));
    }
}

/// Returns the documents of a piece, with the lines of the whole file.
fn documents(piece: &str, line: usize) -> (Vec<Tree>, Option<yaml::Broken>) {
    let body = piece.strip_prefix("---").unwrap_or(piece).trim_start();
    if body.starts_with(['{', '['])
        && let Some(trees) = json::load(body, line)
    {
        return (trees, None);
    }
    let (mut trees, broken) = yaml::load(piece);
    for tree in &mut trees {
        tree.move_lines(line - 1);
    }
    (trees, broken)
}

/// Cuts the text before each line that begins a document, so that a broken one does not hide the next. Each piece has the
/// number of its first line.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut start, mut first) = (0, 1);
    let (mut at, mut number) = (0, 1);
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---");
        if at > start && rest.is_some_and(|rest| rest.trim_start().len() < rest.len()) {
            pieces.push((first, &text[start..at]));
            (start, first) = (at, number);
        }
        at += line.len();
        number += 1;
    }
    pieces.push((first, &text[start..]));
    pieces
}

fn paths_of(entries: Vec<fs::DirEntry>) -> Vec<PathBuf> {
    entries.into_iter().map(|entry| entry.path()).collect()
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

/// Returns the name of a file fit to be shown.
fn shown(path: &Path) -> String {
    text::clean(&path.to_string_lossy(), NAME_MAX)
}

/// Returns what the system reports, without the number that it appends.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests;
