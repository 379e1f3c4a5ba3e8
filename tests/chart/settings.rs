//! The chart's settings and the program's: the same names, the same defaults, and the program understands them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use fireworks_api::wire::UserId;
use fireworks_user_operator::cli::{self, KeySource, Settings};
use operator_runtime::telemetry::LogFormat;
use serde_json::Value;

use crate::helm::{documents, rendered, sets, the};

/// The variables of the rendered container; one that comes from the Secret has its `account-id`.
fn environment(chosen: &[&str]) -> BTreeMap<String, String> {
    let deployment = the("Deployment", &documents(&rendered("helm", &sets(chosen))));
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], serde_json::json!(["run"]));
    let variables = container["env"].as_array().unwrap();
    let variable = |variable: &Value| {
        let from_secret = &variable["valueFrom"]["secretKeyRef"]["key"];
        let value = match from_secret.as_str() {
            Some(key) => format!("from-{key}"),
            None => variable["value"].as_str().unwrap().to_owned(),
        };
        (variable["name"].as_str().unwrap().to_owned(), value)
    };
    let all: BTreeMap<_, _> = variables.iter().map(variable).collect();
    assert_eq!(all.len(), variables.len(), "a variable twice");
    all
}

fn settings(environment: &BTreeMap<String, String>) -> (Settings, KeySource) {
    let arguments = ["fireworks-user-operator", "run"].map(OsString::from);
    let lookup = |name: &str| environment.get(name).map(OsString::from);
    match cli::parse_from(arguments, &lookup) {
        Ok(cli::Command::Run(settings, key)) => (*settings, key),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_values_the_program_has_its_own_defaults() {
    let chart = settings(&environment(&[]));
    let least = [
        ("FIREWORKS_ACCOUNT_ID", "from-account-id"),
        (
            "FIREWORKS_API_KEY_FILE",
            "/var/run/secrets/fireworks/api-key",
        ),
        ("RUST_LOG", "info"),
        // The program's own is false: one process needs no right to a Lease.
        ("FIREWORKS_USER_OPERATOR_LEADER_ELECTION", "true"),
    ];
    let own = settings(&least.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    assert_eq!(format!("{chart:?}"), format!("{own:?}"));
}

#[test]
fn each_value_reaches_the_program() {
    let environment = environment(&[
        "settings.accountId=acme",
        "settings.baseUrl=https://gateway.example.com:8443/base",
        "settings.httpsProxy=http://proxy.example.com:3128",
        "settings.observeOnly=true",
        "settings.sweepInterval=5m",
        "settings.requestsPerMinute=6000",
        "settings.settleWindow=1500ms",
        "settings.maxUsers=4",
        "settings.concurrency=3",
        "settings.leaderElection=true",
        "settings.listen=[::]:9090",
        "settings.logFormat=text",
        "settings.logFilter=info\\,fireworks_user_operator=debug",
        "caBundle.configMap=ca",
        "watchNamespaces={b,a}",
        "grantNamespaces={iam,a}",
        "settings.protectedUsers={Root,key.owner}",
        "settings.minAdmins=2",
    ]);
    let (got, key) = settings(&environment);
    assert_eq!(got.account_id.as_str(), "acme");
    assert_eq!(
        got.base_url.to_string(),
        "https://gateway.example.com:8443/base"
    );
    let proxy = "http://proxy.example.com:3128".parse().unwrap();
    assert_eq!(got.https_proxy, Some(proxy));
    assert!(got.observe_only);
    assert_eq!(got.sweep_interval, Duration::from_mins(5));
    assert_eq!(got.requests_per_minute, 6000);
    assert_eq!(got.settle_window, Duration::from_millis(1500));
    assert_eq!(got.max_users, 4);
    assert_eq!(got.concurrency, 3);
    assert!(got.leader_election);
    assert_eq!(got.listen, "[::]:9090".parse().unwrap());
    assert!(matches!(got.log_format, LogFormat::Text));
    let filter = got.log_filter.as_deref();
    assert_eq!(filter, Some("info,fireworks_user_operator=debug"));
    assert!(matches!(&key, KeySource::File(path) if path.ends_with("fireworks/api-key")));
    assert_eq!(
        got.ca_file.unwrap().to_str(),
        Some("/var/run/fireworks-ca/ca.crt")
    );
    assert_eq!(got.namespaces, ["a", "b"]);
    assert_eq!(got.grant_namespaces, ["iam", "a"]);
    let protected = got.protected_users.iter().map(UserId::as_str);
    assert_eq!(protected.collect::<Vec<_>>(), ["Root", "key.owner"]);
    assert_eq!(got.min_admins, 2);

    // And there is no setting without a value: all that --help names is set above.
    let help = Command::new(env!("CARGO_BIN_EXE_fireworks-user-operator"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names: Vec<&str> = help
        .split("[env: ")
        .skip(1)
        .map(|rest| rest.split(']').next().unwrap())
        .collect();
    assert!(names.len() >= 17, "{names:?}");
    for name in names {
        assert!(
            environment.contains_key(name),
            "the chart never sets {name}"
        );
    }
}
