//! How the bytes of an answer travel: at once, slowly, half of them, or with more than there should be. The only place
//! that makes response bodies.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use futures::stream::{self, Stream, StreamExt};

use crate::{answer::Answer, shared::Shared};

/// How large the pieces of an endless body are.
const PIECE: usize = 64 * 1024;

/// How the body of an answer travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    #[default]
    Whole,
    /// Half of what was announced, and then the connection ends.
    Half,
    /// Half of it, and the rest when the fault of this number is taken back.
    HalfThenRest(u64),
    /// One byte per interval of that number of milliseconds.
    Slowly(u64),
    /// Followed by that number of blanks; none: without end.
    Padded(Option<u64>),
}

type Piece = io::Result<Bytes>;

/// The answer as HTTP.
pub(crate) fn response(answer: Answer, shared: &Arc<Shared>) -> Response {
    let length = answer.body.len();
    let padded = matches!(answer.delivery, Delivery::Padded(_));
    let mut response = Response::new(body(answer.body, answer.delivery, shared));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if !padded {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let kind = answer.content_type.into_owned();
    let kind = (!kind.is_empty()).then_some((header::CONTENT_TYPE, kind));
    let others = answer.headers.into_iter();
    let others = others.map(|(name, value)| (HeaderName::from_static(name), value));
    for (name, value) in kind.into_iter().chain(others) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.insert(name, value);
        } else {
            tracing::warn!(%name, "a fault's header value cannot be sent over HTTP");
        }
    }
    response
}

fn body(bytes: Vec<u8>, delivery: Delivery, shared: &Arc<Shared>) -> Body {
    let mut bytes = Bytes::from(bytes);
    match delivery {
        Delivery::Whole => Body::from(bytes),
        Delivery::Half => {
            let half = bytes.split_to(bytes.len() / 2);
            let end = Piece::Err(io::ErrorKind::ConnectionAborted.into());
            Body::from_stream(stream::iter([Ok(half), end]))
        }
        Delivery::HalfThenRest(fault) => {
            let half = bytes.split_to(bytes.len() / 2);
            let shared = Arc::clone(shared);
            let rest = stream::once(async move {
                shared.until_fault_is_gone(fault).await;
                Piece::Ok(bytes)
            });
            Body::from_stream(stream::iter([Piece::Ok(half)]).chain(rest))
        }
        Delivery::Slowly(every_ms) => Body::from_stream(slowly(bytes, every_ms)),
        Delivery::Padded(count) => {
            Body::from_stream(stream::iter([Piece::Ok(bytes)]).chain(blanks(count)))
        }
    }
}

fn slowly(bytes: Bytes, every_ms: u64) -> impl Stream<Item = Piece> + Send {
    stream::unfold(bytes, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(every_ms)).await;
        let first = left.split_to(1);
        Some((Ok(first), left))
    })
}

fn blanks(count: Option<u64>) -> impl Stream<Item = Piece> + Send {
    let piece = Bytes::from(vec![b' '; PIECE]);
    stream::unfold(count, move |left| {
        let piece = piece.clone();
        async move {
            let Some(left) = left else {
                return Some((Ok(piece), None));
            };
            let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let rest = left.saturating_sub(u64::try_from(size).unwrap_or(left));
            (size > 0).then(|| (Ok(piece.slice(..size)), Some(rest)))
        }
    })
}
