//! How long an answer asks the client to wait: the headers `retry-after-ms` and `Retry-After`, and a
//! `google.rpc.RetryInfo` in the body. Pure.

use std::time::Duration;

use http::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest wait that an answer can ask for; longer ones are shortened.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
/// The shortest wait that an answer can ask for; shorter ones are lengthened.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Returns the wait that the headers ask for, from `retry-after-ms` or else `Retry-After` (seconds or
/// an HTTP date, counted from the answer's own `Date`, else from `here`), between [`RETRY_AFTER_MIN`]
/// and [`RETRY_AFTER_MAX`]. Zero, a date that has passed, and what is no wait at all (junk, a negative
/// number) are no hint: `None`.
#[must_use]
pub fn retry_after(headers: &HeaderMap, here: jiff::Timestamp) -> Option<Duration> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let milliseconds = headers
        .get("retry-after-ms")
        .and_then(text)
        .and_then(|text| decimal(&text));
    if let Some(wait) = milliseconds.and_then(|milliseconds| clamped(milliseconds / 1000.0)) {
        return Some(wait);
    }
    let value = headers.get(RETRY_AFTER).and_then(text)?;
    if let Some(seconds) = decimal(&value) {
        return clamped(seconds);
    }
    let date = |text: &str| jiff::Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok();
    // By the server's own clock where it shows it: ours may be wrong by hours.
    let now = headers
        .get(DATE)
        .and_then(text)
        .and_then(|sent| date(&sent));
    let now = now.unwrap_or(here);
    clamped(date(&value)?.duration_since(now).as_secs_f64())
}

/// Returns the wait of a `retryDelay`, a duration as protobuf JSON writes it (`3.5s`), within the same
/// bounds. Zero, a negative duration and junk are no hint.
#[must_use]
pub fn retry_delay(text: &str) -> Option<Duration> {
    clamped(decimal(text.strip_suffix('s')?)?)
}

/// Digits with at most one dot; `f64` alone would admit `inf`, `-1` and `1e9`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

fn clamped(seconds: f64) -> Option<Duration> {
    let [least, most] = [RETRY_AFTER_MIN, RETRY_AFTER_MAX].map(|wait| wait.as_secs_f64());
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.clamp(least, most)))
}
