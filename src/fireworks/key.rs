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

use crate::runtime::clock;

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
    /// `text` without this key, should somebody have echoed it or the better part of it.
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

    /// Tells the version of the current key, and wakes on a new one.
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::fs;
    use std::io::Write;
    use tracing::subscriber::with_default;

    fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, content).unwrap();
        (dir, path)
    }

    fn sent(keys: &ApiKeys) -> (String, u64) {
        let key = keys.current();
        (key.header.to_str().unwrap().to_owned(), key.version)
    }

    #[test]
    fn one_trailing_newline_is_trimmed() {
        for content in ["fw_1", "fw_1\n", "fw_1\r\n"] {
            let (_dir, path) = file(content);
            assert_eq!(
                sent(&ApiKeys::from_file(path).unwrap()),
                ("Bearer fw_1".into(), 1),
                "{content:?}"
            );
        }
    }

    #[test]
    fn a_file_without_a_usable_key_is_named_and_not_quoted() {
        for content in [
            "",
            "\n",
            "fw_canary\n\n",
            " fw_canary",
            "fw canary",
            "fw_canary\0",
            "fw_canäry",
            "a\nb",
        ] {
            let (_dir, path) = file(content);
            let error = ApiKeys::from_file(path.clone()).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            assert!(
                !error.contains("fw_") && !error.contains("canary") && !error.contains('\n'),
                "{error}"
            );
        }
        let missing = ApiKeys::from_file("/nonexistent/key".into()).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "cannot read the API key file /nonexistent/key: entity not found"
        );
        assert!(matches!(
            ApiKeys::from_file("/dev/zero".into()),
            Err(KeyError::TooLarge { .. })
        ));
        assert!(matches!(
            ApiKeys::from_file("/".into()),
            Err(KeyError::Unreadable { .. })
        ));
        assert_eq!(
            ApiKeys::fixed(String::new()).unwrap_err().to_string(),
            "the API key is empty"
        );
    }

    #[test]
    fn neither_debug_nor_an_echo_shows_the_key() {
        let keys = ApiKeys::fixed("fw_canary".into()).unwrap();
        let key = keys.current();
        assert!(!format!("{keys:?} {key:?}").contains("canary"));
        assert_eq!(
            key.redact("key fw_canary is wrong"),
            "key <redacted> is wrong"
        );
        assert_eq!(key.redact("nothing"), "nothing");
    }

    #[test]
    fn a_part_of_the_key_is_no_more_shown_than_the_whole() {
        let keys = ApiKeys::fixed("fw_3ZkQpW8vN1".into()).unwrap();
        let cases = [
            ("begins fw_3ZkQp...", "begins <redacted>..."),
            ("ends …pW8vN1, W8vN1", "ends …pW8vN1, W8vN1"),
            ("Müller: ZkQpW8vN1ü", "Müller: <redacted>ü"),
            ("fw_3ZkQpW8vN1fw_3ZkQp", "<redacted><redacted>"),
            ("fw_3ZkQ", "fw_3ZkQ"),
            ("", ""),
        ];
        for (said, shown) in cases {
            assert_eq!(keys.current().redact(said), shown);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn key_file_is_waited_for_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let (minute, second) = (Duration::from_mins(1), Duration::from_secs(1));
        let began = clock::now();
        let waiting = ApiKeys::from_late_file(path.clone(), minute, second);
        let error = waiting.await.unwrap_err();
        assert!(error.is_absent(), "{error}");
        let took = clock::now() - began;
        assert!(took >= minute && took <= minute + second, "{took:?}");
        let write = async {
            tokio::time::sleep(minute / 2).await;
            fs::write(&path, "late\n").unwrap();
        };
        let waiting = ApiKeys::from_late_file(path.clone(), minute, second);
        let (keys, ()) = tokio::join!(waiting, write);
        assert_eq!(sent(&keys.unwrap()).0, "Bearer late");
        fs::write(&path, "").unwrap();
        let began = clock::now();
        let waiting = ApiKeys::from_late_file(path, minute, second);
        assert!(waiting.await.is_err());
        assert_eq!(clock::now(), began, "an empty file is refused at once");
    }

    #[test]
    fn a_new_key_gets_the_next_version_and_is_announced() {
        let (_dir, path) = file("one");
        let keys = ApiKeys::from_file(path.clone()).unwrap();
        let mut news = keys.changed();
        keys.reread();
        assert!(!news.has_changed().unwrap());
        fs::write(&path, "two\n").unwrap();
        keys.reread();
        assert!(news.has_changed().unwrap());
        assert_eq!(
            (*news.borrow_and_update(), sent(&keys)),
            (2, ("Bearer two".into(), 2))
        );
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bad_file_keeps_the_last_key_and_is_told_once_per_spell() {
        let (_dir, path) = file("one");
        let keys = ApiKeys::from_file(path.clone()).unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        with_default(subscriber, || {
            for content in ["", "can ary", "one", "\n"] {
                fs::write(&path, content).unwrap();
                keys.reread();
                keys.reread();
            }
            fs::remove_file(&path).unwrap();
            keys.reread();
        });
        let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(told.matches("WARN").count(), 2, "{told}");
        assert!(!told.contains("can ary"), "{told}");
        assert_eq!(sent(&keys), ("Bearer one".into(), 1));
    }

    #[tokio::test]
    async fn watching_a_file_finds_a_swapped_key() {
        let (dir, path) = file("one");
        let keys = ApiKeys::from_file(path.clone()).unwrap();
        let mut news = keys.changed();
        let watching = tokio::spawn(keys.watch(Duration::ZERO));
        // As a mounted Secret changes: another file takes the name.
        fs::write(dir.path().join("next"), "two").unwrap();
        fs::rename(dir.path().join("next"), &path).unwrap();
        tokio::time::timeout(Duration::from_secs(10), news.changed())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(sent(&keys), ("Bearer two".into(), 2));
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_out_of_use_one_interval_after_it_was_replaced() {
        let (dir, path) = file("key-0");
        let keys = ApiKeys::from_file(path.clone()).unwrap();
        let interval = Duration::from_secs(1);
        let watching = tokio::spawn(keys.watch(interval));
        for number in 1..=100_u64 {
            let key = format!("key-{number}");
            fs::write(dir.path().join("next"), &key).unwrap();
            fs::rename(dir.path().join("next"), &path).unwrap();
            // Whenever in the interval it was replaced.
            tokio::time::sleep(interval + Duration::from_millis(1 + number * 7)).await;
            assert_eq!(sent(&keys), (format!("Bearer {key}"), number + 1));
        }
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn watching_a_fixed_key_never_ends() {
        let keys = ApiKeys::fixed("one".into()).unwrap();
        let ended =
            tokio::time::timeout(Duration::from_hours(1), keys.watch(Duration::from_secs(1))).await;
        assert!(ended.is_err());
    }
}
