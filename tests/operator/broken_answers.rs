//! Answers that are broken, late, about another user or not what was asked for: nothing of it is trusted, nothing of
//! it makes the operator grow, and every object comes right by itself, at the price of one more change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fireworks_gateway_simulator::{Entry, Fault, Kind, RawBody, Rewrite, User, Verb};
use serde_json::Value;

use crate::stage::{LONG, Stage, Start, brief, condition, manifest, ready};
use crate::witness::Running;

/// What reading one answer may cost at most, in KiB.
const GROWTH_MAX: u64 = 16 * 1024;

/// A server that must not be reached. It ends with the test's runtime.
async fn elsewhere() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/elsewhere", listener.local_addr().unwrap());
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, visits)
}

fn raw(content_type: &str, body: RawBody, applied: bool) -> Kind {
    Kind::Raw {
        status: 200,
        content_type: content_type.to_owned(),
        body,
        applied,
    }
}

fn text(content_type: &str, body: &str) -> Kind {
    raw(content_type, RawBody::Text(body.to_owned()), true)
}

/// The most resident memory it ever had, in KiB.
pub fn peak_kib(operator: &Running) -> u64 {
    let path = format!("/proc/{}/status", operator.id());
    let status = std::fs::read_to_string(path).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let words = peak.unwrap().split_whitespace();
    words.into_iter().next().unwrap().parse().unwrap()
}

/// A stage whose first change has gone well, so that later ones go side by side.
async fn stage_with(prefix: &str, users: &[&str], start: Start) -> (Stage, Running) {
    let stage = Stage::set(prefix).await;
    stage.gateway.put_user(User::new("root", "admin"));
    for user in ["calm"].iter().chain(users) {
        stage.user(user, "user");
    }
    let operator = stage.operator_with(start).await;
    stage.apply("calm", "{role: contributor}").await;
    stage.until_ready("calm").await;
    (stage, operator)
}

/// Changes one user for each kind, whose answer is broken once, and returns which reasons were reported of each.
async fn broken_once(prefix: &str, kinds: &[(&str, Kind)]) -> (Stage, Running, Vec<Vec<String>>) {
    let users: Vec<&str> = kinds.iter().map(|(user, _)| *user).collect();
    let (stage, operator) = stage_with(prefix, &users, Start::default()).await;
    for (user, kind) in kinds {
        let fault = Fault::new(kind.clone()).on(Verb::Patch).of(*user);
        stage.gateway.add_fault(fault);
    }
    let mark = stage.mark();
    let peak = peak_kib(&operator);
    let specs: Vec<_> = users
        .iter()
        .map(|user| manifest(user, "{role: contributor}"))
        .collect();
    stage.apply_all(&specs.join("---\n")).await;
    for user in &users {
        stage.until_ready(user).await;
    }
    let grown = peak_kib(&operator).saturating_sub(peak);
    assert!(grown <= GROWTH_MAX, "{grown} KiB");
    for user in &users {
        assert_eq!(stage.gateway.user(user).unwrap().role, "contributor");
        let patches = stage.patches(user);
        assert!(patches.len() <= 2, "{user}: {:#?}", brief(&patches));
        let effects = patches.iter().filter(|one| !one.changes.is_empty());
        assert_eq!(effects.count(), 1, "{user}: {:#?}", brief(&patches));
    }
    let reported = users.iter().map(|user| stage.reasons_written(mark, user));
    let reported = reported.collect();
    (stage, operator, reported)
}

/// First this reason, at last in sync, and in between, where a sweep shows what has become of the change before it is
/// repeated, that it is unconfirmed.
fn assert_story(reported: &[String], first: &str, user: &str) {
    let mut reported: Vec<&str> = reported.iter().map(String::as_str).collect();
    // A write that met a newer object is made once more.
    reported.dedup();
    let short = [first, "InSync"];
    let long = [first, "Unconfirmed", "InSync"];
    assert!(
        reported == short || reported == long,
        "{user}: {reported:?}"
    );
}

