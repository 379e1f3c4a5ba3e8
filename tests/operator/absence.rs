//! Users that are not there, not yet, no longer, or only in some answers: absence is concluded on good
//! evidence alone, and nothing is ever created.

use fireworks_gateway_simulator::{Entry, Fault, Kind, Switches, User, Verb};
use serde_json::Value;

use crate::stage::{Stage, Start, brief, condition, manifest, ready};

/// Without a sweep in sight every call is one that was asked for.
fn hourly() -> Start {
    Start {
        sweep: "1h",
        ..Start::default()
    }
}

#[tokio::test]
async fn user_not_found_ends_when_the_user_appears() {
    let stage = Stage::set("absent").await;
    stage.user("somebody", "admin");
    let operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    let object = stage.until_reason("alice", "UserNotFound").await;
    assert_eq!(ready(&object)["status"], "False");
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    assert_eq!(condition(&object, "Stalled"), &Value::Null);
    assert_eq!(object["status"]["userId"], "alice");
    assert_eq!(object["status"]["state"], Value::Null);
    stage.until_event("alice", "UserNotFound").await;

    let mark = stage.mark();
    stage.until_sweeps(2).await;
    drop(operator);
    let _operator = stage.operator().await;
    stage.until_sweeps(2).await;
    assert_eq!(
        stage.writes(mark),
        Vec::new(),
        "a restart has nothing new to report"
    );

    let seq = stage.gateway.last_seq();
    stage.user("alice", "user");
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    let lists =
        |entry: &Entry| entry.verb == Verb::List && entry.seq < stage.patches("alice")[0].seq;
    let looked = stage.calls_since(seq).into_iter().filter(lists).count();
    assert!((1..=2).contains(&looked), "it took {looked} sweeps");
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    let journal = stage.gateway.journal();
    assert!(journal.iter().all(|entry| entry.verb != Verb::Post));
    assert_eq!(
        stage
            .event_reasons("alice")
            .await
            .iter()
            .filter(|one| *one == "UserNotFound")
            .count(),
        1
    );
}

#[tokio::test]
async fn user_not_found_is_reported_only_once_absence_is_confirmed() {
    let stage = Stage::set("gone").await;
    stage.user("alice", "user");
    stage.user("bob", "admin");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    let (mark, seq) = (stage.mark(), stage.gateway.last_seq());

    // One read confirms; it hangs, so the effect of one list alone can be seen.
    let hang = Fault::new(Kind::Hang { applied: false })
        .on(Verb::Get)
        .of("alice");
    let hang = stage.gateway.add_fault(hang);
    stage.gateway.remove_user("alice");
    let asked = |entry: &Entry| entry.seq > seq && entry.verb == Verb::Get;
    stage
        .until_journal("the confirming read", |all| all.iter().any(asked))
        .await;
    assert_eq!(stage.status_writes(mark).len(), 0);
    assert_eq!(ready(&stage.object("alice").await)["status"], "True");

    stage.gateway.remove_fault(hang);
    let object = stage.until_reason("alice", "UserNotFound").await;
    for field in ["state", "status", "role", "permissionPreset", "updateTime"] {
        assert_eq!(object["status"][field], Value::Null, "{field}");
    }
    assert_eq!(object["status"]["name"], "accounts/acme/users/alice");
    // The identity that was accepted: another person may take the id.
    assert!(object["status"]["createTime"].is_string());
    stage.until_sweeps(2).await;
    assert_eq!(stage.status_writes(mark).len(), 1);
    assert_eq!(stage.all_patches().len(), 0);
}

#[tokio::test]
async fn neither_a_failed_nor_an_incomplete_sweep_is_evidence_of_absence() {
    let stage = Stage::set("gone").await;
    stage.gateway.seed(250);
    let _operator = stage.operator().await;
    let last = ["user-00247", "user-00248", "user-00249"];
    let specs = last.map(|id| {
        stage.user(id, "user");
        manifest(id, "{role: user}")
    });
    stage
        .plane
        .apply_yaml(&stage.namespace, &specs.join("---\n"))
        .await
        .unwrap();
    for id in last {
        stage.until_ready(id).await;
    }
    let mark = stage.mark();

    // Of the two pages only the first still comes: the users of the last page are missing from what was seen.
    let fails = Fault::new(Kind::Html502)
        .on(Verb::List)
        .from_nth(2)
        .always();
    let denies = Fault::new(Kind::error(14)).on(Verb::Get).always();
    stage.gateway.set_faults([fails, denies]);
    let seq = stage.gateway.last_seq();
    stage.gateway.remove_user("user-00249");
    for id in last {
        stage.force_read(id, "now").await;
    }
    let since = move |entry: &&Entry| entry.seq > seq;
    let incomplete = |all: &[Entry]| {
        let listed: Vec<_> = all
            .iter()
            .filter(since)
            .filter(|one| one.verb == Verb::List)
            .collect();
        listed.iter().any(|one| one.status == Some(200))
            && listed.iter().filter(|one| one.fault.is_some()).count() >= 2
    };
    stage
        .until_journal("an incomplete and a failed list", incomplete)
        .await;
    assert_eq!(
        stage.status_writes(mark).len(),
        0,
        "an object in sync stays Ready"
    );
    stage.gateway.clear_faults();
    stage.until_reason("user-00249", "UserNotFound").await;
    let names: Vec<_> = stage
        .status_writes(mark)
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["user-00249"]);
}

