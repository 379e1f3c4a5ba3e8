//! HTTP: every request is journalled, meets its fault, and is answered or not. The rules are `gateway`'s.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{
    account::{Effects, Instead, Updating},
    answer::{Answer, Refusal},
    connection::{Door, Peer},
    control, delivery,
    faults::Kind,
    gateway::{self, Call},
    journal::{Change, Entry, Outcome, Side, Violation, Wait},
    shared::Shared,
    spoil,
    user::User,
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
        exchange.note_wait(&answer);
        exchange.end(Outcome::Answered, Some(answer.status));
        delivery::response(answer, &exchange.work.shared)
    } else {
        exchange.end(Outcome::Dropped, None);
        peer.cut();
        // Never read: writing it is what makes the server notice the cut.
        Response::default()
    }
}

/// What a fault adds to a change that is applied.
fn effects_of(kind: &Kind) -> Effects {
    let lasting = |for_ms: &Option<u64>| Some(for_ms.map_or(Updating::UntilEdited, Updating::For));
    match kind {
        Kind::StuckUpdating { for_ms } => Effects {
            updating: lasting(for_ms),
            ..Effects::default()
        },
        Kind::StuckState { state, for_ms } => Effects {
            updating: lasting(for_ms),
            state: Some(state.clone()),
            ..Effects::default()
        },
        Kind::ReplicaLag { for_ms } => Effects {
            lag_ms: Some(*for_ms),
            ..Effects::default()
        },
        Kind::Normalised {
            display_name,
            role,
            permission_preset,
        } => Effects {
            instead: Instead {
                display_name: *display_name,
                role: role.clone(),
                permission_preset: permission_preset.clone(),
            },
            ..Effects::default()
        },
        Kind::Ignored => Effects {
            ignored: true,
            ..Effects::default()
        },
        _ => Effects::default(),
    }
}

/// Everything it takes to carry a call out, also when its client has gone.
#[derive(Clone)]
struct Work {
    shared: Arc<Shared>,
    call: Call,
    seq: u64,
    authorized: bool,
}

impl Work {
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
        // Under the same lock: a reader that sees the change finds it in the journal.
        world.journal.amend(self.seq, |entry| {
            entry.applied_ms = (!changes.is_empty()).then_some(now.elapsed_ms);
            entry.changes = changes;
        });
        drop(world);
        self.shared.journal_has_moved();
        answer
    }

    /// Out-of-band edits, which are not in the journal.
    fn meanwhile(&self, put: Vec<User>, remove: &[String]) {
        let now = self.shared.clock.now();
        let mut world = self.shared.world();
        for user in put {
            world.account.put(user, now);
        }
        for id in remove {
            world.account.remove(id, now);
        }
    }

    /// Applies the call after that number of milliseconds, or when the fault is taken back.
    async fn apply_later(self, body: Bytes, after_ms: Option<u64>, fault: u64) {
        match after_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => self.shared.until_fault_is_gone(fault).await,
        }
        self.apply(&body, Effects::default());
    }
}

/// One request from its arrival to its end. Dropped before it ended, the client has gone.
struct Exchange {
    work: Work,
    method: Method,
    uri: Uri,
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
            asked_to_wait: None,
            outcome: Outcome::Pending,
            changes: Vec::new(),
            applied_ms: None,
            fault: fault.as_ref().map(|(_, kind)| kind.name().to_owned()),
        });
        drop(world);
        shared.journal_has_moved();
        let excused = fault.as_ref().is_some_and(|(_, kind)| kind.breaks_answer());
        let work = Work {
            shared,
            call,
            seq,
            authorized,
        };
        let exchange = Self {
            work,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            fault,
            excused,
            ended: false,
        };
        exchange.check_head(&parts.headers);
        exchange
    }

    fn check_head(&self, headers: &HeaderMap) {
        let contract = self.work.shared.contract;
        let wrongs = contract.check_head(&self.method, &self.uri, headers);
        self.blame(Side::Request, wrongs);
    }

    fn check_answer(&self, answer: &Answer) {
        if !self.excused {
            let contract = self.work.shared.contract;
            let wrongs = contract.check_answer(&self.method, &self.uri, answer);
            self.blame(Side::Answer, wrongs);
        }
    }

    fn blame(&self, side: Side, wrongs: Vec<String>) {
        for wrong in wrongs {
            self.work.shared.world().journal.blame(Violation {
                seq: self.work.seq,
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
        let contract = self.work.shared.contract;
        let wrongs = contract.check_body(&self.method, &self.uri, &body);
        self.blame(Side::Request, wrongs);
        let latency = self.work.shared.latency_of(self.work.seq);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match self.fault.take() {
            None => Some(self.work.apply(&body, Effects::default())),
            Some((id, kind)) => self.struck(id, kind, body).await,
        }
    }

    /// The answer under a fault.
    async fn struck(&self, id: u64, kind: Kind, body: Bytes) -> Option<Answer> {
        let (work, plain) = (&self.work, Effects::default());
        let token = work.call.page_token();
        if let Kind::Raw { applied: true, .. } = kind {
            work.apply(&body, plain.clone());
        }
        let shape = work.shared.world().switches.error_shape;
        if let Some(answer) = spoil::instead(&kind, token, shape) {
            return Some(answer);
        }
        match kind {
            Kind::ApplyThenDrop => {
                work.apply(&body, plain);
                return None;
            }
            Kind::DropBeforeApply => return None,
            Kind::Zombie { after_ms, hang } => {
                tokio::spawn(work.clone().apply_later(body, after_ms, id));
                if hang {
                    work.shared.until_fault_is_gone(id).await;
                }
                return None;
            }
            Kind::Hang { applied } => {
                let early = applied.then(|| work.apply(&body, plain.clone()));
                work.shared.until_fault_is_gone(id).await;
                return Some(early.unwrap_or_else(|| work.apply(&body, plain)));
            }
            Kind::Delay { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Kind::Meanwhile { put, remove } => {
                work.meanwhile(put, &remove);
                return Some(work.apply(&body, plain));
            }
            _ => {}
        }
        let answer = work.apply(&body, effects_of(&kind));
        Some(spoil::spoilt(&kind, id, token, answer))
    }

    fn too_large(&self) -> Answer {
        let shape = self.work.shared.world().switches.error_shape;
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

    fn note_wait(&self, answer: &Answer) {
        let header = |wanted: &str| {
            let mut headers = answer.headers.iter();
            let found = headers.find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let wait = Wait {
            retry_after: header("retry-after"),
            retry_after_ms: header("retry-after-ms"),
        };
        if wait != Wait::default() {
            self.amend(|entry| entry.asked_to_wait = Some(wait));
        }
    }

    fn end(&mut self, outcome: Outcome, status: Option<u16>) {
        self.ended = true;
        let now = self.work.shared.clock.now();
        self.amend(|entry| {
            entry.outcome = outcome;
            entry.status = status;
            entry.answered_unix_ms = Some(now.wall.as_millisecond());
            entry.answered_ms = Some(now.elapsed_ms);
        });
    }

    fn amend(&self, change: impl FnOnce(&mut Entry)) {
        self.work
            .shared
            .world()
            .journal
            .amend(self.work.seq, change);
        self.work.shared.journal_has_moved();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::ClientGone, None);
        }
    }
}
