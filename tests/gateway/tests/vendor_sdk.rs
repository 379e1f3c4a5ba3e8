//! The vendor's own Python SDK, unchanged, against the simulator program: the proof that the simulator is no mirror of
//! our client. What is asked is in `sdk/users_contract.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Killed with the test, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `VENDOR_SDK_PYTHON`, or the environment that `make vendor-sdk` makes below the build's own folder.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's settings come from its environment"
)]
fn python() -> PathBuf {
    if let Some(python) = env::var_os("VENDOR_SDK_PYTHON") {
        return python.into();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_fireworks-gateway-simulator"));
    let inside_target = |folder: &Path| folder.join("vendor-sdk/bin/python");
    program
        .ancestors()
        .map(inside_target)
        .find(|python| python.exists())
        .unwrap_or_else(|| panic!("the vendor's SDK is not installed: run `make vendor-sdk`"))
}

#[test]
fn the_vendors_sdk_lists_pages_gets_creates_and_updates_users() {
    let python = python();
    let key = "fw_contract_key";
    let child = Command::new(env!("CARGO_BIN_EXE_fireworks-gateway-simulator"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--account-id",
            "contract",
            "--users",
            "401",
        ])
        .env("FIREWORKS_API_KEY", key)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut simulator = Running(child);
    let mut line = String::new();
    BufReader::new(simulator.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let base_url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/users_contract.py");
    let output = Command::new(&python)
        .arg(script)
        .env("FIREWORKS_API_KEY", key)
        .env("FIREWORKS_ACCOUNT_ID", "contract")
        .env("FIREWORKS_BASE_URL", base_url)
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run `make vendor-sdk`", python.display()));
    let (reported, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{reported}\n{complained}");
    assert!(
        reported.contains("contracts hold"),
        "{reported}\n{complained}"
    );
}
