//! Whatever comes from outside, and what must hold of it: each target of the library is called with its corpus, with
//! the corpus damaged in every way that is cheap, and with random bytes. The corpora lie beside this file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::path::PathBuf;

use fireworks_user_operator::fireworks::fuzz::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
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

fn run(name: &str, target: Target, cases: u32) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has a corpus");
    for bytes in &corpus {
        target(bytes);
    }
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let random = proptest::collection::vec(any::<u8>(), 0..64);
    let bytes = prop_oneof![4 => damaged(corpus), 1 => random];
    let held = TestRunner::new(config).run(&bytes, |bytes| {
        target(&bytes);
        Ok(())
    });
    held.unwrap_or_else(|broken| panic!("{name}: {broken}"));
}

#[test]
fn whatever_comes_from_outside_does_no_harm() {
    for (name, target) in TARGETS {
        run(name, target, 3000);
    }
}
