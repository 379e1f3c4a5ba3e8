//! The last admin: who counts as one, hand-overs, and two operators on one account.

use std::sync::Arc;

use fireworks_gateway_simulator::{Fault, Kind, User, Verb};
use rig::until;
use serde_json::Value;

use crate::stage::{LONG, Stage, Start, brief, condition, manifest, ready};
use crate::witness::Running;

/// ada hands the last admin role to dave in one commit. Flux and helm give up at the first Stalled, so the wait for dave's
/// PATCH is never reported as one.
#[tokio::test]
async fn hand_over_of_the_last_admin_never_shows_a_hold() {
    let stage = Stage::set("handover").await;
    stage.user("ada", "admin");
    stage.user("dave", "user");
    let both = |ada: &str, dave: &str| {
        let specs = [("ada", ada), ("dave", dave)];
        specs
            .map(|(name, role)| manifest(name, &format!("{{role: {role}}}")))
            .join("---\n")
    };
    let _operator = stage.operator().await;
    stage.apply_all(&both("admin", "user")).await;
    stage.until_all_ready().await;
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 600 }).on(Verb::Patch).always());
    let mark = stage.mark();
    stage.apply_all(&both("user", "admin")).await;
    stage.until_ready("dave").await;
    stage.until_ready("ada").await;
    assert_eq!(stage.reasons_written(mark, "ada"), ["InSync"]);
    assert_eq!(stage.reasons_written(mark, "dave"), ["InSync"]);
    assert_eq!(stage.gateway.user("ada").unwrap().role, "user");
    assert_eq!(stage.gateway.user("dave").unwrap().role, "admin");
}

/// Two releases on one account, each for a namespace of its own, demote one of two admins at the same moment: neither can
/// know of the other's PATCH before it has sent its own.
#[tokio::test]
async fn two_operators_that_demote_both_admins_leave_one() {
    let stage = Stage::set("tworeleases").await;
    let other = stage.plane.create_namespace("tworeleases").await.unwrap();
    stage.user("ann", "admin");
    stage.user("bea", "admin");
    let elsewhere = Start {
        namespace: Some(other.clone()),
        ..Start::default()
    };
    let operators: [Arc<Running>; 2] = [
        Arc::new(stage.operator().await),
        Arc::new(stage.operator_with(elsewhere).await),
    ];
    let apply = async |role: &str| {
        let spec = format!("{{role: {role}}}");
        let [ann, bea] = ["ann", "bea"].map(|name| manifest(name, &spec));
        stage
            .plane
            .apply_yaml(&stage.namespace, &ann)
            .await
            .unwrap();
        stage.plane.apply_yaml(&other, &bea).await.unwrap();
    };
    apply("admin").await;
    stage.until_ready("ann").await;
    // Both demotions are sent before either takes effect.
    stage.gateway.add_fault(
        Fault::new(Kind::Delay { ms: 3_000 })
            .on(Verb::Patch)
            .always(),
    );
    apply("user").await;
    let demotions = || {
        let all = stage.all_patches().into_iter();
        all.filter(|one| one.body.as_ref().is_some_and(|body| body["role"] == "user"))
            .count()
    };
    stage
        .until_journal("two demotions", |_| demotions() == 2)
        .await;
    let restored = until(LONG, "an admin again", async || {
        let metrics = operators[0].admin_get("/metrics").await;
        let (_, metrics) = metrics.map_err(|error| error.to_string())?;
        let stopped = "fireworks_user_operator_demotions_stopped 1";
        let is_stopped = metrics.lines().any(|line| line == stopped);
        let admins = stage.gateway.users();
        let admins = admins.iter().filter(|user| user.role == "admin").count();
        if is_stopped && admins > 0 {
            Ok(())
        } else {
            Err(format!("{admins} admins, stopped: {is_stopped}"))
        }
    });
    restored
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}: {:#?}", brief(&stage.gateway.journal())));
    let object = stage.until_reason("ann", "Protected").await;
    assert_eq!(object["status"]["guard"], "last-admin");
    assert_eq!(ready(&object)["status"], "Unknown");
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    stage.until_event("ann", "Protected").await;
    stage.until_sweeps(4).await;
    assert_eq!(demotions(), 2, "no admin is demoted again");
    let counted = |user: &User| user.role == "admin" && !user.service_account;
    assert!(stage.gateway.users().iter().any(counted));
    let mut repairs = operators[0].log_entries();
    repairs.extend(operators[1].log_entries());
    repairs.retain(|entry| entry["target"] == "audit" && entry["cause"] == "repair");
    let mut applied = repairs.iter().filter(|entry| entry["outcome"] == "applied");
    let record = applied.next().unwrap_or_else(|| panic!("{repairs:#?}"));
    let roles = [&record["role_before"], &record["role_after"]];
    assert_eq!(roles, ["user", "admin"], "{record}");
    assert_eq!(record["object"], Value::Null, "{record}");
}

/// The only person among the admins stays, whatever else has that role.
#[tokio::test]
async fn last_admin_is_not_replaced_by_a_service_account() {
    let stage = Stage::set("counted").await;
    stage.user("ada", "admin");
    stage
        .gateway
        .put_user(User::new("robot", "admin").service_account());
    stage
        .gateway
        .put_user(User::new("broken", "admin").status("INTERNAL", "no sign-in"));
    let _operator = stage.operator().await;
    stage.apply("ada", "{role: user}").await;
    let object = stage.until_reason("ada", "Protected").await;
    assert_eq!(object["status"]["guard"], "last-admin");
    stage
        .apply("robot", "{role: user, serviceAccount: true}")
        .await;
    stage.until_ready("robot").await;
    stage.until_sweeps(2).await;
    assert!(stage.patches("ada").is_empty());
    stage.user("dave", "admin");
    stage.until_ready("ada").await;
}