#[tokio::test]
async fn malformed_response_is_reported_and_the_change_made_once() {
    let (url, visits) = elsewhere().await;
    let redirect = |status| Kind::Redirect {
        status,
        location: url.clone(),
    };
    let error = r#"{"error":{"code":13,"message":"no","details":[]}}"#;
    let kinds = [
        ("stranger", Kind::WrongUser { id: "bob".into() }),
        ("moved-301", redirect(301)),
        ("moved-302", redirect(302)),
        ("moved-303", redirect(303)),
        ("moved-307", redirect(307)),
        ("moved-308", redirect(308)),
        ("endless", Kind::Oversized { bytes: None }),
        ("bomb", Kind::GzipBomb),
        ("cut", Kind::InvalidJson),
        ("empty", text("application/json", "")),
        ("words", text("text/plain", "done")),
        ("html", text("text/html", "<html>ok</html>")),
        (
            "bytes",
            raw(
                "application/octet-stream",
                RawBody::Bytes(vec![0, 255, 254]),
                false,
            ),
        ),
        ("nothing", text("application/json", "null")),
        ("list", text("application/json", "[]")),
        ("error", text("application/json", error)),
    ];
    let (stage, _operator, reported) = broken_once("broken", &kinds).await;
    for ((user, _), reported) in kinds.iter().zip(reported) {
        assert_story(&reported, "MalformedResponse", user);
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0, "no redirect is followed");
    assert_eq!(stage.gateway.user("bob"), None);
}

#[tokio::test]
async fn an_answer_that_does_not_end_well_leaves_the_change_unconfirmed() {
    let kinds = [
        ("torn", Kind::Truncated),
        ("stuck", Kind::HangInBody),
        ("drip", Kind::SlowBody { every_ms: 1_000 }),
    ];
    let (_stage, _operator, reported) = broken_once("unended", &kinds).await;
    for ((user, _), reported) in kinds.iter().zip(reported) {
        assert_story(&reported, "Unconfirmed", user);
    }
}

#[tokio::test]
async fn the_right_answer_under_a_wrong_content_type_is_an_answer() {
    let html = Kind::WrongContentType {
        content_type: "text/html".into(),
    };
    let (_stage, _operator, reported) = broken_once("type", &[("alice", html)]).await;
    assert_eq!(reported, [["InSync"]]);
}

#[tokio::test]
async fn not_applied_after_fireworks_rewrote_the_value_twice() {
    let rewritten = |display_name, role: Option<&str>, preset: Option<&str>| Kind::Normalised {
        display_name,
        role: role.map(str::to_owned),
        permission_preset: preset.map(str::to_owned),
    };
    let kinds = [
        (
            "lower",
            "{role: user, displayName: Alice L}",
            rewritten(Some(Rewrite::LowerCase), None, None),
            "displayName",
        ),
        (
            "blanks",
            "{role: user, displayName: Alice L}",
            rewritten(Some(Rewrite::NoBlanks), None, None),
            "displayName",
        ),
        (
            "role",
            "{role: contributor}",
            rewritten(None, Some("inference-user"), None),
            "role",
        ),
        (
            "preset",
            "{role: custom, permissionPreset: agent}",
            rewritten(None, None, Some("other")),
            "permissionPreset",
        ),
    ];
    let users = kinds.each_ref().map(|(user, ..)| *user);
    let (stage, _operator) = stage_with("rewritten", &users, Start::default()).await;
    let mark = stage.mark();
    for (user, spec, kind, _) in &kinds {
        let fault = Fault::new(kind.clone()).on(Verb::Patch).of(*user);
        stage.gateway.add_fault(fault.always());
        stage.apply(user, spec).await;
    }
    for (user, _, _, field) in &kinds {
        let reported = stage.until_reason(user, "NotApplied").await;
        assert_eq!(ready(&reported)["status"], "False", "{user}");
        assert_eq!(condition(&reported, "Stalled")["status"], "True", "{user}");
        let message = ready(&reported)["message"].as_str().unwrap();
        assert!(message.contains(field), "{user}: {message}");
        assert_eq!(reported["status"]["drift"][0]["field"], *field, "{user}");
    }
    stage.until_sweeps(3).await;
    for user in users {
        let patches = stage.patches(user);
        assert_eq!(patches.len(), 2, "{user}: {:#?}", brief(&patches));
        let reported = stage.reasons_written(mark, user);
        assert!(
            reported.iter().all(|one| one == "NotApplied"),
            "{reported:?}"
        );
    }
}

