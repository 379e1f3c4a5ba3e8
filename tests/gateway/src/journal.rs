//! The journal: what was asked, when, what it changed and what was answered. Never a credential: only whether it was
//! valid and a short fingerprint that means nothing outside this process.

use std::{collections::VecDeque, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A simulator left running for weeks must not eat the machine.
const KEPT: usize = 250_000;
/// One is one too many; the rest repeats it.
const VIOLATIONS_KEPT: usize = 100;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the HTTP verbs or LIST")]
pub enum Verb {
    List,
    Get,
    Patch,
    Post,
    /// The account itself was read.
    Account,
    /// Anything else: an unknown route or a wrong method.
    Other,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It has not ended yet.
    Pending,
    /// A response was handed to the connection.
    Answered,
    /// The connection was reset on purpose.
    Dropped,
    /// The client closed the connection before there was a response.
    ClientGone,
}

/// One field that a request changed, by JSON name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The field.
    pub field: String,
    /// Its value before.
    pub from: Value,
    /// Its value after.
    pub to: Value,
}

/// How long a response asked to wait, as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// Header `retry-after`.
    pub retry_after: Option<String>,
    /// Header `retry-after-ms`.
    pub retry_after_ms: Option<String>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Number of the request, from 1, never reused.
    pub seq: u64,
    /// Number of the TCP connection it came on, from 1.
    pub connection: u64,
    /// What it is about.
    pub verb: Verb,
    /// HTTP method.
    pub method: String,
    /// Path as sent, still percent-encoded.
    pub path: String,
    /// Query string as sent.
    pub query: Option<String>,
    /// The user it is about, decoded; for POST the id asked for.
    pub user: Option<String>,
    /// `user-agent` header.
    pub user_agent: Option<String>,
    /// Whether the credential was valid when the request arrived.
    pub authorized: bool,
    /// Distinguishes credentials within this process; none without a credential.
    pub credential: Option<String>,
    /// The body, where there was one: its JSON, or its text.
    pub body: Option<Value>,
    /// Arrival of the headers, milliseconds since the Unix epoch.
    pub received_unix_ms: i64,
    /// Arrival of the headers, monotonic milliseconds since the simulator started.
    pub received_ms: u64,
    /// End, milliseconds since the Unix epoch.
    pub answered_unix_ms: Option<i64>,
    /// End, monotonic milliseconds since the simulator started.
    pub answered_ms: Option<u64>,
    /// HTTP status of the response; none where none was given.
    pub status: Option<u16>,
    /// `retry-after-ms` and `retry-after` of the response, where it had one.
    pub asked_to_wait: Option<Wait>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it changed; empty: nothing.
    pub changes: Vec<Change>,
    /// When its change was applied, monotonic milliseconds since the simulator started; none: not, or it was a read.
    pub applied_ms: Option<u64>,
    /// Name of the fault that hit it.
    pub fault: Option<String>,
}

/// Which half of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// What was asked.
    Request,
    /// What was answered.
    Answer,
}

/// Something that `openapi.yaml` does not allow, and that no fault explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Number of the request.
    pub seq: u64,
    /// HTTP method.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Who is to blame: the client for a request, the simulator for an answer.
    pub side: Side,
    /// What is wrong.
    pub wrong: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Request => "request",
            Side::Answer => "answer",
        };
        let (seq, method, path, wrong) = (self.seq, &self.method, &self.path, &self.wrong);
        write!(f, "#{seq} {method} {path}: {side}: {wrong}")
    }
}

/// All entries, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    last_seq: u64,
    entries: VecDeque<Entry>,
    violations: Vec<Violation>,
}

impl Journal {
    /// Adds an entry and gives it its number.
    pub(crate) fn open(&mut self, mut entry: Entry) -> u64 {
        self.last_seq += 1;
        entry.seq = self.last_seq;
        self.entries.push_back(entry);
        if self.entries.len() > KEPT {
            self.entries.pop_front();
        }
        self.last_seq
    }

    /// Changes an entry, unless it was cleared meanwhile.
    pub(crate) fn amend(&mut self, seq: u64, change: impl FnOnce(&mut Entry)) {
        let first = self.entries.front().map_or(0, |entry| entry.seq);
        let place = seq
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            change(entry);
        }
    }

    /// Entries with a number above this one.
    pub(crate) fn since(&self, seq: u64) -> Vec<Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.seq > seq)
            .cloned()
            .collect()
    }

    /// Adds what is wrong with an exchange, up to the limit.
    pub(crate) fn blame(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
    }

    /// What was wrong with any exchange so far. Clearing the journal does not excuse it.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.violations.clone()
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Forgets all entries; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn entry() -> Entry {
        Entry {
            seq: 0,
            connection: 1,
            verb: Verb::Other,
            method: "GET".into(),
            path: "/".into(),
            query: None,
            user: None,
            user_agent: None,
            authorized: false,
            credential: None,
            body: None,
            received_unix_ms: 0,
            received_ms: 0,
            answered_unix_ms: None,
            answered_ms: None,
            status: None,
            asked_to_wait: None,
            outcome: Outcome::Pending,
            changes: Vec::new(),
            applied_ms: None,
            fault: None,
        }
    }

    #[test]
    fn numbers_go_on_after_clearing_and_late_amendments_hit_no_other_entry() {
        let mut journal = Journal::default();
        let first = journal.open(entry());
        journal.clear();
        let second = journal.open(entry());
        assert_eq!((first, second), (1, 2));
        journal.amend(first, |entry| entry.status = Some(200));
        assert_eq!(journal.since(0)[0].status, None);
        journal.amend(second, |entry| entry.status = Some(204));
        assert_eq!(journal.since(1)[0].status, Some(204));
        assert!(journal.since(2).is_empty());
    }
}
