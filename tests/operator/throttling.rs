//! The gateway asks to slow down: nothing of the account is sent until the time is over, whatever waits;
//! then everything goes on. Status speaks of it only when it takes long.

use fireworks_gateway_simulator::{Entry, Fault, Kind, RawBody, Verb};

use crate::stage::{Stage, Start, brief, condition, manifests, ready};

/// What may have been on the wire when the answer arrived, on a busy machine. How much that was is judged by
/// the rules for every test.
const ON_THE_WIRE_MS: u64 = 500;

fn throttle(seconds: u32) -> Fault {
    Fault::new(Kind::Throttle {
        retry_after: Some(seconds.to_string()),
        retry_after_ms: None,
    })
}

/// Between the one 429 and the end of the pause it asked for, nothing arrived.
fn assert_nothing_was_sent_in_the_pause(stage: &Stage, seconds: u64) {
    let journal = stage.gateway.journal();
    let refused: Vec<&Entry> = journal.iter().filter(|e| e.status == Some(429)).collect();
    assert_eq!(refused.len(), 1, "{:#?}", brief(&journal));
    let answered = refused[0].answered_ms.unwrap();
    let pause = answered + ON_THE_WIRE_MS..answered + seconds * 1000;
    let inside: Vec<Entry> = journal
        .iter()
        .filter(|entry| pause.contains(&entry.received_ms))
        .cloned()
        .collect();
    assert!(inside.is_empty(), "in {pause:?}: {:#?}", brief(&inside));
    let after = |entry: &&Entry| entry.received_ms >= pause.end;
    assert!(journal.iter().any(|entry| after(&entry)));
}

#[tokio::test]
async fn a_429_to_a_change_pauses_the_account_without_a_status_write() {
    let stage = Stage::set("pause").await;
    stage.user("alice", "user");
    stage.user("calm", "user");
    stage.apply("calm", "{role: user}").await;
    let _operator = stage.operator().await;
    stage.until_ready("calm").await;
    stage.gateway.add_fault(throttle(2).on(Verb::Patch));
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    assert_nothing_was_sent_in_the_pause(&stage, 2);
    assert_eq!(stage.patches("alice").len(), 2);
    assert_eq!(stage.reasons_written(mark, "alice"), ["InSync"]);
    assert_eq!(
        stage.status_writes(mark).len(),
        1,
        "the object in sync is not touched"
    );
}

#[tokio::test]
async fn a_429_to_the_first_list_is_waited_out_without_a_status_write() {
    let stage = Stage::set("pause-list").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: contributor}").await;
    stage.gateway.add_fault(throttle(2).on(Verb::List));
    let mark = stage.mark();
    let _operator = stage.operator().await;
    stage.until_ready("alice").await;
    assert_nothing_was_sent_in_the_pause(&stage, 2);
    assert_eq!(stage.reasons_written(mark, "alice"), ["InSync"]);
}

