//! The way to the API server misbehaves: events come late, in part or not at all, and replies are lost. The
//! operator decides by what is true now, and changes nothing twice.

use fireworks_gateway_simulator::{Entry, User};
use rig::control_plane::OPERATOR_USER;
use rig::{KubeFault, KubeProxy, Requests, until};
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start, ready};

/// A stage with a fault proxy before its API server.
pub async fn behind_proxy(prefix: &str) -> (Stage, KubeProxy) {
    let stage = Stage::set(prefix).await;
    let proxy = KubeProxy::start(stage.plane).expect("a proxy");
    (stage, proxy)
}

/// An operator that reaches the API server through the proxy.
pub fn through(proxy: &KubeProxy) -> Start {
    Start {
        kubeconfig: Some(proxy.kubeconfig()),
        ..Start::default()
    }
}

pub fn watches() -> Requests {
    Requests::any().verb("watch").of("fireworksusers")
}

pub fn reads() -> Requests {
    Requests::any().verb("get").of("fireworksusers")
}

/// Lists of one object, by which versions are compared, and of pages.
pub fn lists() -> Requests {
    Requests::any().verb("list").of("fireworksusers")
}

/// Lists of everything, which go on as a watch.
pub fn whole_lists() -> Requests {
    Requests::any().streamed_lists().of("fireworksusers")
}

pub fn status_patches() -> Requests {
    Requests::any().verb("patch").of("fireworksusers/status")
}

/// Whether it was asked to set that role.
fn sets(role: &str) -> impl Fn(&Entry) -> bool {
    move |entry| entry.body.as_ref().is_some_and(|body| body["role"] == role)
}

/// Another actor takes the user's role away at Fireworks: the operator, whose cache is old, would give it back.
fn take_away(stage: &Stage, name: &str) {
    let edit = |user: &mut User| user.role = "user".into();
    assert!(stage.gateway.edit_user(name, edit));
}

/// The object had the power and loses it, once its watch is held, by `lose`; the user loses it too.
async fn power_is_not_given_back(spec: &str, role: &str, lose: impl AsyncFnOnce(&Stage)) {
    let (stage, proxy) = behind_proxy("stale").await;
    stage.user("alice", "user");
    stage.user("bob", "admin");
    let _operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", spec).await;
    stage.until_ready("alice").await;
    let before = stage.gateway.last_seq();
    let given = stage.patches("alice").len();
    let read = proxy.seen(&reads());

    let held = proxy.fault(watches(), KubeFault::Hold);
    held.until_met(LONG, 1).await.unwrap();
    lose(&stage).await;
    take_away(&stage, "alice");
    // It is seen to differ from the old spec, and looked at again before anything is sent.
    let what = "the object to be read again";
    until(LONG, what, async || match proxy.seen(&reads()) {
        seen if seen > read => Ok(()),
        seen => Err(seen),
    })
    .await
    .unwrap();
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), given, "acted on what is over");

    held.heal();
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["role"], "user");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    let after = stage.patches_since(before, "alice");
    assert!(!after.iter().any(sets(role)), "{after:#?}");
}

#[tokio::test]
async fn an_admin_that_was_taken_back_unseen_is_not_made() {
    power_is_not_given_back("{role: admin}", "admin", async |stage| {
        stage.apply("alice", "{role: user}").await;
    })
    .await;
}

#[tokio::test]
async fn a_custom_role_that_was_taken_back_unseen_is_not_given() {
    let spec = "{role: custom, permissionPreset: agent}";
    power_is_not_given_back(spec, "custom", async |stage| {
        let less = json!({"spec": {"role": "user", "permissionPreset": null}});
        stage.merge("alice", &less).await;
    })
    .await;
}

#[tokio::test]
async fn an_admin_whose_object_was_replaced_unseen_is_not_made() {
    power_is_not_given_back("{role: admin}", "admin", async |stage| {
        stage.delete("alice").await;
        // Of the same generation as the one before.
        stage.apply("alice", "{role: user}").await;
    })
    .await;
}

/// Everything on the way to the API server is lost, in both directions.
#[tokio::test]
async fn no_user_is_changed_behind_a_partition() {
    let (stage, proxy) = behind_proxy("partition").await;
    stage.user("alice", "user");
    stage.user("root", "admin");
    let _operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let lost = proxy.fault(Requests::any(), KubeFault::BlackHole);
    let made_admin = |user: &mut User| user.role = "admin".into();
    assert!(stage.gateway.edit_user("alice", made_admin));
    stage.until_sweeps(4).await;
    assert_eq!(stage.all_patches().len(), 0, "acted on what may be old");
    lost.heal();
    let demoted = |entries: &[Entry]| entries.iter().any(sets("user"));
    stage.until_journal("the repair", demoted).await;
    stage.until_ready("alice").await;
}

