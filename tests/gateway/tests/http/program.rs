//! The program: its line at the start, its refusals, its end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use super::client::Client;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fireworks-gateway-simulator"));
    command
        .env_remove("FIREWORKS_API_KEY")
        .env_remove("FIREWORKS_ACCOUNT_ID");
    command
}

fn refused(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Killed with the test, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command) -> (Running, String) {
    let child = command
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (running, line)
}

fn address(line: &str) -> std::net::SocketAddr {
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    url.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn it_prints_its_address_serves_seeded_users_and_ends_on_sigterm() {
    let mut command = program();
    command.args(["--users", "3", "--account-id", "globex"]);
    let (mut running, line) = start(command);
    let mut client = Client::to(address(&line))
        .await
        .with_key("fw_0000000000_not_a_real_key");
    let page = client.get("/v1/accounts/globex/users").await.json();
    assert_eq!(page["totalSize"], 3);
    assert!(line.contains("for tests only"), "{line}");
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(running.0.wait().unwrap().success());
}

#[tokio::test]
async fn a_key_from_a_file_is_accepted_without_its_newline_and_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "fw_canary\n").unwrap();
    let mut command = program();
    command.arg("--api-key-file").arg(&file);
    let (_running, line) = start(command);
    assert!(!line.contains("fw_canary"), "{line}");
    let mut client = Client::to(address(&line)).await.with_key("fw_canary");
    assert_eq!(client.get("/v1/accounts/acme/users").await.status, 200);
}

#[test]
fn a_bad_flag_is_one_line_that_names_it_and_exit_code_2() {
    for (arguments, named) in [
        (&["--lisen", "x"][..], "--lisen"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--latency", "soon"], "--latency"),
        (&["--users", "-3"], "-3"),
        (&["--api-key-file", "/does/not/exist"], "--api-key-file"),
    ] {
        let output = refused(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn help_names_every_control_page() {
    let output = refused(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for page in [
        "/_journal",
        "/_faults",
        "/_switches",
        "/_users",
        "--api-key-file",
    ] {
        assert!(text.contains(page), "{page}");
    }
}
