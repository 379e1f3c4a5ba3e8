//! YAML as trees. Hostile text is bounded while it is read: the depth of a document, the number of its nodes, and what its
//! aliases copy.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::scalar;
use super::tree::{Member, Tree};

/// The deepest that nodes are nested.
const DEPTH: usize = 100;
/// The most nodes of one document that are kept for aliases, or copied by them. Manifests have few; a bomb has millions.
const COPIES: usize = 100_000;
/// A text counts as one node more for each of these bytes.
const BYTES_PER_NODE: usize = 64;

/// Why a document cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A mapping or a list that has begun.
enum Open {
    List(Vec<Tree>),
    Map {
        entries: Vec<Member>,
        /// The key whose value is next, and its line.
        key: Option<(String, usize)>,
    },
}

struct Level {
    open: Open,
    anchor: usize,
}

/// Reads one document after the other.
struct Loader {
    levels: Vec<Level>,
    anchors: HashMap<usize, (Tree, usize)>,
    copies: usize,
    documents: Vec<Tree>,
}

/// Reads the documents of a text. Those before a broken one are returned as well.
#[must_use]
pub fn load(text: &str) -> (Vec<Tree>, Option<Broken>) {
    let mut loader = Loader {
        levels: Vec::new(),
        anchors: HashMap::new(),
        copies: 0,
        documents: Vec::new(),
    };
    for next in Parser::new_from_str(text) {
        let (event, line) = match next {
            Ok((event, span)) => (event, span.start.line()),
            Err(error) => {
                let broken = Broken {
                    line: error.marker().line(),
                    message: format!("not YAML: {}", error.info()),
                };
                return (loader.documents, Some(broken));
            }
        };
        if let Err(why) = loader.take(event, line) {
            let message = why.to_owned();
            return (loader.documents, Some(Broken { line, message }));
        }
    }
    (loader.documents, None)
}

impl Loader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.copies = 0;
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar_of(&text, style, tag.as_deref())?;
                let is_merge = style == ScalarStyle::Plain && text == "<<";
                self.node(node, anchor, line, is_merge)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Open::List(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => {
                let open = Open::Map {
                    entries: Vec::new(),
                    key: None,
                };
                self.begin(open, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, size) = known.ok_or("an alias is used inside the node that it names")?;
                self.count_copies(size)?;
                self.node(node, 0, line, false)
            }
            _ => Ok(()),
        }
    }

    fn count_copies(&mut self, size: usize) -> Result<(), &'static str> {
        self.copies += size;
        if self.copies > COPIES {
            return Err("its aliases copy more than 100000 nodes");
        }
        Ok(())
    }

    fn begin(&mut self, open: Open, anchor: usize) -> Result<(), &'static str> {
        if self.levels.len() == DEPTH {
            return Err("nodes are nested more than 100 deep");
        }
        self.levels.push(Level { open, anchor });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), &'static str> {
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        let node = match level.open {
            Open::List(items) => Tree::List(items),
            Open::Map { entries, .. } => Tree::Map(entries),
        };
        self.node(node, level.anchor, line, false)
    }

    /// Takes a whole node: an item, a key, a value or the document. An anchor of 0 is none.
    fn node(
        &mut self,
        node: Tree,
        anchor: usize,
        line: usize,
        is_merge: bool,
    ) -> Result<(), &'static str> {
        if anchor != 0 {
            let size = size(&node);
            self.count_copies(size)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(level) = self.levels.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut level.open {
            Open::List(items) => items.push(node),
            Open::Map { entries, key } => match key.take() {
                None if is_merge => *key = Some((MERGE.to_owned(), line)),
                None => *key = Some((key_text(node)?, line)),
                Some((name, _)) if name == MERGE => merge(node, entries)?,
                Some((key, line)) => entries.push(Member {
                    key,
                    line,
                    value: node,
                }),
            },
        }
        Ok(())
    }
}

/// Stands for the unquoted key `<<`. No key of a document begins with this character, which YAML refuses.
const MERGE: &str = "\0<<";

fn scalar_of(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Tree, &'static str> {
    let Some(tag) = tag else {
        let is_plain = style == ScalarStyle::Plain;
        return Ok(if is_plain {
            scalar::resolve(text)
        } else {
            Tree::Text(text.to_owned())
        });
    };
    if tag.is_yaml_core_schema_tag("str") {
        return Ok(Tree::Text(text.to_owned()));
    }
    let node = scalar::resolve(text);
    let is_of_tag = match node.kind() {
        "null" => tag.is_yaml_core_schema_tag("null"),
        "boolean" => tag.is_yaml_core_schema_tag("bool"),
        "integer" => tag.is_yaml_core_schema_tag("int") || tag.is_yaml_core_schema_tag("float"),
        "number" => tag.is_yaml_core_schema_tag("float"),
        _ => false,
    };
    is_of_tag
        .then_some(node)
        .ok_or("a tag that this program does not read, or that does not fit its value")
}

