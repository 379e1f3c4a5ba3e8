//! Reads the body of an answer that is no success: `{"code", "message", "details"}`, also wrapped in
//! `{"error": …}`, with the code as a number or a name. Pure.

use std::time::Duration;

use serde::de::{MapAccess, SeqAccess};

use super::{Fields, Loose, Scalar, object, parse, skip};
use crate::error::{Code, retry_delay};

/// The end of the type of a detail that holds how long to wait.
const RETRY_INFO: &str = "google.rpc.RetryInfo";

/// What an error body holds. Where a body is none, nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// The code, where it is a number or a name that `google.rpc` defines.
    pub code: Option<Code>,
    /// The text under `message`, as it stands there.
    pub message: Option<Box<str>>,
    /// How long to wait, by a `google.rpc.RetryInfo` among the details.
    pub retry_delay: Option<Duration>,
}

/// Returns what an error body holds; `None` when `body` is no JSON object.
#[must_use]
pub fn error_body(body: &[u8]) -> Option<ErrorBody> {
    let RawError { own, error } = parse(body)?;
    let (code, delay) = (own.code.to_code(), own.delay());
    let (code, message, retry_delay) = match error {
        Loose::Map(inner) => {
            let delay = inner.delay().or(delay);
            (inner.code.to_code().or(code), inner.message, delay)
        }
        Loose::Text(message) if own.message.is_absent() => (code, Loose::Text(message), delay),
        _ => (code, own.message, delay),
    };
    Some(ErrorBody {
        code,
        message: if let Loose::Text(message) = message {
            Some(message)
        } else {
            None
        },
        retry_delay,
    })
}

object! {
    RawError {
        error: Loose<RawRefusal> = "error",
    }
    rest own: RawRefusal
}

object! {
    RawRefusal {
        code: Scalar = "code",
        message: Scalar = "message",
        details: Loose<RawDetails> = "details",
    }
}

impl RawRefusal {
    fn delay(&self) -> Option<Duration> {
        match self.details {
            Loose::Map(RawDetails { delay }) => delay,
            _ => None,
        }
    }
}

/// What is of use of a list of details: nothing else of it is kept.
#[derive(Default)]
struct RawDetails {
    delay: Option<Duration>,
}

impl Fields for RawDetails {
    fn take<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        skip(map)
    }

    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut found = Self::default();
        while let Some(detail) = list.next_element::<Loose<RawDetail>>()? {
            if let Loose::Map(detail) = detail {
                found.delay = found.delay.max(detail.delay());
            }
        }
        Ok(Some(found))
    }
}

object! {
    RawDetail {
        kind: Scalar = "@type",
        delay: Scalar = "retryDelay" | "retry_delay",
    }
}

impl RawDetail {
    fn delay(&self) -> Option<Duration> {
        match (&self.kind, &self.delay) {
            (Loose::Text(kind), Loose::Text(delay)) if kind.ends_with(RETRY_INFO) => {
                retry_delay(delay)
            }
            _ => None,
        }
    }
}

/// What to show of an error body that is no JSON object.
#[must_use]
pub fn plain_words(body: &[u8], html: bool) -> String {
    if html || body.trim_ascii_start().starts_with(b"<") {
        return "an HTML page".to_owned();
    }
    // Far more than is ever shown, and far less than may have been sent.
    let start = &body[..body.len().min(16 * 1024)];
    String::from_utf8_lossy(start).into_owned()
}
