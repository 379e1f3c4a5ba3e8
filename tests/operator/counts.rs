//! Counts that must not grow: calls, status writes and Events of accounts in sync, large ones and over many sweeps, and of
//! a restart. The operator's own time is hurried between its calls; nothing here depends on how long anything takes.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, User, Verb};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cost::begins_a_list;
use crate::stage::{LONG, Stage, Start, brief};

/// A thousand objects take the API server a while, on a machine that does much else.
const VERY_LONG: Duration = Duration::from_mins(5);

/// A file by which an operator's time is hurried.
pub struct Time(TempDir);

impl Time {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    pub fn start(&self) -> Start {
        let file = self.0.path().join("time").display().to_string();
        Start {
            args: vec!["--test-time".to_owned(), file],
            ..Start::default()
        }
    }

    /// That number of seconds pass, as soon as nothing is under way.
    pub fn hurry(&self, seconds: u32) {
        let file = self.0.path().join("time");
        std::fs::write(file, format!("hurry {seconds}")).expect("written");
    }
}

/// One object for each user, which asks for what the user is already.
async fn declare(stage: &Stage, users: &[User]) {
    let objects = users.iter().map(|user| {
        let mut spec = json!({"role": user.role});
        if user.role == "custom" {
            spec["permissionPreset"] = json!(user.permission_preset);
        }
        if user.service_account {
            spec["serviceAccount"] = json!(true);
        }
        (user.id.clone(), spec)
    });
    stage.create_each(objects).await;
}

/// Waits until that number of objects are Ready.
async fn until_ready(stage: &Stage, count: usize) {
    let rest = stage.plane.rest().expect("a way to the API server");
    let path = stage.objects_path();
    rig::until(VERY_LONG, "all objects to be Ready", async || {
        let (_, list) = rest
            .send("GET", &path, None)
            .await
            .map_err(|error| error.to_string())?;
        let objects = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        let is_ready = |object: &&Value| crate::stage::ready(object)["status"] == "True";
        let ready = objects.iter().filter(is_ready).count();
        if ready == count {
            Ok(())
        } else {
            Err(format!("{ready} of {count} are Ready"))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// Waits until that number of sweeps that are lists have ended after that call; what each of them asked for.
async fn lists_since(stage: &Stage, since: u64, count: usize) -> Vec<Vec<Verb>> {
    let begun = |calls: &[Entry]| -> Vec<usize> {
        let numbered = calls.iter().enumerate();
        let begins = numbered.filter(|(_, call)| call.seq > since && begins_a_list(call));
        begins.map(|(place, _)| place).collect()
    };
    let swept = |calls: &[Entry]| begun(calls).len() > count;
    let swept = stage.gateway.journal_until(VERY_LONG, swept).await;
    assert!(swept, "{:#?}", brief(&stage.gateway.journal_since(since)));
    let calls = stage.gateway.journal();
    let begun = begun(&calls);
    let sweeps = begun.windows(2).take(count);
    let verbs = |sweep: &[usize]| {
        let calls = &calls[sweep[0]..sweep[1]];
        calls.iter().map(|call| call.verb).collect()
    };
    sweeps.map(verbs).collect()
}

#[tokio::test]
async fn a_thousand_users_in_sync_cost_five_calls_a_sweep_and_no_write_in_twenty_sweeps_and_a_restart()
 {
    let stage = Stage::set("counts").await;
    stage.gateway.seed(1_000);
    let time = Time::new();
    let operator = stage.operator_with(time.start()).await;
    let mark = stage.mark();
    declare(&stage, &stage.gateway.users()).await;
    until_ready(&stage, 1_000).await;
    let written = stage.status_writes(mark).len();
    assert!(
        (1_000..=2_000).contains(&written),
        "{written}: one each, and one more where it waited for long"
    );

    let (mark, since) = (stage.mark(), stage.gateway.last_seq());
    // 60 s × 5 calls / 30 for each of them, give or take 10 %.
    time.hurry(270);
    let sweeps = lists_since(&stage, since, 20).await;
    assert_eq!(sweeps, vec![vec![Verb::List; 5]; 20]);
    assert_eq!(
        stage.writes(mark),
        Vec::new(),
        "neither a status nor an Event"
    );
    assert_eq!(stage.all_patches().len(), 0);

    operator.terminate().unwrap();
    operator.wait_exit(LONG).await.unwrap();
    let (mark, since) = (stage.mark(), stage.gateway.last_seq());
    let time = Time::new();
    let _operator = stage.operator_with(time.start()).await;
    time.hurry(30);
    assert_eq!(lists_since(&stage, since, 1).await, [[Verb::List; 5]]);
    assert_eq!(stage.writes(mark), Vec::new());
}

#[tokio::test]
async fn ten_users_of_ten_thousand_cost_ten_calls_a_sweep() {
    let stage = Stage::set("counts-few").await;
    stage.gateway.seed(10_000);
    // None of them is on the first page.
    let users = stage.gateway.users();
    let mine: Vec<User> = users.into_iter().skip(500).step_by(900).take(10).collect();
    declare(&stage, &mine).await;
    let time = Time::new();
    let _operator = stage.operator_with(time.start()).await;
    until_ready(&stage, 10).await;
    let (mark, since) = (stage.mark(), stage.gateway.last_seq());
    // 60 s × 10 calls / 30 for each of them, give or take 10 %.
    time.hurry(120);
    let swept = |calls: &[Entry]| calls.iter().filter(|call| call.seq > since).count() >= 40;
    assert!(stage.gateway.journal_until(VERY_LONG, swept).await);
    let mut ids: Vec<_> = mine.iter().map(|user| user.id.clone()).collect();
    ids.sort_unstable();
    for sweep in stage.calls_since(since)[..40].chunks(10) {
        let gets = sweep.iter().filter(|call| call.verb == Verb::Get);
        let mut read: Vec<_> = gets.filter_map(|call| call.user.clone()).collect();
        read.sort_unstable();
        assert_eq!(read, ids, "{:#?}", brief(sweep));
    }
    assert_eq!(stage.writes(mark), Vec::new());
}
