//! The control pages, `/_…`: journal, faults, switches, and out-of-band edits of users. No credential is
//! asked for and nothing here is journalled.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    faults::{Chaos, Fault},
    settings::Switches,
    shared::Shared,
    user::User,
};

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_journal", get(read_journal).delete(clear_journal))
        .route("/_violations", get(read_violations))
        .route(
            "/_faults",
            get(read_faults)
                .put(replace_faults)
                .post(add_faults)
                .delete(clear_faults),
        )
        .route(
            "/_chaos",
            get(read_chaos).put(put_chaos).delete(clear_chaos),
        )
        .route("/_faults/{id}", axum::routing::delete(remove_fault))
        .route(
            "/_switches",
            get(read_switches).put(put_switches).patch(patch_switches),
        )
        .route("/_keys", axum::routing::put(replace_keys))
        .route("/_users", get(read_users))
        .route(
            "/_users/{id}",
            get(read_user)
                .put(put_user)
                .patch(patch_user)
                .delete(remove_user),
        )
}

/// A refusal of a control page: one line of text.
type Refused = (StatusCode, String);

fn refused(status: StatusCode, reason: impl std::fmt::Display) -> Refused {
    (status, format!("{reason}\n"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| refused(StatusCode::BAD_REQUEST, error))
}

/// `object` with the keys of `changes` put in: the merge of the PATCH pages.
fn merged<T: DeserializeOwned>(object: Value, changes: &[u8]) -> Result<T, Refused> {
    let changes: serde_json::Map<String, Value> = parse(changes)?;
    let mut object = object;
    if let Value::Object(fields) = &mut object {
        fields.extend(changes);
    }
    serde_json::from_value(object).map_err(|error| refused(StatusCode::BAD_REQUEST, error))
}

async fn read_journal(
    State(shared): State<Arc<Shared>>,
    Query(params): Query<HashMap<String, String>>,
) -> Result<Json<Value>, Refused> {
    let since = match params.get("since") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| refused(StatusCode::BAD_REQUEST, "since must be a number"))?,
    };
    let world = shared.world();
    let entries = world.journal.since(since);
    Ok(Json(
        json!({"entries": entries, "lastSeq": world.journal.last_seq()}),
    ))
}

async fn read_violations(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.world().journal.violations()))
}

async fn clear_journal(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.world().journal.clear();
    StatusCode::NO_CONTENT
}

/// The keys that are accepted from now on, and no others. They are never shown.
async fn replace_keys(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    shared.accept_keys(parse(&body)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn read_faults(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.world().faults.list()))
}

/// A list of faults, or a single one.
fn parse_faults(body: &[u8]) -> Result<Vec<Fault>, Refused> {
    match parse::<Value>(body)? {
        list @ Value::Array(_) => serde_json::from_value(list),
        single => serde_json::from_value(single).map(|fault| vec![fault]),
    }
    .map_err(|error| refused(StatusCode::BAD_REQUEST, error))
}

async fn replace_faults(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let faults = parse_faults(&body)?;
    let ids = shared.change_faults(|armed| {
        armed.clear();
        faults
            .into_iter()
            .map(|fault| armed.add(fault))
            .collect::<Vec<_>>()
    });
    Ok(Json(json!({ "ids": ids })))
}

async fn add_faults(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let faults = parse_faults(&body)?;
    let ids = shared.change_faults(|armed| {
        faults
            .into_iter()
            .map(|fault| armed.add(fault))
            .collect::<Vec<_>>()
    });
    Ok(Json(json!({ "ids": ids })))
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.change_faults(crate::faults::Faults::clear);
    StatusCode::NO_CONTENT
}

async fn remove_fault(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<u64>,
) -> Result<StatusCode, Refused> {
    if shared.change_faults(|armed| armed.remove(id)) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(refused(StatusCode::NOT_FOUND, format!("no fault {id}")))
}

async fn read_chaos(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.world().faults.chaos()))
}

async fn put_chaos(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<StatusCode, Refused> {
    let chaos: Chaos = parse(&body)?;
    shared.change_faults(|armed| armed.set_chaos(Some(chaos)));
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_chaos(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.change_faults(|armed| armed.set_chaos(None));
    StatusCode::NO_CONTENT
}

async fn read_switches(State(shared): State<Arc<Shared>>) -> Json<Switches> {
    Json(shared.world().switches.clone())
}

async fn put_switches(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Switches>, Refused> {
    let switches: Switches = parse(&body)?;
    shared.world().switches = switches.clone();
    Ok(Json(switches))
}

async fn patch_switches(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Switches>, Refused> {
    let mut world = shared.world();
    world.switches = merged(json!(world.switches), &body)?;
    Ok(Json(world.switches.clone()))
}

async fn read_users(State(shared): State<Arc<Shared>>) -> Json<Vec<User>> {
    let now = shared.clock.now();
    Json(shared.world().account.all(now))
}

fn no_user(id: &str) -> Refused {
    refused(StatusCode::NOT_FOUND, format!("no user {id:?}"))
}

async fn read_user(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<User>, Refused> {
    let now = shared.clock.now();
    let user = shared.world().account.truth(&id, now);
    user.map(Json).ok_or_else(|| no_user(&id))
}

async fn put_user(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refused> {
    let user = User {
        id: id.clone(),
        ..parse(&body)?
    };
    let now = shared.clock.now();
    let mut world = shared.world();
    world.account.put(user, now);
    let stored = world.account.truth(&id, now);
    Ok(Json(stored).into_response())
}

async fn patch_user(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<User>, Refused> {
    let now = shared.clock.now();
    let mut world = shared.world();
    let before = world.account.truth(&id, now).ok_or_else(|| no_user(&id))?;
    let after: User = merged(json!(before), &body)?;
    world.account.edit(&id, now, |user| *user = after);
    let stored = world.account.truth(&id, now);
    stored.map(Json).ok_or_else(|| no_user(&id))
}

async fn remove_user(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let now = shared.clock.now();
    let removed = shared.world().account.remove(&id, now);
    removed
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or_else(|| no_user(&id))
}
