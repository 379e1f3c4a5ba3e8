//! Guards that only a person lifts: an unknown role, and a service account that the object does not declare.

use fireworks_gateway_simulator::User;

use crate::stage::{Stage, condition, ready};

const REPLACE: &str = "iam.fireworks.ai/replace-unknown-role";

#[tokio::test]
async fn unknown_role_is_protected_stalled_until_the_annotation_names_it() {
    let stage = Stage::set("unknownrole").await;
    stage.user("alice", "owner");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    let object = stage.until_reason("alice", "Protected").await;
    assert_eq!(object["status"]["guard"], "unknown-role");
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    stage.until_event("alice", "Protected").await;
    let annotate = async |role: &str| {
        let value = format!("{REPLACE}={role}");
        let args = ["annotate", "fwuser", "alice", &value, "--overwrite"];
        stage.kubectl(&args).await.unwrap();
    };
    annotate("proprietor").await;
    stage.until_sweeps(2).await;
    assert!(stage.patches("alice").is_empty());
    annotate("owner").await;
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"].get("guard"), None);
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
}

#[tokio::test]
async fn service_account_is_protected_stalled_until_the_object_declares_it() {
    let stage = Stage::set("serviceaccount").await;
    stage
        .gateway
        .put_user(User::new("robot", "user").service_account());
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    // robot's fields match, alice's do not.
    stage.apply("robot", "{role: user}").await;
    stage
        .apply("alice", "{role: contributor, serviceAccount: true}")
        .await;
    for name in ["robot", "alice"] {
        let object = stage.until_reason(name, "Protected").await;
        assert_eq!(object["status"]["guard"], "service-account");
        assert_eq!(ready(&object)["status"], "False");
        assert_eq!(condition(&object, "Stalled")["status"], "True");
    }
    stage.until_sweeps(2).await;
    assert!(stage.all_patches().is_empty());
    stage
        .apply("robot", "{role: contributor, serviceAccount: true}")
        .await;
    stage.apply("alice", "{role: contributor}").await;
    for name in ["robot", "alice"] {
        stage.until_ready(name).await;
        assert_eq!(stage.patches(name).len(), 1);
        assert_eq!(stage.gateway.user(name).unwrap().role, "contributor");
    }
    assert!(stage.gateway.user("robot").unwrap().service_account);
}
