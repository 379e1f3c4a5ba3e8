//! Talks to the simulator program the way a person with `curl` does: reads its journal, edits users behind the operator's
//! back. A few lines of HTTP/1.0, so that the demonstration needs no HTTP client of the operator's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, User, Verb};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;

/// How long an answer of a control page may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The running simulator.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Journal {
    entries: Vec<Entry>,
    last_seq: u64,
}

impl Gateway {
    /// The one that listens there.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of the last request it saw.
    pub(crate) async fn last_seq(&self) -> Result<u64, Failure> {
        let path = format!("/_journal?since={}", u64::MAX);
        Ok(self.ask::<Journal>("GET", &path, None).await?.last_seq)
    }

    /// The requests it saw after that one.
    pub(crate) async fn calls_since(&self, seq: u64) -> Result<Vec<Entry>, Failure> {
        let path = format!("/_journal?since={seq}");
        Ok(self.ask::<Journal>("GET", &path, None).await?.entries)
    }

    /// Every user of the account.
    pub(crate) async fn users(&self) -> Result<Vec<User>, Failure> {
        self.ask("GET", "/_users", None).await
    }

    /// A user as the account has it.
    pub(crate) async fn user(&self, id: &str) -> Result<User, Failure> {
        self.ask("GET", &format!("/_users/{id}"), None).await
    }

    /// Edits a user (`PATCH`) or puts one into the account (`PUT`).
    pub(crate) async fn edit(&self, method: &str, id: &str, body: &Value) -> Result<(), Failure> {
        let path = format!("/_users/{id}");
        self.ask::<Value>(method, &path, Some(body))
            .await
            .map(|_| ())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let failed = |why: &str| Failure::new(format!("{method} {path} of the simulator: {why}"));
        let exchange = exchange(self.address, method, path, body);
        let answer = timeout(ANSWER_WITHIN, exchange)
            .await
            .map_err(|_| failed("no answer"))?
            .map_err(|error| failed(&error.to_string()))?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| failed("no HTTP"))?;
        match head.split(' ').nth(1) {
            Some("200") => serde_json::from_str(body).map_err(|error| failed(&error.to_string())),
            _ => Err(failed(body.trim())),
        }
    }
}

async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<String> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Each PATCH of that user among the calls.
pub(crate) fn patches<'a>(calls: &'a [Entry], user: &str) -> Vec<&'a Entry> {
    calls
        .iter()
        .filter(|call| call.verb == Verb::Patch && call.user.as_deref() == Some(user))
        .collect()
}

/// What was asked, in one line for a message.
pub(crate) fn in_one_line(calls: &[Entry]) -> String {
    match summary(calls).join("; ") {
        line if line.is_empty() => "no call to Fireworks".to_owned(),
        line => line,
    }
}

/// One line a call, equal ones counted: a sweep that repeats is one line.
pub(crate) fn summary(calls: &[Entry]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls {
        let line = line(call);
        if !counts.contains_key(&line) {
            order.push(line.clone());
        }
        *counts.entry(line).or_default() += 1;
    }
    let counted = |line: String| match counts.get(&line) {
        Some(count) if *count > 1 => format!("{line}  ×{count}"),
        _ => line,
    };
    order.into_iter().map(counted).collect()
}

fn line(call: &Entry) -> String {
    let query = call.query.as_ref().map(|query| format!("?{query}"));
    let body = call.body.as_ref().map(|body| format!(" {body}"));
    let status = call.status.map_or("no answer".into(), |s| s.to_string());
    format!(
        "{} {}{}{} → {status}",
        call.method,
        call.path,
        query.unwrap_or_default(),
        body.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn call(verb: &str, path: &str, body: &Value) -> Entry {
        let method = if verb == "LIST" { "GET" } else { verb };
        serde_json::from_value(json!({
            "seq": 1, "connection": 1, "verb": verb, "method": method, "path": path, "query": null,
            "user": path.rsplit('/').next(), "userAgent": null, "authorized": true, "credential": null,
            "body": body, "receivedUnixMs": 0, "receivedMs": 0, "answeredUnixMs": null, "answeredMs": null,
            "status": 200, "outcome": "answered", "changes": [], "fault": null,
        }))
        .unwrap()
    }

    #[test]
    fn equal_calls_are_one_line_at_their_first_place() {
        let calls = [
            call("LIST", "/users", &Value::Null),
            call("PATCH", "/users/bob", &json!({"role": "user"})),
            call("LIST", "/users", &Value::Null),
        ];
        let patch = r#"PATCH /users/bob {"role":"user"} → 200"#;
        assert_eq!(summary(&calls), ["GET /users → 200  ×2", patch]);
        assert_eq!(patches(&calls, "bob").len(), 1);
        assert!(patches(&calls, "users").is_empty());
    }
}
