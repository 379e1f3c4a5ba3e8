//! Lets one large piece of data from the API server into memory at a time: an object may have 1.5 MiB, and many of them
//! may be asked for at once. Pieces below [`LARGE`] are not held up.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Above this many bytes a piece has to wait for its turn.
pub const LARGE: usize = 64 * 1024;

/// Of a request: an answer with more bytes is given up while it arrives. Obeyed by the layer below the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MaxBody(pub usize);

/// An answer had more bytes than [`MaxBody`] allows.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response has more than {0} bytes")]
pub struct TooLarge(pub usize);

/// The turn. Clones share it.
#[derive(Clone, Debug)]
pub struct Bulk(Arc<Semaphore>);

/// A turn that was taken; dropping it gives it to the next.
#[derive(Debug)]
#[must_use = "the turn ends as soon as this is dropped"]
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Bulk {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Bulk {
    /// Waits for the turn.
    pub async fn turn(&self) -> Turn {
        Turn {
            // It is never closed.
            _permit: self.0.clone().acquire_owned().await.ok(),
        }
    }
}

impl Turn {
    /// Keeps the turn for as long as these bytes are in memory.
    #[must_use]
    pub fn hold(self, data: Vec<u8>) -> Bytes {
        Bytes::from_owner(BodyBytes { data, _turn: self })
    }
}

struct BodyBytes {
    data: Vec<u8>,
    _turn: Turn,
}

impl AsRef<[u8]> for BodyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn turn_lasts_as_long_as_its_bytes() {
        let bulk = Bulk::default();
        let first = bulk.turn().await.hold(vec![1, 2]);
        let kept = first.slice(1..);
        drop(first);
        assert!(bulk.clone().turn().now_or_never().is_none());
        assert_eq!(&kept[..], [2]);
        drop(kept);
        assert!(bulk.turn().now_or_never().is_some());
    }
}
