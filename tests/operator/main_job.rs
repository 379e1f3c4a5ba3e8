//! The main job: what a manifest says is what the account becomes, at the least cost.

use serde_json::json;

use crate::stage::{Stage, ready};

#[tokio::test]
async fn a_declared_role_becomes_the_remote_role_with_one_patch_and_one_status_write() {
    let stage = Stage::set("job").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    let object = stage.until_ready("alice").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].body, Some(json!({"role": "contributor"})));
    assert_eq!(stage.status_writes(mark).len(), 1);
    assert_eq!(object["status"]["state"], "READY");
    assert_eq!(object["status"]["name"], "accounts/acme/users/alice");
    assert_eq!(ready(&object)["reason"], "InSync");
}
