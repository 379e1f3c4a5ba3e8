//! Drift: what another actor changes behind the operator's back is set back where it is managed, at the least
//! cost, and left alone where it is not.

use fireworks_gateway_simulator::{Entry, Fault, Kind, User, Verb};
use rig::until;
use serde_json::json;

use crate::stage::{LONG, Stage, Start, brief, manifests, ready};

#[tokio::test]
async fn a_drifted_role_is_set_back_within_one_sweep_by_one_patch_and_one_status_write() {
    let stage = Stage::set("drift").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());

    assert!(
        stage
            .gateway
            .edit_user("alice", |user| user.role = "contributor".into())
    );
    stage.until_event("alice", "DriftCorrected").await;
    stage.until_sweeps(3).await;

    let calls = stage.calls_since(seq);
    let patches = stage.patches_since(seq, "alice");
    assert_eq!(patches.len(), 1, "{:#?}", brief(&calls));
    assert_eq!(patches[0].body, Some(json!({"role": "user"})));
    // A list may have been under way when the drift came; the next one shows it.
    let lists = |entry: &&fireworks_gateway_simulator::Entry| {
        entry.verb == Verb::List && entry.seq < patches[0].seq
    };
    let looked = calls.iter().filter(lists).count();
    assert!((1..=2).contains(&looked), "{:#?}", brief(&calls));
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    assert_eq!(stage.status_writes(mark).len(), 1);
    assert_eq!(
        stage.event_reasons("alice").await,
        ["DriftCorrected", "DriftDetected"]
    );
    let object = stage.until_ready("alice").await;
    assert_eq!(object["status"]["role"], "user");
    assert_eq!(object["status"]["drift"], json!(null));
}