#[tokio::test]
async fn not_applied_after_a_second_update_without_effect() {
    let (stage, operator) = stage_with("not-applied", &["alice"], Start::default()).await;
    let ignored = Fault::new(Kind::Ignored).on(Verb::Patch).of("alice");
    let ignored = stage.gateway.add_fault(ignored.always());
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    let reported = stage.until_reason("alice", "NotApplied").await;
    assert_eq!(ready(&reported)["status"], "False");
    assert_eq!(condition(&reported, "Stalled")["status"], "True");
    let message = ready(&reported)["message"].as_str().unwrap();
    assert!(message.contains("role"), "{message}");
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), 2);
    let reported = stage.reasons_written(mark, "alice");
    assert!(
        reported.iter().all(|one| one == "NotApplied"),
        "{reported:?}"
    );

    // Another process honours what was found out.
    operator.terminate().unwrap();
    operator.wait_exit(LONG).await.unwrap();
    let after = stage.mark();
    let _operator = stage.operator().await;
    stage.until_sweeps(3).await;
    assert_eq!(stage.patches("alice").len(), 2);
    assert!(stage.status_writes(after).is_empty());

    // Another spec is another matter.
    stage.gateway.remove_fault(ignored);
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 3);
}

#[tokio::test]
async fn remote_updating_and_remote_deleting_users_are_never_changed() {
    let states = [
        ("creating", "CREATING", "RemoteUpdating", "Unknown"),
        ("updating", "UPDATING", "RemoteUpdating", "Unknown"),
        ("deleting", "DELETING", "RemoteDeleting", "False"),
    ];
    let stage = Stage::set("states").await;
    for (user, state, ..) in states {
        stage.gateway.put_user(User::new(user, "user").state(state));
        stage.apply(user, "{role: contributor}").await;
    }
    let _operator = stage.operator().await;
    let mark = stage.mark();
    for (user, state, reason, status) in states {
        let reported = stage.until_reason(user, reason).await;
        assert_eq!(reported["status"]["state"], state);
        assert_eq!(ready(&reported)["status"], status, "{user}");
    }
    // Another spec changes nothing about it.
    for (user, _, reason, _) in states {
        stage.apply(user, "{role: inference-user}").await;
        stage.until_reason(user, reason).await;
    }
    stage.until_sweeps(2).await;
    assert_eq!(stage.all_patches().len(), 0);
    for (user, _, reason, _) in states {
        let reported = stage.reasons_written(mark, user);
        assert!(
            reported.len() <= 4 && reported.iter().all(|one| one == reason),
            "{reported:?}"
        );
    }
    for user in ["creating", "updating"] {
        stage
            .gateway
            .edit_user(user, |user| user.state = "READY".into());
        stage.until_ready(user).await;
        assert_eq!(stage.patches(user).len(), 1);
        assert_eq!(stage.gateway.user(user).unwrap().role, "inference-user");
    }
    stage.gateway.remove_user("deleting");
    let gone = stage.until_reason("deleting", "UserNotFound").await;
    assert_eq!(gone["status"]["state"], Value::Null);
    assert_eq!(stage.patches("deleting").len(), 0);
}

/// A change that is lost, and applied when the fault is taken back.
fn zombie() -> Fault {
    let kind = Kind::Zombie {
        after_ms: None,
        hang: false,
    };
    Fault::new(kind).on(Verb::Patch).of("alice")
}

/// Lets the lost change come, and returns when it came.
async fn let_go(stage: &Stage, zombie: u64) -> u64 {
    stage.gateway.remove_fault(zombie);
    let mut came = None;
    stage
        .until_journal("the late change", |all| {
            let late = all
                .iter()
                .find(|one| one.fault.as_deref() == Some("zombie"));
            came = late.and_then(|one| one.applied_ms);
            came.is_some()
        })
        .await;
    came.unwrap()
}

async fn until_asked(stage: &Stage, role: &str, after_ms: u64) {
    let what = format!("a change to {role}");
    stage
        .until_journal(&what, |all| {
            all.iter().any(|one| {
                let asked = one.body.as_ref().is_some_and(|body| body["role"] == role);
                one.verb == Verb::Patch
                    && asked
                    && one.received_ms >= after_ms
                    && one.status == Some(200)
            })
        })
        .await;
}

