//! HTTP: every request is journalled, meets its fault, and is answered or not. The rules are `gateway`'s.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{
    account::{Effects, Updating},
    answer::{Answer, Code, Refusal, http_status},
    connection::{Door, Peer},
    control,
    faults::Kind,
    gateway::{self, Call},
    journal::{Change, Entry, Outcome, Side, Violation},
    shared::Shared,
};

/// No body the API knows comes near it.
const MAX_BODY: usize = 1 << 20;

/// Serves until the future is dropped.
pub(crate) async fn serve(door: Door, shared: Arc<Shared>) -> std::io::Result<()> {
    let app = Router::new()
        .merge(control::routes())
        .fallback(api)
        .with_state(shared);
    axum::serve(door, app.into_make_service_with_connect_info::<Peer>()).await
}

async fn api(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    if request.uri().path().starts_with("/_") {
        return (StatusCode::NOT_FOUND, "no such control page\n").into_response();
    }
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange::open(shared, &peer, &parts);
    let answer = match to_bytes(body, MAX_BODY).await {
        Ok(bytes) => exchange.answer(bytes).await,
        Err(_) => Some(exchange.too_large()),
    };
    if let Some(answer) = answer {
        exchange.check_answer(&answer);
        exchange.end(Outcome::Answered, Some(answer.status));
        response(answer)
    } else {
        exchange.end(Outcome::Dropped, None);
        peer.cut();
        // Never seen by anybody: writing it is what makes the server notice the cut.
        Response::default()
    }
}

fn response(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let content_type = [("content-type", answer.content_type.into_owned())];
    for (name, value) in content_type.into_iter().chain(answer.headers) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.insert(name, value);
        } else {
            tracing::warn!(name, "a fault's header value cannot be sent over HTTP");
        }
    }
    response
}

/// What a fault adds to a change that is applied.
fn effects_of(kind: &Kind) -> Effects {
    match kind {
        Kind::StuckUpdating { for_ms } => Effects {
            updating: Some(for_ms.map_or(Updating::UntilEdited, Updating::For)),
            lag_ms: None,
        },
        Kind::ReplicaLag { for_ms } => Effects {
            updating: None,
            lag_ms: Some(*for_ms),
        },
        _ => Effects::default(),
    }
}

/// One request from its arrival to its end. Dropped before it ended, the client has gone.
struct Exchange {
    shared: Arc<Shared>,
    call: Call,
    method: Method,
    uri: Uri,
    seq: u64,
    authorized: bool,
    fault: Option<(u64, Kind)>,
    /// A fault accounts for whatever the answer is.
    excused: bool,
    ended: bool,
}

