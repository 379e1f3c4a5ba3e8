//! Lists with a row that no JSON writer makes: the other rows are read, drift is reverted, and no user counts as absent.

use fireworks_gateway_simulator::{Fault, Kind, RawBody, User, Verb};

use crate::stage::{Stage, ready};
use crate::witness::Running;

/// A stage with an object in sync, and another user whose display name becomes `broken` in each list.
async fn beside(prefix: &str, broken: RawBody) -> (Stage, Running) {
    let stage = Stage::set(prefix).await;
    stage.user("alice", "user");
    // Without another admin the guard of the last admin would keep what drift made of alice.
    stage.user("root", "admin");
    let other = User::new("bob", "user").display_name("ODD");
    stage.gateway.put_user(other);
    let operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let from = "\"ODD\"".to_owned();
    let replaced = Kind::Replaced { from, to: broken };
    stage
        .gateway
        .add_fault(Fault::new(replaced).on(Verb::List).always());
    (stage, operator)
}

async fn assert_drift_is_reverted(stage: &Stage) {
    stage
        .gateway
        .edit_user("alice", |user| user.role = "admin".into());
    stage.until_event("alice", "DriftCorrected").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    stage.until_sweeps(2).await;
    let alice = stage.until_ready("alice").await;
    assert_eq!(ready(&alice)["reason"], "InSync");
}

#[tokio::test]
async fn half_a_surrogate_pair_in_another_row_hides_no_drift() {
    let broken = RawBody::Text("\"Bob \\ud83d\"".to_owned());
    let (stage, _operator) = beside("half-pair", broken).await;
    assert_drift_is_reverted(&stage).await;
}

#[tokio::test]
async fn a_bad_byte_in_another_row_hides_no_drift() {
    let broken = RawBody::Bytes(b"\"Bob \xff\"".to_vec());
    let (stage, _operator) = beside("bad-byte", broken).await;
    assert_drift_is_reverted(&stage).await;
}

/// Bob's row cannot be used: his object stays as it was, and is not `UserNotFound`.
#[tokio::test]
async fn a_malformed_row_is_not_taken_for_absence() {
    let broken = RawBody::Text("1e999".to_owned());
    let (stage, _operator) = beside("no-row", broken).await;
    stage.apply("bob", "{role: user}").await;
    stage.until_ready("bob").await;
    let mark = stage.mark();
    stage.until_sweeps(4).await;
    assert!(stage.reasons_written(mark, "bob").is_empty());
    assert_drift_is_reverted(&stage).await;
}
