//! JSON as trees: like YAML, with the keys that occur twice. Lines are those of the document's beginning.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::tree::{Member, Tree};

/// Reads the JSON documents of a text that begins at that line. Nothing where the text is no JSON.
#[must_use]
pub fn load(text: &str, line: usize) -> Option<Vec<Tree>> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Tree>();
    let mut documents: Vec<Tree> = documents.collect::<Result<_, _>>().ok()?;
    for tree in &mut documents {
        set_position(tree, line);
    }
    Some(documents)
}

fn set_position(tree: &mut Tree, line: usize) {
    match tree {
        Tree::Map(entries) => {
            for entry in entries {
                entry.line = line;
                set_position(&mut entry.value, line);
            }
        }
        Tree::List(items) => {
            for item in items {
                set_position(item, line);
            }
        }
        Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Float(_) | Tree::Text(_) => {}
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Node)
    }
}

struct Node;

impl<'de> Visitor<'de> for Node {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or(Tree::Float(0.0), Tree::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            entries.push(Member {
                key,
                line: 0,
                value,
            });
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn json_documents_follow_one_another_and_keep_keys_twice() {
        let trees = load("{\"a\": 1, \"a\": null}\n{\"b\": [\"x\"]}", 4).unwrap();
        assert_eq!(trees.len(), 2);
        assert_eq!(trees[0].members().len(), 2);
        assert_eq!(trees[1].member("b").unwrap().line, 4);
        assert_eq!(load("{a: b}", 1), None);
    }
}
