//! Settings as a person meets them who starts the program by hand or reads why a Pod does not come up: one
//! line that names the setting, exit code 2; and the help that would have prevented it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

/// A start that fails does so at once; one that wrongly succeeds must not hold up the tests.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// Whatever was put into a wrong place may be secret.
const CANARY: &str = "fw-canary-5Yq8";

async fn start(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_fireworks-user-operator"));
    command
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(ENDS_WITHIN, command.output()).await;
    ended
        .unwrap_or_else(|_| panic!("{args:?} does not end"))
        .unwrap()
}

/// A world in which everything is as it should be.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let new = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
            clusters: [{name: it, cluster: {server: 'http://127.0.0.1:9'}}]\n\
            users: [{name: it, user: {}}]\ncontexts: [{name: it, context: {cluster: it, user: it}}]\n";
        new.file("kubeconfig", kubeconfig);
        new
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts with the good environment, changed like this (an empty value takes the variable away), and
    /// hands on the one line it was refused with.
    async fn refused(&self, args: &[&str], changed: &[(&str, &str)]) -> String {
        let kubeconfig = self.path("kubeconfig");
        let home = self.folder.path();
        let good = [
            ("FIREWORKS_ACCOUNT_ID", "acme"),
            ("FIREWORKS_BASE_URL", "http://127.0.0.1:9"),
            ("FIREWORKS_API_KEY", CANARY),
            ("KUBECONFIG", text(&kubeconfig)),
            ("HOME", text(home)),
            ("RUST_BACKTRACE", "1"),
        ];
        let mut env: Vec<_> = good
            .into_iter()
            .filter(|(name, _)| changed.iter().all(|(other, _)| other != name))
            .collect();
        env.extend(changed.iter().filter(|(_, value)| !value.is_empty()));
        let args = [&["run", "--listen", "127.0.0.1:0"], args].concat();
        let output = start(&args, &env).await;
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?} {changed:?}: {printed}"
        );
        assert!(output.stdout.is_empty());
        assert_eq!(
            printed.lines().count(),
            1,
            "{args:?} {changed:?}: {printed}"
        );
        let unwanted = ["panicked", "backtrace", "stack", CANARY];
        for word in unwanted {
            assert!(!printed.contains(word), "{args:?} {changed:?}: {printed}");
        }
        printed
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_missing_or_double_key_is_named() {
    let world = World::new();
    let none = world.refused(&[], &[("FIREWORKS_API_KEY", "")]).await;
    let file = world.file("key", CANARY);
    let both = world.refused(&["--api-key-file", &file], &[]).await;
    for printed in [none, both] {
        assert!(printed.contains("--api-key-file"), "{printed}");
        assert!(printed.contains("FIREWORKS_API_KEY"), "{printed}");
    }
}

#[tokio::test]
async fn api_key_file_without_a_key_is_named_and_not_quoted() {
    let world = World::new();
    let two_lines = format!("{CANARY}\n{CANARY}\n");
    let files = [
        text(world.folder.path()).to_owned(),
        world.file("empty", ""),
        world.file("newline", "\n"),
        world.file("two-lines", &two_lines),
    ];
    for file in &files {
        let no_key = [("FIREWORKS_API_KEY", "")];
        let printed = world.refused(&["--api-key-file", file], &no_key).await;
        assert!(printed.contains("--api-key-file"), "{printed}");
        assert!(printed.contains(file), "{printed}");
    }
}

#[tokio::test]
async fn a_malformed_value_is_named_by_its_flag() {
    let world = World::new();
    let with_key = format!("https://{CANARY}@api.fireworks.ai");
    let cases = [
        ("--base-url", "http://api.fireworks.ai"),
        ("--base-url", "http://10.0.0.1:8080"),
        ("--base-url", with_key.as_str()),
        ("--base-url", "ftp://127.0.0.1"),
        ("--sweep-interval", "soon"),
        ("--sweep-interval", "60"),
        ("--sweep-interval", "0s"),
        ("--settle-window", "-5s"),
        ("--requests-per-minute", "0"),
        ("--requests-per-minute", "many"),
        ("--concurrency", "0"),
        ("--account-id", "accounts/acme"),
        ("--account-id", ".."),
        ("--namespace", "No_Such"),
        ("--log-format", "xml"),
        ("--https-proxy", CANARY),
        ("--ca-file", "/nonexistent/ca.pem"),
    ];
    for (flag, value) in cases {
        // A CA is only looked at where TLS is spoken.
        let base = [("FIREWORKS_BASE_URL", "https://api.fireworks.ai")];
        let changed = if flag == "--ca-file" { &base[..] } else { &[] };
        let joined = format!("{flag}={value}");
        let printed = world.refused(&[&joined], changed).await;
        assert!(printed.contains(flag), "{flag} {value}: {printed}");
    }
}

