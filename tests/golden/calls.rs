//! The three calls of the production client, and a server that answers any of them with given bytes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use fireworks_api::error::Error;
use fireworks_api::wire::{Role, UserId, UserPatch};
use fireworks_client::gate::Gate;
use fireworks_client::key::ApiKeys;
use fireworks_client::{Client, Settings};

pub const KEY: &str = "fw_golden_canary";

/// A client of the account `acme` at that address.
pub fn client(base: &str, key: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings {
        wall_clock: jiff::Timestamp::now,
        base_url: base.parse().unwrap(),
        account: "acme".parse().unwrap(),
        ca_file: None,
        https_proxy: None,
    };
    let keys = ApiKeys::fixed(key.to_owned()).unwrap();
    Client::new(settings, keys, Gate::new(|| true)).unwrap()
}

pub fn alice() -> UserId {
    "alice".parse().unwrap()
}

pub fn patch() -> UserPatch {
    UserPatch {
        role: Role::Contributor,
        permission_preset: None,
        display_name: None,
    }
}

/// A call the operator makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Call {
    List,
    Get,
    Patch,
}

impl Call {
    pub const ALL: [Self; 3] = [Self::List, Self::Get, Self::Patch];

    /// Makes it; the error, if it came to one.
    pub async fn make(self, client: &Client) -> Option<Error> {
        match self {
            Self::List => client.list(None).await.err(),
            Self::Get => client.get(&alice()).await.err(),
            Self::Patch => client.update(&alice(), &patch()).await.err(),
        }
    }
}

/// What a server answers to any request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// A server with a given answer. It ends with the test's runtime.
pub struct Server {
    pub url: String,
    answer: Arc<Mutex<Answer>>,
}

impl Server {
    pub async fn start() -> Self {
        let first = Answer {
            status: 500,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let answer = Arc::new(Mutex::new(first));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(describe).with_state(answer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, answer }
    }

    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

async fn describe(State(answer): State<Arc<Mutex<Answer>>>) -> Response<Body> {
    let Answer {
        status,
        headers,
        body,
    } = answer.lock().unwrap().clone();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}
