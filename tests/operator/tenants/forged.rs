//! A tenant whose role has all resources of the group, and with them the status of its objects: it forges the claim that the
//! operator trusts when it starts.

use rig::until;
use serde_json::json;

use super::platform::Platform;
use super::tenant::Tenant;
use super::{until_all_wait, wants_with};
use crate::clock::Clock;
use crate::other_namespace::claim;
use crate::stage::{LONG, Stage, Start};

/// The policy as it is shipped, bound for one namespace: the control plane is that of all tests.
async fn restrict_status(stage: &Stage, namespace: &str) {
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/policies/restrict-status.yaml"
    );
    let shipped = std::fs::read_to_string(shipped).unwrap();
    let all = "  validationActions: [Deny]\n";
    assert_eq!(shipped.matches(all).count(), 1);
    let selector = format!(
        "  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}\n"
    );
    let bound = shipped.replace(all, &format!("{all}{selector}"));
    let applied = stage.plane.apply_yaml(namespace, &bound).await;
    applied.unwrap();
}

/// Its objects are older than those of the platform, which is the best for them.
#[tokio::test]
async fn forged_claims_move_nothing_in_an_epoch_and_no_power_after_it() {
    let (mut clock, mut later) = (Clock::new(), Clock::new());
    let stage = Stage::set("platform").await;
    for (id, role) in [
        ("alice", "user"),
        ("ada", "admin"),
        ("cleo", "user"),
        ("zoe", "user"),
        ("root", "admin"),
    ] {
        stage.user(id, role);
    }
    let tenant = Tenant::with_all_resources(&stage).await;
    let platform = Platform::of(&stage);
    let start = clock.start(tenant.start(Start::default()));
    let operator = stage.operator_with(start).await;
    platform.holds("zoe", "inference-user").await;
    let users = ["alice", "ada", "cleo"];
    for user in users {
        let suspended = wants_with(user, "suspend", true);
        tenant.create_object(user, suspended).await;
        tenant.until_reason(user, "Suspended").await;
    }
    // Creation times are whole seconds.
    stage.until_sweeps(2).await;
    for (user, role) in [
        ("alice", "inference-user"),
        ("ada", "admin"),
        ("cleo", "custom"),
    ] {
        platform.holds(user, role).await;
        tenant.edit(user, json!({"suspend": false})).await;
    }
    until_all_wait(&mut clock, &tenant, &users).await;

    let forged = json!({"claim": "Held"});
    for user in users {
        tenant.forge(&stage, user, &forged).await;
    }
    for user in users {
        tenant.until_claim(user, "Waiting").await;
    }
    stage.until_sweeps(2).await;
    platform.assert_untouched();

    drop(operator);
    platform.gives_up("alice");
    for user in users {
        tenant.forge(&stage, user, &forged).await;
    }
    let start = later.start(tenant.start(Start::default()));
    let _operator = stage.operator_with(start).await;
    // As documented: who has the older of two recorded claims holds the user, without its power.
    let object = tenant.until_reason("alice", "InSync").await;
    assert_eq!(claim(&object), "Inherited");
    for user in ["ada", "cleo"] {
        tenant.annotate(user, "accept-claim", user).await;
        tenant.until_reason(user, "NamespaceNotAllowed").await;
        tenant.until_claim(user, "Held").await;
    }
    later.pass(super::RELEASED).await;
    stage.until_sweeps(2).await;
    platform.assert_untouched();

    restrict_status(&stage, tenant.namespace()).await;
    until(LONG, "the policy to be in force", async || {
        let (code, answer) = tenant.send_status("alice", &json!({})).await;
        let message = answer["message"].as_str().unwrap_or_default();
        if code == 403 && message.contains("only the operator writes the status") {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    let (code, answer) = tenant.send_status("ada", &forged).await;
    assert_eq!(code, 403, "{answer}");
    tenant.edit("alice", json!({"suspend": true})).await;
    tenant.until_reason("alice", "Suspended").await;
}