#[tokio::test]
async fn a_malformed_value_is_named_by_its_variable() {
    let world = World::new();
    let cases = [
        ("FIREWORKS_BASE_URL", "http://api.fireworks.ai"),
        ("FIREWORKS_ACCOUNT_ID", "accounts/acme"),
        ("FIREWORKS_API_KEY", "two words"),
        ("FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL", "soon"),
        ("FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE", "many"),
        ("RUST_LOG", "info,fireworks_user_operator=loud"),
    ];
    for case in cases {
        let printed = world.refused(&[], &[case]).await;
        assert!(printed.contains(case.0), "{case:?}: {printed}");
    }
    let printed = world.refused(&[], &[("FIREWORKS_ACCOUNT_ID", "")]).await;
    assert!(printed.contains("--account-id"), "{printed}");
    assert!(printed.contains("FIREWORKS_ACCOUNT_ID"), "{printed}");
}

#[tokio::test]
async fn an_unknown_flag_is_named_and_a_key_as_an_argument_is_not_repeated() {
    let world = World::new();
    let printed = world.refused(&["--sweep-intervall", "60s"], &[]).await;
    assert!(printed.contains("--sweep-intervall"), "{printed}");
    assert!(printed.contains("--sweep-interval?"), "{printed}");
    let printed = world.refused(&["--api-key", CANARY], &[]).await;
    assert!(printed.contains("--api-key-file"), "{printed}");
    let joined = format!("--api-key={CANARY}");
    world.refused(&[&joined], &[]).await;
    world.refused(&[CANARY], &[]).await;
}

#[tokio::test]
async fn a_kubeconfig_that_gives_no_access_is_named() {
    let world = World::new();
    let absent = world.path("absent");
    let broken = format!("users: [{{name: x, user: {{token: {CANARY}\nclusters: ]");
    let no_context = "apiVersion: v1\nkind: Config\n";
    let token = format!("apiVersion: v1\nkind: Config\nusers: {CANARY}\n");
    let files = [
        text(&absent).to_owned(),
        world.file("broken", &broken),
        world.file("no-context", no_context),
        world.file("wrong-shape", &token),
        world.file("binary", "\u{0}\u{1}\u{2}"),
    ];
    for file in &files {
        let printed = world.refused(&[], &[("KUBECONFIG", file)]).await;
        assert!(printed.contains("KUBECONFIG"), "{printed}");
    }
    let printed = world.refused(&[], &[("KUBECONFIG", "")]).await;
    assert!(printed.contains("KUBECONFIG"), "{printed}");
}

#[tokio::test]
async fn listen_address_that_cannot_be_used_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_taken, address) = taken.unwrap();
    let listen = address.to_string();
    for address in [listen.as_str(), "192.0.2.1:80", "localhost", "8080"] {
        let variable = ("FIREWORKS_USER_OPERATOR_LISTEN", address);
        let kubeconfig = world.path("kubeconfig");
        let env = [
            variable,
            ("FIREWORKS_ACCOUNT_ID", "acme"),
            ("FIREWORKS_API_KEY", CANARY),
            ("FIREWORKS_BASE_URL", "http://127.0.0.1:9"),
            ("KUBECONFIG", text(&kubeconfig)),
        ];
        let output = start(&["run"], &env).await;
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}: {printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let named = printed.contains("--listen") || printed.contains(variable.0);
        assert!(named, "{printed}");
    }
}

