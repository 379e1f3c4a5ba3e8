//! Audit records of a running operator: one before and one after each change that is sent to Fireworks.

use fireworks_gateway_simulator::{Fault, Kind, User, Verb};
use rig::until;
use serde_json::{Value, json};

use crate::stage::{LONG, Stage};
use crate::witness::Running;

/// The audit records so far, once there are `count`.
async fn records(operator: &Running, count: usize) -> Vec<Value> {
    let found = until(LONG, "audit records", async || {
        let mut records = operator.log_entries();
        records.retain(|entry| entry["target"] == "audit");
        if records.len() >= count {
            Ok(records)
        } else {
            Err(operator.logs())
        }
    });
    found.await.unwrap_or_else(|late| panic!("{late}"))
}

/// A spec change, a repair of drift and a refusal each leave two records that name who asked, what and the outcome.
#[tokio::test]
async fn each_change_leaves_a_record_before_and_after() {
    let stage = Stage::set("audit").await;
    stage.gateway.put_user(
        User::new("alice", "user")
            .email("alice.mail@people.example")
            .display_name("Alice"),
    );
    let operator = stage.operator().await;
    stage
        .apply(
            "alice",
            "{role: custom, permissionPreset: agent, displayName: Alice Liddell}",
        )
        .await;
    let object = stage.until_ready("alice").await;
    let found = records(&operator, 2).await;
    let key = format!("{}/alice", stage.namespace);
    for (record, outcome) in found.iter().zip([Value::Null, json!("applied")]) {
        for (field, expected) in [
            ("object", json!(key)),
            ("uid", object["metadata"]["uid"].clone()),
            ("generation", json!(1)),
            ("cause", json!("spec")),
            ("user", json!("alice")),
            ("role_before", json!("user")),
            ("role_after", json!("custom")),
            ("preset_after", json!("agent")),
            ("display_name", json!("changed")),
            ("attempt", json!(1)),
            ("outcome", outcome),
        ] {
            assert_eq!(record[field], expected, "{field} of {record}");
        }
        assert!(record["spec_manager"].is_string(), "{record}");
        assert!(record["remote_update_time"].is_string(), "{record}");
        assert!(!record.to_string().contains("Alice"), "{record}");
    }
    assert!(found[0]["remote_update_time"].as_str() < found[1]["remote_update_time"].as_str());

    let edited = |user: &mut User| "contributor".clone_into(&mut user.role);
    assert!(stage.gateway.edit_user("alice", edited));
    let drift = records(&operator, 4).await;
    assert_eq!(drift[3]["cause"], "drift", "{}", drift[3]);
    assert_eq!(drift[3]["role_before"], "contributor", "{}", drift[3]);

    stage.until_ready("alice").await;
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(3)).on(Verb::Patch).always());
    stage
        .apply("alice", "{role: custom, permissionPreset: other}")
        .await;
    stage.until_reason("alice", "Rejected").await;
    let refused = records(&operator, 6).await;
    assert_eq!(refused[5]["outcome"], "refused", "{}", refused[5]);
    assert_eq!(refused[5]["preset_after"], "agent", "{}", refused[5]);
}
