//! Whatever comes from outside, and what must hold of it: each target is called with its corpus, with the corpus damaged
//! in every way that is cheap, and with random bytes. The corpora lie beside this file. `make fuzz` calls the same
//! targets for longer and lets the code they reach steer the bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod key_file;
mod spec;
mod targets;

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use targets::{TARGETS, Target};

/// The targets that need more than the library.
const MORE: [(&str, Target); 2] = [("spec", spec::target), ("key_file", key_file::target)];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let root =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/fuzz/corpus");
    let files = std::fs::read_dir(root.join(name)).unwrap();
    let mut all: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    all.sort();
    all.into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// One of the corpus with a piece of it overwritten, cut out, or repeated.
fn damaged(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let pieces = proptest::collection::vec(any::<u8>(), 0..8);
    let places = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..3_u8,
    );
    (proptest::sample::select(corpus), pieces, places).prop_map(
        |(mut bytes, piece, (from, to, how))| {
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            let (from, to) = (from.min(to), from.max(to));
            let new = match how {
                0 => piece,
                1 => Vec::new(),
                _ => bytes[from..to].repeat(3),
            };
            bytes.splice(from..to, new);
            bytes
        },
    )
}

/// A value of a field of the spec: near what is allowed, or of another kind.
fn field() -> impl Strategy<Value = Value> {
    let words = proptest::sample::select(vec![
        "user", "admin", "custom", "Custom", "Manage", "Observe", "agent", "a.", "../a", "",
    ]);
    let spaces = proptest::sample::select(vec![
        " ", "\t", "\u{b}", "\u{85}", "\u{a0}", "\u{180e}", "\u{200b}", "\u{2028}", "\u{feff}",
    ]);
    prop_oneof![
        3 => words.prop_map(Value::from),
        2 => "[A-Za-z0-9._~+-]{1,131}".prop_map(Value::from),
        2 => "\\PC{60,66}".prop_map(Value::from),
        1 => "[a-z @\u{a0}\u{7}]{1,3}@[a-z@.]{0,3}".prop_map(Value::from),
        1 => "[a-z]{249,252}@b.c".prop_map(Value::from),
        1 => ".{1,8}".prop_map(Value::from),
        1 => (spaces, any::<bool>()).prop_map(|(space, first)| {
            Value::from(if first { format!("{space}x") } else { format!("x{space}") })
        }),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
    ]
}

/// A spec whose role is most often one that there is.
fn specs() -> impl Strategy<Value = Value> {
    let roles = proptest::sample::select(vec![
        json!("user"),
        json!("custom"),
        json!("admin"),
        json!("inference-user"),
    ]);
    let names = vec![
        "userId",
        "permissionPreset",
        "displayName",
        "expectEmail",
        "managementPolicy",
        "suspend",
        "more",
    ];
    let some = proptest::sample::subsequence(names, 0..=3);
    let values = proptest::collection::vec(field(), 3);
    (prop_oneof![8 => roles, 1 => field()], some, values).prop_map(|(role, names, values)| {
        let mut fields = serde_json::Map::from_iter([("role".to_owned(), role)]);
        fields.extend(names.into_iter().map(str::to_owned).zip(values));
        fields.into()
    })
}

fn held(name: &str, target: Target, cases: u32, bytes: &impl Strategy<Value = Vec<u8>>) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let held = TestRunner::new(config).run(bytes, |bytes| {
        target(&bytes);
        Ok(())
    });
    held.unwrap_or_else(|broken| panic!("{name}: {broken}"));
}

fn run(name: &str, target: Target, cases: u32) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has a corpus");
    for bytes in &corpus {
        target(bytes);
    }
    let random = proptest::collection::vec(any::<u8>(), 0..64);
    let bytes = prop_oneof![4 => damaged(corpus), 1 => random];
    held(name, target, cases, &bytes);
}

#[test]
fn whatever_comes_from_outside_does_no_harm() {
    for (name, target) in TARGETS.into_iter().chain(MORE) {
        run(name, target, 3000);
    }
}

#[test]
fn what_the_schema_admits_the_operator_follows_and_what_it_refuses_the_operator_does_not() {
    let bytes = specs().prop_map(|spec| spec.to_string().into_bytes());
    held("spec", spec::target, 6_000, &bytes);
}

/// No file of key size is random.
#[test]
fn a_file_too_large_to_hold_a_key_is_refused() {
    for length in [16 * 1024, 16 * 1024 + 1, 1 << 20] {
        key_file::target(&vec![b'x'; length]);
    }
}
