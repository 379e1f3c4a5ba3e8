//! What the operator costs when there is nothing to do: calls of the account's quota, writes to
//! Kubernetes, connections. Counted where they arrive, never by what the operator reports of itself.

use std::fmt::Write;

use fireworks_gateway_simulator::{Entry, User, Verb};
use rig::control_plane::OPERATOR_USER;
use rig::{Mark, OperatorProcess, Requests, until};

use crate::stage::{LONG, Stage, Start, brief, manifest, ready};

/// One document for each user, asking for what it is already.
fn manifests_of(users: &[User]) -> String {
    let mut all = String::new();
    for user in users {
        let spec = match &*user.role {
            "custom" => format!(
                "{{role: custom, permissionPreset: {}}}",
                user.permission_preset
            ),
            role if user.service_account => format!("{{role: {role}, serviceAccount: true}}"),
            role => format!("{{role: {role}}}"),
        };
        write!(all, "---\n{}", manifest(&user.id, &spec)).unwrap();
    }
    all
}

/// Whether the call asks for the first page of a list.
pub fn begins_a_list(entry: &Entry) -> bool {
    let query = entry.query.as_deref().unwrap_or_default();
    entry.verb == Verb::List && !query.contains("pageToken=")
}

/// Waits until `count` lists have begun after `since`; the calls from there to the beginning of the last.
async fn calls_between_lists(stage: &Stage, since: u64, count: usize) -> Vec<Entry> {
    let beginnings = |entries: &[Entry]| {
        let begins = |entry: &&Entry| entry.seq > since && begins_a_list(entry);
        entries
            .iter()
            .filter(begins)
            .map(|entry| entry.seq)
            .collect::<Vec<_>>()
    };
    stage
        .until_journal(&format!("{count} lists"), |entries| {
            beginnings(entries).len() >= count
        })
        .await;
    let last = beginnings(&stage.gateway.journal())[count - 1];
    let calls = stage.gateway.journal_since(since).into_iter();
    calls.filter(|entry| entry.seq < last).collect()
}

