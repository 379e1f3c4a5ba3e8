//! The program that packs the image keeps to the format and gives the same bytes for the same content. Building the image
//! itself takes a release build, so that is `make image`'s and not a test's.

#![allow(clippy::expect_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_packer_of_the_image_passes_its_own_tests() {
    let tests =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("deploy/image/pack_test.py");
    let run = Command::new("python3")
        .args(["-B".as_ref(), tests.as_os_str()])
        .output()
        .expect("python3");
    let printed = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{printed}");
    assert!(printed.contains("Ran 6 tests"), "{printed}");
}
