//! The gateway or the way to it misbehaves: calls hang, replies are lost, changes take their time, reads
//! lag behind. The object reports it, recovers by itself, and pays for it with no more calls than it takes.

use fireworks_gateway_simulator::{Entry, Fault, Kind, Outcome, Switches, User, Verb};

use crate::stage::{LONG, Stage, Start, brief, condition, ready};

#[tokio::test]
async fn one_hanging_change_delays_no_other() {
    let stage = Stage::set("hang").await;
    let others = ["bob", "carol", "dave"];
    // With an e-mail address to lose, the first change of a process would go alone on purpose.
    for name in ["alice"].iter().chain(&others) {
        stage.gateway.put_user(User::new(*name, "user"));
    }
    let hang = Fault::new(Kind::Hang { applied: false });
    stage.gateway.add_fault(hang.on(Verb::Patch).of("alice"));
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    stage
        .until_journal("the change that hangs", |entries| {
            entries.iter().any(|entry| entry.verb == Verb::Patch)
        })
        .await;
    for name in others {
        stage.apply(name, "{role: contributor}").await;
    }
    for name in others {
        stage.until_ready(name).await;
    }
    assert_eq!(
        stage.patches("alice")[0].outcome,
        Outcome::Pending,
        "the others were done before the call was given up"
    );
    assert_ne!(ready(&stage.object("alice").await)["status"], "True");

    stage.until_ready("alice").await;
    let reasons = stage.reasons_written(mark, "alice");
    assert_eq!(reasons, ["Unconfirmed", "InSync"]);
    let patches = stage.patches("alice");
    let held = patches[0].answered_ms.unwrap() - patches[0].received_ms;
    assert_eq!(patches[0].outcome, Outcome::ClientGone);
    assert!((14_000..17_000).contains(&held), "{held} ms");
    assert_eq!(patches.len(), 2, "{:#?}", brief(&patches));
}

/// One change with an unknown outcome: reported, and settled with at most one change more.
async fn a_lost_change(prefix: &str, kind: Kind) {
    let stage = Stage::set(prefix).await;
    stage.user("alice", "user");
    stage
        .gateway
        .add_fault(Fault::new(kind).on(Verb::Patch).of("alice"));
    let _operator = stage.operator().await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    assert_eq!(
        stage.reasons_written(mark, "alice"),
        ["Unconfirmed", "InSync"]
    );
    let patches = stage.patches("alice");
    assert!(patches.len() <= 2, "{:#?}", brief(&patches));
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
    let after = stage.mark();
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), patches.len());
    assert!(stage.status_writes(after).is_empty());
}

#[tokio::test]
async fn a_change_whose_reply_is_lost_is_unconfirmed_and_then_ready() {
    a_lost_change("reply-lost", Kind::ApplyThenDrop).await;
}

#[tokio::test]
async fn a_change_that_is_lost_is_unconfirmed_and_then_made() {
    a_lost_change("lost", Kind::DropBeforeApply).await;
}

#[tokio::test]
async fn a_proxys_error_page_leaves_the_change_unconfirmed_and_then_ready() {
    a_lost_change("html", Kind::Html502).await;
}

#[tokio::test]
async fn a_server_error_leaves_the_change_unconfirmed_and_then_ready() {
    a_lost_change("unavailable", Kind::error(14)).await;
}

#[tokio::test]
async fn another_spec_right_after_a_lost_change_goes_out_at_once_and_is_ready_only_when_settled() {
    let stage = Stage::set("lost-edit").await;
    stage.user("alice", "user");
    let hang = Fault::new(Kind::Hang { applied: false });
    stage.gateway.add_fault(hang.on(Verb::Patch));
    let _operator = stage
        .operator_with(Start {
            settle: "4s",
            ..Start::default()
        })
        .await;
    stage.apply("alice", "{role: contributor}").await;
    stage
        .until_journal("the change that hangs", |entries| {
            entries.iter().any(|entry| entry.verb == Verb::Patch)
        })
        .await;
    // Before it is given up, so that no retry of the same body settles it.
    stage.apply("alice", "{role: inference-user}").await;
    let waiting = stage.until_reason("alice", "Unconfirmed").await;
    assert_eq!(waiting["status"]["role"], "inference-user");
    stage.until_ready("alice").await;
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), 2, "{:#?}", brief(&patches));
    let given_up = patches[0].answered_ms.unwrap();
    let next = patches[1].received_ms - given_up;
    assert!(next < 2_000, "the other change waited {next} ms");
    // Seen a moment later here than where it was given up.
    let settled = given_up + 3_800;
    let journal = stage.gateway.journal();
    let late_read = |entry: &&Entry| entry.verb != Verb::Patch && entry.received_ms >= settled;
    let ready_since = journal.iter().filter(late_read).count();
    assert!(ready_since > 0, "{:#?}", brief(&journal));
}

#[tokio::test]
async fn remote_updating_ends_soon_after_fireworks_is_ready() {
    let stage = Stage::set("updating").await;
    stage.user("alice", "user");
    stage.gateway.add_fault(
        Fault::new(Kind::StuckUpdating {
            for_ms: Some(10_000),
        })
        .on(Verb::Patch),
    );
    // No sweep finds it: only the reads made for it do.
    let _operator = stage
        .operator_with(Start {
            sweep: "1h",
            ..Start::default()
        })
        .await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    let working = stage.until_reason("alice", "RemoteUpdating").await;
    assert_eq!(ready(&working)["status"], "Unknown");
    assert_eq!(working["status"]["state"], "UPDATING");
    assert_eq!(condition(&working, "Reconciling")["status"], "True");
    stage.until_ready("alice").await;
    assert_eq!(
        stage.reasons_written(mark, "alice"),
        ["RemoteUpdating", "InSync"]
    );
    let patches = stage.patches("alice");
    assert_eq!(patches.len(), 1);
    let changed = patches[0].received_ms;
    let journal = stage.gateway.journal();
    let reads: Vec<u64> = journal
        .iter()
        .filter(|entry| entry.verb == Verb::Get && entry.received_ms > changed)
        .map(|entry| entry.received_ms - changed)
        .collect();
    let last = *reads.last().unwrap();
    assert!((10_000..26_000).contains(&last), "{reads:?}");
    assert!(reads.len() <= 5, "{reads:?}");
}