/// Settles later than it takes to let the lost change come.
fn slowly_settled() -> Start {
    Start {
        settle: "6s",
        ..Start::default()
    }
}

#[tokio::test]
async fn a_late_change_that_asks_for_the_same_does_no_harm() {
    let (stage, _operator) = stage_with("zombie", &["alice"], Start::default()).await;
    let zombie = stage.gateway.add_fault(zombie());
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    stage.gateway.remove_fault(zombie);
    stage.until_sweeps(2).await;
    assert_story(
        &stage.reasons_written(mark, "alice"),
        "Unconfirmed",
        "alice",
    );
    assert_eq!(stage.patches("alice").len(), 2);
    assert_eq!(stage.gateway.user("alice").unwrap().role, "contributor");
}

#[tokio::test]
async fn a_late_change_after_another_spec_is_undone() {
    let (stage, _operator) = stage_with("zombie-edit", &["alice"], slowly_settled()).await;
    let zombie = stage.gateway.add_fault(zombie());
    // So that no repetition of the lost change settles it.
    let busy = Fault::new(Kind::error(14)).on(Verb::Patch).of("alice");
    let busy = stage.gateway.add_fault(busy.always());
    stage.apply("alice", "{role: contributor}").await;
    stage.until_reason("alice", "Unconfirmed").await;
    stage.apply("alice", "{role: inference-user}").await;
    stage.gateway.remove_fault(busy);
    until_asked(&stage, "inference-user", 0).await;
    let came = let_go(&stage, zombie).await;
    until_asked(&stage, "inference-user", came).await;
    stage.until_ready("alice").await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "inference-user");
    let object = stage.object("alice").await;
    assert_eq!(ready(&object)["status"], "True");
    assert_eq!(object["status"]["role"], "inference-user");
}

#[tokio::test]
async fn a_late_change_from_before_a_restart_is_undone() {
    let (stage, operator) = stage_with("zombie-restart", &["alice"], slowly_settled()).await;
    let zombie = stage.gateway.add_fault(zombie());
    let busy = Fault::new(Kind::error(14)).on(Verb::Patch).of("alice");
    let busy = stage.gateway.add_fault(busy.always());
    stage.apply("alice", "{role: contributor}").await;
    let lost = |all: &[Entry]| all.iter().any(|one| one.fault.as_deref() == Some("zombie"));
    stage.until_journal("the lost change", lost).await;
    operator.kill().unwrap();
    operator.wait_exit(LONG).await.unwrap();
    stage.gateway.remove_fault(busy);
    // Back to what the user still is: the next process finds nothing to do.
    stage.apply("alice", "{role: user}").await;
    let seq = stage.gateway.last_seq();
    let _operator = stage.operator_with(slowly_settled()).await;
    let listed = |all: &[Entry]| {
        all.iter()
            .any(|one| one.seq > seq && one.verb == Verb::List && one.status.is_some())
    };
    stage.until_journal("the first list", listed).await;
    let came = let_go(&stage, zombie).await;
    until_asked(&stage, "user", came).await;
    stage.until_ready("alice").await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "user");
    assert_eq!(ready(&stage.object("alice").await)["status"], "True");
}

#[tokio::test]
async fn a_gateway_that_accepts_and_never_reads_is_given_up_and_met_again() {
    let (stage, operator) = stage_with("deaf", &["alice"], Start::default()).await;
    // What precedes the first change of a user: its first read, and the one that the canary compares with.
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    let deaf = stage.gateway.add_fault(Fault::new(Kind::Deaf).always());
    let mark = stage.mark();
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_reason("alice", "Unconfirmed").await;
    assert!(operator.is_running().unwrap());
    let (live, _) = operator.admin_get("/livez").await.unwrap();
    assert_eq!(live, 200);
    stage.gateway.remove_fault(deaf);
    stage.until_ready("alice").await;
    let reported = stage.reasons_written(mark, "alice");
    assert_eq!(
        reported.last().map(String::as_str),
        Some("InSync"),
        "{reported:?}"
    );
    // The one without a waiting client may have been read when the gateway read again.
    let patches = stage.patches("alice");
    let effects = patches.iter().filter(|one| !one.changes.is_empty());
    assert_eq!(effects.count(), 2, "{:#?}", brief(&patches));
    assert!(stage.reasons_written(mark, "calm").is_empty());
}
