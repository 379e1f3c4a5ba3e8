//! The lines of a watch, decoded where they lie: of each object one copy is in memory, and of large ones one object in
//! the whole process.

use std::time::Duration;

use http_body_util::BodyExt;
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Error;
use crate::bulk::{Bulk, LARGE, Turn};
use crate::clock;

/// A stream of lines.
pub(super) struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// What lies before has been decoded.
    begin: usize,
    /// Between `begin` and here there is no end of a line.
    scanned: usize,
    bulk: Bulk,
    /// Taken for a large line at that time.
    turn: Option<(Turn, Instant)>,
    /// A large line has to be complete within this long: others wait for it.
    deadline: Duration,
}

impl Lines {
    pub(super) fn new(body: Body, bulk: Bulk, deadline: Duration) -> Self {
        Self {
            body,
            buffer: Vec::new(),
            begin: 0,
            scanned: 0,
            bulk,
            turn: None,
            deadline,
        }
    }

    /// The next line; nothing at the end of the stream, a torn line included. Dropping the future loses nothing.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        loop {
            tokio::task::consume_budget().await;
            if let Some(end) = self.end_of_line() {
                let decoded = serde_json::from_slice(&self.buffer[self.begin..end]);
                self.decoded(end + 1);
                return decoded.map(Some).map_err(Error::line);
            }
            let more = if self.buffer.len() - self.begin > LARGE {
                let since = self.turn().await;
                let frame = tokio::time::timeout_at(since + self.deadline, self.body.frame());
                frame.await.map_err(|_| Error::slow())?
            } else {
                self.body.frame().await
            };
            let Some(frame) = more else {
                return Ok(None);
            };
            if let Some(data) = frame.map_err(Error::torn)?.data_ref() {
                self.evict();
                self.buffer.extend_from_slice(data);
            }
        }
    }

    /// Waits for the turn of a large line; when it was taken.
    async fn turn(&mut self) -> Instant {
        if let Some((_, since)) = &self.turn {
            return *since;
        }
        let (turn, since) = (self.bulk.turn().await, clock::now());
        self.turn = Some((turn, since));
        since
    }

    fn end_of_line(&mut self) -> Option<usize> {
        let unseen = self.scanned.max(self.begin);
        let found = self.buffer[unseen..].iter().position(|byte| *byte == b'\n');
        self.scanned = self.buffer.len();
        let end = unseen + found?;
        self.scanned = end;
        Some(end)
    }

    fn decoded(&mut self, next: usize) {
        (self.begin, self.scanned) = (next, next);
        self.turn = None;
        if self.begin == self.buffer.len() {
            self.evict();
        }
    }

    /// Drops what was decoded, and the memory of a large line.
    fn evict(&mut self) {
        let left = self.buffer.len() - self.begin;
        self.scanned = self.scanned.saturating_sub(self.begin);
        if self.buffer.capacity() > LARGE && left <= LARGE {
            self.buffer = self.buffer[self.begin..].to_vec();
        } else {
            self.buffer.drain(..self.begin);
        }
        self.begin = 0;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use futures::FutureExt;
    use serde_json::Value;

    use super::*;

    fn lines(text: &str, bulk: &Bulk) -> Lines {
        let body = Body::from(text.as_bytes().to_vec());
        Lines::new(body, bulk.clone(), Duration::from_secs(1))
    }

    #[tokio::test]
    async fn lines_are_decoded_one_by_one() {
        let large = format!("\"{}\"", "x".repeat(3 * LARGE));
        let text = format!("1\n{large}\nbroken\n[2]\ntorn");
        let mut lines = lines(&text, &Bulk::default());
        assert_eq!(lines.next::<Value>().await.unwrap(), Some(1.into()));
        let next = lines.next::<String>().await.unwrap().unwrap();
        assert_eq!(next.len(), 3 * LARGE);
        assert!(lines.next::<Value>().await.unwrap_err().is_one_line());
        assert_eq!(lines.next::<Vec<u8>>().await.unwrap(), Some(vec![2]));
        assert_eq!(lines.next::<Value>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn large_line_waits_for_another_and_small_ones_do_not() {
        let bulk = Bulk::default();
        let turn = bulk.turn().await;
        let broken_off = format!("1\n\"{}", "x".repeat(2 * LARGE));
        let mut lines = lines(&broken_off, &bulk);
        assert_eq!(lines.next::<Value>().await.unwrap(), Some(1.into()));
        assert!(lines.next::<Value>().now_or_never().is_none());
        drop(turn);
        assert_eq!(lines.next::<Value>().await.unwrap(), None);
    }
}
