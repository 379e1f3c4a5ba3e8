//! Logs: one subscriber for the process, as JSON lines or as text. Hands on nothing but the installed
//! subscriber. Also the wall that keeps transport crates from printing what they carry, whatever the filter says.

use std::panic::Location;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, Targets, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_writer::LogWriter;

/// The root modules of our own crates: the only targets that may log below INFO.
const OWN: [&str; 3] = [
    "fireworks_user_operator",
    "fireworks_client",
    "operator_runtime",
];

/// The target of audit records: shown at INFO unless the filter names it.
const AUDIT: &str = "audit";

/// Targets of kube that log every attempt of an outage, and bodies that do not decode: the operator logs an outage once.
const SILENCED: [&str; 3] = [
    "kube_client::client",
    "kube_client::client::builder",
    "kube_runtime::watcher",
];

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: `timestamp`, `level`, `target`, `message` and the event's fields side by side.
    Json,
    /// For people.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed. The filter itself is not repeated: what was pasted there may be anything.
    #[error("is no log filter, write it like `info` or `info,fireworks_user_operator=debug`")]
    Filter,
    /// Something installed a subscriber for the process before.
    #[error("logging was set up twice")]
    AlreadySet,
}

/// Installs the process's log subscriber, writing to `lines`. `filter` is the value of `RUST_LOG`; none or an empty one
/// means `info`.
///
/// Crates other than this one never log below INFO, whatever the filter says: HTTP and TLS crates print headers and
/// bodies at DEBUG and TRACE, and with them the API key and people's e-mail addresses. Turning on
/// `RUST_LOG=trace` in an incident must not copy a credential into the log store. The rule names the crates that may
/// log, not those that may not, so that a crate added later is covered.
///
/// Audit records (target `audit`) are JSON in either format, and no filter hides them but one that names `audit`.
///
/// # Errors
/// [`TelemetryError::Filter`] if the filter is malformed, [`TelemetryError::AlreadySet`] on a second call.
pub fn init(
    format: LogFormat,
    filter: Option<&str>,
    lines: LogWriter,
) -> Result<(), TelemetryError> {
    subscriber(format, filter, lines)?
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    std::panic::set_hook(Box::new(|panic| log_panic(panic.location())));
    Ok(())
}

/// A panic is one log line that names the place. Its message stays out: it may repeat remote text.
fn log_panic(location: Option<&Location<'_>>) {
    let location = location.map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, "panic");
}

fn subscriber<W>(
    format: LogFormat,
    filter: Option<&str>,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    Ok(Registry::default()
        .with(layers(format, writer))
        .with(parse(filter)?)
        .with(wall()))
}

/// Audit records are JSON in either format.
fn layers<W>(format: LogFormat, writer: W) -> Vec<Box<dyn Layer<Registry> + Send + Sync>>
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    // A line that cannot be written is lost: reporting that on the same broken stderr would panic.
    let lines = |writer: W| {
        fmt::layer()
            .with_writer(writer)
            .with_ansi(false)
            .log_internal_errors(false)
    };
    let json = lines(writer.clone())
        .json()
        .flatten_event(true)
        .with_span_list(false);
    match format {
        LogFormat::Json => vec![json.boxed()],
        LogFormat::Text => vec![
            json.with_filter(filter_fn(|metadata| metadata.target() == AUDIT))
                .boxed(),
            lines(writer)
                .with_filter(filter_fn(|metadata| metadata.target() != AUDIT))
                .boxed(),
        ],
    }
}

/// Levels, for all or for a crate or module. `tracing_subscriber`'s filters by span and by field are refused: nothing here
/// has spans to filter by, and they bring a whole machine of regular expressions into the program.
fn parse(filter: Option<&str>) -> Result<Targets, TelemetryError> {
    let parts = filter.unwrap_or_default().split(',').map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Ok(Targets::new().with_default(LevelFilter::INFO));
    }
    if !parts.iter().all(|part| names_a_target_or_level(part)) {
        return Err(TelemetryError::Filter);
    }
    let filter: Targets = parts
        .join(",")
        .parse()
        .map_err(|_| TelemetryError::Filter)?;
    let names_audit = |part: &&str| part.split('=').next() == Some(AUDIT);
    Ok(if parts.iter().any(names_audit) {
        filter
    } else {
        filter.with_target(AUDIT, LevelFilter::INFO)
    })
}

/// What is written otherwise would be taken for a target that does not exist, and hide all others.
fn names_a_target_or_level(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:=".contains(&byte);
    part.bytes().all(known) && !part.starts_with('=') && !part.ends_with('=')
}

fn wall() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(may_speak)
}

/// Whether an event or span may be logged at all, before the filter is asked.
fn may_speak(metadata: &Metadata<'_>) -> bool {
    // A smaller level is a more severe one.
    let target = metadata.target();
    (*metadata.level() <= Level::INFO || is_own(target)) && !SILENCED.contains(&target)
}

