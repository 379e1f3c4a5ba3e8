//! Command lines and environments, good and bad. The environment is a parameter, never the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::time::Duration;

use fireworks_api::wire::UserId;
use operator_runtime::telemetry::LogFormat;
use proptest::prelude::*;

use super::*;

const CANARY: &str = "fw_3ZcanaryQ9x";
/// Enough to run.
const MINIMAL: [&str; 4] = ["--account-id", "acme", "--api-key-file", "/key"];

fn outcome(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, UsageError> {
    let environment: HashMap<&str, &str> = environment.iter().copied().collect();
    let arguments = std::iter::once("fireworks-user-operator").chain(arguments.iter().copied());
    parse_from(arguments.map(OsString::from), &|name| {
        environment.get(name).map(OsString::from)
    })
}

type Run = (Settings, KeySource);

fn run(extra: &[&str], environment: &[(&str, &str)]) -> Result<Run, UsageError> {
    let arguments: Vec<&str> = std::iter::once("run")
        .chain(extra.iter().copied())
        .collect();
    match outcome(&arguments, environment)? {
        Command::Run(settings, key) => Ok((*settings, key)),
        other => panic!("not run: {other:?}"),
    }
}

/// Returns the variable of a flag.
fn variable_of(flag: &str) -> String {
    let mut variables = flags::variables().into_iter();
    variables.find(|(_, name, _)| name == flag).unwrap().2
}

fn minimal_and(extra: &[&str], environment: &[(&str, &str)]) -> Result<Run, UsageError> {
    run(&[&MINIMAL, extra].concat(), environment)
}

fn shown(arguments: &[&str]) -> String {
    match outcome(arguments, &[]) {
        Ok(Command::Show(text)) => text,
        other => panic!("not shown: {other:?}"),
    }
}

#[test]
fn two_settings_are_enough_and_the_rest_has_defaults() {
    let (settings, key) = minimal_and(&[], &[]).unwrap();
    assert_eq!(settings.account_id.as_str(), "acme");
    assert_eq!(settings.base_url.to_string(), "https://api.fireworks.ai");
    assert!(matches!(&key, KeySource::File(path) if path == "/key"));
    assert_eq!(settings.ca_file, None);
    assert!(settings.https_proxy.is_none());
    assert!(settings.namespaces.is_empty() && !settings.observe_only);
    assert!(settings.grant_namespaces.is_empty() && settings.protected_users.is_empty());
    assert_eq!(settings.min_admins, 1);
    assert!(!settings.leader_election);
    assert_eq!(settings.sweep_interval, Duration::from_mins(1));
    assert_eq!(settings.requests_per_minute, 300);
    assert_eq!(settings.settle_window, Duration::from_secs(30));
    assert_eq!(settings.max_users, 100_000);
    assert_eq!(settings.concurrency, 16);
    assert_eq!(settings.listen, "[::]:8080".parse().unwrap());
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.log_filter, None);
}

#[test]
fn every_flag_has_a_working_twin() {
    let (settings, key) = run(
        &[],
        &[
            ("FIREWORKS_ACCOUNT_ID", "acme\n"),
            ("FIREWORKS_BASE_URL", "http://127.0.0.1:8000/"),
            ("FIREWORKS_API_KEY", CANARY),
            ("FIREWORKS_USER_OPERATOR_CA_FILE", "/ca.pem"),
            (
                "FIREWORKS_USER_OPERATOR_HTTPS_PROXY",
                "http://user:pass@proxy:3128",
            ),
            ("FIREWORKS_USER_OPERATOR_NAMESPACE", "team-b, team-a,team-b"),
            ("FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE", "iam, team-a"),
            ("FIREWORKS_USER_OPERATOR_PROTECTED_USER", "Root, key.owner"),
            ("FIREWORKS_USER_OPERATOR_MIN_ADMINS", "3"),
            ("FIREWORKS_USER_OPERATOR_OBSERVE_ONLY", "true"),
            ("FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL", "1s"),
            ("FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE", "6000"),
            ("FIREWORKS_USER_OPERATOR_SETTLE_WINDOW", "500ms"),
            ("FIREWORKS_USER_OPERATOR_MAX_USERS", "1000000"),
            ("FIREWORKS_USER_OPERATOR_CONCURRENCY", "256"),
            ("FIREWORKS_USER_OPERATOR_LEADER_ELECTION", "true"),
            ("FIREWORKS_USER_OPERATOR_LISTEN", "[::1]:0"),
            ("FIREWORKS_USER_OPERATOR_LOG_FORMAT", "text"),
            ("RUST_LOG", "debug"),
        ],
    )
    .unwrap();
    assert_eq!(settings.account_id.as_str(), "acme");
    assert_eq!(settings.base_url.to_string(), "http://127.0.0.1:8000");
    let KeySource::Value(keys) = key else {
        panic!("{key:?}");
    };
    let header = keys.current().header;
    assert_eq!(header, format!("Bearer {CANARY}"));
    assert_eq!(settings.ca_file, Some("/ca.pem".into()));
    let proxy = "http://user:pass@proxy:3128".parse().unwrap();
    assert_eq!(settings.https_proxy, Some(proxy));
    assert_eq!(settings.namespaces, ["team-a", "team-b"]);
    assert_eq!(settings.grant_namespaces, ["iam", "team-a"]);
    let protected = settings.protected_users.iter().map(UserId::as_str);
    assert_eq!(protected.collect::<Vec<_>>(), ["Root", "key.owner"]);
    assert_eq!(settings.min_admins, 3);
    assert!(settings.observe_only && settings.leader_election);
    assert_eq!(settings.sweep_interval, Duration::from_secs(1));
    assert_eq!(settings.requests_per_minute, 6000);
    assert_eq!(settings.settle_window, Duration::from_millis(500));
    assert_eq!(settings.max_users, 1_000_000);
    assert_eq!(settings.concurrency, 256);
    assert_eq!(settings.listen, "[::1]:0".parse().unwrap());
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.log_filter.as_deref(), Some("debug"));
}

