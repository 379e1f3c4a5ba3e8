//! `plan`, `snapshot`: the outcome of each decision, exit codes, and that nothing but reads is sent.

use std::fs;

use fireworks_gateway_simulator::{Fault, Kind, RawBody, Settings, Simulator, User, Verb};
use serde_json::Value;

use crate::command::{Ended, manifest, program};

pub fn gateway(users: &[User]) -> Simulator {
    let gateway = Simulator::start(Settings::default()).unwrap();
    for user in users {
        gateway.put_user(user.clone().email(format!("{}@people.example", user.id)));
    }
    gateway
}

pub fn user(id: &str, role: &str) -> User {
    User::new(id, role)
}

/// Plans that text with these further arguments. Whatever comes of it, the account is only read, and no e-mail address is shown.
fn plan(gateway: &Simulator, text: &str, args: &[&str]) -> Ended {
    let args = [&["plan", "-f", "-"], args].concat();
    let ended = program(args).account(gateway).input(text).run();
    assert_reads_only(gateway);
    assert!(
        !format!("{ended:?}").contains("people.example"),
        "{ended:?}"
    );
    ended
}

#[track_caller]
fn assert_reads_only(gateway: &Simulator) {
    let journal = gateway.journal();
    assert!(
        journal.iter().all(|entry| entry.method == "GET"),
        "{journal:#?}"
    );
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The action and the guard of each user.
fn actions(plan: &Value) -> Vec<(&str, &str, &str)> {
    let items = plan["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let text = |field: &str| item[field].as_str().unwrap_or_default();
            (text("name"), text("action"), text("guard"))
        })
        .collect()
}

#[test]
fn account_that_matches_exits_with_0() {
    let gateway = gateway(&[user("root", "admin"), user("alice", "user")]);
    let ended = plan(&gateway, &manifest("alice", "{role: user}"), &[]);
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "account {}, 2 users as of 2",
            gateway.account_id()
        )),
        "{lines:?}"
    );
    assert_eq!(lines[1], "1 in-sync; 0 requests to change users");
    assert_eq!(lines[2], "1 users without a manifest, of them admins: root");
}

#[test]
fn changes_exit_with_1_and_those_of_admins_come_first() {
    let gateway = gateway(&[
        user("root", "admin"),
        user("zoe", "admin"),
        user("alice", "custom").preset("agent"),
        user("bob", "user").display_name("Bob"),
    ]);
    let text = manifest("alice", "{role: user}")
        + &manifest("bob", "{role: user, displayName: Robert}")
        + &manifest("zoe", "{role: user}");
    let ended = plan(&gateway, &text, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "change  default/zoe    role: admin -> user",
            "change  default/alice  role: custom -> user; permissionPreset: agent -> (none)",
            "change  default/bob    displayName: Bob -> Robert",
        ]
    );
    assert!(
        ended.out.contains("3 change; 3 requests to change users\n"),
        "{ended:?}"
    );
}

#[test]
fn held_changes_exit_with_4_and_name_their_guard() {
    let gateway = gateway(&[
        user("root", "admin"),
        user("ci", "user").service_account(),
        user("odd", "owner"),
        user("key", "user"),
        user("alice", "user"),
    ]);
    let text = manifest("root", "{role: user}")
        + &manifest("ci", "{role: contributor}")
        + &manifest("odd", "{role: user}")
        + &manifest("key", "{role: contributor}")
        + &manifest("alice", "{role: admin}");
    let args = [
        "--format",
        "json",
        "--protected-user",
        "KEY",
        "--grant-namespace",
        "platform",
    ];
    let ended = plan(&gateway, &text, &args);
    assert_eq!(ended.code, 4, "{ended:?}");
    let plan = json(&ended);
    assert_eq!(
        actions(&plan),
        [
            ("alice", "hold", "namespace-not-allowed"),
            ("ci", "hold", "service-account"),
            ("key", "hold", "protected-user"),
            ("odd", "hold", "unknown-role"),
            ("root", "hold", "namespace-not-allowed"),
        ]
    );
    assert_eq!(
        (&plan["exitCode"], &plan["summary"]["requests"]),
        (&4.into(), &0.into())
    );
    let last = self::plan(
        &gateway,
        &manifest("root", "{role: user}"),
        &["--format", "json"],
    );
    assert_eq!(actions(&json(&last)), [("root", "hold", "last-admin")]);
}

/// A hand-over of the last admin in one set of manifests is carried out, in whatever order they are.
#[test]
fn demotion_follows_the_promotion_that_allows_it() {
    let gateway = gateway(&[user("root", "admin"), user("zoe", "user")]);
    let text = manifest("root", "{role: user}") + &manifest("zoe", "{role: admin}");
    let ended = plan(&gateway, &text, &["--format", "json"]);
    assert_eq!(
        actions(&json(&ended)),
        [("root", "change", ""), ("zoe", "change", "")]
    );
}

