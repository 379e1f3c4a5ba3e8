//! What the process counts about itself, in the OpenMetrics text format. No label ever carries an object's or a user's
//! name: every label value is a word of a closed set, known when the program is built, or a namespace of the settings. Knows nothing of what the words
//! mean; the callers own them.

pub mod labels;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use labels::{CallOutcome, Class, Held, PassOutcome, Verb};

/// The media type of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the sweep's histogram, in seconds: one page takes tens of milliseconds, a throttled account minutes.
const SWEEP_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

type Label = (&'static str, &'static str);

/// The process's metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

/// Declares the metrics, each with its name and what `# HELP` shows, in the order in which a scrape shows them; first those that
/// the process always has, then those of a process that leads. One without an initial value begins at zero. The encoder adds
/// `_total` to counters and `_info` to infos.
macro_rules! metrics {
    (
        always { $($own:ident: $own_type:ty, $own_name:literal, $own_help:literal;)+ }
        leading { $($field:ident: $type:ty $(= $initial:expr)?, $name:literal, $help:literal;)+ }
    ) => {
        struct Inner {
            always: Registry,
            leading: Registry,
            $($own: $own_type,)+
            $($field: $type,)+
        }

        impl Inner {
            fn new() -> Self {
                let (mut always, mut leading) = (registry(), registry());
                $(
                    let $own: $own_type = Default::default();
                    always.register($own_name, $own_help, $own.clone());
                )+
                $(
                    let $field: $type = metrics!(@initial $($initial)?);
                    leading.register($name, $help, $field.clone());
                )+
                Self { always, leading, $($own,)+ $($field,)+ }
            }
        }
    };
    (@initial) => { Default::default() };
    (@initial $initial:expr) => { $initial };
}

fn registry() -> Registry {
    Registry::with_prefix("fireworks_user_operator")
}