#[test]
fn a_flag_wins_and_an_empty_variable_is_unset() {
    let environment = [
        ("FIREWORKS_USER_OPERATOR_CONCURRENCY", "2"),
        ("FIREWORKS_USER_OPERATOR_NAMESPACE", "team-a"),
        ("FIREWORKS_USER_OPERATOR_LISTEN", ""),
        ("FIREWORKS_API_KEY", " "),
    ];
    let flags = [
        "--max-users=4",
        "--concurrency=3",
        "--namespace",
        "team-c",
        "--namespace",
        "team-b",
    ];
    let (settings, key) = minimal_and(&flags, &environment).unwrap();
    assert_eq!(settings.max_users, 4);
    assert_eq!(settings.concurrency, 3);
    assert_eq!(settings.namespaces, ["team-b", "team-c"]);
    assert_eq!(settings.listen.port(), 8080);
    assert!(matches!(key, KeySource::File(_)));
}

/// Values each setting must refuse; none of them is part of the advice given.
const BAD: [(&str, &[&str]); 16] = [
    ("--account-id", &["accounts/acme", "..", "a b"]),
    (
        "--base-url",
        &[
            "gateway.example.com",
            "http://gateway.example.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1:80@example.com",
            "https://user:pass@example.com",
            "https://example.com?x=1",
            "https://api.fireworks.ai/v1",
            "https://api.fireworks.ai/inference/v1/",
            "https://gateway.example.com/V1/accounts",
            "https://example.com#x",
            "https://example.com\\@evil",
            "ftp://localhost",
            "https:///",
        ],
    ),
    (
        "--https-proxy",
        &["proxy:3128", "socks5://proxy", "http:///"],
    ),
    ("--namespace", &["Team_A", "team-x,", "-team", "*"]),
    ("--grant-namespace", &["Team_A", "team-x,", "*"]),
    (
        "--protected-user",
        &["a/b", "accounts/acme/users/a", "root,", "a b"],
    ),
    ("--min-admins", &["0", "-1", "1001", "two"]),
    ("--observe-only", &["maybe"]),
    ("--leader-election", &["maybe"]),
    (
        "--sweep-interval",
        &[
            "soonish",
            "60",
            "1.5s",
            "-1s",
            "+1s",
            "999ms",
            "61m",
            "18446744073709551615h",
        ],
    ),
    ("--settle-window", &["11m", "1 m"]),
    ("--requests-per-minute", &["0", "6001", "-1", "many"]),
    ("--max-users", &["0", "1000001", "many"]),
    ("--concurrency", &["0", "257"]),
    ("--listen", &[":80", "localhost:80", "0.0.0.0:65536"]),
    ("--log-format", &["xml"]),
];

