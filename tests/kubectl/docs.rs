//! The page about the commands, and help.

use std::fs;
use std::path::Path;
use std::process::Command;

use kubectl_fireworks::exit::Exit;

use crate::command::program;

fn page() -> String {
    fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/kubectl-fireworks.md"
    ))
    .unwrap()
}

#[test]
fn exit_codes_are_those_of_the_page_and_of_help() {
    let (page, help) = (page(), program(["--help"]).run());
    assert_eq!(help.code, 0, "{help:?}");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<_> = rows
        .filter_map(|row| row.strip_suffix(" |")?.split_once("` | "))
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .collect();
    let mut all = Exit::ALL;
    all.sort_by_key(|exit| exit.code());
    let expected: Vec<_> = all
        .iter()
        .map(|exit| (exit.code().to_string(), exit.meaning()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(code, meaning)| (&**code, *meaning))
        .collect();
    assert_eq!(documented, expected);
    for (code, meaning) in expected {
        assert!(
            help.out.contains(&format!("  {code}  {meaning}\n")),
            "{help:?}"
        );
    }
}

/// Every command of help has a section, and every flag of a command is in the page.
#[test]
fn page_has_every_command_and_flag_of_help() {
    let (page, help) = (page(), program(["--help"]).run());
    let commands = help
        .out
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let commands: Vec<_> = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"validate"), "{commands:?}");
    for command in commands {
        assert!(
            page.contains(&format!("\n## {command}\n")),
            "no section about {command}"
        );
        let help = program([command, "--help"]).run();
        let flags = help
            .out
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for flag in flags.map(|flag| flag.trim_end_matches([',', '.', ']'])) {
            let is_own = flag == "--help" || page.contains(&format!("`{flag}"));
            assert!(is_own, "{command} {flag} is not in the page");
        }
    }
}

/// `kubectl` finds a program of that name on the PATH.
#[test]
fn kubectl_runs_it_as_a_plugin() {
    let folder = Path::new(env!("CARGO_BIN_EXE_kubectl-fireworks"))
        .parent()
        .unwrap();
    let kubectl = Command::new(rig::kubectl_program().unwrap())
        .args(["fireworks", "version"])
        .env_clear()
        .env("PATH", folder)
        .output()
        .unwrap();
    let printed = String::from_utf8(kubectl.stdout).unwrap();
    assert_eq!(
        printed,
        format!("kubectl-fireworks {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn version_and_completions_are_printed() {
    let version = program(["version"]).run();
    assert_eq!(
        version.out,
        format!("kubectl-fireworks {}\n", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = program(["completions", shell]).run();
        assert_eq!(script.code, 0, "{script:?}");
        assert!(
            script.out.contains("kubectl-fireworks") && script.out.contains("validate"),
            "{shell}"
        );
    }
}
