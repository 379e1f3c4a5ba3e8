//! The golden table on the running operator: an object for each google.rpc code, and what its status reports of the call
//! that was answered so. The tables are those of `tests/golden`.

use fireworks_api::error;
use fireworks_gateway_simulator::{ErrorShape, Fault, Kind, Verb};
use rig::until;
use serde_json::Value;

use crate::stage::{LONG, Stage, condition, manifest, ready};

#[path = "../golden/tables.rs"]
mod tables;

use tables::{Meaning, codes, meanings};

/// One object and the answer that its calls meet.
struct Row {
    name: String,
    answer: Kind,
    class: error::Kind,
    /// A change that was answered so may have been applied.
    unclear: bool,
}

impl Row {
    /// A class that speaks of the account stops the calls of all: it has a test of its own.
    fn is_accounts(&self) -> bool {
        matches!(
            self.class,
            error::Kind::Throttled | error::Kind::Unauthenticated
        )
    }

    /// Whether nothing but a change of spec, key or remote brings another try soon.
    fn is_final(&self) -> bool {
        matches!(self.class, error::Kind::Rejected | error::Kind::Denied)
    }

    fn meaning(&self) -> Meaning {
        let mut all = meanings().into_iter();
        all.find(|one| one.class == self.class).unwrap()
    }

    /// What reports a read that was answered so.
    fn of_a_read(&self) -> Meaning {
        let reported = self.meaning();
        Meaning {
            reason: reported.read_reason,
            ..reported
        }
    }

    /// What reports a change that was answered so.
    fn of_a_change(&self) -> Meaning {
        let reported = self.meaning();
        let reason = if self.unclear {
            "Unconfirmed"
        } else {
            reported.reason
        };
        Meaning { reason, ..reported }
    }
}

/// A row for each code, in either shape, under its own status or another; and for what is no word of the gateway's.
fn rows() -> Vec<Row> {
    let code = |(index, code): (usize, tables::Code)| {
        let class = code.class?;
        let other = if code.http == 503 { 400 } else { 503 };
        let answer = Kind::Error {
            code: code.number,
            status: (index % 3 == 0).then_some(other),
            shape: ErrorShape::ALL[index % 4],
            message: Some("alice@example.com was not served".to_owned()),
        };
        Some(Row {
            name: code.name.to_lowercase().replace('_', "-"),
            answer,
            class,
            // After an abort nothing was applied; after the others of its class it may have been.
            unclear: class == error::Kind::Transient && code.name != "ABORTED",
        })
    };
    let mut rows: Vec<_> = codes().into_iter().enumerate().filter_map(code).collect();
    let wordless = |name: &str, status, class| Row {
        name: name.to_owned(),
        answer: Kind::Error {
            code: 0,
            status: Some(status),
            shape: ErrorShape::Plain,
            message: None,
        },
        class,
        unclear: class == error::Kind::Transient,
    };
    rows.push(wordless("wordless-404", 404, error::Kind::Malformed));
    rows.push(wordless("wordless-307", 307, error::Kind::Malformed));
    rows.push(wordless("wordless-200", 200, error::Kind::Malformed));
    rows.push(wordless("wordless-403", 403, error::Kind::Malformed));
    rows.push(wordless("wordless-502", 502, error::Kind::Transient));
    rows.push(wordless("wordless-422", 422, error::Kind::Rejected));
    rows
}

fn assert_reports(object: &Value, reported: &Meaning) {
    let name = &object["metadata"]["name"];
    assert_eq!(ready(object)["status"], reported.ready, "{name}");
    assert_eq!(
        condition(object, reported.beside)["status"],
        "True",
        "{name}"
    );
    let kinds = ["Reconciling", "Stalled"].into_iter();
    for other in kinds.filter(|kind| *kind != reported.beside) {
        assert!(condition(object, other).is_null(), "{name}");
    }
    let status = &object["status"];
    assert!(!status.to_string().contains('@'), "{name}: {status}");
}