#[test]
fn a_bad_value_names_its_flag_or_its_variable_and_is_not_repeated() {
    let complete = [("FIREWORKS_API_KEY", "k"), ("FIREWORKS_ACCOUNT_ID", "acme")];
    let table = BAD
        .iter()
        .flat_map(|(flag, values)| values.iter().map(move |bad| (*flag, bad)));
    for (flag, bad) in table {
        let variable = variable_of(flag);
        let mut lines = Vec::new();
        if !["--observe-only", "--leader-election"].contains(&flag) {
            let line = run(&[&format!("{flag}={bad}")], &complete)
                .unwrap_err()
                .to_string();
            lines.push((flag, line));
        }
        let environment = [&complete[..], &[(variable.as_str(), bad)]].concat();
        lines.push((&variable, run(&[], &environment).unwrap_err().to_string()));
        for (name, line) in lines {
            let problem = line
                .strip_prefix(&format!("{name}: "))
                .unwrap_or_else(|| panic!("{line}"));
            assert!(!line.contains('\n'), "{line}");
            // A short number may well be part of the advice.
            assert!(bad.len() < 4 || !problem.contains(bad), "{line}");
        }
    }
}

#[test]
fn min_admins_of_zero_is_refused_by_its_range() {
    let line = minimal_and(&["--min-admins=0"], &[])
        .unwrap_err()
        .to_string();
    assert_eq!(
        line,
        "--min-admins: must be a whole number between 1 and 1000"
    );
}

#[test]
fn grant_namespace_and_protected_user_are_repeatable() {
    let flags = [
        "--grant-namespace=team-a",
        "--grant-namespace=iam",
        "--protected-user=root,robot",
        "--protected-user",
        "Key.Owner",
    ];
    let (settings, _) = minimal_and(&flags, &[]).unwrap();
    assert_eq!(settings.grant_namespaces, ["team-a", "iam"]);
    let protected = settings.protected_users.iter().map(UserId::as_str);
    assert_eq!(
        protected.collect::<Vec<_>>(),
        ["root", "robot", "Key.Owner"]
    );
}

