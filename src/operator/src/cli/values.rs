//! From text to checked values, one function a kind of setting. Pure. A complaint says what the value must look like
//! and never repeats the value itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::Secret;
use operator_runtime::telemetry::LogFormat;

type Parsed<T> = Result<T, &'static str>;

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn account_id(text: &str) -> Parsed<String> {
    let fits = text.len() <= 128
        && text.bytes().any(|b| b != b'.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._~+-".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("is not an account id, write the id alone like `my-company`, without `accounts/`")
    }
}

pub(super) fn base_url(text: &str) -> Parsed<String> {
    const SHAPE: &str = "is not a base URL, write it like `https://api.fireworks.ai`";
    let uri = plain_uri(text)
        .filter(|_| !text.contains(['?', '#', '@']))
        .ok_or(SHAPE)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(SHAPE)?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(host) => {}
        Some("http") => {
            return Err(
                "plain http is for loopback addresses only, the API key would travel in the clear; use https",
            );
        }
        _ => return Err(SHAPE),
    }
    if uri
        .path()
        .split('/')
        .any(|part| part.eq_ignore_ascii_case("v1"))
    {
        return Err(
            "holds `/v1`, which the operator adds itself; write it like `https://api.fireworks.ai`",
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn proxy(text: &str) -> Parsed<Secret> {
    let fits = plain_uri(text).is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if fits {
        Ok(Secret(text.to_owned()))
    } else {
        Err("is not a proxy URL, write it like `http://proxy.example.com:3128`")
    }
}

/// A URI without the characters that two parsers may understand differently.
fn plain_uri(text: &str) -> Option<Uri> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    plain.then(|| text.parse().ok()).flatten()
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

pub(super) fn api_key(text: &str) -> Parsed<Secret> {
    if text.len() <= 4096 && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret(text.to_owned()))
    } else {
        Err(
            "is not an API key, it holds blanks, line breaks or other characters no header can carry",
        )
    }
}

// Every parser has the same shape, so that one function reads them all.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

pub(super) fn namespaces(text: &str) -> Parsed<Vec<String>> {
    let mut names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if !names.iter().all(|name| is_dns_label(name)) {
        return Err(
            "holds something that is not a namespace's name, write it like `team-a` or `team-a,team-b`",
        );
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn is_dns_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("must be `true` or `false`"),
    }
}

pub(super) fn sweep_interval(text: &str) -> Parsed<Duration> {
    let allowed = Duration::from_secs(1)..=HOUR;
    let duration = duration(text)?;
    if allowed.contains(&duration) {
        Ok(duration)
    } else {
        Err("must lie between 1s and 1h")
    }
}

pub(super) fn settle_window(text: &str) -> Parsed<Duration> {
    let duration = duration(text)?;
    if duration <= Duration::from_mins(10) {
        Ok(duration)
    } else {
        Err("must lie between 0s and 10m")
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
    number
        .checked_mul(millis_each)
        .map(Duration::from_millis)
        .ok_or(SHAPE)
}

pub(super) fn requests_per_minute(text: &str) -> Parsed<u32> {
    let in_range = |n: &u32| (1..=6000).contains(n);
    text.parse()
        .ok()
        .filter(in_range)
        .ok_or("must be a whole number between 1 and 6000")
}

pub(super) fn max_users(text: &str) -> Parsed<usize> {
    let in_range = |n: &usize| (1..=1_000_000).contains(n);
    text.parse()
        .ok()
        .filter(in_range)
        .ok_or("must be a whole number between 1 and 1000000")
}

pub(super) fn concurrency(text: &str) -> Parsed<usize> {
    let in_range = |n: &usize| (1..=256).contains(n);
    text.parse()
        .ok()
        .filter(in_range)
        .ok_or("must be a whole number between 1 and 256")
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
