//! Faults that spoil an answer, a list or a connection, as a client meets them.

use std::time::Duration;

use fireworks_gateway_simulator::{
    Chaos, Fault, Kind, RawBody, Rewrite, Settings, Simulator, User, Verb,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::Client;

const ALICE: &str = "/v1/accounts/acme/users/alice";
const USERS: &str = "/v1/accounts/acme/users?pageSize=2";
const ADMIN: &str = r#"{"role":"admin"}"#;
/// Far more than anything here takes; only a failing test waits for it.
const LONG: Duration = Duration::from_secs(20);
/// How long is waited for what must not come. Too short a time lets a mistake pass and never invents one.
const A_WHILE: Duration = Duration::from_millis(50);

fn simulator() -> Simulator {
    let simulator = Simulator::start(Settings::default()).unwrap();
    for id in ["alice", "bob", "carol", "dave", "eve"] {
        simulator.put_user(User::new(id, "user"));
    }
    simulator
}

fn role(simulator: &Simulator) -> String {
    simulator.user("alice").unwrap().role
}

fn names(page: &Value) -> Vec<&str> {
    let rows = page["users"].as_array().unwrap();
    rows.iter()
        .map(|row| row["name"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect()
}

#[tokio::test]
async fn a_zombie_is_applied_when_released_and_the_journal_has_its_time() {
    let simulator = simulator();
    let fault = Fault::new(Kind::Zombie {
        after_ms: None,
        hang: false,
    });
    let id = simulator.add_fault(fault);
    let mut client = Client::of(&simulator).await;
    assert!(client.ask("PATCH", ALICE, ADMIN).await.is_err());
    assert_eq!(role(&simulator), "user");
    assert_eq!(simulator.journal()[0].applied_ms, None);
    simulator.remove_fault(id);
    let applied = simulator.journal_until(LONG, |all| all[0].applied_ms.is_some());
    assert!(applied.await);
    assert_eq!(role(&simulator), "admin");
    assert_eq!(simulator.journal()[0].changes.len(), 1);
}

#[tokio::test]
async fn a_zombie_whose_client_hangs_comes_after_its_time() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::Zombie {
        after_ms: Some(1),
        hang: true,
    }));
    let mut client = Client::of(&simulator).await;
    client.send("PATCH", ALICE, ADMIN).await.unwrap();
    let applied = simulator.journal_until(LONG, |all| {
        all.first().is_some_and(|one| one.applied_ms.is_some())
    });
    assert!(applied.await);
    assert!(timeout(A_WHILE, client.receive()).await.is_err());
    assert_eq!(role(&simulator), "admin");
}

#[tokio::test]
async fn a_body_stops_in_the_middle_until_it_is_let_go_or_for_good() {
    let simulator = simulator();
    let id = simulator.add_fault(Fault::new(Kind::HangInBody));
    let mut client = Client::of(&simulator).await;
    client.send("PATCH", ALICE, ADMIN).await.unwrap();
    let whole = {
        let reply = client.receive();
        tokio::pin!(reply);
        assert!(timeout(A_WHILE, &mut reply).await.is_err());
        assert_eq!(role(&simulator), "admin", "it was carried out");
        simulator.remove_fault(id);
        reply.await.unwrap()
    };
    assert_eq!(whole.json()["role"], "admin");

    simulator.add_fault(Fault::new(Kind::Truncated));
    assert!(client.ask("GET", ALICE, "").await.is_err());
    simulator.add_fault(Fault::new(Kind::InvalidJson));
    let cut = Client::of(&simulator).await.get(ALICE).await;
    assert_eq!(cut.status, 200);
    assert!(serde_json::from_str::<Value>(&cut.body).is_err());
}

#[tokio::test]
async fn a_body_may_have_no_end_or_come_slowly() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::Oversized { bytes: None }));
    let mut client = Client::of(&simulator).await;
    client.send("GET", ALICE, "").await.unwrap();
    client.receive_bytes(5 << 20).await.unwrap();

    simulator.add_fault(Fault::new(Kind::Oversized { bytes: Some(1000) }));
    let mut client = Client::of(&simulator).await;
    client.send("GET", ALICE, "").await.unwrap();
    let bytes = client.receive_bytes(1200).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("transfer-encoding: chunked"));

    simulator.add_fault(Fault::new(Kind::SlowBody { every_ms: 1 }));
    let slow = Client::of(&simulator).await.get(ALICE).await;
    assert_eq!(slow.json()["role"], "user");
}

#[tokio::test]
async fn an_answer_may_be_anything_and_from_anywhere() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    simulator.add_fault(Fault::new(Kind::Raw {
        status: 200,
        content_type: "text/plain".into(),
        body: RawBody::Text("hello".into()),
        applied: true,
    }));
    let text = client.patch(ALICE, ADMIN).await;
    assert_eq!((text.status, text.body.as_str()), (200, "hello"));
    assert_eq!(role(&simulator), "admin");
    simulator.add_fault(Fault::new(Kind::Redirect {
        status: 308,
        location: "http://elsewhere.example/".into(),
    }));
    let moved = client.patch(ALICE, r#"{"role":"user"}"#).await;
    assert_eq!(moved.status, 308);
    assert_eq!(moved.header("location"), Some("http://elsewhere.example/"));
    assert_eq!(role(&simulator), "admin");
    simulator.add_fault(Fault::new(Kind::WrongUser { id: "bob".into() }));
    let wrong = client.get(ALICE).await.json();
    assert_eq!(wrong["name"], "accounts/acme/users/bob");
    let set = json!({"state": "SLEEPING", "status": null, "shoes": 2});
    simulator.add_fault(Fault::new(Kind::Altered {
        set: set.as_object().cloned().unwrap(),
        remove: vec!["updateTime".into()],
    }));
    let odd = client.get(ALICE).await.json();
    assert_eq!(
        (&odd["state"], &odd["shoes"]),
        (&json!("SLEEPING"), &json!(2))
    );
    assert_eq!(odd.get("updateTime"), None);
    simulator.add_fault(Fault::new(Kind::WrongContentType {
        content_type: "text/html".into(),
    }));
    let html = client.get(ALICE).await;
    assert_eq!(html.header("content-type"), Some("text/html"));
    simulator.add_fault(Fault::new(Kind::GzipBomb));
    client.send("GET", ALICE, "").await.unwrap();
    client.receive_bytes(500_000).await.unwrap();
    assert_eq!(simulator.violations(), [], "faults explain all of it");
}

