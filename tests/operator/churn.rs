//! Objects that come and go for as long as the operator runs: of those that are gone nothing is kept, neither in
//! memory nor in the system's tables.

use fireworks_gateway_simulator::{Fault, Kind, User, Verb};
use futures::future::join_all;
use rig::{OperatorProcess, until};
use serde_json::json;

use crate::stage::{LONG, Stage, Start, ready};

const WAVES: usize = 6;
/// Objects of one wave.
const OBJECTS: usize = 40;
/// What may be open or run besides, such as idle connections.
const SLACK: usize = 12;

/// The number of a kind that the operator reports to keep.
pub fn held(metrics: &str, what: &str) -> Option<usize> {
    let series = format!("fireworks_user_operator_cache_entries{{cache=\"{what}\"}} ");
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

/// Waits until it keeps that number of each kind.
async fn until_held(operator: &OperatorProcess, expected: &[(&str, usize)]) {
    until(LONG, "what is gone to be forgotten", async || {
        let answer = operator.admin_get("/metrics").await;
        let (_, metrics) = answer.map_err(|error| error.to_string())?;
        let differs = |(what, count): &&(&str, usize)| held(&metrics, what) != Some(*count);
        let wrong: Vec<_> = expected.iter().filter(differs).collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("not {wrong:?} in\n{metrics}"))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// What the operator counts of its objects, by their reason.
async fn objects_by_reason(operator: &OperatorProcess) -> Vec<String> {
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    let reported = metrics.lines().filter_map(|line| {
        let reported = line.strip_prefix("fireworks_user_operator_objects{")?;
        (!reported.ends_with(" 0")).then(|| reported.to_owned())
    });
    reported.collect()
}

/// Entries of one of the folders that the system keeps about the process.
fn entries(operator: &OperatorProcess, folder: &str) -> usize {
    let path = format!("/proc/{}/{folder}", operator.id());
    std::fs::read_dir(path).expect("a running process").count()
}

/// Makes a wave of objects: every second one asks for a change, that of the first is lost each time, and the user of
/// the last does not exist.
async fn make(stage: &Stage, path: &str, names: &[String]) {
    let (lost, absent) = (&names[0], &names[names.len() - 1]);
    let fault = Fault::new(Kind::DropBeforeApply).on(Verb::Patch);
    stage.gateway.add_fault(fault.of(lost).always());
    for name in &names[..names.len() - 1] {
        stage.gateway.put_user(User::new(name, "user"));
    }
    let roles = ["contributor", "user"].map(|role| json!({"role": role}));
    let objects = names.iter().cloned().zip(roles.into_iter().cycle());
    stage.create_each(objects).await;
    let rest = stage.plane.rest().unwrap();
    let expected = |name: &str| match name {
        _ if name == lost => "Unconfirmed",
        _ if name == absent => "UserNotFound",
        _ => "InSync",
    };
    until(LONG, "what is true of each to be reported", async || {
        let listed = rest.send("GET", path, None).await;
        let (_, answer) = listed.map_err(|error| error.to_string())?;
        let objects = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
        let reasons = objects.iter().map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            (name, ready(object)["reason"].as_str().unwrap_or_default())
        });
        let wrong: Vec<_> = reasons
            .filter(|(name, reason)| expected(name) != *reason)
            .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{wrong:?}"))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// Takes the objects away, and every second user with them.
async fn take_away(stage: &Stage, path: &str, names: &[String]) {
    let rest = stage.plane.rest().unwrap();
    let deleted = names.iter().map(|name| {
        let (rest, path) = (rest.clone(), format!("{path}/{name}"));
        async move {
            let (status, answer) = rest.send("DELETE", &path, None).await.unwrap();
            assert_eq!(status, 200, "{answer}");
        }
    });
    join_all(deleted).await;
    for name in names.iter().step_by(2) {
        stage.gateway.remove_user(name);
    }
}

#[tokio::test]
async fn of_objects_that_come_and_go_nothing_is_kept() {
    let stage = Stage::set("churn").await;
    stage.gateway.put_user(User::new("root", "admin"));
    stage.user("calm", "user");
    let quick = ["--requests-per-minute", "6000"].map(str::to_owned);
    let operator = stage
        .operator_with(Start {
            args: quick.into(),
            ..Start::default()
        })
        .await;
    stage.apply("calm", "{role: contributor}").await;
    stage.until_ready("calm").await;
    let path = stage.objects_path();
    let mut peak = [0, 0];
    for wave in 0..WAVES {
        let names: Vec<_> = (0..OBJECTS).map(|one| format!("w{wave}-{one}")).collect();
        make(&stage, &path, &names).await;
        take_away(&stage, &path, &names).await;
        let users = stage.gateway.users().len();
        let left = [
            ("claim", 1),
            ("object", 1),
            ("declared_user", 1),
            ("user", users),
            ("missing_user", 0),
            ("unclear_change", 0),
            ("wanted_read", 0),
            ("repaired_user", 0),
        ];
        until_held(&operator, &left).await;
        let reported = objects_by_reason(&operator).await;
        assert_eq!(reported, [r#"ready="True",reason="InSync"} 1"#]);
        let now = ["fd", "task"].map(|folder| entries(&operator, folder));
        if wave < 2 {
            peak = [peak[0].max(now[0]), peak[1].max(now[1])];
        }
        let grown = [now[0] > peak[0] + SLACK, now[1] > peak[1] + SLACK];
        assert_eq!(grown, [false; 2], "{now:?} where {peak:?} were enough");
    }
}
