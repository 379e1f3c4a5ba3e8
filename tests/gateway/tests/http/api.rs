//! The gateway's own behaviour: credentials, LIST, GET, PATCH, POST, errors, limit, journal, switches.

use fireworks_gateway_simulator::{
    ErrorShape, Outcome, Settings, Simulator, Switches, UnsetStyle, User, Verb,
};
use serde_json::{Value, json};

use super::client::Client;

const USERS: &str = "/v1/accounts/acme/users";
const ALICE: &str = "/v1/accounts/acme/users/alice";

fn simulator() -> Simulator {
    let simulator = Simulator::start(Settings::default()).unwrap();
    simulator.put_user(
        User::new("alice", "user")
            .display_name("Alice")
            .email("alice@example.com"),
    );
    simulator
}

#[tokio::test]
async fn without_a_valid_key_everything_is_refused_and_the_key_is_not_kept() {
    let simulator = simulator();
    let mut stranger = Client::to(simulator.address()).await;
    let refused = stranger.get(ALICE).await;
    assert_eq!((refused.status, &refused.json()["code"]), (401, &json!(16)));
    let mut thief = Client::to(simulator.address())
        .await
        .with_key("fw_stolen_canary");
    assert_eq!(thief.get(USERS).await.status, 401);
    let journal = simulator.journal();
    assert_eq!(journal[0].credential, None);
    assert!(journal[1].credential.is_some() && !journal[1].authorized);
    let text = serde_json::to_string(&journal).unwrap();
    assert!(!text.contains("canary") && !text.contains("stolen"));
}

#[tokio::test]
async fn changed_keys_hold_at_once() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    assert_eq!(client.get(ALICE).await.status, 200);
    simulator.set_api_keys(["another"]);
    assert_eq!(client.get(ALICE).await.status, 401);
    assert_eq!(client.with_key("another").get(ALICE).await.status, 200);
}

#[tokio::test]
async fn a_list_is_paged_to_the_end_over_one_connection() {
    let simulator = Simulator::start(Settings {
        users: 401,
        ..Settings::default()
    })
    .unwrap();
    let mut client = Client::of(&simulator).await;
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("{USERS}?pageSize=500&pageToken={token}");
        let page = client.get(&path).await.json();
        assert_eq!(page["totalSize"], 401);
        let names = page["users"].as_array().unwrap().iter();
        ids.extend(names.map(|user| user["name"].as_str().unwrap().to_owned()));
        page["nextPageToken"]
            .as_str()
            .unwrap()
            .clone_into(&mut token);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 401);
    assert!(ids.is_sorted());
    let verbs: Vec<Verb> = simulator.journal().iter().map(|entry| entry.verb).collect();
    assert_eq!(verbs, [Verb::List; 3]);
    assert_eq!(simulator.connections(), 1);
}

#[tokio::test]
async fn a_list_knows_filter_order_and_mask_and_refuses_a_foreign_token() {
    let simulator = simulator();
    simulator.put_user(User::new("robot", "inference-user").service_account());
    let mut client = Client::of(&simulator).await;
    let robots = client
        .get(&format!(
            "{USERS}?filter=service_account%3Dtrue&readMask=name"
        ))
        .await
        .json();
    assert_eq!(
        robots["users"],
        json!([{"name": "accounts/acme/users/robot"}])
    );
    let ordered = client
        .get(&format!("{USERS}?orderBy=name+desc&page_size=1"))
        .await
        .json();
    assert_eq!(ordered["users"][0]["name"], "accounts/acme/users/robot");
    let token = ordered["nextPageToken"].as_str().unwrap();
    let foreign = client.get(&format!("{USERS}?pageToken={token}")).await;
    assert_eq!((foreign.status, &foreign.json()["code"]), (400, &json!(3)));
    let unsupported = client.get(&format!("{USERS}?filter=role%21%3Duser")).await;
    assert_eq!(unsupported.status, 400);
}