#[tokio::test]
async fn a_list_may_double_omit_repeat_and_expire() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    let first = client.get(USERS).await.json();
    let token = first["nextPageToken"].as_str().unwrap();
    let second = format!("{USERS}&pageToken={token}");
    simulator.add_fault(Fault::new(Kind::DuplicatedRows));
    let twice = client.get(&second).await.json();
    assert_eq!(names(&twice), ["carol", "carol", "dave", "dave"]);
    simulator.add_fault(Fault::new(Kind::OmittedUsers {
        ids: vec!["carol".into()],
    }));
    assert_eq!(names(&client.get(&second).await.json()), ["dave"]);
    simulator.add_fault(Fault::new(Kind::RepeatedToken));
    assert_eq!(client.get(&second).await.json()["nextPageToken"], token);
    simulator.add_fault(Fault::new(Kind::ExpiredToken));
    assert_eq!(client.get(&second).await.json()["code"], 3);
    simulator.add_fault(Fault::new(Kind::Meanwhile {
        put: vec![User::new("abe", "user")],
        remove: Vec::new(),
    }));
    let shifted = client.get(&second).await.json();
    assert_eq!(names(&shifted), ["bob", "carol"]);
}

#[tokio::test]
async fn a_change_may_be_ignored_rewritten_or_never_end() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    simulator.add_fault(Fault::new(Kind::Ignored));
    let same = client.patch(ALICE, ADMIN).await.json();
    assert_eq!(
        (same["role"].as_str(), role(&simulator).as_str()),
        (Some("user"), "user")
    );
    simulator.add_fault(Fault::new(Kind::Normalised {
        display_name: Some(Rewrite::LowerCase),
        role: Some("contributor".into()),
        permission_preset: None,
    }));
    let body = r#"{"role":"admin","displayName":"Alice L"}"#;
    let other = client.patch(ALICE, body).await.json();
    assert_eq!(other["displayName"], "alice l");
    assert_eq!(role(&simulator), "contributor");
    simulator.add_fault(Fault::new(Kind::StuckState {
        state: "DELETING".into(),
        for_ms: None,
    }));
    client.patch(ALICE, ADMIN).await;
    assert_eq!(client.get(ALICE).await.json()["state"], "DELETING");
}

#[tokio::test]
async fn a_deaf_connection_is_open_and_answers_when_the_fault_is_gone() {
    let simulator = simulator();
    let mut before = Client::of(&simulator).await;
    before.get(ALICE).await;
    let id = simulator.add_fault(Fault::new(Kind::Deaf).always());
    let mut after = Client::of(&simulator).await;
    for client in [&mut before, &mut after] {
        client.send("GET", ALICE, "").await.unwrap();
        assert!(timeout(A_WHILE, client.receive()).await.is_err());
    }
    assert_eq!(simulator.last_seq(), 1);
    simulator.remove_fault(id);
    for client in [&mut before, &mut after] {
        assert_eq!(client.receive().await.unwrap().status, 200);
    }
    // One connection alone: the second from now.
    simulator.add_fault(Fault::new(Kind::Deaf).from_nth(2));
    let mut first = Client::of(&simulator).await;
    assert_eq!(first.get(ALICE).await.status, 200);
    let mut second = Client::of(&simulator).await;
    second.send("GET", ALICE, "").await.unwrap();
    assert!(timeout(A_WHILE, second.receive()).await.is_err());
}

#[tokio::test]
async fn a_seed_hits_the_same_calls_again() {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let simulator = simulator();
        simulator.set_chaos(Some(Chaos {
            seed: 11,
            per_mille: 400,
            kinds: vec![Kind::Html502, Kind::error(14)],
            verbs: vec![Verb::Get],
            first: 15,
        }));
        let mut client = Client::of(&simulator).await;
        for _ in 0..20 {
            client.get(ALICE).await;
        }
        let faults = simulator.journal().into_iter().map(|one| one.fault);
        stories.push(faults.collect::<Vec<_>>());
    }
    assert_eq!(stories[0], stories[1]);
    assert!(stories[0].iter().any(Option::is_some) && stories[0].iter().any(Option::is_none));
    assert!(stories[0][15..].iter().all(Option::is_none));

    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    let chaos = r#"{"seed":1,"perMille":1000,"kinds":[{"kind":"html502"}]}"#;
    let put = client.ask("PUT", "/_chaos", chaos).await.unwrap();
    assert_eq!(put.status, 204);
    assert_eq!(client.get(ALICE).await.status, 502);
    assert_eq!(client.get("/_chaos").await.json()["perMille"], 1000);
    client.ask("DELETE", "/_chaos", "").await.unwrap();
    assert_eq!(client.get(ALICE).await.status, 200);
}
