//! Several objects about one user: exactly one holds it, and keeps it for as long as it claims it.

use fireworks_gateway_simulator::{Fault, Kind};
use rig::control_plane::OPERATOR_USER;
use rig::{Requests, until};
use serde_json::json;

use crate::api_server::until_ready_in;
use crate::counts::Time as Clock;
use crate::stage::{LONG, Stage, Start, condition, manifest, manifests, ready};

/// Two objects about `alice`, the older first; equal times are ordered by UID, as the operator does.
async fn two_claimants(stage: &Stage) -> [String; 2] {
    stage
        .apply("one", "{userId: alice, role: contributor}")
        .await;
    stage
        .apply("two", "{userId: alice, role: inference-user}")
        .await;
    let mut found = Vec::new();
    for name in ["one", "two"] {
        let object = stage.object(name).await;
        let meta = &object["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap().to_owned();
        found.push((text("creationTimestamp"), text("uid"), name.to_owned()));
    }
    found.sort();
    let names: Vec<_> = found.into_iter().map(|(_, _, name)| name).collect();
    names.try_into().unwrap()
}

fn role_of(name: &str) -> &'static str {
    if name == "one" {
        "contributor"
    } else {
        "inference-user"
    }
}

#[tokio::test]
async fn conflict_is_reported_by_the_younger_of_two_claimants() {
    let stage = Stage::set("claims").await;
    stage.user("alice", "user");
    let [older, younger] = two_claimants(&stage).await;
    let time = Clock::new();
    let operator = stage.operator_with(time.start()).await;
    stage.until_ready(&older).await;
    let object = stage.until_reason(&younger, "TakingOver").await;
    assert_eq!(ready(&object)["status"], "Unknown");
    assert!(condition(&object, "Stalled").is_null());
    time.hurry(60);
    let object = stage.until_reason(&younger, "Conflict").await;
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    let message = ready(&object)["message"].as_str().unwrap();
    assert!(message.contains(&older), "{message}");
    stage.until_event(&younger, "Conflict").await;
    // What the younger one shows of the user settles with the owner's PATCH.
    stage
        .until_object(&younger, "the owner's role to show", |object| {
            object["status"]["role"] == role_of(&older)
        })
        .await;

    let mark = stage.mark();
    stage.until_sweeps(4).await;
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.writes(mark), Vec::new());
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].body, Some(json!({"role": role_of(&older)})));

    let seq = stage.gateway.last_seq();
    stage.delete(&older).await;
    stage.until_ready(&younger).await;
    let patches = stage.patches_since(seq, "alice");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].body, Some(json!({"role": role_of(&younger)})));
}

#[tokio::test]
async fn an_owner_that_is_deleted_or_turns_to_observe_makes_way_without_waiting_for_a_sweep() {
    let stage = Stage::set("claims").await;
    stage.user("alice", "user");
    let [older, younger] = two_claimants(&stage).await;
    let hourly = crate::stage::Start {
        sweep: "1h",
        ..Default::default()
    };
    let _operator = stage.operator_with(hourly).await;
    stage.until_ready(&older).await;
    stage.until_reason(&younger, "TakingOver").await;

    stage
        .merge(&older, &json!({"spec": {"managementPolicy": "Observe"}}))
        .await;
    stage.until_ready(&younger).await;
    stage.until_reason(&older, "Drifted").await;

    // It has given the user up: the object that holds it now keeps it.
    stage
        .merge(&older, &json!({"spec": {"managementPolicy": "Manage"}}))
        .await;
    stage.until_reason(&older, "TakingOver").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, role_of(&younger));
    stage.delete(&younger).await;
    stage.until_ready(&older).await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, role_of(&older));
    assert_eq!(
        stage.patches("alice").len(),
        3,
        "one for each change of the holder"
    );
}

#[tokio::test]
async fn observe_neither_claims_nor_conflicts() {
    let stage = Stage::set("claims").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    let observes = "{userId: alice, role: contributor, managementPolicy: Observe}";
    stage.apply("watcher", observes).await;
    stage.until_reason("watcher", "Drifted").await;
    stage
        .apply("owner", "{userId: alice, role: contributor}")
        .await;
    stage.until_ready("owner").await;
    stage.until_ready("watcher").await;
    stage.apply("second", observes).await;
    stage.until_ready("second").await;
    assert_eq!(stage.patches("alice").len(), 1);
}

#[tokio::test]
async fn a_suspended_owner_keeps_its_claim() {
    let stage = Stage::set("claims").await;
    stage.user("alice", "user");
    let [older, younger] = two_claimants(&stage).await;
    stage
        .merge(&older, &json!({"spec": {"suspend": true}}))
        .await;
    let _operator = stage.operator().await;
    stage.until_reason(&younger, "TakingOver").await;
    stage.until_reason(&older, "Suspended").await;
    stage.until_sweeps(3).await;
    stage.until_reason(&younger, "TakingOver").await;
    assert_eq!(stage.patches("alice").len(), 0);
    stage.delete(&older).await;
    stage.until_ready(&younger).await;
}