#[tokio::test]
async fn a_patch_changes_what_its_keys_name_and_is_in_the_journal() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    let reply = client
        .patch(ALICE, r#"{"role":"custom","permissionPreset":"agent"}"#)
        .await;
    let user = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(user["displayName"], "Alice");
    assert_eq!(
        (&user["role"], &user["state"]),
        (&json!("custom"), &json!("READY"))
    );
    let entry = simulator.journal().remove(0);
    assert_eq!(
        (entry.verb, entry.method.as_str(), entry.path.as_str()),
        (Verb::Patch, "PATCH", ALICE)
    );
    assert_eq!(entry.user.as_deref(), Some("alice"));
    assert_eq!(entry.user_agent.as_deref(), Some("probe/1"));
    assert_eq!(
        (entry.status, entry.outcome),
        (Some(200), Outcome::Answered)
    );
    assert_eq!(
        entry.body,
        Some(json!({"role": "custom", "permissionPreset": "agent"}))
    );
    assert!(entry.answered_ms.unwrap() >= entry.received_ms);
    let changed: Vec<_> = entry
        .changes
        .iter()
        .map(|c| (c.field.as_str(), c.from.clone(), c.to.clone()))
        .collect();
    assert_eq!(
        changed,
        [
            ("role", json!("user"), json!("custom")),
            ("permissionPreset", json!(""), json!("agent")),
        ]
    );
    client.patch(ALICE, r#"{"role":"custom"}"#).await;
    assert!(simulator.journal()[1].changes.is_empty());
}

#[tokio::test]
async fn a_refused_patch_changes_nothing() {
    let simulator = simulator();
    let before = simulator.user("alice");
    let mut client = Client::of(&simulator).await;
    for body in [
        r#"{"displayName":"A"}"#,
        r#"{"role":"custom"}"#,
        r#"{"role":"user","shoe":1}"#,
        "{",
    ] {
        let refused = client.patch(ALICE, body).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (400, &json!(3)),
            "{body}"
        );
    }
    assert_eq!(simulator.user("alice"), before);
    assert!(
        simulator
            .journal()
            .iter()
            .all(|entry| entry.changes.is_empty())
    );
}

#[tokio::test]
async fn users_are_created_once() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    let path = format!("{USERS}?userId=bob");
    let created = client
        .ask("POST", &path, r#"{"role":"user"}"#)
        .await
        .unwrap();
    assert_eq!(
        (created.status, &created.json()["name"]),
        (200, &json!("accounts/acme/users/bob"))
    );
    let again = client
        .ask("POST", &path, r#"{"role":"user"}"#)
        .await
        .unwrap();
    assert_eq!((again.status, &again.json()["code"]), (409, &json!(6)));
    assert_eq!(simulator.journal()[0].verb, Verb::Post);
}

#[tokio::test]
async fn encoded_ids_reach_their_user() {
    let simulator = simulator();
    simulator.put_user(User::new("a+b c", "user"));
    let mut client = Client::of(&simulator).await;
    assert_eq!(client.get(&format!("{USERS}/a%2Bb%20c")).await.status, 200);
    assert_eq!(client.get(&format!("{USERS}/a+b%20c")).await.status, 200);
    assert_eq!(simulator.journal()[0].user.as_deref(), Some("a+b c"));
}

#[tokio::test]
async fn missing_is_another_error_than_unknown() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    for path in [
        "/v1/accounts/acme/users/ghost",
        "/v1/accounts/other/users",
        "/v1/accounts/other",
    ] {
        let missing = client.get(path).await;
        assert_eq!(
            (missing.status, &missing.json()["code"]),
            (404, &json!(5)),
            "{path}"
        );
    }
    let unknown = client.get("/v2/anything").await;
    assert_eq!(
        (unknown.status, unknown.header("content-type")),
        (404, Some("text/html"))
    );
    assert!(unknown.body.contains("<html>"));
    let wrong = client.ask("DELETE", ALICE, "").await.unwrap();
    assert_eq!((wrong.status, &wrong.json()["code"]), (501, &json!(12)));
    assert_eq!(
        client.get("/v1/accounts/acme").await.json()["name"],
        "accounts/acme"
    );
}

