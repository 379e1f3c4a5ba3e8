//! `plan --from-cluster`: objects with their statuses and claims, and manifests applied onto them.

use fireworks_gateway_simulator::{Settings, Simulator, User};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, TOKEN, object, page, reporting};
use crate::command::{Ended, manifest, program};

/// An account whose users all have the role `user`, with one admin.
pub fn gateway(users: &[&str]) -> Simulator {
    let gateway = Simulator::start(Settings::default()).unwrap();
    gateway.put_user(User::new("root", "admin"));
    for id in users {
        let user = User::new(*id, "user").email(format!("{id}@people.example"));
        gateway.put_user(user);
    }
    gateway
}

/// Plans from that cluster with these further arguments and that text as standard input. Only lists are sent, and nothing that
/// is secret is shown.
pub fn plan(gateway: &Simulator, server: &ApiServer, args: &[&str], text: &str) -> Ended {
    let args = [&["plan", "--from-cluster"], args].concat();
    let ended = program(args)
        .env("KUBECONFIG", server.kubeconfig())
        .account(gateway)
        .input(text)
        .run();
    let requests = server.requests();
    let is_list = |one: &String| {
        let path = one.split('?').next().unwrap();
        path.starts_with("GET /apis/iam.fireworks.ai/v1alpha1/")
            && path.ends_with("/fireworksusers")
    };
    assert!(requests.iter().all(is_list), "{requests:?}");
    assert!(gateway.journal().iter().all(|one| one.method == "GET"));
    assert_no_secret(&ended);
    ended
}