/// The watch is torn and the API server answers: what a re-read shows counts as if the watch had brought it.
#[tokio::test]
async fn a_spec_that_a_re_read_shows_is_planned_at_once() {
    let (stage, proxy) = behind_proxy("newer").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let held = proxy.fault(watches(), KubeFault::Hold);
    held.until_met(LONG, 1).await.unwrap();
    stage.apply("alice", "{role: contributor}").await;
    let drifted = |user: &mut User| user.role = "inference-user".into();
    assert!(stage.gateway.edit_user("alice", drifted));
    let object = stage.until_ready("alice").await;
    assert_eq!(object["metadata"]["generation"], 2);
    let bodies = stage
        .patches("alice")
        .into_iter()
        .filter_map(|one| one.body);
    let roles: Vec<_> = bodies.map(|body| body["role"].clone()).collect();
    assert_eq!(roles, ["contributor"]);
    held.heal();
}

#[tokio::test]
async fn an_admin_that_is_taken_back_while_the_object_is_read_again_is_not_made() {
    let (stage, proxy) = behind_proxy("stale").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let held = proxy.fault(reads(), KubeFault::Hold);
    stage.apply("alice", "{role: admin}").await;
    held.until_met(LONG, 1).await.unwrap();
    stage.apply("alice", "{role: user}").await;
    held.heal();
    let object = stage.until_ready("alice").await;
    assert_eq!(object["metadata"]["generation"], 3);
    assert_eq!(stage.all_patches().len(), 0);
}

#[tokio::test]
async fn a_change_that_is_seen_late_with_its_end_ends_where_it_began() {
    let (stage, proxy) = behind_proxy("edge").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let mark = stage.mark();
    let held = proxy.fault(watches(), KubeFault::Hold);
    held.until_met(LONG, 1).await.unwrap();
    stage.apply("alice", "{role: contributor}").await;
    stage.apply("alice", "{role: user}").await;
    held.heal();
    let object = stage.until_ready("alice").await;
    assert_eq!(object["metadata"]["generation"], 3);
    stage.until_sweeps(2).await;
    let patches = stage.all_patches();
    // The two events came at once: at most what was asked for in between was still trusted for a moment.
    assert!(patches.len() <= 2, "{patches:#?}");
    assert_eq!(patches.len() % 2, 0, "{patches:#?}");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    assert!(stage.status_writes(mark).len() <= 3);
}

#[tokio::test]
async fn a_change_that_was_taken_back_while_the_watch_was_torn_costs_nothing() {
    let (stage, proxy) = behind_proxy("edge").await;
    stage.user("alice", "user");
    let operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let mark = stage.mark();
    let held = proxy.fault(watches(), KubeFault::Hold);
    held.until_met(LONG, 1).await.unwrap();
    stage.apply("alice", "{role: contributor}").await;
    stage.apply("alice", "{role: user}").await;
    // A watch from here on delivers the last version only.
    drop(operator);
    held.heal();
    let _operator = stage.operator_with(through(&proxy)).await;
    let object = stage.until_ready("alice").await;
    assert_eq!(object["metadata"]["generation"], 3);
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 0);
    assert_eq!(stage.status_writes(mark).len(), 1);
}

#[tokio::test]
async fn a_status_about_an_object_that_was_replaced_is_not_written_to_its_successor() {
    let (stage, proxy) = behind_proxy("newuid").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    let mark = stage.mark();
    let held = proxy.fault_once(status_patches(), KubeFault::Hold);
    stage.apply("alice", "{role: contributor}").await;
    held.until_met(LONG, 1).await.unwrap();
    let old = stage.object("alice").await;
    stage.delete("alice").await;
    stage.apply("alice", "{role: inference-user}").await;
    held.heal();
    let new = stage.until_ready("alice").await;
    assert_ne!(old["metadata"]["uid"], new["metadata"]["uid"]);
    assert_eq!(new["status"]["role"], "inference-user");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "inference-user");
    let writes = stage.status_writes(mark);
    let codes: Vec<_> = writes.iter().map(|write| write.code).collect();
    assert!(matches!(codes[0], 404 | 409), "{codes:?}");
    let roles = |entry: &Entry| entry.body.clone().unwrap()["role"].clone();
    let roles: Vec<Value> = stage.all_patches().iter().map(roles).collect();
    assert_eq!(roles, ["contributor", "inference-user"]);
}