#[tokio::test]
async fn sixty_pending_objects_keep_the_pause_and_all_converge_after_it() {
    let stage = Stage::set("pause-many").await;
    let names: Vec<String> = (0..60).map(|number| format!("user-{number:02}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    let manifests = manifests(&names, "{role: contributor}");
    stage.apply_all(&manifests).await;
    // The third change: others are under way, many more wait.
    let fault = throttle(2).on(Verb::Patch).from_nth(3);
    stage.gateway.add_fault(fault);
    let mark = stage.mark();
    let fast = ["--requests-per-minute", "6000"].map(str::to_owned);
    let _operator = stage
        .operator_with(Start {
            args: fast.to_vec(),
            ..Start::default()
        })
        .await;
    stage.until_all_ready().await;
    assert_nothing_was_sent_in_the_pause(&stage, 2);
    assert_eq!(stage.all_patches().len(), 61);
    assert_eq!(
        stage.status_writes(mark).len(),
        60,
        "one write an object, none of them about the pause"
    );
}

#[tokio::test]
async fn throttled_is_reported_once_in_a_pause_of_more_than_five_seconds() {
    let stage = Stage::set("pause-long").await;
    stage.user("alice", "user");
    stage.gateway.add_fault(throttle(8).on(Verb::Patch));
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    let waiting = stage.until_reason("alice", "Throttled").await;
    assert_eq!(ready(&waiting)["status"], "Unknown");
    assert_eq!(condition(&waiting, "Reconciling")["status"], "True");
    stage.until_ready("alice").await;
    assert_nothing_was_sent_in_the_pause(&stage, 8);
    assert_eq!(
        stage.reasons_written(mark, "alice"),
        ["Throttled", "InSync"]
    );
}

/// Requests of the account that arrived in the 5 s after the first 429.
async fn arrived_within_5s_of_a_429(stage: &Stage) -> Vec<Entry> {
    let refused = |entry: &&Entry| entry.status == Some(429);
    stage
        .until_journal("the first 429", |entries| {
            entries.iter().any(|entry| refused(&entry))
        })
        .await;
    let journal = stage.gateway.journal();
    let first = journal.iter().find(refused).unwrap().answered_ms.unwrap();
    let pause = first + ON_THE_WIRE_MS..first + 4_800;
    let after = move |entries: &[Entry]| entries.iter().any(|e| e.received_ms >= first + 4_800);
    stage.until_journal("the end of the pause", after).await;
    let inside = |entry: &Entry| pause.contains(&entry.received_ms);
    stage.gateway.journal().into_iter().filter(inside).collect()
}

async fn assert_a_429_without_a_hint_pauses(prefix: &str, retry_after: &str) {
    let stage = Stage::set(prefix).await;
    let names: Vec<String> = (0..20).map(|number| format!("user-{number:02}")).collect();
    for name in &names {
        stage.user(name, "user");
    }
    stage
        .apply_all(&manifests(&names, "{role: contributor}"))
        .await;
    let no_hint = Kind::Throttle {
        retry_after: Some(retry_after.to_owned()),
        retry_after_ms: None,
    };
    stage
        .gateway
        .add_fault(Fault::new(no_hint).on(Verb::Patch).always());
    let fast = ["--requests-per-minute", "6000"].map(str::to_owned);
    let start = Start {
        args: fast.to_vec(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    let inside = arrived_within_5s_of_a_429(&stage).await;
    assert!(inside.is_empty(), "{retry_after}: {:#?}", brief(&inside));
    stage.gateway.clear_faults();
    stage.until_all_ready().await;
}

#[tokio::test]
async fn a_retry_after_of_zero_is_no_hint() {
    assert_a_429_without_a_hint_pauses("wait-zero", "0").await;
}

#[tokio::test]
async fn a_retry_after_in_the_past_is_no_hint() {
    assert_a_429_without_a_hint_pauses("wait-past", "Thu, 01 Jan 2015 00:00:00 GMT").await;
}

#[tokio::test]
async fn retry_info_in_the_body_pauses_the_account() {
    let stage = Stage::set("retry-info").await;
    stage.user("alice", "user");
    let body = r#"{"code":14,"message":"busy","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}]}"#;
    stage.apply("alice", "{role: user}").await;
    let _operator = stage.operator().await;
    stage.until_ready("alice").await;
    let busy = Kind::Raw {
        status: 503,
        content_type: "application/json".to_owned(),
        body: RawBody::Text(body.to_owned()),
        applied: false,
    };
    stage.gateway.add_fault(Fault::new(busy).on(Verb::Patch));
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let journal = stage.gateway.journal();
    let busy = journal
        .iter()
        .find(|entry| entry.status == Some(503))
        .unwrap();
    let from = busy.answered_ms.unwrap();
    let pause = from + ON_THE_WIRE_MS..from + 3_500;
    let inside = |entry: &&Entry| pause.contains(&entry.received_ms);
    let inside: Vec<Entry> = journal.iter().filter(inside).cloned().collect();
    assert!(inside.is_empty(), "{:#?}", brief(&inside));
}