#[tokio::test]
async fn an_observer_does_not_take_the_place_in_the_queue_from_the_owner() {
    let stage = Stage::set("claims").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    let observes = "{userId: alice, role: user, managementPolicy: Observe}";
    stage.apply("watcher", observes).await;
    stage.apply("owner", "{userId: alice, role: user}").await;
    stage.apply("bob", "{role: user}").await;
    let hourly = crate::stage::Start {
        sweep: "1h",
        ..Default::default()
    };
    let _operator = stage.operator_with(hourly).await;
    stage.until_ready("owner").await;
    stage.until_ready("watcher").await;
    stage.until_ready("bob").await;

    let throttle = Kind::Throttle {
        retry_after: Some("3".into()),
        retry_after_ms: None,
    };
    stage.gateway.add_fault(Fault::new(throttle).of("bob"));
    stage.apply("bob", "{role: contributor}").await;
    stage
        .until_journal("the account to be throttled", |all| {
            all.iter().any(|entry| entry.status == Some(429))
        })
        .await;
    stage
        .apply("owner", "{userId: alice, role: contributor}")
        .await;
    stage
        .merge("watcher", &json!({"spec": {"displayName": "Alice"}}))
        .await;
    stage.until_reason("watcher", "Drifted").await;
    stage.until_ready("owner").await;
    stage.until_ready("bob").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
}

#[tokio::test]
async fn objects_of_one_user_in_one_manifest_settle_on_one_owner() {
    let stage = Stage::set("claims").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    let names = ["a", "b", "c", "d"];
    let all = names.map(|name| manifest(name, "{userId: alice, role: contributor}"));
    stage
        .plane
        .apply_yaml(&stage.namespace, &all.join("---\n"))
        .await
        .unwrap();
    let settled = until(LONG, "one owner and three that wait", async || {
        let mut reasons = Vec::new();
        for name in names {
            let object = stage.object(name).await;
            reasons.push(
                ready(&object)["reason"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        reasons.sort();
        if reasons == ["InSync", "TakingOver", "TakingOver", "TakingOver"] {
            Ok(())
        } else {
            Err(format!("{reasons:?}"))
        }
    });
    settled.await.unwrap();
    assert_eq!(stage.patches("alice").len(), 1);
}

/// Two operators that watch the same objects are a mistake; it must not become a storm of writes.
#[tokio::test]
async fn two_operators_that_contradict_each_other_do_not_chase_each_other() {
    let stage = Stage::set("two").await;
    stage.user("alice", "user");
    let _one = stage.operator().await;
    let observing = Start {
        args: vec!["--observe-only".to_owned()],
        ..Start::default()
    };
    let _other = stage.operator_with(observing).await;
    stage
        .apply("owner", "{userId: alice, role: contributor}")
        .await;
    stage
        .until_object("owner", "a first status", |_| true)
        .await;
    // To the one it is in conflict with the owner, to the other a user that drifted.
    let mark = stage.mark();
    stage.apply("second", "{userId: alice, role: user}").await;
    stage
        .until_object("second", "a first status", |_| true)
        .await;
    stage.until_sweeps(12).await;
    let writes = stage.status_writes(mark).len();
    assert!(writes < 40, "{writes} status writes");
}

/// As a commit that moves an object to another namespace does it: the new one is there before the old one goes.
#[tokio::test]
async fn taking_over_between_namespaces_never_shows_stalled() {
    let stage = Stage::set("move-from").await;
    let to = stage.plane.create_namespace("move-to").await.unwrap();
    let names: Vec<_> = (0..20).map(|number| format!("user-{number}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    let args = ["--namespace".to_owned(), to.clone()];
    let time = Clock::new();
    let mut start = time.start();
    start.args.extend(args);
    let _operator = stage.operator_with(start).await;
    stage
        .apply_all(&manifests(&names, "{role: contributor}"))
        .await;
    stage.until_all_ready().await;
    let mark = stage.mark();
    // Creation times are whole seconds.
    stage.until_sweeps(2).await;
    let moved = manifests(&names, "{role: inference-user}");
    stage.plane.apply_yaml(&to, &moved).await.unwrap();
    let waiting = Requests::any()
        .by(OPERATOR_USER)
        .verb("patch")
        .of("fireworksusers/status")
        .namespace(&to);
    let written = || {
        stage
            .plane
            .audit_since(mark)
            .unwrap()
            .matching(&waiting)
            .cloned()
            .collect::<Vec<_>>()
    };
    until(LONG, "all to be taking over", async || {
        match written().len() {
            count if count >= names.len() => Ok(()),
            count => Err(count),
        }
    })
    .await
    .unwrap();
    for name in &names {
        stage.delete(name).await;
    }
    // For a minute only an object of the former namespace may claim the users.
    stage.until_sweeps(2).await;
    assert_eq!(stage.gateway.user(&names[0]).unwrap().role, "contributor");
    time.hurry(60);
    for name in &names {
        until_ready_in(stage.plane, &to, name).await;
        assert_eq!(stage.gateway.user(name).unwrap().role, "inference-user");
    }
    for write in written() {
        let body = write.body.unwrap_or_default();
        assert!(condition(&body, "Stalled").is_null(), "{body}");
    }
}