#[tokio::test]
async fn a_status_write_whose_reply_is_lost_changes_nothing_twice() {
    let (stage, proxy) = behind_proxy("lostreply").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    let mark = stage.mark();
    let lost = proxy.fault_once(status_patches(), KubeFault::DropAfter);
    stage.apply("alice", "{role: contributor}").await;
    lost.until_met(LONG, 1).await.unwrap();
    let object = stage.until_ready("alice").await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 1);
    let written = |write: &rig::Request| write.code == 200;
    let taken = stage.status_writes(mark);
    assert_eq!(taken.into_iter().filter(written).count(), 1);
    let now = stage.object("alice").await;
    assert_eq!(
        now["metadata"]["resourceVersion"],
        object["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn a_status_write_that_never_arrived_is_made_again() {
    let (stage, proxy) = behind_proxy("lostcall").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    let lost = proxy.fault_once(status_patches(), KubeFault::DropBefore);
    stage.apply("alice", "{role: contributor}").await;
    lost.until_met(LONG, 1).await.unwrap();
    stage.until_ready("alice").await;
    assert_eq!(stage.all_patches().len(), 1);
}

/// The watch ends that way, again and again, and every time something happens before it is taken up.
async fn a_watch_that_ends_is_taken_up(end: KubeFault) {
    let (stage, proxy) = behind_proxy("watchend").await;
    for name in ["alice", "bob", "carl"] {
        stage.user(name, "user");
    }
    let operator = stage.operator_with(through(&proxy)).await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    for (name, role) in [("bob", "contributor"), ("carl", "inference-user")] {
        let begun = proxy.seen(&watches());
        let ended = proxy.fault_once(watches(), end);
        ended.until_met(LONG, 1).await.unwrap();
        stage.apply(name, &format!("{{role: {role}}}")).await;
        stage.until_ready(name).await;
        assert!(proxy.seen(&watches()) > begun);
    }
    assert_eq!(stage.all_patches().len(), 3);
    // It went on where it had ended.
    assert_eq!(proxy.seen(&whole_lists()), 1);
    let of_operator = Requests::any().by(OPERATOR_USER).verb("list");
    assert!(stage.plane.audit().unwrap().count(&of_operator) >= 1);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_watch_whose_time_is_over_is_taken_up_where_it_ended() {
    a_watch_that_ends_is_taken_up(KubeFault::End).await;
}

#[tokio::test]
async fn a_watch_that_is_torn_off_is_taken_up_where_it_ended() {
    a_watch_that_ends_is_taken_up(KubeFault::Cut).await;
}

#[tokio::test]
async fn a_slow_api_server_delays_and_nothing_else() {
    let (stage, proxy) = behind_proxy("slowapi").await;
    stage.user("alice", "user");
    let _operator = stage.operator_with(through(&proxy)).await;
    let wait = std::time::Duration::from_millis(700);
    let _slow = proxy.fault(Requests::any(), KubeFault::Delay(wait));
    for (role, patches) in [("admin", 1), ("contributor", 2)] {
        // Another admin, so that the one can be unmade.
        stage.user("bob", "admin");
        stage.apply("alice", &format!("{{role: {role}}}")).await;
        let object = stage.until_ready("alice").await;
        assert_eq!(ready(&object)["observedGeneration"], patches);
        assert_eq!(stage.all_patches().len(), patches);
    }
}

/// Of several objects that are not read again, and of all tries, one log line is written.
#[tokio::test]
async fn unread_objects_are_logged_once_per_outage() {
    let (stage, proxy) = behind_proxy("unread").await;
    let names = ["alice", "bob", "carol"];
    for name in names {
        stage.user(name, "user");
    }
    let operator = stage.operator_with(through(&proxy)).await;
    let lines = || operator.logs().matches("object not read again").count();
    for (outage, role) in ["contributor", "inference-user"].into_iter().enumerate() {
        let unread = proxy.fault(reads(), KubeFault::DropBefore);
        for name in names {
            stage.apply(name, &format!("{{role: {role}}}")).await;
        }
        unread.until_met(LONG, 6).await.unwrap();
        assert_eq!(lines(), outage + 1, "{}", operator.logs());
        unread.heal();
        stage.until_all_ready().await;
    }
}