#[tokio::test]
async fn objects_go_on_one_by_one_while_the_list_fails_from_the_start() {
    let stage = Stage::set("no-list").await;
    for name in ["alice", "bob"] {
        stage.user(name, "user");
    }
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(14)).on(Verb::List).always());
    stage.apply("alice", "{role: contributor}").await;
    stage.apply("bob", "{role: user}").await;
    let _operator = stage.operator().await;
    stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    let journal = stage.gateway.journal();
    let lists = journal.iter().filter(|entry| entry.verb == Verb::List);
    assert!(lists.count() >= 2, "{:#?}", brief(&journal));
    assert_eq!(stage.all_patches().len(), 1);
}

/// Reads lag behind the change for longer than several sweeps take.
async fn lagging_reads(prefix: &str, switches: Switches) {
    let stage = Stage::set(prefix).await;
    stage.gateway.set_switches(switches);
    stage.user("alice", "user");
    stage
        .gateway
        .add_fault(Fault::new(Kind::ReplicaLag { for_ms: 5_000 }).on(Verb::Patch));
    let _operator = stage
        .operator_with(Start {
            settle: "7s",
            ..Start::default()
        })
        .await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let changed = stage.patches("alice")[0].received_ms;
    stage
        .until_journal("sweeps beyond the settle window", |entries| {
            let late = |entry: &&Entry| {
                entry.verb == Verb::List
                    && entry.received_ms > changed + 8_000
                    && entry.status.is_some()
            };
            entries.iter().filter(late).count() >= 2
        })
        .await;
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(stage.reasons_written(mark, "alice"), ["InSync"]);
    assert_eq!(stage.status_writes(mark).len(), 1);
    let sees_old = |entry: &&Entry| {
        entry.verb == Verb::List && (changed..changed + 5_000).contains(&entry.received_ms)
    };
    let journal = stage.gateway.journal();
    assert!(
        journal.iter().filter(sees_old).count() >= 2,
        "reads that lag were made"
    );
}

#[tokio::test]
async fn reads_that_lag_behind_a_change_do_not_repeat_it() {
    lagging_reads("lag", Switches::default()).await;
}

#[tokio::test]
async fn reads_that_lag_do_no_harm_without_update_times_either() {
    let switches = Switches {
        no_update_time: true,
        ..Switches::default()
    };
    lagging_reads("lag-timeless", switches).await;
}

#[tokio::test]
async fn remote_unavailable_is_reported_of_pending_objects_alone() {
    let stage = Stage::set("sweep-fails").await;
    stage.user("calm", "user");
    stage.apply("calm", "{role: user}").await;
    let _operator = stage.operator().await;
    stage.until_ready("calm").await;
    let mark = stage.mark();
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(14)).always());
    // Unknown to the directory: it has to be read, and that fails.
    stage.user("late", "user");
    stage.apply("late", "{role: contributor}").await;
    let reported = stage.until_reason("late", "RemoteUnavailable").await;
    assert_eq!(ready(&reported)["status"], "Unknown");
    assert_eq!(condition(&reported, "Reconciling")["status"], "True");
    let failures =
        |entries: &[Entry]| entries.iter().filter(|e| e.status == Some(503)).count() >= 3;
    assert!(stage.gateway.journal_until(LONG, failures).await);
    stage.gateway.clear_faults();
    stage.until_ready("late").await;
    assert!(stage.reasons_written(mark, "calm").is_empty());
}

/// Each of them backs off by itself, after half a minute for up to a minute; at worst for five.
#[tokio::test]
async fn pending_objects_are_retried_when_an_outage_ends() {
    const FAILED: usize = 7;
    let stage = Stage::set("outage").await;
    let names: Vec<String> = (0..8).map(|number| format!("u{number}")).collect();
    for name in &names {
        stage.gateway.put_user(User::new(name.as_str(), "user"));
        stage.apply(name, "{role: user}").await;
    }
    let hourly = Start {
        sweep: "1h",
        ..Start::default()
    };
    let _operator = stage.operator_with(hourly).await;
    for name in &names {
        stage.until_ready(name).await;
    }
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(14)).always());
    for name in &names {
        stage.apply(name, "{role: contributor}").await;
    }
    let down = |all: &[Entry]| {
        let tries = |name: &String| {
            let of_user = |entry: &&Entry| {
                entry.verb == Verb::Patch && entry.user.as_deref() == Some(name.as_str())
            };
            all.iter().filter(of_user).count()
        };
        names.iter().all(|name| tries(name) >= FAILED)
    };
    assert!(stage.gateway.journal_until(LONG * 2, down).await);
    stage.gateway.clear_faults();
    for name in &names {
        stage.until_ready(name).await;
    }
    let patches = stage.all_patches();
    let made = patches.iter().filter(|entry| entry.status == Some(200));
    let made: Vec<u64> = made.map(|entry| entry.received_ms).collect();
    let took = made.iter().max().unwrap() - made.iter().min().unwrap();
    assert!(
        took < 15_000,
        "{took} ms after the first one: {:#?}",
        brief(&patches)
    );
}
