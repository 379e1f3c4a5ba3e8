//! The output of `plan` for one rich input, byte for byte, in every format. `WRITE_GOLDEN=1` writes the files.

use std::fs;
use std::path::Path;

use crate::command::{manifest, program};

/// Hostile text of the account: terminal escapes, bidirectional characters, mentions, links, HTML, cells, addresses.
const HOSTILE: &str = "\u{1b}[31m\u{202e}@everyone <img src=x> [x](http://evil.example) | `x` www.evil.example \
                       ::error::x eve@people.example";
const KEY: &str = "fw_key_of_the_environment";

fn snapshot() -> String {
    let user = |id: &str, fields: &str| {
        format!("{{\"name\": \"accounts/acme/users/{id}\", \"state\": \"READY\", {fields}}}")
    };
    let name = serde_json::json!(HOSTILE.replace("eve@people.example", "")).to_string();
    let users = [
        user("alice", "\"role\": \"user\""),
        user(
            "bob",
            &format!("\"role\": \"user\", \"displayName\": {name}"),
        ),
        user("ci", "\"role\": \"user\", \"serviceAccount\": true"),
        user(
            "dora",
            "\"role\": \"custom\", \"permissionPreset\": \"agent\"",
        ),
        user("odd", "\"role\": \"owner\""),
        user("root", "\"role\": \"admin\""),
        user("same", "\"role\": \"user\""),
        user("slow", "\"role\": \"user\"").replace("READY", "UPDATING"),
        user(
            "zoe",
            "\"role\": \"admin\", \"createTime\": \"2026-01-02T03:04:05Z\"",
        ),
    ];
    format!(
        "{{\"version\": 1, \"account\": \"acme\", \"takenAt\": \"2026-02-03T04:05:06Z\", \"complete\": true, \
         \"malformedRows\": 0, \"users\": [{}]}}",
        users.join(",")
    )
}

fn manifests() -> String {
    let one = |name: &str, spec: &str| manifest(name, spec);
    one("alice", "{role: admin}")
        + &one("bob", "{role: user, displayName: Bob}")
        + &one("ci", "{role: contributor}")
        + &one("dora", "{role: user}")
        + &one("odd", "{role: user}")
        + &one("same", "{role: user}")
        + &one("slow", "{role: contributor}")
        + &one(
            "zoe",
            "{role: contributor, expectEmail: zoe@people.example}",
        )
        + &one("missing", "{role: user}")
        + &one("twice", "{role: user, userId: same-id}")
        + &one("again", "{role: user, userId: Same-Id}")
        + &one(
            "rests",
            "{role: user, userId: root, suspend: true, managementPolicy: Observe}",
        )
        + &one("bad", "{role: emperor}")
}

/// Nothing in the account can move the cursor, mention a person, link, or be HTML, and no address or key is shown.
#[track_caller]
fn assert_harmless(format: &str, text: &str) {
    let shown = ["\u{1b}", "\u{202e}", "@everyone", "people.example", KEY];
    let markdown = ["<img", "](http", "http://", "www.", " | `"];
    let markdown = markdown.iter().filter(|_| format == "markdown");
    for part in shown.iter().chain(markdown) {
        assert!(!text.contains(part), "{part:?} in {format}:\n{text}");
    }
    let is_command = |line: &&str| line.starts_with("::");
    let commands = text.lines().filter(is_command).count();
    assert!(format == "github" || commands == 0, "{text}");
    if format == "github" {
        assert_eq!(commands, text.lines().count(), "{text}");
    }
}

fn is_written() -> bool {
    #[allow(clippy::disallowed_methods, reason = "a test reads its own variable")]
    std::env::var_os("WRITE_GOLDEN").is_some()
}

#[test]
fn output_of_every_format_is_stable_and_harmless() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("account.json"), snapshot()).unwrap();
    fs::write(home.path().join("users.yaml"), manifests()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kubectl/golden");
    for (file, args) in [
        ("plan.txt", ["--format", "table"]),
        ("plan.json", ["--format", "json"]),
        ("plan.md", ["--format", "markdown"]),
        ("plan.github", ["--format", "github"]),
        ("explain.txt", ["--explain", "zoe"]),
    ] {
        let all = ["plan", "-f", "users.yaml", "--snapshot", "account.json"];
        let run = program(all.iter().chain(&args)).within(home.path());
        let ended = run.env("FIREWORKS_API_KEY", KEY).run();
        assert_harmless(args[1], &ended.out);
        assert_harmless("problems", &ended.err);
        let path = golden.join(file);
        if is_written() {
            fs::create_dir_all(&golden).unwrap();
            fs::write(&path, &ended.out).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        assert_eq!(ended.out, expected, "{file}; WRITE_GOLDEN=1 writes it");
    }
}
