//! The requests of a watch, and how they fail.

use std::fmt::Write;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::client::{Body, Client};
use kube::core::Status;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::lines::Lines;
use super::pages::{self, Page, PageMeta};
use crate::bulk::{Bulk, MaxBody, TooLarge};

/// Above this the reason of a refusal is not read.
const REFUSAL_MAX: MaxBody = MaxBody(64 * 1024);
/// A watch is asked to end by itself this long before it counts as dead.
const OVERDUE: Duration = Duration::from_secs(5);

/// Where the objects come from.
pub struct Source {
    /// The API server.
    pub client: Client,
    /// The path of the collection.
    pub path: String,
    /// One large object at a time.
    pub bulk: Bulk,
    /// A watch in which nothing arrives for this long is dead.
    pub idle_timeout: Duration,
    /// Deadline of a request.
    pub deadline: Duration,
}

/// Why a request of a watch failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}: {cause}")]
pub struct Error {
    attempt: &'static str,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Box<Status>),
    #[error("cannot decode: {0}")]
    Line(serde_json::Error),
    #[error("the API server closed it")]
    Ended,
    #[error("the API server did not send the rest in time")]
    Slow,
}

/// What a watch asks of the API server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// A list, of one object or in pages.
    List,
    /// A watch, or a streamed list.
    Watch,
}

const LIST: &str = "failed to list objects";
const START: &str = "failed to start the watch";
const WATCH: &str = "watch failed";

impl Error {
    fn new(attempt: &'static str, cause: impl Into<Cause>) -> Self {
        Self {
            attempt,
            cause: cause.into(),
        }
    }

    pub(super) fn refused(status: Box<Status>) -> Self {
        Self::new(WATCH, Cause::Refused(status))
    }

    pub(super) fn line(error: serde_json::Error) -> Self {
        Self::new(WATCH, Cause::Line(error))
    }

    pub(super) fn torn(error: kube::Error) -> Self {
        Self::new(WATCH, error)
    }

    pub(super) fn ended() -> Self {
        Self::new(LIST, Cause::Ended)
    }

    pub(super) fn slow() -> Self {
        Self::new(WATCH, Cause::Slow)
    }

    /// The code of the API server's refusal.
    pub(super) fn code(&self) -> Option<u16> {
        match &self.cause {
            Cause::Refused(status) | Cause::Kube(kube::Error::Api(status)) => Some(status.code),
            Cause::Kube(_) | Cause::Line(_) | Cause::Ended | Cause::Slow => None,
        }
    }

    /// The verb that the API server refuses for want of a right.
    #[must_use]
    pub fn refused_verb(&self) -> Option<Verb> {
        let verb = if self.attempt == LIST {
            Verb::List
        } else {
            Verb::Watch
        };
        (self.code() == Some(403)).then_some(verb)
    }

    /// Whether it concerns one line alone, and the next one may be sound.
    pub(super) fn is_one_line(&self) -> bool {
        matches!(self.cause, Cause::Line(_))
    }

    pub(super) fn is_too_large(&self) -> bool {
        matches!(&self.cause, Cause::Kube(kube::Error::Service(error)) if error.is::<TooLarge>())
    }
}

impl Source {
    /// Watches the changes since that version.
    pub(super) async fn watch(&self, version: &str) -> Result<Lines, Error> {
        self.open(&[("resourceVersion", version)]).await
    }

    /// Streams everything that exists, then its changes. Without a version the list is as of now.
    pub(super) async fn watch_list(&self) -> Result<Lines, Error> {
        self.open(&[
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
        ])
        .await
    }

    async fn open(&self, more: &[(&str, &str)]) -> Result<Lines, Error> {
        let lasts = self.idle_timeout.saturating_sub(OVERDUE).as_secs().max(1);
        let lasts = lasts.to_string();
        let mut query = vec![
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", lasts.as_str()),
        ];
        query.extend(more);
        let body = self.send(START, &query, None).await?;
        Ok(Lines::new(body, self.bulk.clone(), self.deadline))
    }

    /// The version of the store, by a list of one object at most.
    pub(super) async fn current_version(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Versioned {
            metadata: PageMeta,
        }
        let (list, _) = self.get::<Versioned>(&[("limit", "1")], None).await?;
        Ok(list.metadata.resource_version)
    }

    /// A page of that many objects, and the number of its bytes.
    pub(super) async fn page<K: DeserializeOwned>(
        &self,
        objects: usize,
        next: &str,
    ) -> Result<(Page<K>, usize), Error> {
        let limit = objects.to_string();
        let mut query = vec![("limit", limit.as_str())];
        if !next.is_empty() {
            query.push(("continue", next));
        }
        // Of one object every size is accepted.
        self.get(&query, (objects > 1).then_some(pages::MAX)).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        query: &[(&str, &str)],
        max: Option<MaxBody>,
    ) -> Result<(T, usize), Error> {
        let body = self.send(LIST, query, max).await?;
        let bytes = body
            .collect()
            .await
            .map_err(|error| Error::new(LIST, error))?;
        let bytes = bytes.to_bytes();
        let decoded = serde_json::from_slice(&bytes);
        let decoded = decoded.map_err(|error| Error::new(LIST, kube::Error::SerdeError(error)))?;
        Ok((decoded, bytes.len()))
    }

    /// Sends a GET; the body of a good answer.
    async fn send(
        &self,
        attempt: &'static str,
        query: &[(&str, &str)],
        max: Option<MaxBody>,
    ) -> Result<Body, Error> {
        let mut target = format!("{}?", self.path);
        for (name, value) in query {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            // Writing to a String cannot fail.
            let _ = write!(target, "{name}={value}&");
        }
        let mut request = Request::get(target.trim_end_matches('&'))
            .body(Body::empty())
            .map_err(|error| Error::new(attempt, kube::Error::HttpError(error)))?;
        if let Some(max) = max {
            request.extensions_mut().insert(max);
        }
        let answer = self.client.send(request).await;
        let (head, body) = answer
            .map_err(|error| Error::new(attempt, error))?
            .into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let text = http_body_util::Limited::new(body, REFUSAL_MAX.0)
            .collect()
            .await;
        let text = text
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let status = serde_json::from_slice(&text).unwrap_or_else(|_| {
            Status::failure("the response gives no reason", "").with_code(head.status.as_u16())
        });
        Err(Error::new(attempt, Cause::Refused(Box::new(status))))
    }
}