metrics! {
    always {
        panics: Counter, "reconcile_panics", "Panics caught in a reconciliation";
        log_lines_dropped: Counter,
            "log_lines_dropped", "Log lines dropped because stderr did not take them in time";
        watch_failing: Family<[(&'static str, String); 1], Gauge>,
            "watch_failing", "1 while the watch of the namespace fails or its objects are not known yet; * is all namespaces";
        watch_age: Gauge,
            "watch_age_seconds", "Age of the last sign of life of the watch; of the oldest one where several namespaces are watched";
        store_rewinds: Counter,
            "store_rewinds", "How often the API server's store went back to an earlier version, as after a restore of etcd";
        leader: Gauge, "leader", "1 while this process may change users: it holds the Lease, or there is no leader election";
        lease_transitions: Counter,
            "lease_transitions", "How often the Lease has changed hands since this process first read it";
    }
    leading {
        objects: Family<[Label; 2], Gauge>, "objects", "Watched objects by status and reason of their Ready condition";
        guard_holds: Family<[Label; 1], Gauge>, "guard_holds", "Objects whose change is held, by guard";
        gateway_requests: Family<[Label; 2], Counter>, "gateway_requests", "Requests to Fireworks by verb and outcome";
        status_writes: Family<[Label; 1], Counter>, "status_writes", "Status writes to the Kubernetes API by reason";
        passes: Family<[Label; 1], Counter>, "reconcile", "Reconciliations of an object by result";
        events: Family<[Label; 1], Counter>, "events", "Kubernetes Events published by reason";
        events_dropped: Counter, "events_dropped", "Kubernetes Events dropped because of their rate or a failure";
        budget_waiting: Family<[Label; 1], Gauge>,
            "rate_limiter_waiting", "Callers waiting for a permit of the rate limiter by class";
        budget_rate: Gauge,
            "rate_limit_requests_per_minute", "Present limit of the rate limiter in requests per minute, lower after a 429";
        counts: Family<[Label; 1], Gauge>, "cache_entries", "Entries kept in memory by cache";
        sweep_duration: Histogram = Histogram::new(SWEEP_SECONDS),
            "sweep_duration_seconds", "How long one complete list of the account took";
        malformed_rows: Counter, "malformed_rows", "Rows of user lists that could not be understood and were skipped";
        mutations_stopped: Gauge, "mutations_stopped", "1 while a guard keeps the operator from changing any user";
        users_listed: Gauge, "account_users", "Users in the account as of the last complete list";
        admins: Gauge, "admins", "Admins of the account that count: READY, without an error, no service account";
        demotions_stopped: Gauge,
            "demotions_stopped", "1 while no admin is demoted, since demotions had left the account without one";
    }
}

impl Metrics {
    /// A fresh set, every unlabelled counter at zero, for a process of the given version.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut inner = Inner::new();
        let build = Info::new([("version", version)]);
        inner.always.register("build", "The running build", build);
        Self(Arc::new(inner))
    }

    /// So many objects more, or less, whose Ready condition says that.
    pub fn objects(&self, ready: &'static str, reason: &'static str, by: i64) {
        self.0
            .objects
            .get_or_create(&[("ready", ready), ("reason", reason)])
            .inc_by(by);
    }

    /// Counts objects that a guard holds, or no longer.
    pub fn guard_holds(&self, guard: &'static str, by: i64) {
        self.0
            .guard_holds
            .get_or_create(&[("guard", guard)])
            .inc_by(by);
    }

    /// One request to the gateway ended: which call it was and how it came out.
    pub fn gateway_request(&self, verb: Verb, outcome: CallOutcome) {
        self.0
            .gateway_requests
            .get_or_create(&[("verb", verb.as_str()), ("outcome", outcome.as_str())])
            .inc();
    }

    /// One status was written to the Kubernetes API, with the reason its Ready condition now shows.
    pub fn status_write(&self, reason: &'static str) {
        self.0
            .status_writes
            .get_or_create(&[("reason", reason)])
            .inc();
    }

    /// One pass over one object ended.
    pub fn pass(&self, outcome: PassOutcome) {
        self.0
            .passes
            .get_or_create(&[("result", outcome.as_str())])
            .inc();
    }

    /// One Event was published.
    pub fn event(&self, reason: &'static str) {
        self.0.events.get_or_create(&[("reason", reason)]).inc();
    }

    /// One Event was given up, to keep their rate bounded or because publishing it failed.
    pub fn event_dropped(&self) {
        self.0.events_dropped.inc();
    }

    /// How many callers of a class wait for a request token right now.
    pub fn budget_waiting(&self, class: Class, waiting: usize) {
        self.0
            .budget_waiting
            .get_or_create(&[("class", class.as_str())])
            .set(gauge_value(waiting));
    }

    /// How many calls a minute may leave now; less than the limit after a 429.
    pub fn budget_rate(&self, per_minute: usize) {
        self.0.budget_rate.set(gauge_value(per_minute));
    }

    /// How many users the last complete list showed.
    pub fn users_listed(&self, users: usize) {
        self.0.users_listed.set(gauge_value(users));
    }

    /// How many entries of a kind are kept in memory right now.
    pub fn counts(&self, what: Held, entries: usize) {
        self.0
            .counts
            .get_or_create(&[("cache", what.as_str())])
            .set(gauge_value(entries));
    }

    /// One complete list of the account ended after this long, waiting for request tokens included.
    pub fn sweep_finished(&self, duration: Duration) {
        self.0.sweep_duration.observe(duration.as_secs_f64());
    }

    /// One pass panicked and was caught.
    pub fn panic_caught(&self) {
        self.0.panics.inc();
    }

    /// So many rows of a list could not be understood and were skipped.
    pub fn malformed_rows(&self, rows: usize) {
        self.0
            .malformed_rows
            .inc_by(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    /// The number of log lines dropped since the start.
    pub fn log_lines_dropped(&self, lines: u64) {
        let counter = self.0.log_lines_dropped.inner();
        counter.store(lines, Ordering::Relaxed);
    }

    /// Whether changes of users are stopped by a guard for the whole account.
    pub fn mutations_stopped(&self, stopped: bool) {
        self.0.mutations_stopped.set(i64::from(stopped));
    }

    /// Whether the watch of a namespace fails, or was not synced in time; `*` stands for all namespaces.
    pub fn watch_failing(&self, namespace: &str, failing: bool) {
        self.0
            .watch_failing
            .get_or_create(&[("namespace", namespace.to_owned())])
            .set(i64::from(failing));
    }

    /// How long ago the watch of objects last showed a sign of life, in whole seconds.
    pub fn watch_age(&self, age: Duration) {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self.0.watch_age.set(seconds);
    }

    /// The store of the API server went back to an earlier version.
    pub fn store_rewound(&self) {
        self.0.store_rewinds.inc();
    }

    /// Sets the number of admins that count, as of the last complete list and our own changes.
    pub fn admins(&self, counted: usize) {
        self.0.admins.set(gauge_value(counted));
    }

    /// Sets whether no admin is demoted, since demotions had left the account without one.
    pub fn demotions_stopped(&self, stopped: bool) {
        self.0.demotions_stopped.set(i64::from(stopped));
    }

    /// Sets whether this process may change users.
    pub fn leader(&self, is_leading: bool) {
        self.0.leader.set(i64::from(is_leading));
    }

    /// Sets how often the Lease has changed hands since this process first read it.
    pub fn lease_transitions(&self, transitions: u64) {
        let counter = self.0.lease_transitions.inner();
        counter.store(transitions, Ordering::Relaxed);
    }

    /// Returns the metrics in the OpenMetrics text format: of a standby those of the process and its watch alone, since what it
    /// knows of objects and users is the leader's to count.
    #[must_use]
    pub fn encode(&self, is_leading: bool) -> String {
        let mut text = String::new();
        let Inner {
            always, leading, ..
        } = &*self.0;
        let encoded = text::encode_registry(&mut text, always)
            .and_then(|()| {
                if is_leading {
                    text::encode_registry(&mut text, leading)
                } else {
                    Ok(())
                }
            })
            .and_then(|()| text::encode_eof(&mut text));
        // Writing to a String cannot fail; were an encoder to give up all the same, a scrape without the closing
        // `# EOF` is refused by the scraper, which is the truth.
        if encoded.is_err() {
            tracing::error!("metrics could not be encoded");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn value(text: &str, series: &str) -> Option<f64> {
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// Returns metrics of which each has been set or counted.
    fn counted() -> Metrics {
        let metrics = Metrics::new("1.2.3");
        for by in [1, 1, -1] {
            metrics.objects("False", "Rejected", by);
        }
        for by in [1, 1, -1] {
            metrics.guard_holds("last-admin", by);
        }
        metrics.gateway_request(Verb::List, CallOutcome::Ok);
        metrics.clone().gateway_request(Verb::List, CallOutcome::Ok);
        metrics.status_write("InSync");
        metrics.pass(PassOutcome::Written);
        metrics.event("RoleChanged");
        metrics.event_dropped();
        metrics.budget_waiting(Class::Sweep, 3);
        metrics.budget_rate(150);
        metrics.users_listed(5000);
        metrics.counts(Held::Claim, 7);
        metrics.sweep_finished(Duration::from_millis(200));
        metrics.panic_caught();
        metrics.malformed_rows(2);
        metrics.log_lines_dropped(9);
        metrics.mutations_stopped(true);
        metrics.watch_failing("ns", true);
        metrics.watch_age(Duration::from_millis(61_500));
        metrics.store_rewound();
        metrics.admins(2);
        metrics.demotions_stopped(true);
        metrics.leader(true);
        metrics.lease_transitions(4);
        metrics
    }

    #[test]
    fn every_metric_is_shown_with_its_labels() {
        let text = counted().encode(true);
        for (series, expected) in [
            (r#"objects{ready="False",reason="Rejected"}"#, 1.0),
            (r#"guard_holds{guard="last-admin"}"#, 1.0),
            (r#"gateway_requests_total{verb="list",outcome="ok"}"#, 2.0),
            (r#"status_writes_total{reason="InSync"}"#, 1.0),
            (r#"reconcile_total{result="written"}"#, 1.0),
            (r#"events_total{reason="RoleChanged"}"#, 1.0),
            ("events_dropped_total", 1.0),
            ("malformed_rows_total", 2.0),
            ("log_lines_dropped_total", 9.0),
            ("mutations_stopped", 1.0),
            (r#"watch_failing{namespace="ns"}"#, 1.0),
            ("watch_age_seconds", 61.0),
            ("store_rewinds_total", 1.0),
            ("admins", 2.0),
            ("demotions_stopped", 1.0),
            (r#"rate_limiter_waiting{class="sweep"}"#, 3.0),
            ("rate_limit_requests_per_minute", 150.0),
            ("account_users", 5000.0),
            (r#"cache_entries{cache="claim"}"#, 7.0),
            ("sweep_duration_seconds_count", 1.0),
            (r#"sweep_duration_seconds_bucket{le="0.25"}"#, 1.0),
            (r#"sweep_duration_seconds_bucket{le="0.1"}"#, 0.0),
            (r#"build_info{version="1.2.3"}"#, 1.0),
            ("reconcile_panics_total", 1.0),
            ("leader", 1.0),
            ("lease_transitions_total", 4.0),
        ] {
            let name = format!("fireworks_user_operator_{series}");
            let found = value(&text, &name).unwrap_or_else(|| panic!("no {name} in\n{text}"));
            assert!((found - expected).abs() < f64::EPSILON, "{name} is {found}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn standby_shows_process_watch_and_lease_alone() {
        let text = counted().encode(false);
        let names = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
        let names = names.filter_map(|line| line.split(' ').next());
        let names: Vec<_> = names
            .filter_map(|name| name.strip_prefix("fireworks_user_operator_"))
            .collect();
        assert_eq!(
            names,
            [
                "reconcile_panics",
                "log_lines_dropped",
                "watch_failing",
                "watch_age_seconds",
                "store_rewinds",
                "leader",
                "lease_transitions",
                "build",
            ]
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn counters_without_labels_start_at_zero() {
        let text = Metrics::new("0").encode(true);
        for name in ["reconcile_panics_total", "events_dropped_total"] {
            assert_eq!(
                value(&text, &format!("fireworks_user_operator_{name}")),
                Some(0.0)
            );
        }
    }
}
