//! Every fault, as a client meets it, and what the account and the journal show afterwards.

use std::{io, time::Duration};

use fireworks_gateway_simulator::{
    Entry, ErrorShape, Fault, Kind, Outcome, Settings, Simulator, User, Verb,
};
use serde_json::json;

use super::client::Client;

const ALICE: &str = "/v1/accounts/acme/users/alice";
const ADMIN: &str = r#"{"role":"admin"}"#;
/// Far more than anything here takes; only a failing test waits for it.
const LONG: Duration = Duration::from_secs(20);

fn simulator() -> Simulator {
    let simulator = Simulator::start(Settings::default()).unwrap();
    simulator.put_user(User::new("alice", "user"));
    simulator
}

fn role(simulator: &Simulator) -> String {
    simulator.user("alice").unwrap().role
}

#[tokio::test]
async fn an_error_has_the_code_status_and_shape_asked_for() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    simulator.add_fault(Fault::new(Kind::error(14)).on(Verb::Patch));
    let plain = client.patch(ALICE, ADMIN).await;
    assert_eq!((plain.status, &plain.json()["code"]), (503, &json!(14)));
    simulator.add_fault(Fault::new(Kind::Error {
        code: 99,
        status: Some(418),
        shape: ErrorShape::Wrapped,
        message: Some("odd".into()),
    }));
    let odd = client.patch(ALICE, ADMIN).await;
    assert_eq!(odd.status, 418);
    assert_eq!(
        odd.json(),
        json!({"error": {"code": 99, "message": "odd", "details": []}})
    );
    assert_eq!(role(&simulator), "user");
    assert_eq!(simulator.journal()[1].fault.as_deref(), Some("error"));
    assert_eq!(
        client.patch(ALICE, ADMIN).await.status,
        200,
        "both are used up"
    );
}

#[tokio::test]
async fn a_proxys_502_is_html() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::Html502));
    let reply = Client::of(&simulator).await.get(ALICE).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (502, Some("text/html"))
    );
}

#[tokio::test]
async fn a_throttled_answer_carries_any_text_as_its_wait() {
    let simulator = simulator();
    let mut client = Client::of(&simulator).await;
    for (seconds, millis) in [
        (Some("2"), None),
        (Some("a while, \u{fc}"), Some("-1")),
        (None, None),
    ] {
        simulator.add_fault(Fault::new(Kind::Throttle {
            retry_after: seconds.map(str::to_owned),
            retry_after_ms: millis.map(str::to_owned),
        }));
        let reply = client.get(ALICE).await;
        assert_eq!((reply.status, &reply.json()["code"]), (429, &json!(8)));
        assert_eq!(reply.header("retry-after"), seconds);
        assert_eq!(reply.header("retry-after-ms"), millis);
    }
}

#[tokio::test]
async fn a_reset_before_applying_changes_nothing_and_one_after_applying_everything() {
    let simulator = simulator();
    for (kind, expected) in [
        (Kind::DropBeforeApply, "user"),
        (Kind::ApplyThenDrop, "admin"),
    ] {
        simulator.add_fault(Fault::new(kind).on(Verb::Patch).of("alice"));
        let mut client = Client::of(&simulator).await;
        let error = client.ask("PATCH", ALICE, ADMIN).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(role(&simulator), expected);
        let entry = simulator.journal().pop().unwrap();
        assert_eq!((entry.outcome, entry.status), (Outcome::Dropped, None));
        assert_eq!(entry.changes.len(), usize::from(expected == "admin"));
    }
    assert_eq!(Client::of(&simulator).await.get(ALICE).await.status, 200);
}

#[tokio::test]
async fn a_hanging_call_goes_on_when_its_fault_is_removed_and_delays_no_other() {
    let simulator = simulator();
    let fault = simulator.add_fault(
        Fault::new(Kind::Hang { applied: false })
            .on(Verb::Patch)
            .always(),
    );
    let mut hanging = Client::of(&simulator).await;
    hanging.send("PATCH", ALICE, ADMIN).await.unwrap();
    assert!(
        simulator
            .journal_until(LONG, |entries| entries.len() == 1)
            .await
    );
    assert_eq!(Client::of(&simulator).await.get(ALICE).await.status, 200);
    assert_eq!(simulator.journal()[0].outcome, Outcome::Pending);
    assert_eq!(role(&simulator), "user");
    assert!(simulator.remove_fault(fault));
    assert_eq!(hanging.receive().await.unwrap().status, 200);
    assert_eq!(role(&simulator), "admin");
}

#[tokio::test]
async fn a_hanging_client_that_goes_away_is_noticed_and_nothing_is_applied() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::Hang { applied: false }).on(Verb::Patch));
    let mut hanging = Client::of(&simulator).await;
    hanging.send("PATCH", ALICE, ADMIN).await.unwrap();
    assert!(
        simulator
            .journal_until(LONG, |entries| entries.len() == 1)
            .await
    );
    drop(hanging);
    let gone = |entries: &[Entry]| entries[0].outcome == Outcome::ClientGone;
    assert!(simulator.journal_until(LONG, gone).await);
    simulator.clear_faults();
    assert_eq!(role(&simulator), "user");
}

#[tokio::test]
async fn only_the_reply_hangs_where_asked() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::Hang { applied: true }).on(Verb::Patch));
    let mut hanging = Client::of(&simulator).await;
    hanging.send("PATCH", ALICE, ADMIN).await.unwrap();
    let applied = |entries: &[Entry]| {
        entries
            .first()
            .is_some_and(|entry| !entry.changes.is_empty())
    };
    assert!(simulator.journal_until(LONG, applied).await);
    let seen = Client::of(&simulator).await.get(ALICE).await.json();
    assert_eq!(seen["role"], "admin");
    assert_eq!(simulator.journal()[0].outcome, Outcome::Pending);
}

#[tokio::test]
async fn a_stuck_user_is_updating_until_its_state_is_edited() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::StuckUpdating { for_ms: None }));
    let mut client = Client::of(&simulator).await;
    assert_eq!(
        client.get(ALICE).await.json()["state"],
        "READY",
        "reads are not for this fault"
    );
    assert_eq!(client.patch(ALICE, ADMIN).await.json()["state"], "UPDATING");
    assert_eq!(client.get(ALICE).await.json()["state"], "UPDATING");
    assert!(simulator.edit_user("alice", |user| user.state = "READY".into()));
    assert_eq!(client.get(ALICE).await.json()["state"], "READY");
}

#[tokio::test]
async fn lagging_reads_show_the_old_role_while_the_answer_showed_the_new_one() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::ReplicaLag { for_ms: 3_600_000 }));
    let mut client = Client::of(&simulator).await;
    assert_eq!(client.patch(ALICE, ADMIN).await.json()["role"], "admin");
    assert_eq!(client.get(ALICE).await.json()["role"], "user");
    let list = client.get("/v1/accounts/acme/users").await.json();
    assert_eq!(list["users"][0]["role"], "user");
    assert_eq!(role(&simulator), "admin");
}

#[tokio::test]
async fn a_delayed_call_is_answered_no_sooner() {
    let simulator = simulator();
    simulator.add_fault(Fault::new(Kind::Delay { ms: 50 }));
    simulator.set_latency(Duration::from_millis(30));
    assert_eq!(Client::of(&simulator).await.get(ALICE).await.status, 200);
    let entry = simulator.journal().remove(0);
    assert!(entry.answered_ms.unwrap() - entry.received_ms >= 80);
}