#[track_caller]
pub fn assert_no_secret(ended: &Ended) {
    let text = format!("{ended:?}");
    for secret in [TOKEN, "people.example"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The action of each object, by its name, and its file.
fn actions(ended: &Ended) -> Vec<(String, String, String)> {
    let plan: Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let items = plan["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = items
        .map(|item| {
            let title = format!("{}/{}", text(&item["namespace"]), text(&item["name"]));
            (title, text(&item["action"]), text(&item["file"]))
        })
        .collect();
    all.sort();
    all
}

#[track_caller]
fn assert_actions(ended: &Ended, expected: &[(&str, &str)]) {
    let actions = actions(ended);
    let actions: Vec<_> = actions
        .iter()
        .map(|(name, action, _)| (&**name, &**action))
        .collect();
    assert_eq!(actions, expected, "{ended:?}");
}

const JSON: [&str; 2] = ["--format", "json"];

/// Objects of which each reports something else.
fn reporting_objects() -> Vec<Value> {
    let contributor = || json!({"role": "contributor"});
    vec![
        object("team-a", "alice", contributor()),
        reporting(
            object("team-a", "bob", contributor()),
            "Held",
            "True",
            "InSync",
        ),
        reporting(
            object("team-b", "bob", json!({"role": "user"})),
            "Waiting",
            "False",
            "Conflict",
        ),
        reporting(
            object("team-b", "carol", json!({"role": "admin"})),
            "Inherited",
            "False",
            "Protected",
        ),
        reporting(
            object("team-b", "dave", contributor()),
            "Held",
            "False",
            "Rejected",
        ),
        reporting(
            object("team-b", "erin", json!({"role": "user"})),
            "Held",
            "True",
            "InSync",
        ),
        reporting(
            object("team-b", "frank", contributor()),
            "Held",
            "False",
            "PermissionDenied",
        ),
    ]
}

#[test]
fn objects_are_planned_with_their_statuses_and_claims() {
    let gateway = gateway(&["alice", "bob", "carol", "dave", "erin", "frank"]);
    let server = ApiServer::with(reporting_objects());
    let ended = plan(&gateway, &server, &JSON, "");
    assert_eq!(ended.code, 4, "{ended:?}");
    let expected = [
        ("team-a/alice", "change"),
        ("team-a/bob", "change"),
        ("team-b/bob", "conflict"),
        ("team-b/carol", "hold"),
        ("team-b/dave", "refused"),
        ("team-b/erin", "in-sync"),
        ("team-b/frank", "refused"),
    ];
    assert_actions(&ended, &expected);
    assert!(actions(&ended).iter().all(|(_, _, file)| file == "cluster"));
    let all = "GET /apis/iam.fireworks.ai/v1alpha1/fireworksusers?&limit=500";
    assert_eq!(server.requests(), [all]);
    let table = plan(&gateway, &server, &[], "");
    for part in [
        "hold      team-b/carol  guard inherited-power; ",
        "refused   team-b/dave   Rejected as reported\n",
        "conflict  team-b/bob    ",
    ] {
        assert!(table.out.contains(part), "{part} in {table:?}");
    }
}

/// Nothing of a list in pages is lost, and each page is requested once.
#[test]
fn long_list_is_read_in_pages() {
    let gateway = gateway(&["alice", "bob"]);
    let spec = || json!({"role": "user"});
    let server = ApiServer::start(move |path| {
        let (name, next) = if path.contains("continue=more") {
            ("bob", "")
        } else {
            ("alice", "more")
        };
        (200, page(&[object("team-a", name, spec())], next))
    });
    let ended = plan(&gateway, &server, &JSON, "");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_actions(
        &ended,
        &[("team-a/alice", "in-sync"), ("team-a/bob", "in-sync")],
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn manifests_are_applied_onto_the_objects_of_the_cluster() {
    let gateway = gateway(&["alice", "bob", "carol", "dave"]);
    let role = |role: &str| json!({ "role": role });
    let held = |name: &str| {
        reporting(
            object("team-a", name, role("user")),
            "Held",
            "True",
            "InSync",
        )
    };
    let server = ApiServer::with(vec![
        held("alice"),
        held("bob"),
        held("carol"),
        reporting(
            object("team-b", "bob", role("contributor")),
            "Waiting",
            "False",
            "Conflict",
        ),
        object("team-b", "dave", role("user")),
    ]);
    // The context has the namespace of manifests that name none.
    let text = manifest("alice", "{role: contributor}")
        + &manifest("new", "{userId: carol, role: contributor}");
    let args = [&JSON[..], &["-f", "-"]].concat();
    let ended = plan(&gateway, &server, &args, &text);
    let expected = [
        ("team-a/alice", "change"),
        ("team-a/bob", "deleted"),
        ("team-a/carol", "deleted"),
        ("team-a/new", "change"),
        // A minute after the other object is gone this one holds the user.
        ("team-b/bob", "change"),
        ("team-b/dave", "in-sync"),
    ];
    assert_actions(&ended, &expected);
    assert_eq!(ended.code, 1, "{ended:?}");
    let table = plan(&gateway, &server, &["-f", "-"], &text);
    let deleted = "deleted  team-a/carol  the object would be deleted: its user stays as it is, until another object";
    assert!(table.out.contains(deleted), "{table:?}");
}

/// A deletion alone is shown, and changes no user.
#[test]
fn object_without_a_manifest_is_deleted_and_its_user_becomes_unmanaged() {
    let gateway = gateway(&["alice", "bob"]);
    let object = |name| object("team-a", name, json!({"role": "contributor"}));
    let server = ApiServer::with(vec![object("alice"), object("bob")]);
    let text = manifest("alice", "{role: user}");
    let ended = plan(&gateway, &server, &["-f", "-"], &text);
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(
        lines[0],
        "deleted  team-a/bob  the object would be deleted: its user stays as it is, and no object manages it any more"
    );
    assert!(
        ended.out.contains("\n1 deleted, 1 in-sync; 0 requests"),
        "{ended:?}"
    );
    assert!(
        ended
            .out
            .contains("\n2 users without a manifest, of them admins: root\n")
    );
}

/// What cannot be read may declare any object.
#[test]
fn nothing_counts_as_deleted_where_a_manifest_cannot_be_read() {
    let gateway = gateway(&["alice", "bob"]);
    let object = |name| object("team-a", name, json!({"role": "user"}));
    let server = ApiServer::with(vec![object("alice"), object("bob")]);
    let text = manifest("alice", "{role: user}") + "a: b: c\n";
    let args = [&JSON[..], &["-f", "-"]].concat();
    let ended = plan(&gateway, &server, &args, &text);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_actions(
        &ended,
        &[("team-a/alice", "in-sync"), ("team-a/bob", "in-sync")],
    );
}

/// The API server would refuse both manifests: their objects stay.
#[test]
fn object_whose_manifest_is_refused_stays() {
    let gateway = gateway(&["alice", "bob", "carol"]);
    let object = |name| object("team-a", name, json!({"role": "user"}));
    let server = ApiServer::with(vec![object("alice"), object("bob")]);
    let text = manifest("alice", "{role: owner}") + &manifest("bob", "{userId: carol, role: user}");
    let args = [&JSON[..], &["-f", "-"]].concat();
    let ended = plan(&gateway, &server, &args, &text);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_actions(
        &ended,
        &[("team-a/alice", "invalid"), ("team-a/bob", "invalid")],
    );
    assert!(
        ended.out.contains("spec.userId: cannot be changed"),
        "{ended:?}"
    );
}

/// An annotation that `kubectl annotate` has set stays when the manifest is applied, and one that `kubectl apply` has set goes.
#[test]
fn annotations_of_the_cluster_stay_unless_apply_set_them() {
    let gateway = gateway(&[]);
    for id in ["alice", "bob"] {
        gateway.put_user(User::new(id, "owner"));
    }
    let replace = json!({"iam.fireworks.ai/replace-unknown-role": "owner"});
    let annotated = |name: &str| {
        let mut object = object("team-a", name, json!({"role": "user"}));
        object["metadata"]["annotations"] = replace.clone();
        object
    };
    let mut bob = annotated("bob");
    let last = json!({"metadata": {"annotations": replace}});
    bob["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        last.to_string().into();
    let server = ApiServer::with(vec![annotated("alice"), bob]);
    let before = plan(&gateway, &server, &JSON, "");
    assert_actions(
        &before,
        &[("team-a/alice", "change"), ("team-a/bob", "change")],
    );
    let text = manifest("alice", "{role: user}") + &manifest("bob", "{role: user}");
    let args = [&JSON[..], &["-f", "-"]].concat();
    let after = plan(&gateway, &server, &args, &text);
    assert_actions(
        &after,
        &[("team-a/alice", "change"), ("team-a/bob", "hold")],
    );
}

#[test]
fn object_that_is_being_deleted_is_shown_as_deleted() {
    let gateway = gateway(&["alice"]);
    let mut alice = object("team-a", "alice", json!({"role": "admin"}));
    alice["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
    let server = ApiServer::with(vec![alice]);
    for (args, text) in [
        (&[][..], ""),
        (&["-f", "-"], &*manifest("alice", "{role: admin}")),
    ] {
        let ended = plan(&gateway, &server, &[&JSON[..], args].concat(), text);
        assert_actions(&ended, &[("team-a/alice", "deleted")]);
        assert_eq!(ended.code, 1, "{ended:?}");
    }
}

/// What another namespace may hold is not known: a status that reports it stands, and a new object is uncertain.
#[test]
fn claims_of_namespaces_that_are_not_read_are_not_decided() {
    let gateway = gateway(&["alice", "bob"]);
    let contributor = json!({"role": "contributor"});
    let waiting = reporting(
        object("team-a", "alice", contributor),
        "Waiting",
        "False",
        "Conflict",
    );
    let server = ApiServer::with(vec![waiting]);
    let text = manifest("alice", "{role: contributor}") + &manifest("bob", "{role: contributor}");
    let args = [&JSON[..], &["-f", "-", "-n", "team-a"]].concat();
    let ended = plan(&gateway, &server, &args, &text);
    assert_actions(
        &ended,
        &[("team-a/alice", "conflict"), ("team-a/bob", "change")],
    );
    let plan: Value = serde_json::from_str(&ended.out).unwrap();
    let items = plan["items"].as_array().unwrap();
    let bob = items.iter().find(|item| item["name"] == "bob").unwrap();
    assert!(
        bob["uncertain"]
            .as_str()
            .unwrap()
            .contains("may hold the user"),
        "{bob}"
    );
    let one = "GET /apis/iam.fireworks.ai/v1alpha1/namespaces/team-a/fireworksusers?&limit=500";
    assert_eq!(server.requests(), [one]);
}

#[test]
fn json_of_a_cluster_follows_its_published_schema() {
    let gateway = gateway(&["alice", "bob"]);
    let contributor = || json!({"role": "contributor"});
    let server = ApiServer::with(vec![
        reporting(
            object("team-a", "alice", contributor()),
            "Held",
            "False",
            "Rejected",
        ),
        object("team-a", "bob", contributor()),
    ]);
    let args = [&JSON[..], &["-f", "-"]].concat();
    let ended = plan(
        &gateway,
        &server,
        &args,
        &manifest("alice", "{role: contributor}"),
    );
    assert_actions(
        &ended,
        &[("team-a/alice", "refused"), ("team-a/bob", "deleted")],
    );
    let schema = include_str!("../../docs/schemas/plan.v1.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let plan: Value = serde_json::from_str(&ended.out).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&plan)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, [""; 0]);
}
