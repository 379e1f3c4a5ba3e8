//! The real queues under virtual time, with a list in place of the API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use tokio::time::Instant;

use super::*;

#[test]
fn event_name_fits_whatever_the_object_is_called() {
    let now = Timestamp::from_second(1_767_225_600).unwrap();
    assert_eq!(event_name("alice", now), "alice.18867251edfa0000");
    let object = "a".repeat(234) + &"-.a".repeat(6);
    let name = event_name(&object, now);
    assert!(name.len() <= NAME_MAX, "{name}");
    assert!(name.starts_with(&("a".repeat(234) + ".")), "{name}");
}

#[test]
fn terminating_namespace_is_no_missing_right() {
    let refusal = |causes: serde_json::Value| {
        let status = serde_json::json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "details": {"causes": causes},
        });
        kube::Error::Api(serde_json::from_value(status).unwrap())
    };
    assert!(is_refused(&refusal(serde_json::json!([]))));
    let terminating = serde_json::json!([{"reason": "NamespaceTerminating"}]);
    assert!(!is_refused(&refusal(terminating)));
}

type Published = Arc<Mutex<Vec<(Instant, Item)>>>;

fn item(namespace: &str, name: &str, about_change: bool) -> Item {
    Item {
        about: ObjectReference {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        },
        draft: EventDraft {
            reason: if about_change {
                "RoleChanged"
            } else {
                "Conflict"
            },
            action: String::new(),
            text: String::new(),
            warning: false,
            about_change,
        },
    }
}

/// A sink whose Events go into a list.
fn events() -> (Events, Published) {
    let published = Published::default();
    let list = published.clone();
    let publish = move |item| {
        list.lock().unwrap().push((clock::now(), item));
        std::future::ready(())
    };
    let (events, publishing) = Events::published_by(publish, Metrics::new("0"));
    tokio::spawn(publishing);
    (events, published)
}

fn names(published: &Published, about_change: bool) -> Vec<String> {
    let all = published.lock().unwrap();
    let wanted = all
        .iter()
        .filter(|(_, item)| item.draft.about_change == about_change);
    wanted
        .filter_map(|(_, item)| item.about.name.clone())
        .collect()
}

/// A tenant's objects cause 100 Events a second while 12 roles are granted elsewhere.
#[tokio::test(start_paused = true)]
async fn tenant_noise_displaces_no_event_of_a_grant() {
    let (events, published) = events();
    for grant in 0..12 {
        for noise in 0..100 {
            events.send(item("tenant", &format!("noise-{grant}-{noise}"), false));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        events.send(item("platform", &format!("admin-{grant}"), true));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let expected: Vec<_> = (0..12).map(|grant| format!("admin-{grant}")).collect();
    assert_eq!(names(&published, true), expected);
}

#[tokio::test(start_paused = true)]
async fn thousand_events_of_changes_wait_and_leave_five_a_second() {
    let (events, published) = events();
    for number in 0..1_001 {
        events.send(item("platform", &number.to_string(), true));
    }
    let dropped = "fireworks_user_operator_events_dropped_total 1\n";
    assert!(events.metrics.encode(true).contains(dropped));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let within_ten_seconds = names(&published, true).len();
    assert!(
        (50..=51).contains(&within_ten_seconds),
        "{within_ten_seconds}"
    );
    tokio::time::sleep(Duration::from_secs(191)).await;
    assert_eq!(names(&published, true).len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn other_events_leave_two_a_second_and_one_for_each_namespace() {
    let (events, published) = events();
    let namespaces = ["a", "b", "c"];
    for number in 0..90 {
        for namespace in namespaces {
            events.send(item(namespace, &number.to_string(), false));
        }
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let all = published.lock().unwrap().clone();
    assert!((60..=61).contains(&all.len()), "{}", all.len());
    for namespace in namespaces {
        let of_namespace = all
            .iter()
            .filter(|(_, item)| item.about.namespace.as_deref() == Some(namespace));
        let times: Vec<_> = of_namespace.map(|(at, _)| *at).collect();
        assert!(
            (20..=21).contains(&times.len()),
            "{namespace}: {}",
            times.len()
        );
        for pair in times.windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{pair:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn noise_of_one_namespace_delays_no_other() {
    let (events, published) = events();
    for number in 0..5_000 {
        events.send(item("tenant", &number.to_string(), false));
    }
    events.send(item("quiet", "quiet", false));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(names(&published, false).contains(&"quiet".to_owned()));
}