/// Returns the text of a key. The API server makes texts of numbers, `true` and `false` too.
fn key_text(key: Tree) -> Result<String, &'static str> {
    match key {
        Tree::Text(text) => Ok(text),
        Tree::Bool(value) => Ok(value.to_string()),
        Tree::Int(value) => Ok(value.to_string()),
        Tree::Float(value) => Ok(value.to_string()),
        Tree::Null => Ok("null".to_owned()),
        Tree::List(_) | Tree::Map(_) => Err("a key that is a list or a mapping"),
    }
}

/// Adds the entries of the value of `<<`. As for the API server, they stand in the place of the `<<`: a key that is there as
/// well occurs twice, which is refused, and the later one counts. Of several mappings the first one comes last.
fn merge(node: Tree, entries: &mut Vec<Member>) -> Result<(), &'static str> {
    const WRONG: &str = "the value of << is neither a mapping nor a list of mappings";
    let mappings = match node {
        Tree::List(items) => items,
        other => vec![other],
    };
    for mapping in mappings.into_iter().rev() {
        let Tree::Map(members) = mapping else {
            return Err(WRONG);
        };
        entries.extend(members);
    }
    Ok(())
}

fn size(node: &Tree) -> usize {
    let below: usize = match node {
        Tree::List(items) => items.iter().map(size).sum(),
        Tree::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
        Tree::Text(text) => text.len() / BYTES_PER_NODE,
        Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Float(_) => 0,
    };
    below + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn documents(text: &str) -> Vec<serde_json::Value> {
        let (documents, broken) = load(text);
        assert_eq!(broken, None, "{text}");
        documents.iter().map(Tree::to_json).collect()
    }

    fn why(text: &str) -> String {
        load(text).1.unwrap().message
    }

    #[test]
    fn documents_are_read_with_lines_and_styles() {
        let text = "spec:\n  role: user\n  userId: '7'\n  suspend: no\n---\n[1, ~]\n";
        let spec = json!({"spec": {"role": "user", "userId": "7", "suspend": false}});
        assert_eq!(documents(text), [spec, json!([1, null])]);
        let (trees, _) = load(text);
        let spec = trees[0].get("spec").unwrap();
        assert_eq!(spec.member("userId").unwrap().line, 3);
    }

    #[test]
    fn keys_that_occur_twice_are_both_kept() {
        let (trees, broken) = load("a: 1\nb: 2\na: 3\n");
        assert_eq!(broken, None);
        let keys: Vec<_> = trees[0].members().iter().map(|one| &*one.key).collect();
        assert_eq!(keys, ["a", "b", "a"]);
        assert_eq!(trees[0].get("a"), Some(&Tree::Int(3)));
    }

    #[test]
    fn aliases_and_merges_are_followed() {
        let text =
            "base: &base {suspend: true}\nspec: {<<: *base, role: admin}\nname: &n x\nagain: *n\n";
        let spec = json!({"role": "admin", "suspend": true});
        let read = &documents(text)[0];
        assert_eq!(read["spec"], spec);
        assert_eq!(read["again"], "x");
    }

    #[test]
    fn merged_keys_stand_where_the_merge_does() {
        for (text, keys, role) in [
            ("{<<: {role: a}, role: b}", "role role", "b"),
            ("{role: b, <<: {role: a, x: y}}", "role role x", "a"),
            ("{<<: [{role: a}, {role: b}]}", "role role", "a"),
        ] {
            let (trees, broken) = load(text);
            assert_eq!(broken, None, "{text}");
            let found: Vec<_> = trees[0].members().iter().map(|one| &*one.key).collect();
            assert_eq!(found.join(" "), keys, "{text}");
            assert_eq!(documents(text)[0]["role"], role, "{text}");
        }
        assert!(why("<<: 7\n").contains("neither a mapping"));
    }

    #[test]
    fn alias_bomb_is_refused_before_it_is_built() {
        let level = |level: usize| {
            let uses = vec![format!("*a{}", level - 1); 10].join(", ");
            format!("a{level}: &a{level} [{uses}]\n")
        };
        let bomb: String = (1..12).map(level).collect();
        let bomb = format!("a0: &a0 [x, x, x]\n{bomb}");
        assert!(why(&bomb).contains("aliases"), "{}", why(&bomb));
    }

    #[test]
    fn deep_nesting_and_broken_text_are_refused() {
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        assert!(why(&deep).contains("100 deep"), "{}", why(&deep));
        assert!(why("a: [1\nb: 2\n").starts_with("not YAML"));
        assert!(
            why("a: &a [*a]\n").contains("alias"),
            "{}",
            why("a: &a [*a]\n")
        );
    }
}