impl Exchange {
    fn open(shared: Arc<Shared>, peer: &Peer, parts: &Parts) -> Self {
        let call = Call::read(&parts.method, &parts.uri);
        let now = shared.clock.now();
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let credential = parts.headers.get(header::AUTHORIZATION);
        let presented = text(header::AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key)
        });
        let mut world = shared.world();
        let authorized = presented.is_some_and(|key| world.api_keys.iter().any(|k| k == key));
        let fault = world.faults.take(call.verb, call.user.as_deref());
        let seq = world.journal.open(Entry {
            seq: 0,
            connection: peer.id,
            verb: call.verb,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            user: call.user.clone(),
            user_agent: text(header::USER_AGENT).map(str::to_owned),
            authorized,
            credential: credential.map(|value| shared.fingerprint(value.as_bytes())),
            body: None,
            received_unix_ms: now.wall.as_millisecond(),
            received_ms: now.elapsed_ms,
            answered_unix_ms: None,
            answered_ms: None,
            status: None,
            outcome: Outcome::Pending,
            changes: Vec::new(),
            applied_ms: None,
            fault: fault.as_ref().map(|(_, kind)| kind.name().to_owned()),
        });
        drop(world);
        shared.journal_has_moved();
        let excused = fault.as_ref().is_some_and(|(_, kind)| kind.breaks_answer());
        let exchange = Self {
            shared,
            call,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            seq,
            authorized,
            fault,
            excused,
            ended: false,
        };
        exchange.check_head(&parts.headers);
        exchange
    }

    fn check_head(&self, headers: &HeaderMap) {
        let contract = self.shared.contract;
        let wrongs = contract.check_head(&self.method, &self.uri, headers);
        self.blame(Side::Request, wrongs);
    }

    fn check_answer(&self, answer: &Answer) {
        if !self.excused {
            let contract = self.shared.contract;
            let wrongs = contract.check_answer(&self.method, &self.uri, answer);
            self.blame(Side::Answer, wrongs);
        }
    }

    fn blame(&self, side: Side, wrongs: Vec<String>) {
        for wrong in wrongs {
            self.shared.world().journal.blame(Violation {
                seq: self.seq,
                method: self.method.to_string(),
                path: self.uri.path().to_owned(),
                side,
                wrong,
            });
        }
    }

    /// The answer, or none where the connection is to be reset instead.
    async fn answer(&mut self, body: Bytes) -> Option<Answer> {
        self.note_body(&body);
        let contract = self.shared.contract;
        let wrongs = contract.check_body(&self.method, &self.uri, &body);
        self.blame(Side::Request, wrongs);
        let latency = self.shared.world().switches.latency_ms;
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        let Some((id, kind)) = self.fault.take() else {
            return Some(self.apply(&body, Effects::default()));
        };
        let plain = Effects::default();
        match kind {
            Kind::Error {
                code,
                status,
                shape,
                message,
            } => {
                let status = status.unwrap_or_else(|| http_status(code));
                let message = message.as_deref().unwrap_or("injected by the simulator");
                Some(Answer::error(status, code, message, shape))
            }
            Kind::Html502 => Some(Answer::html(502, "Bad Gateway")),
            Kind::Hang { applied } => {
                let early = applied.then(|| self.apply(&body, plain));
                self.shared.until_fault_is_gone(id).await;
                Some(early.unwrap_or_else(|| self.apply(&body, plain)))
            }
            Kind::ApplyThenDrop => {
                self.apply(&body, plain);
                None
            }
            Kind::DropBeforeApply => None,
            Kind::Throttle {
                retry_after,
                retry_after_ms,
            } => Some(self.throttled(retry_after, retry_after_ms)),
            Kind::StuckUpdating { .. } | Kind::ReplicaLag { .. } => {
                Some(self.apply(&body, effects_of(&kind)))
            }
            Kind::Delay { ms } => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Some(self.apply(&body, plain))
            }
        }
    }

    fn apply(&self, body: &[u8], effects: Effects) -> Answer {
        let now = self.shared.clock.now();
        let mut world = self.shared.world();
        let (answer, changes): (Answer, Vec<Change>) = gateway::answer(
            &mut world,
            &self.shared.account_id,
            &self.call,
            body,
            self.authorized,
            effects,
            now,
        );
        // Under the same lock: whoever sees the change finds it in the journal.
        world.journal.amend(self.seq, |entry| {
            entry.applied_ms = (!changes.is_empty()).then_some(now.elapsed_ms);
            entry.changes = changes;
        });
        drop(world);
        self.shared.journal_has_moved();
        answer
    }

    fn throttled(&self, retry_after: Option<String>, retry_after_ms: Option<String>) -> Answer {
        let shape = self.shared.world().switches.error_shape;
        let refusal = Refusal::new(Code::ResourceExhausted, "too many requests");
        let mut answer = Answer::refusal(&refusal, shape);
        if let Some(value) = retry_after {
            answer = answer.with_header("retry-after", value);
        }
        if let Some(value) = retry_after_ms {
            answer = answer.with_header("retry-after-ms", value);
        }
        answer
    }

    fn too_large(&self) -> Answer {
        let shape = self.shared.world().switches.error_shape;
        Answer::refusal(&Refusal::invalid("the request body cannot be read"), shape)
    }

    fn note_body(&self, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        let value = serde_json::from_slice(body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
        self.amend(|entry| entry.body = Some(value));
    }

    fn end(&mut self, outcome: Outcome, status: Option<u16>) {
        self.ended = true;
        let now = self.shared.clock.now();
        self.amend(|entry| {
            entry.outcome = outcome;
            entry.status = status;
            entry.answered_unix_ms = Some(now.wall.as_millisecond());
            entry.answered_ms = Some(now.elapsed_ms);
        });
    }

    fn amend(&self, change: impl FnOnce(&mut Entry)) {
        self.shared.world().journal.amend(self.seq, change);
        self.shared.journal_has_moved();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::ClientGone, None);
        }
    }
}
