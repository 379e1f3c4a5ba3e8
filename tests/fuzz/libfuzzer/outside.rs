//! Calls the target that `FUZZ_TARGET` names with the bytes that libFuzzer makes up.

#![no_main]

#[path = "../key_file.rs"]
mod key_file;
#[path = "../spec.rs"]
mod spec;
#[path = "../targets.rs"]
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

use targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let more: [(&str, Target); 2] = [("spec", spec::target), ("key_file", key_file::target)];
    let mut all = TARGETS.into_iter().chain(more);
    let found = all.find(|(name, _)| *name == wanted);
    found
        .expect("FUZZ_TARGET names a folder of tests/fuzz/corpus")
        .1
});

fuzz_target!(|data: &[u8]| TARGET(data));
