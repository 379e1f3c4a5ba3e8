//! The control pages: what a person with curl, and the demo, can see and do.

use fireworks_gateway_simulator::{Fault, Kind, Settings, Side, Simulator, User};
use serde_json::json;

use super::client::Client;

const ALICE: &str = "/v1/accounts/acme/users/alice";

fn simulator() -> Simulator {
    let simulator = Simulator::start(Settings::default()).unwrap();
    simulator.put_user(User::new("alice", "user"));
    simulator
}

#[tokio::test]
async fn the_journal_can_be_read_from_a_number_on_and_cleared() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    client.get(ALICE).await;
    client.patch(ALICE, r#"{"role":"admin"}"#).await;
    let all = client.get("/_journal").await.json();
    assert_eq!(
        all["entries"].as_array().unwrap().len(),
        2,
        "control pages are not journalled"
    );
    assert_eq!(all["lastSeq"], 2);
    let later = client.get("/_journal?since=1").await.json();
    assert_eq!(later["entries"][0]["verb"], "PATCH");
    assert_eq!(
        later["entries"][0]["changes"],
        json!([{"field": "role", "from": "user", "to": "admin"}])
    );
    assert_eq!(client.get("/_journal?since=x").await.status, 400);
    assert_eq!(
        client.ask("DELETE", "/_journal", "").await.unwrap().status,
        204
    );
    assert!(simulator.journal().is_empty());
}

#[tokio::test]
async fn keys_are_replaced_and_never_shown() {
    let simulator = simulator();
    let mut old = Client::of(&simulator).await;
    assert_eq!(old.get(ALICE).await.status, 200);
    let replaced = old.ask("PUT", "/_keys", r#"["fw_canary"]"#).await.unwrap();
    assert_eq!((replaced.status, replaced.body.as_str()), (204, ""));
    assert_eq!(old.get(ALICE).await.status, 401);
    let mut new = Client::to(simulator.address()).await.with_key("fw_canary");
    assert_eq!(new.get(ALICE).await.status, 200);
    let wrong = old.ask("PUT", "/_keys", "{}").await.unwrap();
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn faults_are_set_listed_and_taken_back() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    let fault = r#"{"verb":"GET","user":"alice","times":0,"fault":{"kind":"error","code":7}}"#;
    let ids = client
        .ask("PUT", "/_faults", &format!("[{fault}]"))
        .await
        .unwrap()
        .json();
    assert_eq!(ids, json!({"ids": [1]}));
    assert_eq!(client.get(ALICE).await.status, 403);
    let listed = client.get("/_faults").await.json();
    assert_eq!(
        (
            &listed[0]["hits"],
            &listed[0]["fault"]["kind"],
            &listed[0]["user"]
        ),
        (&json!(1), &json!("error"), &json!("alice"))
    );
    assert_eq!(
        client.ask("DELETE", "/_faults/1", "").await.unwrap().status,
        204
    );
    assert_eq!(
        client.ask("DELETE", "/_faults/1", "").await.unwrap().status,
        404
    );
    assert_eq!(client.get(ALICE).await.status, 200);
    assert_eq!(
        client.ask("POST", "/_faults", fault).await.unwrap().json(),
        json!({"ids": [2]})
    );
    assert_eq!(client.get(ALICE).await.status, 403);
    client.ask("DELETE", "/_faults", "").await.unwrap();
    assert_eq!(client.get(ALICE).await.status, 200);
}

#[tokio::test]
async fn a_misspelt_fault_is_refused_with_a_line_and_changes_nothing() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    for body in [
        "{",
        r#"{"fault":{"kind":"sulk"}}"#,
        r#"{"verb":"FETCH","fault":{"kind":"hang"}}"#,
    ] {
        let refused = client.ask("PUT", "/_faults", body).await.unwrap();
        assert_eq!(
            (refused.status, refused.body.lines().count()),
            (400, 1),
            "{body}"
        );
    }
    assert!(simulator.faults().is_empty());
}

#[tokio::test]
async fn switches_are_put_whole_and_patched_in_parts() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    let patched = client
        .ask("PATCH", "/_switches", r#"{"fullReplacePatch":true}"#)
        .await
        .unwrap();
    assert_eq!(patched.json()["fullReplacePatch"], true);
    client
        .ask("PATCH", "/_switches", r#"{"unsetStyle":"null"}"#)
        .await
        .unwrap();
    assert!(
        simulator.switches().full_replace_patch,
        "a part leaves the rest"
    );
    client
        .ask("PUT", "/_switches", r#"{"unsetStyle":"absent"}"#)
        .await
        .unwrap();
    assert!(
        !simulator.switches().full_replace_patch,
        "the whole resets the rest"
    );
    let refused = client
        .ask("PATCH", "/_switches", r#"{"unsetStyle":"none"}"#)
        .await
        .unwrap();
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn users_are_edited_behind_everybodys_back() {
    let simulator = simulator();
    let before = simulator.user("alice").unwrap();
    let mut client = Client::of(&simulator).await;
    let edited = client
        .ask("PATCH", "/_users/alice", r#"{"role":"admin"}"#)
        .await
        .unwrap()
        .json();
    assert_eq!(edited["role"], "admin");
    let after = simulator.user("alice").unwrap();
    assert_eq!(after.create_time, before.create_time);
    assert!(after.update_time > before.update_time);
    let put = r#"{"role":"custom","permissionPreset":"agent","state":"CREATING"}"#;
    assert_eq!(
        client
            .ask("PUT", "/_users/b%20b", put)
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(simulator.user("b b").unwrap().state, "CREATING");
    assert_eq!(
        client.get("/_users").await.json().as_array().unwrap().len(),
        2
    );
    assert_eq!(
        client
            .ask("DELETE", "/_users/b%20b", "")
            .await
            .unwrap()
            .status,
        204
    );
    for (method, body) in [("GET", ""), ("PATCH", "{}"), ("DELETE", "")] {
        assert_eq!(
            client
                .ask(method, "/_users/ghost", body)
                .await
                .unwrap()
                .status,
            404
        );
    }
    assert_eq!(
        client
            .ask("PUT", "/_users/bob", r#"{"rolle":"x"}"#)
            .await
            .unwrap()
            .status,
        400
    );
    assert_eq!(client.get("/_nothing").await.status, 404);
    assert!(simulator.journal().is_empty());
}

#[tokio::test]
async fn contract_violations_are_listed_also_after_the_journal_is_cleared() {
    let simulator = Simulator::start(Settings::default()).unwrap();
    simulator.put_user(User::new("alice", "user"));
    let mut client = Client::of(&simulator).await;
    client.get("/v1/accounts/acme/users/alice").await;
    client.get("/v1/accounts/acme/users?pageSize=7").await;
    let fault = Fault::new(Kind::Html502);
    simulator.add_fault(fault);
    client.get("/v1/accounts/acme/users/alice").await;
    assert_eq!(simulator.violations(), [], "a fault explains the page");
    client.get("/v1/accounts/acme/users?page=2").await;
    let body = r#"{"role":"user","name":"accounts/acme/users/alice"}"#;
    client.patch("/v1/accounts/acme/users/alice", body).await;
    simulator.clear_journal();
    let reported = simulator.violations();
    let seqs: Vec<_> = reported.iter().map(|one| one.seq).collect();
    assert_eq!(seqs, [4, 5], "{reported:?}");
    assert!(reported.iter().all(|one| one.side == Side::Request));
    assert!(reported[0].to_string().contains("page"), "{}", reported[0]);
    let page = client.get("/_violations").await;
    assert_eq!(page.json().as_array().unwrap().len(), 2);
}