#[tokio::test]
async fn many_absent_users_are_confirmed_by_reads_of_three_and_one_list() {
    let stage = Stage::set("absent").await;
    stage.user("somebody", "admin");
    let names = ["ann", "ben", "cat", "dan", "eve"];
    let all = names
        .map(|name| manifest(name, "{role: user}"))
        .join("---\n");
    stage
        .plane
        .apply_yaml(&stage.namespace, &all)
        .await
        .unwrap();
    let _operator = stage.operator_with(hourly()).await;
    for name in names {
        stage.until_reason(name, "UserNotFound").await;
    }
    let calls = stage.gateway.journal();
    let verbs: Vec<_> = calls.iter().map(|call| call.verb).collect();
    let probes = [Verb::Get; 3];
    let expected = [&[Verb::List][..], &probes, &[Verb::List]].concat();
    assert_eq!(verbs, expected, "{:#?}", brief(&calls));
}

#[tokio::test]
async fn one_absent_user_is_confirmed_by_one_read() {
    let stage = Stage::set("absent").await;
    stage.user("somebody", "admin");
    stage.apply("ann", "{role: user}").await;
    let _operator = stage.operator_with(hourly()).await;
    stage.until_reason("ann", "UserNotFound").await;
    let calls = stage.gateway.journal();
    let verbs: Vec<_> = calls.iter().map(|call| call.verb).collect();
    assert_eq!(verbs, [Verb::List, Verb::Get], "{:#?}", brief(&calls));
}

#[tokio::test]
async fn a_user_that_lists_omit_is_kept_in_sync_by_reads_of_its_own() {
    let stage = Stage::set("unlisted").await;
    stage.gateway.set_switches(Switches {
        omit_service_accounts_from_list: true,
        ..Switches::default()
    });
    stage.user("somebody", "admin");
    stage
        .gateway
        .put_user(User::new("robot", "user").service_account());
    let operator = stage.operator().await;
    stage
        .apply("robot", "{role: contributor, serviceAccount: true}")
        .await;
    stage.until_ready("robot").await;
    let mark = stage.mark();
    stage.until_sweeps(3).await;
    assert_eq!(
        stage
            .writes(mark)
            .iter()
            .filter(|one| one.resource == "fireworksusers")
            .count(),
        0,
        "no flapping"
    );

    let mark = stage.mark();
    stage
        .gateway
        .edit_user("robot", |user| user.role = "inference-user".into());
    stage.until_event("robot", "DriftCorrected").await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.gateway.user("robot").unwrap().role, "contributor");
    assert_eq!(stage.patches("robot").len(), 2);
    assert_eq!(stage.status_writes(mark).len(), 1);

    drop(operator);
    let mark = stage.mark();
    let _operator = stage.operator().await;
    stage.until_sweeps(3).await;
    assert_eq!(stage.writes(mark), Vec::new());
    stage.gateway.remove_user("robot");
    stage.until_reason("robot", "UserNotFound").await;
}

/// Enough that a second list would be the cheaper check; it would be wrong about all of them.
#[tokio::test]
async fn many_users_that_lists_omit_are_found_all_the_same() {
    let stage = Stage::set("unlisted").await;
    stage.gateway.set_switches(Switches {
        omit_service_accounts_from_list: true,
        ..Switches::default()
    });
    stage.user("somebody", "admin");
    let names = [
        "robot-a", "robot-b", "robot-c", "robot-d", "robot-e", "robot-f",
    ];
    for name in names {
        stage
            .gateway
            .put_user(User::new(name, "user").service_account());
    }
    let all = names
        .map(|name| manifest(name, "{role: contributor, serviceAccount: true}"))
        .join("---\n");
    stage.apply_all(&all).await;
    let mark = stage.mark();
    let _operator = stage.operator().await;
    for name in names {
        stage.until_ready(name).await;
        assert_eq!(stage.gateway.user(name).unwrap().role, "contributor");
        let reasons = stage.reasons_written(mark, name);
        assert!(
            !reasons.iter().any(|one| one == "UserNotFound"),
            "{name}: {reasons:?}"
        );
    }
}