async fn set_stage(prefix: &str, rows: &[Row], verb: Verb) -> Stage {
    let stage = Stage::set(prefix).await;
    for row in rows {
        stage.user(&row.name, "user");
        let fault = Fault::new(row.answer.clone()).on(verb).of(&row.name);
        stage.gateway.add_fault(fault.always());
    }
    stage
}

/// Waits until each object reports what its row asks for.
async fn until_reported(stage: &Stage, rows: &[Row], expected: fn(&Row) -> Meaning) {
    let objects = until(LONG, "every reason to be reported", async || {
        let objects = stage.objects().await.map_err(|error| error.to_string())?;
        let named = |row: &Row| {
            objects
                .iter()
                .find(|one| one["metadata"]["name"] == row.name)
        };
        let missing: Vec<_> = rows
            .iter()
            .filter(|row| named(row).is_none_or(|one| ready(one)["reason"] != expected(row).reason))
            .map(|row| format!("{}: {:?}", row.name, named(row).map(ready)))
            .collect();
        if missing.is_empty() {
            Ok(objects)
        } else {
            Err(missing.join("\n"))
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    for row in rows {
        let object = objects
            .iter()
            .find(|one| one["metadata"]["name"] == row.name);
        assert_reports(object.unwrap(), &expected(row));
    }
}

async fn apply(stage: &Stage, rows: &[Row], spec: &str) {
    let all: Vec<_> = rows.iter().map(|row| manifest(&row.name, spec)).collect();
    stage.apply_all(&all.join("---\n")).await;
}

#[tokio::test]
async fn every_answer_to_a_change_is_reported_by_its_reason() {
    let mut rows = rows();
    rows.retain(|row| !row.is_accounts());
    let stage = set_stage("golden-patch", &rows, Verb::Patch).await;
    // One has gone first: no other change waits for what becomes of the first one.
    stage.user("first", "user");
    let _operator = stage.operator().await;
    stage.apply("first", "{role: contributor}").await;
    stage.until_ready("first").await;
    apply(&stage, &rows, "{role: contributor}").await;
    until_reported(&stage, &rows, Row::of_a_change).await;
    // What was refused is not asked again; another spec is another matter.
    stage.until_sweeps(3).await;
    for row in rows.iter().filter(|row| row.is_final()) {
        assert_eq!(stage.patches(&row.name).len(), 1, "{}", row.name);
    }
    stage.gateway.clear_faults();
    apply(&stage, &rows, "{role: inference-user}").await;
    stage.until_all_ready().await;
}

#[tokio::test]
async fn every_answer_to_a_read_is_reported_by_its_reason() {
    let mut rows = rows();
    rows.retain(|row| !row.is_accounts());
    let stage = set_stage("golden-get", &rows, Verb::Get).await;
    // Without a list the users with work pending are read one by one.
    stage
        .gateway
        .add_fault(Fault::new(Kind::error(14)).on(Verb::List).always());
    let _operator = stage.operator().await;
    apply(&stage, &rows, "{role: contributor}").await;
    until_reported(&stage, &rows, Row::of_a_read).await;
    assert!(stage.all_patches().is_empty());
}

#[tokio::test]
async fn an_answer_about_the_account_is_reported_by_its_reason() {
    let mut rows = rows();
    rows.retain(Row::is_accounts);
    // A refused key stops every call for a minute: it comes last.
    rows.sort_by_key(|row| row.class == error::Kind::Unauthenticated);
    assert_eq!(rows.len(), 2);
    let stage = set_stage("golden-account", &rows, Verb::Patch).await;
    let _operator = stage.operator().await;
    for row in &rows {
        let expected = row.of_a_read();
        stage.apply(&row.name, "{role: contributor}").await;
        let reported = stage.until_reason(&row.name, expected.reason).await;
        assert_reports(&reported, &expected);
        stage.gateway.clear_faults();
        if row.class == error::Kind::Throttled {
            stage.until_ready(&row.name).await;
            let answer = rows[1].answer.clone();
            stage
                .gateway
                .add_fault(Fault::new(answer).on(Verb::Patch).always());
        }
    }
}
