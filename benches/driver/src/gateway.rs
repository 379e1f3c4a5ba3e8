//! One account: the simulator as a process of its own, and its control pages. Knows no Kubernetes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fireworks_gateway_simulator::settings::TEST_KEY;
use fireworks_gateway_simulator::{Entry, User, Verb};
use futures::stream::{self, StreamExt, TryStreamExt};
use rig::{Tied, until};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::broken::{Broken, Sound};

/// The account's id.
pub(crate) const ACCOUNT: &str = "acme";
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// Edits under way at once.
const EDITS_AT_ONCE: usize = 16;

/// A running simulator. Dropping it ends it.
pub(crate) struct Gateway {
    _process: Tied,
    url: String,
    client: reqwest::Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Journal {
    entries: Vec<Entry>,
    last_seq: u64,
}

impl Gateway {
    /// Starts one with so many seeded users, and further arguments.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        users: usize,
        arguments: &[&str],
    ) -> Sound<Self> {
        let log = log_file(folder);
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0", "--account-id", ACCOUNT])
            .args(["--users", &users.to_string()])
            .args(arguments);
        let process = Tied::start(&command, &log)?;
        let url = until(LISTENS_WITHIN, "the simulator to listen", async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            listening(&text).ok_or(text)
        });
        Ok(Self {
            url: url.await?,
            _process: process,
            client: reqwest::Client::builder()
                .tls_certs_only([])
                .no_proxy()
                .timeout(ANSWER_WITHIN)
                .build()?,
        })
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The number of the last request it saw.
    pub(crate) async fn last_seq(&self) -> Sound<u64> {
        let path = format!("/_journal?since={}", u64::MAX);
        Ok(self.ask::<Journal>("GET", &path, None).await?.last_seq)
    }

    /// The requests it saw after that one.
    pub(crate) async fn calls_since(&self, seq: u64) -> Sound<Vec<Entry>> {
        let path = format!("/_journal?since={seq}");
        Ok(self.ask::<Journal>("GET", &path, None).await?.entries)
    }

    /// The `PATCHes` it saw after that request.
    pub(crate) async fn patches_since(&self, seq: u64) -> Sound<Vec<Entry>> {
        let mut calls = self.calls_since(seq).await?;
        calls.retain(|call| call.verb == Verb::Patch);
        Ok(calls)
    }

    /// Puts users into the account.
    pub(crate) async fn put_all(&self, users: &[User]) -> Sound<()> {
        let bodies = users
            .iter()
            .map(|user| Ok((user.id.clone(), serde_json::to_value(user)?)));
        self.send_all("PUT", bodies.collect::<Sound<_>>()?).await
    }

    /// Edits users behind everybody's back: what drift is made of.
    pub(crate) async fn edit_all(&self, edits: Vec<(String, Value)>) -> Sound<()> {
        self.send_all("PATCH", edits).await
    }

    async fn send_all(&self, method: &str, bodies: Vec<(String, Value)>) -> Sound<()> {
        stream::iter(bodies)
            .map(|(id, body)| async move {
                let path = format!("/_users/{id}");
                self.ask::<Value>(method, &path, Some(body)).await
            })
            .buffer_unordered(EDITS_AT_ONCE)
            .try_for_each(|_| async { Ok(()) })
            .await
    }

    /// How many of these users have that display name.
    pub(crate) async fn named_so(&self, ids: &[String], display_name: &str) -> Sound<usize> {
        let mut found = 0;
        for id in ids {
            let user: User = self.ask("GET", &format!("/_users/{id}"), None).await?;
            found += usize::from(user.display_name == display_name);
        }
        Ok(found)
    }

    /// Moves switches.
    pub(crate) async fn switch(&self, changes: Value) -> Sound<()> {
        self.ask::<Value>("PATCH", "/_switches", Some(changes))
            .await
            .map(drop)
    }

    /// Somebody else who uses the same account.
    pub(crate) fn stranger(&self) -> Stranger {
        Stranger {
            client: self.client.clone(),
            users: format!("{}/v1/accounts/{ACCOUNT}/users", self.url),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Sound<T> {
        let method = method.parse::<reqwest::Method>()?;
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        let answer = request.send().await?;
        if !answer.status().is_success() {
            let words = answer.text().await?;
            return Err(Broken::new(format!("{path} of the simulator: {words}")));
        }
        Ok(answer.json().await?)
    }
}

/// Somebody else with a key of the account. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Stranger {
    client: reqwest::Client,
    users: String,
}

impl Stranger {
    /// One call: the status of the answer.
    pub(crate) async fn call(&self, user: &str) -> Sound<u16> {
        let request = self.client.get(format!("{}/{user}", self.users));
        let request = request.bearer_auth(TEST_KEY).header("user-agent", FOREIGN);
        Ok(request.send().await?.status().as_u16())
    }
}

/// The user agent of somebody else's calls.
pub(crate) const FOREIGN: &str = "somebody-else";

/// Several simulators may share a folder.
fn log_file(folder: &Path) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("gateway-{number}.log"))
}

/// The base URL in the line the simulator starts with.
fn listening(text: &str) -> Option<String> {
    let (line, _) = text.split_once('\n')?;
    let url = line.split(' ').find(|word| word.starts_with("http://"))?;
    Some(url.to_owned())
}