async fn until_serving(operator: &OperatorProcess) {
    until(
        LONG,
        "the operator to have seen its objects",
        async || match operator.admin_get("/readyz").await {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await
    .unwrap();
}

/// What the operator asked of the API server about this namespace: verb and resource, in order.
fn asked(stage: &Stage, since: Mark) -> Vec<String> {
    let log = stage.plane.audit_since(since).unwrap();
    let these = Requests::any()
        .by(OPERATOR_USER)
        .namespace(&stage.namespace);
    let line = |request: &rig::Request| format!("{} {}", request.verb, request.resource);
    log.matching(&these).map(line).collect()
}

#[tokio::test]
async fn three_hundred_users_in_sync_cost_two_calls_a_sweep_and_nothing_else() {
    let stage = Stage::set("cost").await;
    stage.gateway.seed(300);
    stage.apply_all(&manifests_of(&stage.gateway.users())).await;
    let mark = stage.mark();
    let operator = stage.operator().await;
    stage.until_all_ready().await;
    assert_eq!(stage.status_writes(mark).len(), 300);

    // From the beginning of one sweep to the beginning of the fifth after it.
    let since = stage.gateway.last_seq();
    let before = calls_between_lists(&stage, since, 1).await;
    let (mark, start) = (stage.mark(), before.last().map_or(since, |last| last.seq));
    let calls = calls_between_lists(&stage, start, 6).await;
    let pages: Vec<_> = calls
        .iter()
        .map(|call| (call.verb, begins_a_list(call)))
        .collect();
    let sweep = [(Verb::List, true), (Verb::List, false)];
    assert_eq!(pages, sweep.repeat(5), "{:#?}", brief(&calls));
    assert_eq!(stage.writes(mark), Vec::new());
    assert_eq!(stage.all_patches().len(), 0);
    assert_eq!(stage.gateway.connections(), 1);

    // A restart finds everything in sync: one sweep, and no status write.
    operator.terminate().unwrap();
    operator.wait_exit(LONG).await.unwrap();
    let (mark, since) = (stage.mark(), stage.gateway.last_seq());
    let _operator = stage.operator().await;
    let calls = calls_between_lists(&stage, since, 2).await;
    let verbs: Vec<_> = calls.iter().map(|call| call.verb).collect();
    assert_eq!(verbs, [Verb::List, Verb::List], "{:#?}", brief(&calls));
    assert_eq!(stage.writes(mark), Vec::new());
    assert_eq!(stage.gateway.connections(), 2);
}

#[tokio::test]
async fn few_users_of_a_large_account_are_read_one_by_one() {
    let stage = Stage::set("few").await;
    stage.gateway.seed(1000);
    // None of them is on the first page.
    let users = stage.gateway.users();
    let mine = [&users[420], &users[640], &users[860]].map(Clone::clone);
    stage.apply_all(&manifests_of(&mine)).await;
    let mark = stage.mark();
    let _operator = stage.operator().await;
    stage.until_all_ready().await;
    assert_eq!(stage.status_writes(mark).len(), 3);

    // One page showed how large the account is. From then on a sweep is three reads.
    let (mark, since) = (stage.mark(), stage.gateway.last_seq());
    let began = stage.gateway.journal();
    assert_eq!(began[0].verb, Verb::List);
    let swept = |entries: &[Entry]| entries.iter().filter(|entry| entry.seq > since).count() >= 6;
    stage.until_journal("two sweeps", swept).await;
    let calls = stage.gateway.journal_since(since);
    let ids: Vec<_> = mine.iter().map(|user| user.id.as_str()).collect();
    for sweep in calls[..6].chunks(3) {
        let gets = sweep.iter().filter(|entry| entry.verb == Verb::Get);
        let mut read: Vec<_> = gets.filter_map(|entry| entry.user.as_deref()).collect();
        read.sort_unstable();
        assert_eq!(read, ids, "{:#?}", brief(&calls));
    }
    // 60 s × 3 calls / 30, give or take 10 %, and what a busy machine adds.
    let pause = calls[3].received_ms - calls[0].received_ms;
    assert!(
        (5_300..=8_000).contains(&pause),
        "{pause} ms between sweeps"
    );
    let lists = stage.gateway.journal().into_iter();
    assert_eq!(lists.filter(|entry| entry.verb == Verb::List).count(), 1);
    assert_eq!(stage.writes(mark), Vec::new());
}

/// Seconds between two times of the audit log.
fn seconds_between(earlier: &str, later: &str) -> f64 {
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    (time(later) - time(earlier))
        .total(jiff::Unit::Second)
        .unwrap()
}

#[tokio::test]
async fn a_wait_after_the_start_is_reported_once_and_only_if_it_lasts() {
    let stage = Stage::set("wait").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: user}").await;
    let mark = stage.mark();
    let start = Start {
        settle: "7s",
        ..Start::default()
    };
    // A former process may have sent something: only a read 7 s after the start can show it.
    let _operator = stage.operator_with(start).await;
    let waiting = stage.until_reason("alice", "Unconfirmed").await;
    assert_eq!(ready(&waiting)["status"], "Unknown");
    let output = ready(&waiting)["message"].as_str().unwrap();
    assert!(output.contains("the operator has just started"), "{output}");
    stage.until_ready("alice").await;

    let writes = stage.status_writes(mark);
    assert_eq!(writes.len(), 2, "{writes:#?}");
    let log = stage.plane.audit_since(mark).unwrap();
    let these = Requests::any()
        .by(OPERATOR_USER)
        .namespace(&stage.namespace);
    let first = log.matching(&these).next().unwrap();
    let waited = seconds_between(&first.at, &writes[0].at);
    assert!(waited >= 5.0, "reported after {waited} s");
}

#[tokio::test]
async fn an_operator_without_objects_makes_no_call_and_keeps_one_watch() {
    let mut stage = Stage::set("idle").await;
    stage.user("root", "admin");
    stage.user("alice", "user");
    let mark = stage.mark();
    let idle = stage.operator().await;
    until_serving(&idle).await;
    let idle_namespace = stage.namespace.clone();

    // Beside it another one, of the same account, with something to do: it shows how time passes.
    stage.namespace = stage.plane.create_namespace("busy").await.unwrap();
    let _busy = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    stage.until_sweeps(3).await;
    assert_eq!(stage.gateway.connections(), 1);
    stage.namespace = idle_namespace;
    // The watch brings the objects too.
    assert_eq!(asked(&stage, mark), ["watch fireworksusers"]);
    assert!(idle.is_running().unwrap());
}

#[tokio::test]
async fn the_last_object_gone_the_calls_end() {
    let stage = Stage::set("last").await;
    stage.user("root", "admin");
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let mark = stage.mark();
    stage.delete("alice").await;
    // A look at another object bounds the time: by then the deletion has been seen, and sweeps of 1 s are due.
    for number in 0..10 {
        let name = format!("suspended-{number}");
        stage.apply(&name, "{role: user, suspend: true}").await;
        stage.until_reason(&name, "Suspended").await;
    }
    let seen = stage.gateway.last_seq();
    for number in 10..25 {
        let name = format!("suspended-{number}");
        stage.apply(&name, "{role: user, suspend: true}").await;
        stage.until_reason(&name, "Suspended").await;
    }
    assert_eq!(
        brief(&stage.gateway.journal_since(seen)),
        Vec::<String>::new()
    );
    assert_eq!(stage.status_writes(mark).len(), 25);
    let user = stage.gateway.user("alice").unwrap();
    assert_eq!(user.role, "contributor", "the remote user stays as it is");
}
