//! The health checks that are shipped for Argo CD and Flux, run over every reason that `Ready` can have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test"
)]

use std::fs;
use std::path::Path;

use cel::{Context, Program, Value as CelValue};
use fireworks_crd::conditions::{self, Message, ReadyState, Reason};
use mlua::{Lua, LuaSerdeExt, Table};
use serde_json::{Value, json};

const GENERATION: i64 = 3;

fn shipped(file: &str) -> String {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("deploy/gitops");
    fs::read_to_string(folder.join(file)).unwrap()
}

/// An object whose status reports `reason`, as the operator writes it.
fn object(reason: Reason) -> Value {
    let conditions = conditions::next(
        &[],
        reason,
        &Message::from("message"),
        GENERATION,
        jiff::Timestamp::UNIX_EPOCH,
    );
    json!({
        "metadata": {"generation": GENERATION},
        "spec": {"role": "user"},
        "status": {"observedGeneration": GENERATION, "conditions": conditions},
    })
}

/// Argo CD's health of an object.
fn argo_health(object: &Value) -> String {
    let lua = Lua::new();
    let object = lua.to_value(object).unwrap();
    lua.globals().set("obj", object).unwrap();
    let health: Table = lua.load(shipped("argocd/health.lua")).eval().unwrap();
    assert!(!health.get::<String>("message").unwrap().is_empty());
    health.get("status").unwrap()
}

/// Flux's status of an object, in the order in which Flux evaluates the expressions.
fn flux_status(object: &Value) -> &'static str {
    let status = &object["status"];
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    let checks: Value = serde_saphyr::from_str(&shipped("flux/health-check-exprs.yaml")).unwrap();
    let check = &checks["healthCheckExprs"][0];
    assert_eq!(check["apiVersion"], "iam.fireworks.ai/v1alpha1");
    assert_eq!(check["kind"], "FireworksUser");
    for (expression, answer) in [
        ("inProgress", "InProgress"),
        ("failed", "Failed"),
        ("current", "Current"),
    ] {
        let Some(expression) = check[expression].as_str() else {
            continue;
        };
        let mut context = Context::default();
        context.add_variable("status", status).unwrap();
        let program = Program::compile(expression).unwrap();
        if program.execute(&context).unwrap() == CelValue::Bool(true) {
            return answer;
        }
    }
    "InProgress"
}

/// What is as intended blocks nothing; the rest follows from the conditions.
fn expected(reason: Reason) -> (&'static str, &'static str) {
    match (reason, reason.ready_state()) {
        (Reason::Suspended | Reason::Drifted | Reason::UserNotFound, _)
        | (_, ReadyState::Ready | ReadyState::Idle) => ("Healthy", "Current"),
        (_, ReadyState::Progressing) => ("Progressing", "InProgress"),
        // Argo CD shows trouble at once; Flux waits for its timeout, since it may pass.
        (_, ReadyState::Failing) => ("Degraded", "InProgress"),
        (_, ReadyState::Stalled) => ("Degraded", "Failed"),
    }
}

#[test]
fn health_checks_cover_every_reason() {
    for reason in Reason::ALL {
        let object = object(reason);
        let health = argo_health(&object);
        let found = (health.as_str(), flux_status(&object));
        assert_eq!(found, expected(reason), "{reason:?}");
    }
}

#[test]
fn suspended_observed_and_absent_block_nothing() {
    for reason in [Reason::Suspended, Reason::Drifted, Reason::UserNotFound] {
        let object = object(reason);
        assert_eq!(argo_health(&object), "Healthy", "{reason:?}");
        assert_eq!(flux_status(&object), "Current", "{reason:?}");
    }
}

#[test]
fn refusals_fail() {
    for reason in [
        Reason::Rejected,
        Reason::PermissionDenied,
        Reason::NotApplied,
    ] {
        let object = object(reason);
        assert_eq!(argo_health(&object), "Degraded", "{reason:?}");
        assert_eq!(flux_status(&object), "Failed", "{reason:?}");
    }
}

#[test]
fn objects_without_current_status_are_waited_for() {
    let mut outdated = object(Reason::Rejected);
    outdated["metadata"]["generation"] = json!(GENERATION + 1);
    let mut new = object(Reason::InSync);
    new["status"] = json!({"observedGeneration": -1});
    for object in [outdated, new] {
        assert_eq!(argo_health(&object), "Progressing", "{object}");
        assert_eq!(flux_status(&object), "InProgress", "{object}");
    }
}

#[test]
fn gitops_page_shows_the_shipped_files() {
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("docs/gitops.md");
    let page = fs::read_to_string(page).unwrap();
    for file in ["argocd/health.lua", "flux/health-check-exprs.yaml"] {
        let text = shipped(file);
        assert!(page.contains(&format!("deploy/gitops/{file}")), "{file}");
        assert!(
            page.contains(&format!("\n{text}```")),
            "the page shows another {file}"
        );
    }
}
