//! What must hold of whatever is read from outside, byte by byte: nothing panics, what is kept is bounded and clean, and
//! what is sent back stays what it was. For tests only, which call these with a corpus and with random bytes.

use fireworks_api::error::{RETRY_AFTER_MAX, RETRY_AFTER_MIN, classify, retry_after};
use fireworks_api::text;
use fireworks_api::wire::decode::plain_words;
use fireworks_api::wire::{AccountId, User, UserId, decode};
use fireworks_client::PATH_SEGMENT;
use fireworks_client::key::ApiKeys;
use http::HeaderMap;
use http::header::{HeaderValue, RETRY_AFTER};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

/// A target: it panics where something does not hold.
pub(crate) type Target = fn(&[u8]);

/// Each target with the name of its corpus.
pub(crate) const TARGETS: [(&str, Target); 6] = [
    ("error_body", error_body),
    ("user", user),
    ("list_page", list_page),
    ("retry_after", wait),
    ("path", path),
    ("key", key),
];

fn account() -> Option<AccountId> {
    "acme".parse().ok()
}

fn assert_shown(words: &str) {
    assert!(words.chars().count() <= text::MESSAGE_MAX, "bounded");
    assert!(!words.chars().any(char::is_control), "one clean line");
}

fn assert_kept(user: &User) {
    let texts = [
        Some(user.role.as_str()),
        Some(user.state.as_str()),
        user.permission_preset.as_deref(),
        user.display_name.as_deref(),
    ];
    assert!(
        texts
            .into_iter()
            .flatten()
            .all(|text| text.chars().count() <= 256)
    );
    if let Some(status) = &user.status {
        assert_shown(&status.message);
    }
    one_segment(&user.id);
}

/// The body of an answer that is no success.
fn error_body(data: &[u8]) {
    let output = decode::error_body(data);
    let code = output.as_ref().and_then(|output| output.code);
    let words = match output {
        Some(output) => output.message.unwrap_or_default().into_string(),
        None => plain_words(data, false),
    };
    assert_shown(&text::clean(&words, text::MESSAGE_MAX));
    for http in [200, 302, 404, 503] {
        let _ = classify(http, code);
    }
}

/// One user as JSON.
fn user(data: &[u8]) {
    let Some(account) = account() else { return };
    if let Ok(user) = decode::user(data, &account) {
        assert_kept(&user);
        assert!(account.holds(&account.user_name(&user.id)));
    }
}

/// One page of a list as JSON.
fn list_page(data: &[u8]) {
    let Some(account) = account() else { return };
    if let Ok(page) = decode::page(data, &account) {
        assert!(page.users.len() + page.malformed <= 1000);
        page.users.iter().for_each(assert_kept);
        assert!(
            page.next
                .is_none_or(|token| (1..=4096).contains(&token.as_str().len()))
        );
        assert!(page.total != Some(0));
    }
}

/// A wait that is asked for by a header.
fn wait(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let milliseconds = http::HeaderName::from_static("retry-after-ms");
    for name in [RETRY_AFTER, milliseconds] {
        let headers = HeaderMap::from_iter([(name, value.clone())]);
        let wait = retry_after(&headers, jiff::Timestamp::UNIX_EPOCH);
        assert!(wait.is_none_or(|wait| (RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&wait)));
    }
}

/// A user id on its way into a path.
fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(id) = text.parse::<UserId>() {
        assert!(id.as_str() == text && (1..=128).contains(&text.len()));
        one_segment(&id);
    }
    if let Ok(id) = UserId::from_remote(text) {
        one_segment(&id);
    }
}

/// It stays one segment of the path, and comes out as it went in.
fn one_segment(id: &UserId) {
    let segment = utf8_percent_encode(id.as_str(), PATH_SEGMENT).to_string();
    assert!(!segment.is_empty() && segment != "." && segment != "..");
    assert!(!segment.contains(['/', '?', '#', '\\']));
    assert_eq!(
        percent_decode_str(&segment).decode_utf8().as_deref(),
        Ok(id.as_str())
    );
}

/// What is given for a key.
fn key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(keys) = ApiKeys::fixed(text.to_owned()) {
        let header = &keys.current().header;
        assert!(header.is_sensitive() && header.len() > "Bearer ".len());
        assert!(!format!("{keys:?}").contains(text) || text.len() < 8);
    }
}