#[tokio::test]
async fn only_the_role_and_the_field_that_drifted_are_sent() {
    let stage = Stage::set("drift").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    let _operator = stage.operator().await;
    let alice = "{role: custom, permissionPreset: agent, displayName: Alice Liddell}";
    stage.apply("alice", alice).await;
    stage.apply("bob", "{role: user, displayName: Bob}").await;
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    let seq = stage.gateway.last_seq();

    stage
        .gateway
        .edit_user("alice", |user| user.permission_preset = "billing".into());
    stage
        .gateway
        .edit_user("bob", |user| user.display_name = "Robert".into());
    stage.until_event("alice", "DriftCorrected").await;
    stage.until_event("bob", "DriftCorrected").await;
    stage.until_sweeps(2).await;

    let body = |user| {
        let patches = stage.patches_since(seq, user).into_iter();
        patches.map(|entry| entry.body.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        body("alice"),
        [json!({"role": "custom", "permissionPreset": "agent"})]
    );
    assert_eq!(body("bob"), [json!({"role": "user", "displayName": "Bob"})]);
    let alice = stage.gateway.user("alice").unwrap();
    assert_eq!(alice.permission_preset, "agent");
    assert_eq!(alice.display_name, "Alice Liddell");
    assert_eq!(stage.gateway.user("bob").unwrap().display_name, "Bob");
}

#[tokio::test]
async fn an_unmanaged_field_that_changes_remotely_is_left_alone() {
    let stage = Stage::set("drift").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let mark = stage.mark();

    stage.gateway.edit_user("alice", |user| {
        user.display_name = "Another Name".into();
        user.permission_preset = "stray".into();
    });
    let moved = stage.gateway.user("alice").unwrap().update_time.unwrap();
    stage
        .until_object("alice", "the remote update time to show", |object| {
            let shown = object["status"]["updateTime"].as_str().unwrap_or_default();
            shown.parse::<jiff::Timestamp>().is_ok_and(|at| at == moved)
        })
        .await;
    stage.until_sweeps(3).await;

    assert_eq!(stage.patches("alice").len(), 0);
    assert_eq!(stage.status_writes(mark).len(), 1, "the remote moved once");
    stage.until_ready("alice").await;
    assert_eq!(stage.event_reasons("alice").await, Vec::<String>::new());
    assert_eq!(
        stage.gateway.user("alice").unwrap().display_name,
        "Another Name"
    );
}

#[tokio::test]
async fn what_drifted_while_no_operator_ran_is_set_back_after_the_start() {
    let stage = Stage::set("drift").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    let operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.apply("bob", "{role: user}").await;
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    drop(operator);
    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());

    stage
        .gateway
        .edit_user("alice", |user| user.role = "inference-user".into());
    let operator = stage.operator().await;
    stage.until_event("alice", "RoleChanged").await;
    stage.until_sweeps(2).await;

    // Status may be of a backup: whether the user or the object has changed is not known.
    assert_eq!(stage.event_reasons("alice").await, ["RoleChanged"]);
    let logs = operator.logs();
    let audit = logs
        .lines()
        .filter(|line| line.contains(r#""target":"audit""#));
    let causes = audit.map(|line| line.contains(r#""cause":"spec""#));
    assert_eq!(causes.collect::<Vec<_>>(), [true, true], "{logs}");
    assert_eq!(stage.patches_since(seq, "alice").len(), 1);
    assert_eq!(stage.patches_since(seq, "bob").len(), 0);
    let written: Vec<_> = stage
        .status_writes(mark)
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(written, ["alice"]);
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    let edited = |user: &mut User| user.role = "contributor".into();
    stage.gateway.edit_user("alice", edited);
    stage.until_event("alice", "DriftCorrected").await;
}

/// The number of objects that report it.
async fn throttled(stage: &Stage) -> usize {
    let objects = stage.objects().await.unwrap();
    objects
        .iter()
        .filter(|object| ready(object)["reason"] == "Throttled")
        .count()
}

#[tokio::test]
async fn repairs_with_a_reported_wait_still_let_an_edit_go_first() {
    let stage = Stage::set("drift-queue").await;
    let names: Vec<String> = (0..55).map(|number| format!("user-{number:02}")).collect();
    for name in names.iter().map(String::as_str).chain(["alice", "root"]) {
        stage.user(name, if name == "root" { "admin" } else { "user" });
    }
    stage.apply_all(&manifests(&names, "{role: user}")).await;
    stage.apply("alice", "{role: user}").await;
    let operator = stage.operator().await;
    stage.until_all_ready().await;
    operator.terminate().unwrap();
    operator.wait_exit(LONG).await.unwrap();
    for name in &names {
        stage
            .gateway
            .edit_user(name, |user| user.role = "contributor".to_owned());
    }
    // Thirty calls at once, then one every two seconds.
    let slow = ["--requests-per-minute", "30"].map(str::to_owned);
    let start = Start {
        args: slow.to_vec(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    until(
        LONG,
        "repairs that are throttled",
        async || match throttled(&stage).await {
            count if count >= 12 => Ok(()),
            count => Err(format!("{count}")),
        },
    )
    .await
    .unwrap();
    stage.apply("alice", "{role: contributor}").await;
    let since = stage.gateway.last_seq();
    let of_alice = |entry: &Entry| entry.user.as_deref() == Some("alice");
    stage
        .until_journal("alice's change", |entries| {
            entries
                .iter()
                .any(|entry| entry.verb == Verb::Patch && of_alice(entry))
        })
        .await;
    let patches = stage.all_patches();
    let own = patches.iter().find(|entry| of_alice(entry)).unwrap().seq;
    let ahead = patches
        .iter()
        .filter(|entry| (since..own).contains(&entry.seq));
    // One may have been granted its turn just before.
    assert!(ahead.count() <= 2, "{:#?}", brief(&patches));
    let waiting = stage.gateway.users().into_iter();
    let waiting = waiting.filter(|user| user.role == "contributor" && user.id != "alice");
    assert!(waiting.count() >= 5, "there was a burst to go before");
}

#[tokio::test]
async fn drift_is_reverted_while_lists_fail() {
    let stage = Stage::set("listless").await;
    for name in ["alice", "bob"] {
        stage.user(name, "user");
    }
    let _operator = stage.operator().await;
    for name in ["alice", "bob"] {
        stage.apply(name, "{role: user}").await;
        stage.until_ready(name).await;
    }
    let fails = Fault::new(Kind::error(13)).on(Verb::List).always();
    stage.gateway.add_fault(fails);
    for name in ["alice", "bob"] {
        stage
            .gateway
            .edit_user(name, |user| user.role = "contributor".into());
        stage.until_event(name, "DriftCorrected").await;
        assert_eq!(stage.gateway.user(name).unwrap().role, "user");
    }
}