fn is_own(target: &str) -> bool {
    let krate = target.split("::").next();
    OWN.iter().any(|own| krate == Some(own))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: Option<&str>, speak: fn()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn transports_speak() {
        tracing::trace!(target: "hyper::proto", "canary in a header");
        tracing::debug!(target: "h2", "canary in a frame");
        tracing::debug!(target: "reqwest::connect", "canary in a proxy address");
        tracing::trace!(target: "kube_client::client", "canary in a body");
        tracing::trace!(target: "a_crate_added_later", "canary anywhere");
        tracing::trace!(target: "fireworks_user_operator_lookalike", "canary again");
        let span = tracing::debug_span!(target: "tower_http::trace", "request", header = "canary");
        span.in_scope(|| tracing::info!("own line"));
    }

    #[test]
    fn no_filter_opens_the_wall_for_transport_crates() {
        for filter in [
            "trace",
            "hyper=trace,h2=trace",
            "trace,tower_http::trace=trace",
            "off,hyper=trace",
        ] {
            for format in [LogFormat::Json, LogFormat::Text] {
                let text = logged(format, Some(filter), transports_speak);
                assert!(!text.contains("canary"), "{filter}: {text}");
            }
        }
        assert!(logged(LogFormat::Text, Some("trace"), transports_speak).contains("own line"));
    }

    #[test]
    fn own_debug_lines_and_foreign_warnings_get_through() {
        let text = logged(LogFormat::Text, Some("debug"), || {
            tracing::debug!(target: "fireworks_user_operator::controller", "own detail");
            tracing::warn!(target: "hyper::proto", "foreign warning");
        });
        assert!(
            text.contains("own detail") && text.contains("foreign warning"),
            "{text}"
        );
    }

    #[test]
    fn no_filter_shows_what_kube_logs_at_every_attempt() {
        for filter in [
            None,
            Some("trace"),
            Some("kube_client=trace,kube_runtime=trace"),
        ] {
            let text = logged(LogFormat::Text, filter, || {
                tracing::error!(target: "kube_client::client::builder", "failed with error canary");
                tracing::warn!(target: "kube_runtime::watcher", "watch list error with 403: canary");
                tracing::warn!(target: "kube_client::client", "canary in a body");
                tracing::warn!(target: "kube_client::client::tls", "failed to reload CA bundle");
            });
            assert!(!text.contains("canary"), "{filter:?}: {text}");
            assert!(
                text.contains("failed to reload CA bundle"),
                "{filter:?}: {text}"
            );
        }
    }

    #[test]
    fn log_format_json_has_its_fields_flat() {
        let text = logged(LogFormat::Json, None, || {
            tracing::info!(address = %"127.0.0.1:1", "listening");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "listening");
        assert_eq!(line["address"], "127.0.0.1:1");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "operator_runtime::telemetry::tests");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    fn change_is_recorded() {
        tracing::info!(target: "audit", user = "alice", "sending change");
        tracing::info!("own line");
    }

    #[test]
    fn log_format_text_leaves_audit_records_as_json() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = logged(format, None, change_is_recorded);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 2, "{text}");
            let record: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
            assert_eq!(
                (&record["target"], &record["user"]),
                (&"audit".into(), &"alice".into())
            );
            assert!(lines[1].contains("own line"), "{text}");
            let is_json = serde_json::from_str::<serde_json::Value>(lines[1]).is_ok();
            assert_eq!(is_json, format == LogFormat::Json, "{text}");
        }
    }

    #[test]
    fn only_a_filter_that_names_audit_hides_audit_records() {
        for (filter, shown) in [
            ("warn", true),
            ("off", true),
            ("error,fireworks_user_operator=debug", true),
            ("audit=off", false),
            ("info,audit=warn", false),
        ] {
            let text = logged(LogFormat::Text, Some(filter), change_is_recorded);
            assert_eq!(text.contains("sending change"), shown, "{filter}: {text}");
        }
    }

    #[test]
    fn without_a_filter_the_level_is_info() {
        for filter in [None, Some(""), Some(" ")] {
            let text = logged(LogFormat::Text, filter, || {
                tracing::info!("shown");
                tracing::debug!("hidden");
            });
            assert!(
                text.contains("shown") && !text.contains("hidden"),
                "{filter:?}: {text}"
            );
        }
    }

    #[test]
    fn a_filter_names_levels_for_all_and_for_modules_and_bears_blanks() {
        for filter in [
            "warn,fireworks_user_operator::fireworks=debug",
            " WARN , fireworks_user_operator::fireworks=DEBUG",
            "warn, ,fireworks_user_operator::fireworks=debug,",
        ] {
            let text = logged(LogFormat::Text, Some(filter), || {
                tracing::debug!(target: "fireworks_user_operator::fireworks", "chosen");
                tracing::info!(target: "fireworks_user_operator", "passed over");
                tracing::warn!(target: "hyper", "for all");
            });
            assert!(
                text.contains("chosen") && text.contains("for all"),
                "{filter}: {text}"
            );
            assert!(!text.contains("passed over"), "{filter}: {text}");
        }
    }

    #[test]
    fn a_malformed_filter_is_refused_in_one_line_that_does_not_repeat_it() {
        for filter in [
            "info,hyper=loud",
            "[unclosed",
            "a=b=c",
            "a=",
            "=info",
            "info;debug",
            "trace,[request]=trace",
        ] {
            let error = parse(Some(filter))
                .map(|_| ())
                .expect_err(filter)
                .to_string();
            assert!(
                error.contains("log filter") && !error.contains('\n'),
                "{error}"
            );
            assert!(!error.contains(filter), "{error}");
        }
    }
}
