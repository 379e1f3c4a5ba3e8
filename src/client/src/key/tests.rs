#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::fs;
use std::io::Write;

use tracing::subscriber::with_default;

use super::*;

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
fn a_bad_file_keeps_the_last_key_and_is_logged_once_per_spell() {
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