#[tokio::test]
async fn the_help_names_every_flag_with_its_variable_and_default() {
    let output = start(&["run", "--help"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    let flags = [
        ("--account-id", "FIREWORKS_ACCOUNT_ID", ""),
        (
            "--base-url",
            "FIREWORKS_BASE_URL",
            "https://api.fireworks.ai",
        ),
        ("--api-key-file", "FIREWORKS_API_KEY_FILE", ""),
        ("--ca-file", "FIREWORKS_USER_OPERATOR_CA_FILE", ""),
        ("--https-proxy", "FIREWORKS_USER_OPERATOR_HTTPS_PROXY", ""),
        ("--namespace", "FIREWORKS_USER_OPERATOR_NAMESPACE", ""),
        (
            "--grant-namespace",
            "FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE",
            "",
        ),
        (
            "--protected-user",
            "FIREWORKS_USER_OPERATOR_PROTECTED_USER",
            "",
        ),
        ("--min-admins", "FIREWORKS_USER_OPERATOR_MIN_ADMINS", "1"),
        ("--observe-only", "FIREWORKS_USER_OPERATOR_OBSERVE_ONLY", ""),
        (
            "--sweep-interval",
            "FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL",
            "60s",
        ),
        (
            "--requests-per-minute",
            "FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE",
            "300",
        ),
        (
            "--settle-window",
            "FIREWORKS_USER_OPERATOR_SETTLE_WINDOW",
            "30s",
        ),
        ("--max-users", "FIREWORKS_USER_OPERATOR_MAX_USERS", "100000"),
        ("--concurrency", "FIREWORKS_USER_OPERATOR_CONCURRENCY", "16"),
        (
            "--leader-election",
            "FIREWORKS_USER_OPERATOR_LEADER_ELECTION",
            "",
        ),
        ("--listen", "FIREWORKS_USER_OPERATOR_LISTEN", "[::]:8080"),
        ("--log-format", "FIREWORKS_USER_OPERATOR_LOG_FORMAT", "json"),
    ];
    for (flag, variable, default) in flags {
        let about = section(&help, flag);
        assert!(about.contains(&format!("[env: {variable}]")), "{about}");
        let default = format!("[default: {default}]");
        assert_eq!(
            about.contains(&default),
            default != "[default: ]",
            "{about}"
        );
    }
    for variable in ["FIREWORKS_API_KEY ", "RUST_LOG", "KUBECONFIG"] {
        assert!(help.contains(variable), "{variable}");
    }
    assert!(!help.contains("--test"), "{help}");
    let widest = help.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(120), "{widest:?}");
}

#[tokio::test]
async fn help_shows_no_value_of_the_environment() {
    let proxy = format!("http://user:{CANARY}@proxy.example.com:3128");
    let env = [
        ("FIREWORKS_API_KEY", CANARY),
        ("FIREWORKS_BASE_URL", CANARY),
        ("FIREWORKS_USER_OPERATOR_HTTPS_PROXY", &*proxy),
    ];
    let [with, without] = [&env[..], &[]].map(|env| start(&["run", "--help"], env));
    let (with, without) = (with.await, without.await);
    assert_eq!(with.status.code(), Some(0));
    assert_eq!(with.stdout, without.stdout);
}

/// The help on one flag, in one line.
fn section(help: &str, flag: &str) -> String {
    let mut lines = help
        .lines()
        .skip_while(|line| !line.trim_start().starts_with(flag));
    let head = lines.next().unwrap_or_default();
    let rest = lines.take_while(|line| {
        let line = line.trim_start();
        !line.starts_with("--") && !line.starts_with("-h,")
    });
    let all: Vec<&str> = std::iter::once(head).chain(rest).map(str::trim).collect();
    all.join(" ")
}

#[tokio::test]
async fn help_and_version_are_there_without_any_setting() {
    for args in [&["--help"][..], &["-h"], &["help"]] {
        let output = start(args, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(
            help.contains("Keeps a Fireworks AI account's users"),
            "{help}"
        );
        for command in ["  run ", "  crd "] {
            assert!(help.contains(command), "{help}");
        }
    }
    let output = start(&["--version"], &[]).await;
    let version = String::from_utf8(output.stdout).unwrap();
    let expected = concat!(
        "fireworks-user-operator ",
        env!("CARGO_PKG_VERSION"),
        " (commit unknown)\n"
    );
    assert_eq!(version, expected);
    assert_eq!(output.status.code(), Some(0));
    let output = start(&[], &[]).await;
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(
        printed.contains("run") && printed.contains("crd"),
        "{printed}"
    );
}
