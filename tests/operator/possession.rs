//! A tenant of a shared cluster declares users that the platform declares, too: it must neither take them over nor change
//! them, whatever happens to the platform's objects and to the operator.

use fireworks_gateway_simulator::{User, Verb};
use rig::until;
use serde_json::json;

use crate::api_server::until_ready_in;
use crate::clock::Clock;
use crate::counts::Time;
use crate::other_namespace::{Namespace, claim};
use crate::stage::{LONG, Stage, Start, brief, condition, ready};
use crate::witness::Running;

const ACCEPT: &str = "iam.fireworks.ai/accept-claim";

#[tokio::test]
async fn a_tenant_does_not_take_over_a_user_whose_object_is_created_again() {
    let stage = Stage::set("platform").await;
    stage.user("alice", "user");
    let tenant = Namespace::create(&stage, "tenant").await;
    stage.apply("alice", "{role: contributor}").await;
    let time = Time::new();
    let _operator = stage.operator_with(tenant.start(time.start())).await;
    let object = stage.until_ready("alice").await;
    assert_eq!(claim(&object), "Held");
    tenant
        .apply("alice", "{role: custom, permissionPreset: agent}")
        .await;
    let object = tenant.until_reason("alice", "TakingOver").await;
    assert_eq!(claim(&object), "Waiting");
    // Of another namespace only that much is shown.
    let message = ready(&object)["message"].as_str().unwrap();
    assert!(!message.contains(&stage.namespace), "{message}");

    stage.delete("alice").await;
    stage.until_sweeps(2).await;
    stage.apply("alice", "{role: inference-user}").await;
    let object = stage.until_ready("alice").await;
    assert_eq!(claim(&object), "Held");
    time.hurry(60);
    let object = tenant.until_reason("alice", "Conflict").await;
    assert_eq!(claim(&object), "Waiting");
    let roles = stage.patches("alice").into_iter().map(|patch| patch.body);
    let roles: Vec<_> = roles.flatten().map(|body| body["role"].clone()).collect();
    assert_eq!(roles, ["contributor", "inference-user"]);
}

#[tokio::test]
async fn inherited_power_is_held_until_accept_claim_names_the_user() {
    let stage = Stage::set("platform").await;
    stage.user("alice", "user");
    let tenant = Namespace::create(&stage, "tenant").await;
    stage.apply("alice", "{role: contributor}").await;
    let time = Time::new();
    let operator = stage.operator_with(tenant.start(time.start())).await;
    stage.until_ready("alice").await;
    tenant.apply("heir", "{userId: ALICE, role: user}").await;
    stage.gateway.put_user(User::new("ALICE", "user"));
    tenant.until_reason("heir", "TakingOver").await;
    tenant.kubectl(&["delete", "fwuser", "heir"]).await;
    tenant
        .apply("alice", "{role: custom, permissionPreset: agent}")
        .await;
    tenant.until_reason("alice", "TakingOver").await;
    stage.delete("alice").await;
    stage.until_sweeps(2).await;
    time.hurry(60);
    let held = async || {
        let object = tenant.until_reason("alice", "Protected").await;
        assert_eq!(object["status"]["guard"], "inherited-power");
        assert_eq!(claim(&object), "Inherited");
        assert_eq!(ready(&object)["status"], "False");
        assert_eq!(condition(&object, "Stalled")["status"], "True");
    };
    held().await;
    // Neither an edit of the spec nor a restart lifts it.
    tenant
        .apply("alice", "{role: custom, permissionPreset: other}")
        .await;
    drop(operator);
    let _operator = stage.operator_with(tenant.start(Start::default())).await;
    stage.until_sweeps(2).await;
    held().await;
    assert_eq!(stage.patches("alice").len(), 1);

    let accept = |id: &str| format!("{ACCEPT}={id}");
    tenant
        .kubectl(&["annotate", "fwuser", "alice", &accept("bob")])
        .await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.patches("alice").len(), 1);
    let args = [
        "annotate",
        "fwuser",
        "alice",
        "--overwrite",
        &accept("alice"),
    ];
    tenant.kubectl(&args).await;
    let object = until_ready_in(stage.plane, &tenant.namespace, "alice").await;
    assert_eq!(claim(&object), "Held");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "custom");
}