#[test]
fn bad_flag_beside_its_variable_is_named_as_the_flag() {
    let (flag, variable) = ("--concurrency", "FIREWORKS_USER_OPERATOR_CONCURRENCY");
    for typed in [&[flag, "0"][..], &["--concurrency=0"]] {
        let line = minimal_and(typed, &[(variable, "3")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            line,
            "--concurrency: must be a whole number between 1 and 256"
        );
    }
    let (settings, _) = minimal_and(&[flag, "3"], &[(variable, "0")]).unwrap();
    assert_eq!(settings.concurrency, 3);
}

#[test]
fn what_clap_refuses_is_one_line_that_names_the_argument() {
    for (arguments, expected) in [
        (vec![], "command: is missing"),
        (vec!["walk"], "command: is unknown"),
        (vec!["run", "--no-such-flag"], "--no-such-flag: "),
        (
            vec!["run", "--sweep-intervall", "1s"],
            "did you mean --sweep-interval?",
        ),
        (vec!["run", "--account-id"], "--account-id: needs a value"),
        (
            vec!["run", "--account-id", "--observe-only"],
            "--account-id: needs a value",
        ),
        (vec!["run", "--listen="], "--listen: "),
        (
            vec!["run", "--observe-only=true"],
            "--observe-only: takes no value",
        ),
        (
            vec!["run", "--listen", "[::]:1", "--listen", "[::]:2"],
            "--listen: is given more than once",
        ),
        (vec!["crd", "--account-id", "a"], "--account-id: "),
        (
            vec!["run", "--api-key", CANARY],
            "--api-key: does not exist",
        ),
    ] {
        let full = [
            &arguments[..],
            if arguments.contains(&"--listen=") {
                &MINIMAL
            } else {
                &[]
            },
        ]
        .concat();
        let line = outcome(&full, &[]).unwrap_err().to_string();
        assert!(line.contains(expected), "{arguments:?}: {line}");
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
    }
}

#[test]
fn missing_account_id_or_key_is_named_with_its_variable() {
    let line = run(&["--api-key-file", "/key"], &[])
        .unwrap_err()
        .to_string();
    assert_eq!(line, "--account-id (or FIREWORKS_ACCOUNT_ID): is not set");
    let line = run(&["--account-id", "acme"], &[]).unwrap_err().to_string();
    assert!(
        line.contains("--api-key-file") && line.contains("FIREWORKS_API_KEY:"),
        "{line}"
    );
}

#[test]
fn api_key_file_beside_the_variable_is_refused_by_name() {
    for (flags, environment) in [
        (&MINIMAL[..], vec![("FIREWORKS_API_KEY", CANARY)]),
        (
            &MINIMAL[..2],
            vec![
                ("FIREWORKS_API_KEY", CANARY),
                ("FIREWORKS_API_KEY_FILE", "/key"),
            ],
        ),
    ] {
        let line = run(flags, &environment).unwrap_err().to_string();
        assert!(
            line.contains("--api-key-file") && line.contains("FIREWORKS_API_KEY:"),
            "{line}"
        );
        assert!(line.contains("both") && !line.contains(CANARY), "{line}");
    }
}

#[test]
fn a_key_put_in_the_wrong_place_is_never_repeated() {
    let glued = format!("--api-key={CANARY}");
    let dashed = format!("--{CANARY}");
    let short = format!("-{CANARY}");
    let mut lines: Vec<String> = [
        vec![CANARY],
        vec!["run", CANARY],
        vec!["crd", CANARY],
        vec!["run", &glued],
        vec!["run", &dashed],
        vec!["run", &short],
    ]
    .iter()
    .map(|arguments| outcome(arguments, &[]).unwrap_err().to_string())
    .collect();
    for (_, flag, variable) in flags::variables() {
        if flag.ends_with("-file") {
            continue;
        }
        let complete = [("FIREWORKS_API_KEY", "k"), ("FIREWORKS_ACCOUNT_ID", "acme")];
        // `/` makes it no account id either.
        let misplaced = format!("{CANARY}/x");
        let environment = [&complete[..], &[(variable.as_str(), misplaced.as_str())]].concat();
        lines.push(run(&[], &environment).unwrap_err().to_string());
    }
    let broken = format!("{CANARY} {CANARY}");
    let environment = [
        ("FIREWORKS_API_KEY", &*broken),
        ("FIREWORKS_ACCOUNT_ID", "acme"),
    ];
    lines.push(run(&[], &environment).unwrap_err().to_string());
    for line in lines {
        assert!(
            !line.contains(&CANARY[..6]) && !line.contains("canary"),
            "{line}"
        );
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let proxy = format!("http://user:{CANARY}@proxy:3128");
    let environment = [
        ("FIREWORKS_API_KEY", CANARY),
        ("FIREWORKS_ACCOUNT_ID", "acme"),
        ("FIREWORKS_USER_OPERATOR_HTTPS_PROXY", &proxy),
    ];
    let text = format!("{:#?}", outcome(&["run"], &environment).unwrap());
    assert!(
        text.contains("ApiKeys") && text.contains("ProxyUrl") && !text.contains("canary"),
        "{text}"
    );
}

#[test]
fn help_documents_every_setting_and_version_prints_the_version() {
    let help = shown(&["run", "--help"]);
    let definition = flags::definition();
    let settings = definition.find_subcommand("run").unwrap();
    let variables = flags::variables();
    assert_eq!(variables.len(), 18);
    for (id, flag, variable) in &variables {
        assert!(help.contains(&format!("{flag} ")), "{flag}\n{help}");
        assert!(help.contains(&format!("[env: {variable}]")), "{variable}");
        let mut settings = settings.get_arguments();
        let setting = settings.find(|setting| setting.get_id() == id).unwrap();
        for default in setting.get_default_values() {
            let default = default.to_str().unwrap();
            assert!(help.contains(&format!("[default: {default}]")), "{help}");
        }
    }
    assert!(help.contains(flags::API_KEY) && help.contains(flags::LOG_FILTER));
    assert!(!help.contains("--test"));
    assert!(shown(&["--help"]).contains("crd"));
    let version = shown(&["--version"]);
    assert_eq!(
        version,
        concat!(
            "fireworks-user-operator ",
            env!("CARGO_PKG_VERSION"),
            " (commit unknown)\n"
        )
    );
    assert!(matches!(outcome(&["crd"], &[]), Ok(Command::Crd)));
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let environment =
        |name: &str| (name == "FIREWORKS_ACCOUNT_ID").then(|| OsString::from_vec(vec![0xff, 0xfe]));
    let arguments = ["fireworks-user-operator", "run"].map(OsString::from);
    let line = parse_from(arguments, &environment).unwrap_err().to_string();
    assert_eq!(line, "FIREWORKS_ACCOUNT_ID: is not valid UTF-8");
}

#[test]
fn a_complaint_made_later_stays_one_line() {
    let error = UsageError::new("--ca-file", "cannot be read:\nno such\tfile");
    assert_eq!(error.to_string(), "--ca-file: cannot be read: no such file");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_or_speak_in_two_lines(text in "\\PC{0,40}", n in 0_usize..14) {
        let flag = format!("{}={text}", flags::variables()[n].1);
        if let Err(error) = minimal_and(&[&flag], &[]) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