#[tokio::test]
async fn above_the_accounts_limit_the_answer_is_429() {
    let simulator = simulator();
    simulator.set_switches(Switches {
        requests_per_minute: Some(2),
        ..Switches::default()
    });
    let mut client = Client::of(&simulator).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get(ALICE).await);
    }
    let codes: Vec<u16> = statuses.iter().map(|reply| reply.status).collect();
    assert_eq!(codes, [200, 200, 429]);
    assert_eq!(statuses[2].json()["code"], 8);
}

#[tokio::test]
async fn every_unset_style_and_error_shape_reaches_the_wire() {
    let simulator = simulator();
    simulator.put_user(User::new("bare", "user").email("bare@example.com"));
    let mut client = Client::of(&simulator).await;
    let bare = format!("{USERS}/bare");
    let expected = [
        (UnsetStyle::Absent, None, None),
        (UnsetStyle::Zero, Some(json!("")), Some(json!(""))),
        (UnsetStyle::Null, Some(Value::Null), Some(Value::Null)),
    ];
    for (unset_style, display_name, token) in expected {
        simulator.set_switches(Switches {
            unset_style,
            extra_fields: true,
            error_shape: ErrorShape::Wrapped,
            no_update_time: true,
            no_email: true,
            ..Switches::default()
        });
        let user = client.get(&bare).await.json();
        assert_eq!(user.get("displayName").cloned(), display_name);
        assert!(user.get("updateTime").is_none_or(Value::is_null));
        assert_eq!(user.get("email").cloned(), display_name);
        assert!(user.get("futureField").is_some());
        let page = client.get(USERS).await.json();
        assert_eq!(page.get("nextPageToken").cloned(), token);
        let missing = client.get(&format!("{USERS}/ghost")).await.json();
        assert_eq!(missing["error"]["code"], 5);
    }
}

#[tokio::test]
async fn service_accounts_may_be_left_out_of_lists() {
    let simulator = simulator();
    simulator.put_user(User::new("robot", "inference-user").service_account());
    simulator.set_switches(Switches {
        omit_service_accounts_from_list: true,
        ..Switches::default()
    });
    let mut client = Client::of(&simulator).await;
    assert_eq!(client.get(USERS).await.json()["totalSize"], 1);
    let asked = client
        .get(&format!("{USERS}?filter=service_account%3Dtrue"))
        .await
        .json();
    assert_eq!(asked["totalSize"], 1);
    assert_eq!(client.get(&format!("{USERS}/robot")).await.status, 200);
}

#[tokio::test]
async fn a_stopped_simulator_is_gone_and_its_port_free() {
    let simulator = simulator();
    let listen = simulator.address();
    let mut client = Client::of(&simulator).await;
    assert_eq!(client.get(ALICE).await.status, 200);
    drop(simulator);
    assert!(client.ask("GET", ALICE, "").await.is_err());
    let again = Simulator::start(Settings {
        listen,
        ..Settings::default()
    });
    assert_eq!(again.unwrap().address(), listen);
}

#[tokio::test]
async fn a_suspended_account_refuses_changes_and_shows_why() {
    let simulator = Simulator::start(Settings::default()).unwrap();
    simulator.put_user(User::new("bob", "user"));
    let mut client = Client::of(&simulator).await;
    for (state, status, reads) in [
        ("BLOCKED_BY_ABUSE_RULE", 412, false),
        ("CREDIT_DEPLETED", 402, true),
        ("UNSUSPENDED", 200, true),
    ] {
        simulator.set_switches(Switches {
            suspend_state: Some(state.to_owned()),
            suspend_reads: reads,
            ..Switches::default()
        });
        let body = r#"{"role":"contributor"}"#;
        let changed = client.patch("/v1/accounts/acme/users/bob", body).await;
        assert_eq!(changed.status, status, "{state}");
        let read = client.get("/v1/accounts/acme/users/bob").await;
        assert_eq!(read.status, if reads { status } else { 200 }, "{state}");
        let account = client.get("/v1/accounts/acme").await;
        assert_eq!(account.json()["suspendState"], state);
    }
    assert!(simulator.violations().is_empty());
}