#[tokio::test]
async fn a_restart_leaves_the_user_with_its_holder() {
    let stage = Stage::set("platform").await;
    stage.user("alice", "user");
    let tenant = Namespace::create(&stage, "tenant").await;
    tenant.apply("alice", "{role: contributor}").await;
    let operator = stage.operator_with(tenant.start(Start::default())).await;
    until_ready_in(stage.plane, &tenant.namespace, "alice").await;
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_reason("alice", "TakingOver").await;
    // The holder suspends its object, which makes it no less the holder.
    let suspended = json!({"spec": {"suspend": true}}).to_string();
    let args = ["patch", "fwuser", "alice", "--type=merge", "-p", &suspended];
    tenant.kubectl(&args).await;
    tenant.until_reason("alice", "Suspended").await;
    drop(operator);
    let mark = stage.mark();
    let _operator = stage.operator_with(tenant.start(Start::default())).await;
    stage.until_sweeps(3).await;
    assert_eq!(stage.writes(mark), Vec::new());
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    tenant.kubectl(&["delete", "fwuser", "alice"]).await;
    stage
        .until_object("alice", "to wait for the user", |object| {
            claim(object) == "Waiting"
        })
        .await;
}

/// Waits until that number of objects report one of these reasons, by a metric: it is far less to read than the objects.
async fn until_waiting(operator: &Running, reasons: &[&str], expected: usize) {
    let number = |line: &str| {
        let is_meant = |reason: &&str| line.contains(&format!("reason=\"{reason}\"}}"));
        let is_meant = line.contains("_objects{") && reasons.iter().any(is_meant);
        let value = line.rsplit(' ').next().filter(|_| is_meant)?;
        value.parse::<usize>().ok()
    };
    let what = format!("{expected} objects to be {reasons:?}");
    until(LONG * 5, &what, async || {
        let metrics = operator.admin_get("/metrics").await;
        let (_, text) = metrics.map_err(|error| error.to_string())?;
        match text.lines().filter_map(number).sum::<usize>() {
            count if count == expected => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

#[tokio::test]
async fn four_thousand_claims_on_one_user_cost_its_holder_nothing() {
    const CLAIMS: usize = 4_000;
    let stage = Stage::set("tenant").await;
    let platform = Namespace::create(&stage, "platform").await;
    stage.user("alice", "user");
    platform.apply("alice", "{role: contributor}").await;
    let mut clock = Clock::new();
    let start = clock.start(platform.start(Start::default()));
    let operator = stage.operator_with(start).await;
    until_ready_in(stage.plane, &platform.namespace, "alice").await;
    let names: Vec<_> = (0..CLAIMS)
        .map(|number| format!("claim-{number}"))
        .collect();
    stage
        .create_all(&names, &json!({"role": "user", "userId": "alice"}))
        .await;
    until_waiting(&operator, &["TakingOver", "Conflict"], CLAIMS).await;
    clock.pass(60).await;
    until_waiting(&operator, &["Conflict"], CLAIMS).await;

    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());
    platform.apply("alice", "{role: inference-user}").await;
    platform
        .until("alice", "the edit to be applied", |object| {
            object["status"]["role"] == "inference-user" && ready(object)["reason"] == "InSync"
        })
        .await;
    let calls = stage.calls_since(seq);
    let patch = calls.iter().position(|call| call.verb == Verb::Patch);
    assert!(
        patch.is_some_and(|before| before <= 2),
        "{:#?}",
        brief(&calls)
    );
    stage.until_sweeps(3).await;
    let writes = stage.status_writes(mark).len();
    assert!(writes <= 20, "{writes} status writes");
    assert_eq!(stage.patches("alice").len(), 2);
}
