//! The simulator as a Pod behind a Service: HTTPS with a certificate of the tests' own authority for the operator, the
//! control pages by HTTP for the scenarios.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, User, Verb};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::certificates::Authority;
use crate::failure::{Failure, Result};
use crate::node::Node;

/// Its name in the cluster, as the operator is given it.
pub(crate) const BASE_URL: &str = "https://gateway.gateway.svc.cluster.local";
/// The account it knows.
pub(crate) const ACCOUNT: &str = "acme";
/// As in `manifests/simulator.yaml`.
const CONTROL: &str = "http://10.96.0.20:8080";
/// Names under which it is asked; the last one is Fireworks' own, as in `manifests/coredns.yaml`.
const NAMES: [&str; 3] = [
    "gateway.gateway.svc",
    "gateway.gateway.svc.cluster.local",
    "api.fireworks.ai",
];

/// The running simulator.
pub(crate) struct Simulator {
    client: reqwest::Client,
    authority: String,
}

/// For plain HTTP on the node.
pub(crate) fn client() -> Result<reqwest::Client> {
    // It is asked for although no authority is to be trusted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_certs_only(Vec::new())
        .no_proxy()
        .timeout(Duration::from_secs(10));
    Ok(client.build()?)
}

/// Calls the simulator has seen.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Journal {
    entries: Vec<Entry>,
    last_seq: u64,
}

impl Simulator {
    /// Installs it, and waits until it answers.
    pub(crate) async fn install(node: &Node) -> Result<Self> {
        let keys = node.state().join("gateway-keys");
        let authority = Authority::new(&keys, "gateway")?;
        authority.server("tls", &NAMES)?;
        let file = |name: &str| format!("--from-file={}", keys.join(name).display());
        let kubectl = node.kubectl();
        kubectl.run(&["create", "namespace", "gateway"]).await?;
        kubectl
            .run(&[
                "-n",
                "gateway",
                "create",
                "secret",
                "generic",
                "gateway",
                &file("tls.crt"),
                &file("tls.key"),
            ])
            .await?;
        let manifest = include_str!("../../manifests/simulator.yaml");
        kubectl.apply("gateway", manifest).await?;
        node.rolled_out("gateway", "gateway").await?;
        let simulator = Self {
            client: client()?,
            authority: authority.certificate().to_owned(),
        };
        node.until("the simulator to answer", async || {
            simulator
                .users()
                .await
                .map_err(|failure| failure.to_string())
        })
        .await?;
        Ok(simulator)
    }

    /// The certificate of the authority that vouches for it, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Puts a user into the account.
    pub(crate) async fn put(&self, user: User) -> Result {
        let body = serde_json::to_value(&user)?;
        self.send("PUT", &format!("/_users/{}", user.id), Some(&body))
            .await
    }

    /// Edits a user behind the operator's back.
    pub(crate) async fn edit(&self, id: &str, changes: &Value) -> Result {
        self.send("PATCH", &format!("/_users/{id}"), Some(changes))
            .await
    }

    /// All users as they are.
    pub(crate) async fn users(&self) -> Result<Vec<User>> {
        self.read("/_users").await
    }

    /// One user as it is.
    pub(crate) async fn user(&self, id: &str) -> Result<User> {
        self.read(&format!("/_users/{id}")).await
    }

    /// The number of the last call.
    pub(crate) async fn last_seq(&self) -> Result<u64> {
        let path = format!("/_journal?since={}", u64::MAX);
        Ok(self.read::<Journal>(&path).await?.last_seq)
    }

    /// The calls after that one.
    pub(crate) async fn since(&self, seq: u64) -> Result<Vec<Entry>> {
        let path = format!("/_journal?since={seq}");
        Ok(self.read::<Journal>(&path).await?.entries)
    }

    /// How many of `PATCH` it has seen after that call.
    pub(crate) async fn patches_since(&self, seq: u64) -> Result<usize> {
        let calls = self.since(seq).await?;
        Ok(calls.iter().filter(|call| call.verb == Verb::Patch).count())
    }

    /// Does what a control page does.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result {
        self.ask(method, path, body).await.map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(serde_json::from_str(&self.ask("GET", path, None).await?)?)
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let request = self
            .client
            .request(method.parse()?, format!("{CONTROL}{path}"))
            .body(body.map(Value::to_string).unwrap_or_default());
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            return Ok(text);
        }
        Err(Failure::new(format!(
            "{method} {path} of the simulator: {status}: {text}"
        )))
    }
}
