//! The last check before an update leaves. The connection asks for the body of a request right before it writes the head: a
//! process that was stopped since the update was decided asks there whether it may still make it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::gate::Gate;

/// When an update may leave, and when it must have ended.
#[derive(Clone)]
pub struct Permission {
    /// The update must have ended within this time, unless the client's own deadline is earlier.
    pub within: Duration,
    /// Open while it may leave.
    pub gate: Gate,
}

impl Permission {
    /// Returns the permission of a process that need not ask.
    #[must_use]
    pub fn always() -> Self {
        Self {
            within: Duration::MAX,
            gate: Gate::new(|| true),
        }
    }
}

/// A body that is given out only while the gate is open. Nothing of a request leaves that has no body: the head is written
/// together with it.
pub(super) struct LastCheck {
    bytes: Option<Bytes>,
    gate: Gate,
    was_refused: Arc<AtomicBool>,
}

impl LastCheck {
    /// Returns the body, and what shows whether it was refused.
    pub(super) fn new(bytes: Bytes, gate: Gate) -> (Self, Arc<AtomicBool>) {
        let was_refused = Arc::<AtomicBool>::default();
        let body = Self {
            bytes: Some(bytes),
            gate,
            was_refused: Arc::clone(&was_refused),
        };
        (body, was_refused)
    }
}

impl Body for LastCheck {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if self.bytes.is_some() && !self.gate.is_open() {
            self.was_refused.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err("updates must not leave any more")));
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(left as u64)
    }
}
