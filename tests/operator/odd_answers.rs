//! Answers that the gateway should never give, from a server that gives them: a change accepted and not
//! made, an answer about somebody else, a redirect, a flood. Nothing of it is believed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rig::{OperatorProcess, until};
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start, condition, ready};

/// How a change is answered.
#[derive(Clone, Copy, Debug)]
enum Odd {
    /// By making it.
    Not,
    /// With the user as it was.
    Unchanged,
    /// With another user.
    Stranger,
    /// With success, and an error in it.
    ErrorInside,
    /// By sending the caller elsewhere.
    Redirect,
    /// With more than anybody wants to read.
    Flood,
}

struct World {
    odd: Odd,
    role: String,
    changes: usize,
    reads: usize,
    strays: usize,
}

/// A gateway with one user, `alice`. It ends with the test's runtime.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Server {
    async fn start(odd: Odd) -> Self {
        let world = Arc::new(Mutex::new(World {
            odd,
            role: "user".to_owned(),
            changes: 0,
            reads: 0,
            strays: 0,
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, world }
    }

    async fn operator(&self, stage: &Stage) -> OperatorProcess {
        let url = format!("http://{}", self.address);
        let args = vec!["--base-url".to_owned(), url];
        let start = Start {
            args,
            ..Start::default()
        };
        stage.operator_with(start).await
    }

    fn be(&self, odd: Odd) {
        self.world.lock().unwrap().odd = odd;
    }

    fn changes(&self) -> usize {
        self.world.lock().unwrap().changes
    }

    async fn until_reads(&self, more: usize) {
        let enough = self.world.lock().unwrap().reads + more;
        until(LONG, "more reads", async || {
            let reads = self.world.lock().unwrap().reads;
            if reads >= enough { Ok(()) } else { Err(reads) }
        })
        .await
        .unwrap();
    }
}

fn user(id: &str, role: &str) -> Value {
    json!({"name": format!("accounts/acme/users/{id}"), "role": role, "state": "READY"})
}

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let mut world = world.lock().unwrap();
    let alice = user("alice", &world.role);
    match (method, uri.path()) {
        (Method::GET, "/v1/accounts/acme/users") => {
            world.reads += 1;
            json!({"users": [alice], "totalSize": 1})
                .to_string()
                .into_response()
        }
        (Method::GET, "/v1/accounts/acme/users/alice") => alice.to_string().into_response(),
        (Method::PATCH, "/v1/accounts/acme/users/alice") => change(&mut world, &body),
        _ => {
            world.strays += 1;
            StatusCode::NOT_FOUND.into_response()
        }
    }
}

fn change(world: &mut World, body: &[u8]) -> Response {
    world.changes += 1;
    let asked: Value = serde_json::from_slice(body).unwrap();
    match world.odd {
        Odd::Not => {
            asked["role"].as_str().unwrap().clone_into(&mut world.role);
            user("alice", &world.role).to_string().into_response()
        }
        Odd::Unchanged => user("alice", &world.role).to_string().into_response(),
        Odd::Stranger => user("bob", "contributor").to_string().into_response(),
        Odd::ErrorInside => {
            let error = json!({"error": {"code": 13, "message": "no", "details": []}});
            error.to_string().into_response()
        }
        Odd::Redirect => {
            let elsewhere = [(header::LOCATION, "/elsewhere")];
            (StatusCode::TEMPORARY_REDIRECT, elsewhere).into_response()
        }
        Odd::Flood => vec![b' '; 5 << 20].into_response(),
    }
}

#[tokio::test]
async fn a_change_that_is_accepted_but_not_made_is_tried_once_more_and_then_told() {
    let stage = Stage::set("not-applied").await;
    let server = Server::start(Odd::Unchanged).await;
    let operator = server.operator(&stage).await;
    let mark = stage.mark();
    stage.apply("alice", "{role: contributor}").await;
    let told = stage.until_reason("alice", "NotApplied").await;
    assert_eq!(ready(&told)["status"], "False");
    assert_eq!(condition(&told, "Stalled")["status"], "True");
    let message = ready(&told)["message"].as_str().unwrap();
    assert!(message.contains("role"), "{message}");
    assert_eq!(server.changes(), 2);
    server.until_reads(3).await;
    assert_eq!(stage.reasons_written(mark, "alice"), ["NotApplied"]);

    // Another process honours what was found out.
    operator.terminate().unwrap();
    operator.wait_exit(LONG).await.unwrap();
    let after = stage.mark();
    let _operator = server.operator(&stage).await;
    server.until_reads(3).await;
    assert_eq!(server.changes(), 2);
    assert!(stage.status_writes(after).is_empty());

    // Another spec is another matter.
    server.be(Odd::Not);
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_ready("alice").await;
    assert_eq!(server.changes(), 3);
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_and_not_believed() {
    let odds = [Odd::Stranger, Odd::ErrorInside, Odd::Redirect, Odd::Flood];
    for (number, odd) in odds.into_iter().enumerate() {
        let stage = Stage::set(&format!("malformed-{number}")).await;
        let server = Server::start(odd).await;
        let _operator = server.operator(&stage).await;
        stage.apply("alice", "{role: contributor}").await;
        let told = stage.until_reason("alice", "MalformedResponse").await;
        assert_eq!(ready(&told)["status"], "Unknown", "{odd:?}");
        assert_eq!(condition(&told, "Reconciling")["status"], "True");
        server.be(Odd::Not);
        let done = stage.until_ready("alice").await;
        assert_eq!(done["status"]["role"], "contributor", "{odd:?}");
        let strays = server.world.lock().unwrap().strays;
        assert_eq!(strays, 0, "no redirect was followed");
    }
}
