//! The API key: where it comes from, which one is current, and that a new one has arrived.
//! It knows files and headers, not calls. The key leaves this file only as a header value marked
//! sensitive; no error, log line or `Debug` output holds it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;

use crate::clock;

/// No key is nearly as long; a wrong path may name an endless file.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// So many characters of a key in a row are a part of it that must not be shown.
const PIECE: usize = 8;
/// A shorter interval would only burn processor time.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const SCHEME: &str = "Bearer ";

/// Why there is no usable key. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the API key file {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::ErrorKind,
    },
    /// There is nothing in the file, or in the setting.
    #[error("the API key{} is empty", from(path.as_deref()))]
    Empty {
        /// The file, if the key came from one.
        path: Option<PathBuf>,
    },
    /// The key holds what no key holds: a space, a control character, a second line, non-ASCII.
    #[error("the API key{} holds a character that no key has (white space, a second line, or not ASCII)", from(path.as_deref()))]
    Unusable {
        /// The file, if the key came from one.
        path: Option<PathBuf>,
    },
    /// The file is far too large to hold a key.
    #[error("the API key file {} is too large to be one", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl KeyError {
    /// Returns whether there is no such file, or not yet.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(
            self,
            Self::Unreadable {
                reason: io::ErrorKind::NotFound,
                ..
            }
        )
    }
}

fn from(path: Option<&Path>) -> String {
    path.map(|path| format!(" file {}", path.display()))
        .unwrap_or_default()
}

/// One key and its place in the sequence of keys this process has had.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The value of the `Authorization` header; marked sensitive.
    pub header: HeaderValue,
    /// Starts at 1 and grows by one with each new key.
    pub version: u64,
}

impl ApiKey {
    /// `text` without this key, in case a server echoed it or most of it.
    pub(super) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let header = self.header.to_str().unwrap_or_default();
        let key = header.strip_prefix(SCHEME).unwrap_or_default();
        if key.is_empty() {
            return text.into();
        }
        let piece = key.len().min(PIECE);
        let pieces: HashSet<&[u8]> = key.as_bytes().windows(piece).collect();
        let mut shown = String::new();
        // Where the last piece found ends, and how much of the text is dealt with.
        let (mut hidden, mut done) = (0, 0);
        for (at, window) in text.as_bytes().windows(piece).enumerate() {
            if !pieces.contains(window) {
                continue;
            }
            // Keys are ASCII, so every piece begins and ends between characters.
            if at >= hidden {
                shown.push_str(&text[done..at]);
                shown.push_str("<redacted>");
            }
            hidden = at + piece;
            done = hidden;
        }
        if done == 0 {
            return text.into();
        }
        shown.push_str(&text[done..]);
        shown.into()
    }
}

/// The current key, shared by all who make calls, and the news of the next. Cheap to clone.
#[derive(Clone)]
pub struct ApiKeys(Arc<Shared>);

struct Shared {
    /// `None` for a key that cannot change.
    file: Option<PathBuf>,
    current: Mutex<ApiKey>,
    version: watch::Sender<u64>,
    /// Whether the file was bad when last read, so that it is said once.
    bad: AtomicBool,
}

impl ApiKeys {
    /// A key that never changes.
    ///
    /// # Errors
    /// A key that is empty or cannot be sent in a header.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller should not keep the key"
    )]
    pub fn fixed(key: String) -> Result<Self, KeyError> {
        Ok(Self::new(None, header(key.as_bytes(), None)?))
    }

    /// The key in `path`, without one trailing newline; [`ApiKeys::watch`] follows its changes.
    ///
    /// # Errors
    /// A file that cannot be read or holds no usable key.
    pub fn from_file(path: PathBuf) -> Result<Self, KeyError> {
        let header = read(&path)?;
        Ok(Self::new(Some(path), header))
    }

    /// [`ApiKeys::from_file`] where the file may be written after the start, by a sidecar or a CSI driver: while there is
    /// none, looks for it every `interval`, at most for `within`.
    ///
    /// # Errors
    /// As [`ApiKeys::from_file`].
    pub async fn from_late_file(
        path: PathBuf,
        within: Duration,
        interval: Duration,
    ) -> Result<Self, KeyError> {
        let end = clock::now() + within;
        loop {
            match Self::from_file(path.clone()) {
                Err(error) if error.is_absent() && clock::now() < end => {
                    tokio::time::sleep(interval.max(INTERVAL_MIN)).await;
                }
                ended => return ended,
            }
        }
    }

    fn new(file: Option<PathBuf>, header: HeaderValue) -> Self {
        let current = Mutex::new(ApiKey { header, version: 1 });
        Self(Arc::new(Shared {
            file,
            current,
            version: watch::Sender::new(1),
            bad: AtomicBool::new(false),
        }))
    }

    /// The key to make the next call with.
    #[must_use]
    pub fn current(&self) -> ApiKey {
        self.lock().clone()
    }

    /// Reads the file again, if there is one. A new key gets the next version and is announced;
    /// with a bad file the last key stays, and one warning is logged until the file is good again.
    /// Blocks for one short read.
    pub fn reread(&self) {
        let Some(path) = &self.0.file else { return };
        match read(path) {
            Ok(header) => {
                if self.0.bad.swap(false, Ordering::Relaxed) {
                    tracing::info!(file = %path.display(), "API key file recovered");
                }
                self.replace(header);
            }
            Err(error) => {
                if !self.0.bad.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "failed to reload API key, keeping the previous one");
                }
            }
        }
    }

    fn replace(&self, header: HeaderValue) {
        let version = {
            let mut current = self.lock();
            if current.header == header {
                return;
            }
            *current = ApiKey {
                header,
                version: current.version + 1,
            };
            current.version
        };
        // Announced after the key is in place: who hears of it must get it.
        self.0.version.send_replace(version);
        tracing::info!(version, "using a new API key");
    }

    /// The version of the current key; wakes on a new one.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Calls [`ApiKeys::reread`] every `interval`, for ever. For a fixed key it only waits.
    pub fn watch(&self, interval: Duration) -> impl Future<Output = ()> + Send + use<> {
        let keys = self.clone();
        async move {
            if keys.0.file.is_none() {
                return std::future::pending().await;
            }
            loop {
                tokio::time::sleep(interval.max(INTERVAL_MIN)).await;
                let keys = keys.clone();
                // A hanging file system must not hold up the runtime.
                if let Err(error) = tokio::task::spawn_blocking(move || keys.reread()).await {
                    tracing::warn!(%error, "failed to reload the API key file");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ApiKey> {
        self.0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("file", &self.0.file)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<HeaderValue, KeyError> {
    let mut content = Vec::new();
    let unreadable = |error: io::Error| KeyError::Unreadable {
        path: path.into(),
        reason: error.kind(),
    };
    let file = File::open(path).map_err(unreadable)?;
    file.take(KEY_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > KEY_BYTES_MAX {
        return Err(KeyError::TooLarge { path: path.into() });
    }
    let line = content.strip_suffix(b"\n").unwrap_or(&content);
    header(line.strip_suffix(b"\r").unwrap_or(line), Some(path))
}

fn header(key: &[u8], path: Option<&Path>) -> Result<HeaderValue, KeyError> {
    let path = || path.map(Path::to_path_buf);
    if key.is_empty() {
        return Err(KeyError::Empty { path: path() });
    }
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err(KeyError::Unusable { path: path() });
    }
    let value = [SCHEME.as_bytes(), key].concat();
    let mut header =
        HeaderValue::from_bytes(&value).map_err(|_| KeyError::Unusable { path: path() })?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests;
