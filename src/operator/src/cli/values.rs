//! From text to checked values, one function a kind of setting. Pure. A message describes what the value must look like
//! and never repeats the value itself.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use fireworks_client::url::{BaseUrl, ProxyUrl};
use http::Uri;
use operator_runtime::telemetry::LogFormat;

type Parsed<T> = Result<T, &'static str>;

/// What is wrong with a value. Only this error of a parser is shown: clap's own repeat the value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Problem(pub(super) String);

/// Returns the parser of trimmed text that is not empty.
pub(super) fn checked<T, E>(
    parse: impl Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    E: fmt::Display,
{
    move |text: &str| match text.trim() {
        "" => Err(Problem("is empty".to_owned())),
        text => parse(text).map_err(|problem| Problem(problem.to_string())),
    }
}

pub(super) fn base_url(text: &str) -> Result<BaseUrl, String> {
    let uri = plain_uri(text).filter(|_| !text.contains('@'));
    let uri = uri.ok_or("is not a base URL, write it like `https://api.fireworks.ai`")?;
    let mut parts = uri.path().split('/');
    if parts.any(|part| part.eq_ignore_ascii_case("v1")) {
        return Err("holds `/v1`, which the operator adds itself".to_owned());
    }
    BaseUrl::from_str(text).map_err(|problem| problem.to_string())
}

pub(super) fn proxy(text: &str) -> Parsed<ProxyUrl> {
    plain_uri(text)
        .and_then(|_| text.parse().ok())
        .ok_or("is not a proxy URL, write it like `http://proxy.example.com:3128`")
}

/// A URI without the characters that two parsers may understand differently.
fn plain_uri(text: &str) -> Option<Uri> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    plain.then(|| text.parse().ok()).flatten()
}

pub(super) fn namespace(text: &str) -> Parsed<String> {
    let is_dns_label = text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_dns_label.then(|| text.to_owned()).ok_or(
        "holds something that is not a namespace's name, write it like `team-a` or `team-a,team-b`",
    )
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("must be `true` or `false`"),
    }
}

/// Returns the parser of a duration between two others, each written like the value.
pub(super) fn between(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let value = duration(text)?;
        if (duration(least)?..=duration(most)?).contains(&value) {
            Ok(value)
        } else {
            Err(format!("must lie between {least} and {most}"))
        }
    }
}

/// A whole number and one unit.
fn duration(text: &str) -> Parsed<Duration> {
    const SHAPE: &str = "is not a duration, write it like 500ms, 30s, 5m or 1h";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| SHAPE)?;
    let millis_each = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(SHAPE),
    };
    let millis = number.checked_mul(millis_each).ok_or(SHAPE)?;
    Ok(Duration::from_millis(millis))
}

/// Returns the parser of a whole number in a range.
pub(super) fn within<T: FromStr + PartialOrd + Clone + fmt::Display>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        number.ok_or_else(|| format!("must be a whole number between {least} and {most}"))
    }
}

pub(super) fn listen(text: &str) -> Parsed<SocketAddr> {
    text.parse()
        .map_err(|_| "is not an address and port, write it like 0.0.0.0:8080 or [::]:8080")
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("must be `json` or `text`"),
    }
}
