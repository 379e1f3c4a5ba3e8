//! A suspended account: changes wait and report why, reads go on unless one was refused, one probe a minute is sent, and
//! everything goes on when the account is served again.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Switches, Verb};
use rig::until;

use crate::stage::{LONG, Stage, Start, brief, condition, ready};

/// How long a suspended account is watched.
const WATCHED: Duration = Duration::from_secs(20);

fn suspend(stage: &Stage, why: &str, reads: bool) {
    stage.gateway.set_switches(Switches {
        suspend_state: Some(why.to_owned()),
        suspend_reads: reads,
        ..stage.gateway.switches()
    });
}

fn account_reads(stage: &Stage) -> usize {
    let journal = stage.gateway.journal();
    journal
        .iter()
        .filter(|entry| entry.verb == Verb::Account)
        .count()
}

async fn until_message(stage: &Stage, name: &str, part: &str) {
    until(LONG, "the message", async || {
        let object = stage.object(name).await;
        let message = ready(&object)["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if message.contains(part) {
            Ok(())
        } else {
            Err(message)
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

#[tokio::test]
async fn account_suspended_pauses_changes_and_names_the_state() {
    let stage = Stage::set("suspended").await;
    for name in ["alice", "bob", "calm"] {
        stage.user(name, "user");
    }
    stage.apply("calm", "{role: user}").await;
    stage.apply("alice", "{role: user}").await;
    let _operator = stage.operator().await;
    stage.until_ready("calm").await;
    stage.until_ready("alice").await;
    let mark = stage.mark();

    suspend(&stage, "BLOCKED_BY_ABUSE_RULE", false);
    stage.apply("alice", "{role: contributor}").await;
    let alice = stage.until_reason("alice", "AccountSuspended").await;
    assert_eq!(ready(&alice)["status"], "Unknown");
    assert_eq!(condition(&alice, "Reconciling")["status"], "True");
    until_message(&stage, "alice", "suspendState BLOCKED_BY_ABUSE_RULE").await;
    stage.apply("bob", "{role: contributor}").await;
    stage.until_reason("bob", "AccountSuspended").await;
    // One PATCH found out; no other is sent within the minute, and sweeps go on.
    stage.until_sweeps(5).await;
    assert_eq!(
        stage.all_patches().len(),
        1,
        "{:#?}",
        brief(&stage.all_patches())
    );
    assert_eq!(account_reads(&stage), 1);
    assert_eq!(stage.reasons_written(mark, "alice"), ["AccountSuspended"]);
    assert_eq!(stage.reasons_written(mark, "bob"), ["AccountSuspended"]);
    let gets = stage
        .gateway
        .journal()
        .into_iter()
        .filter(|entry| entry.verb == Verb::Get && entry.user.as_deref() == Some("alice"));
    assert_eq!(
        gets.count(),
        1,
        "no user is read for a change that cannot leave"
    );
    assert!(stage.reasons_written(mark, "calm").is_empty());

    // The next probe is alice's, the oldest; its success lets bob's change go at once.
    suspend(&stage, "UNSUSPENDED", false);
    let served = Duration::from_secs(75);
    let waited = tokio::time::timeout(served, async {
        until(served, "alice to be changed", async || {
            let role = stage.gateway.user("alice").unwrap().role;
            if role == "contributor" {
                Ok(())
            } else {
                Err(role)
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
    });
    waited.await.expect("a probe within a minute");
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    let patches = stage.all_patches();
    let users: Vec<_> = patches.iter().map(|entry| entry.user.as_deref()).collect();
    assert_eq!(users, [Some("alice"), Some("alice"), Some("bob")]);
    let [found_out, probe] = [&patches[0], &patches[1]].map(|entry| entry.received_ms);
    assert!(probe - found_out >= 59_000, "{:#?}", brief(&patches));
    for name in ["alice", "bob"] {
        let reasons = stage.reasons_written(mark, name);
        assert_eq!(reasons, ["AccountSuspended", "InSync"], "{name}");
    }
    assert_eq!(account_reads(&stage), 1);
}

#[tokio::test]
async fn account_suspended_pauses_reads_where_one_was_refused() {
    let stage = Stage::set("suspended-reads").await;
    stage.user("alice", "user");
    stage.user("calm", "user");
    stage.apply("calm", "{role: user}").await;
    let _operator = stage.operator_with(Start::default()).await;
    stage.until_ready("calm").await;

    suspend(&stage, "CREDIT_DEPLETED", true);
    stage
        .until_journal("a read that is refused", |entries| {
            entries.iter().any(|entry| entry.status == Some(402))
        })
        .await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_reason("alice", "AccountSuspended").await;
    until_message(&stage, "alice", "suspendState CREDIT_DEPLETED").await;
    let last = stage.gateway.last_seq();
    let more = |entries: &[Entry]| entries.iter().any(|entry| entry.seq > last);
    let disturbed = stage.gateway.journal_until(WATCHED, more).await;
    assert!(!disturbed, "{:#?}", brief(&stage.gateway.journal()));
    assert_eq!(account_reads(&stage), 1);
    assert_eq!(ready(&stage.object("calm").await)["status"], "True");
}
