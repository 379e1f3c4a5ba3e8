//! The page on operation lists each metric and its label values: it is compared with a scrape of a running operator.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_core::user::guards::Guard;
use fireworks_crd::conditions::Reason;
use fireworks_user_operator::metrics::labels::{CallOutcome, Class, Held, PassOutcome, Verb};

use crate::stage::Stage;

const PAGE: &str = include_str!("../../docs/operations.md");
const PREFIX: &str = "fireworks_user_operator_";

type Words = BTreeSet<String>;

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Words {
    all.iter().map(|one| word(*one).to_owned()).collect()
}

/// The values that a label may have; none where they are no closed set.
fn values(metric: &str, label: &str) -> Option<Words> {
    match (metric, label) {
        ("gateway_requests_total", "verb") => Some(words(Verb::ALL, Verb::as_str)),
        ("gateway_requests_total", "outcome") => Some(words(CallOutcome::ALL, CallOutcome::as_str)),
        ("reconcile_total", "result") => Some(words(PassOutcome::ALL, PassOutcome::as_str)),
        ("rate_limiter_waiting", "class") => Some(words(Class::ALL, Class::as_str)),
        ("cache_entries", "cache") => Some(words(Held::ALL, Held::as_str)),
        _ => None,
    }
}

/// The values of labels that other pages list.
fn elsewhere(metric: &str, label: &str) -> Option<Words> {
    match (metric, label) {
        ("guard_holds", "guard") => Some(words(&Guard::ALL, Guard::as_str)),
        ("objects" | "status_writes_total", "reason") => Some(words(&Reason::ALL, Reason::as_str)),
        _ => None,
    }
}

/// The rows of the page's table: the metric, its labels, and the text.
fn rows() -> Vec<(String, Words, String)> {
    let rows = PAGE.lines().filter_map(|line| {
        let (series, text) = line.strip_prefix("| `")?.split_once("` | ")?;
        let series = series.strip_prefix(PREFIX)?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',');
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        Some((name.to_owned(), labels.collect(), text.to_owned()))
    });
    rows.collect()
}

/// The values of each label of each metric in a scrape.
fn scraped(text: &str) -> BTreeMap<String, BTreeMap<String, Words>> {
    let mut all: BTreeMap<String, BTreeMap<String, Words>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(PREFIX)) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let parts = ["_bucket", "_sum", "_count"];
        let name = parts
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
        let found = all.entry(name.to_owned()).or_default();
        let labels = labels.trim_end_matches('}').split("\",");
        for (label, value) in labels.filter_map(|label| label.split_once("=\"")) {
            let value = value.trim_end_matches('"').to_owned();
            if label != "le" {
                found.entry(label.to_owned()).or_default().insert(value);
            }
        }
    }
    all
}

#[tokio::test]
async fn metrics_page_matches_a_live_scrape() {
    let stage = Stage::set("metricspage").await;
    for user in ["alice", "bob"] {
        stage.user(user, "user");
    }
    stage
        .gateway
        .put_user(fireworks_gateway_simulator::User::new("root", "admin"));
    let operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    stage.until_ready("alice").await;
    stage.apply("root", "{role: user}").await;
    stage.until_reason("root", "Protected").await;
    stage.until_event("alice", "RoleChanged").await;
    let (_, text) = operator.admin_get("/metrics").await.unwrap();
    let live = scraped(&text);

    let rows = rows();
    let listed: Words = rows.iter().map(|(name, ..)| name.clone()).collect();
    let emitted: Words = live.keys().cloned().collect();
    let undocumented: Vec<_> = emitted.difference(&listed).collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
    for (name, labels, text) in &rows {
        let known: Vec<_> = labels
            .iter()
            .filter_map(|label| values(name, label))
            .collect();
        if !known.is_empty() {
            let shown = text.split('`').skip(1).step_by(2);
            let shown: Words = shown.map(str::to_owned).collect();
            let known: Words = known.into_iter().flatten().collect();
            assert_eq!(shown, known, "the row of {name}");
        }
        let Some(found) = live.get(name) else {
            // A family appears with its first value.
            assert_eq!(name, "watch_failing", "not in {text}");
            continue;
        };
        assert_eq!(&found.keys().cloned().collect::<Words>(), labels, "{name}");
        for (label, found) in found {
            let closed = values(name, label).or_else(|| elsewhere(name, label));
            let stray: Vec<_> = closed
                .iter()
                .flat_map(|all| found.difference(all))
                .collect();
            let without_status = ["Untold".to_owned()];
            let stray = stray
                .into_iter()
                .filter(|one| !without_status.contains(one));
            assert_eq!(stray.count(), 0, "{name} {label}: {found:?}");
        }
    }
    assert!(live["gateway_requests_total"]["verb"].contains("patch"));
}