#[test]
fn absent_observed_and_suspended_users_are_reported_and_exit_with_0() {
    let gateway = gateway(&[
        user("root", "admin"),
        user("bob", "user"),
        user("carol", "user"),
    ]);
    let text = manifest("alice", "{role: user}")
        + &manifest("bob", "{role: admin, managementPolicy: Observe}")
        + &manifest("carol", "{role: admin, suspend: true}");
    let ended = plan(&gateway, &text, &["--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let expected = [
        ("bob", "drift", ""),
        ("alice", "absent", ""),
        ("carol", "suspended", ""),
    ];
    assert_eq!(actions(&json(&ended)), expected);
    // One list, and one read of the user that it does not show.
    assert_eq!(gateway.journal().len(), 2);
}

/// Of many users that a list does not show three are read, and a second list shows that the others are absent, too.
#[test]
fn many_absent_users_cost_three_reads_and_a_second_list() {
    let gateway = gateway(&[user("root", "admin")]);
    let text: String = (0..30)
        .map(|number| manifest(&format!("new-{number}"), "{role: user}"))
        .collect();
    let ended = plan(&gateway, &text, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("\n30 absent; 0 requests"), "{ended:?}");
    assert_eq!(gateway.journal().len(), 5);
}

#[test]
fn two_manifests_of_one_user_are_a_conflict_and_neither_is_planned() {
    let gateway = gateway(&[user("alice", "user"), user("bob", "user")]);
    let text = manifest("alice", "{role: admin}")
        + &manifest("other", "{role: user, userId: Alice}")
        + &manifest("bob", "{role: contributor}");
    let ended = plan(&gateway, &text, &["--format", "json"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let expected = [
        ("bob", "change", ""),
        ("alice", "conflict", ""),
        ("other", "conflict", ""),
    ];
    assert_eq!(actions(&json(&ended)), expected);
}

#[test]
fn invalid_manifest_exits_with_3_and_hides_no_other() {
    let gateway = gateway(&[user("alice", "user"), user("bob", "user")]);
    let text =
        manifest("alice", "{role: owner}") + &manifest("bob", "{role: contributor}") + "a: [";
    let ended = plan(&gateway, &text, &["--format", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(
        actions(&json(&ended)),
        [("bob", "change", ""), ("alice", "invalid", "")]
    );
    assert!(ended.err.starts_with("error: standard input:"), "{ended:?}");
}

#[test]
fn user_whose_read_fails_exits_with_3_and_the_others_are_planned() {
    let gateway = gateway(&[user("bob", "user"), user("root", "admin")]);
    let fault = Fault::new(Kind::error(7))
        .on(Verb::Get)
        .of("alice")
        .always();
    gateway.add_fault(fault);
    let text = manifest("alice", "{role: user}") + &manifest("bob", "{role: contributor}");
    let ended = plan(&gateway, &text, &["--format", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(
        actions(&json(&ended)),
        [("bob", "change", ""), ("alice", "unread", "")]
    );
}

/// A page that is broken, and one that Fireworks asks to read a second later.
#[test]
fn page_that_fails_exits_with_3_and_one_that_must_wait_is_read_again() {
    let broken = gateway(&[]);
    broken.seed(450);
    broken.add_fault(
        Fault::new(Kind::InvalidJson)
            .on(Verb::List)
            .from_nth(2)
            .always(),
    );
    let text = manifest("user-00003", "{role: user, displayName: New}")
        + &manifest("alice", "{role: user}");
    let ended = plan(&broken, &text, &["--format", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let json = json(&ended);
    assert_eq!(json["complete"], false);
    assert_eq!(
        actions(&json),
        [("user-00003", "change", ""), ("alice", "unread", "")]
    );
    let waits = gateway(&[user("alice", "user")]);
    let wait = Kind::Throttle {
        retry_after: Some("1".to_owned()),
        retry_after_ms: None,
    };
    waits.add_fault(Fault::new(wait).on(Verb::List));
    let ended = plan(&waits, &manifest("alice", "{role: user}"), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(waits.journal().len(), 2);
}

/// The answer to every read, and what the one line about it contains.
#[test]
fn account_that_cannot_be_read_is_one_clear_line() {
    let text = manifest("alice", "{role: user}");
    let raw = |status| Kind::Raw {
        status,
        content_type: "text/plain".to_owned(),
        body: RawBody::Text("no".to_owned()),
        applied: false,
    };
    for (kind, words) in [
        (Kind::error(16), "401"),
        (Kind::error(7), "403"),
        (Kind::error(14), "503"),
        (raw(412), "412"),
    ] {
        let gateway = gateway(&[user("alice", "user")]);
        gateway.add_fault(Fault::new(kind).always());
        let ended = plan(&gateway, &text, &[]);
        assert_eq!((ended.code, &*ended.out), (3, ""), "{words} {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{words} {ended:?}");
        assert!(ended.err.contains(words), "{words} {ended:?}");
    }
    let nowhere = program(["plan", "-f", "-", "--base-url", "http://127.0.0.1:1"])
        .env("FIREWORKS_ACCOUNT_ID", "acme")
        .env("FIREWORKS_API_KEY", "key")
        .input(text.clone())
        .run();
    assert_eq!(
        (nowhere.code, nowhere.err.lines().count()),
        (3, 1),
        "{nowhere:?}"
    );
    let keyless = program(["plan", "-f", "-", "--account-id", "acme"])
        .input(text)
        .run();
    assert_eq!(keyless.code, 2, "{keyless:?}");
    assert!(
        keyless.err.starts_with("error: no API key: "),
        "{keyless:?}"
    );
}

#[test]
fn snapshot_gives_the_plan_of_the_account_and_has_no_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    let gateway = gateway(&[
        user("root", "admin"),
        user("alice", "user")
            .display_name("Alice")
            .state("UPDATING"),
        user("bob", "custom")
            .preset("agent")
            .display_name("bob@people.example"),
        user("eve@people.example", "admin"),
    ]);
    gateway.seed(450);
    let taken = program(["snapshot", "-o", file.to_str().unwrap()])
        .account(&gateway)
        .run();
    assert_eq!((taken.code, &*taken.err), (0, "454 users\n"), "{taken:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("people.example"), "{text}");
    assert_eq!(gateway.journal().len(), 3, "a request for each page");
    let manifests = manifest("root", "{role: user}")
        + &manifest("alice", "{role: contributor}")
        + &manifest("bob", "{role: user}")
        + &manifest("user-00003", "{role: admin, displayName: New}")
        + &manifest("missing", "{role: user}");
    let live = json(&plan(&gateway, &manifests, &["--format", "json"]));
    let args = [
        "plan",
        "-f",
        "-",
        "--format",
        "json",
        "--snapshot",
        file.to_str().unwrap(),
    ];
    let stored = json(&program(args).input(manifests.clone()).run());
    for field in ["items", "summary", "exitCode", "complete"] {
        assert_eq!(live[field], stored[field], "{field}");
    }
    assert_eq!(
        live["summary"]["unmanagedAdmins"].as_array().unwrap().len(),
        3
    );
    // What the snapshot does not have makes the plan uncertain, and nothing else.
    let unsure = manifest("bob", "{role: user, displayName: Bob}")
        + &manifest("alice", "{role: user, expectEmail: alice@people.example}");
    let unsure = program(args).input(unsure).run();
    assert!(!unsure.out.contains("people.example"), "{unsure:?}");
    let unsure = json(&unsure);
    let items = unsure["items"].as_array().unwrap();
    assert!(
        items.iter().all(|item| item["uncertain"].is_string()),
        "{unsure:#}"
    );
}

#[test]
fn json_follows_its_published_schema_and_is_stable() {
    let gateway = gateway(&[
        user("root", "admin"),
        user("alice", "user"),
        user("bob", "user"),
    ]);
    let text = manifest("alice", "{role: admin}")
        + &manifest("bob", "{role: owner}")
        + &manifest("root", "{role: user, expectEmail: x@y.example}");
    let first = plan(&gateway, &text, &["--format", "json"]);
    let schema = include_str!("../../docs/schemas/plan.v1.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&json(&first))
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(
        validator
            .validate(&serde_json::json!({"version": 2}))
            .is_err()
    );
    let second = plan(&gateway, &text, &["--format", "json"]);
    let untimed = |ended: &Ended| {
        let mut plan = json(ended);
        plan["takenAt"].take();
        plan
    };
    assert_eq!(untimed(&first), untimed(&second));
}

#[test]
fn remote_text_is_harmless_in_the_terminal_and_in_markdown() {
    let name = "\u{1b}[31m@everyone <img src=x> [x](http://evil.example) | `";
    let gateway = gateway(&[
        user("alice", "user").display_name(name),
        user("root", "admin"),
    ]);
    let text = manifest("alice", "{role: user, displayName: Alice}");
    let table = plan(&gateway, &text, &[]);
    assert!(
        table.out.contains("displayName: ") && !table.out.contains('\u{1b}'),
        "{table:?}"
    );
    let markdown = plan(&gateway, &text, &["--format", "markdown"]);
    assert_eq!(markdown.code, 1);
    for part in ["@everyone", "<img", "](http", "http://", " | `"] {
        assert!(!markdown.out.contains(part), "{part} in {markdown:?}");
    }
}

#[test]
fn markdown_of_a_large_plan_fits_into_a_comment() {
    let gateway = gateway(&[]);
    gateway.seed(700);
    let spec =
        "{role: contributor, displayName: A name that is rather long so that the comment grows}";
    let text: String = (0..700)
        .map(|number| manifest(&format!("user-{number:05}"), spec))
        .collect();
    let ended = plan(&gateway, &text, &["--format", "markdown"]);
    assert_eq!(ended.code, 4, "the last admin is held: {}", ended.err);
    let length = ended.out.chars().count();
    assert!((40_000..=60_000).contains(&length), "{length}");
    assert!(ended.out.ends_with("see the output of the job.\n"));
}
