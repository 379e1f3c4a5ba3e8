//! The tables of classes, effects and waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use http::header::HeaderMap;

use super::*;

/// The codes with their class and their HTTP status.
const CODES: [(i64, &str, Kind, u16); 16] = [
    (1, "CANCELLED", Kind::Transient, 499),
    (2, "UNKNOWN", Kind::Transient, 500),
    (3, "INVALID_ARGUMENT", Kind::Rejected, 400),
    (4, "DEADLINE_EXCEEDED", Kind::Transient, 504),
    (5, "NOT_FOUND", Kind::NotFound, 404),
    (6, "ALREADY_EXISTS", Kind::Rejected, 409),
    (7, "PERMISSION_DENIED", Kind::Denied, 403),
    (8, "RESOURCE_EXHAUSTED", Kind::Throttled, 429),
    (9, "FAILED_PRECONDITION", Kind::Rejected, 400),
    (10, "ABORTED", Kind::Transient, 409),
    (11, "OUT_OF_RANGE", Kind::Rejected, 400),
    (12, "UNIMPLEMENTED", Kind::Rejected, 501),
    (13, "INTERNAL", Kind::Transient, 500),
    (14, "UNAVAILABLE", Kind::Transient, 503),
    (15, "DATA_LOSS", Kind::Transient, 500),
    (16, "UNAUTHENTICATED", Kind::Unauthenticated, 401),
];

/// The classes of the statuses when the body does not say.
const STATUSES: [(u16, Kind); 25] = [
    (101, Kind::Malformed),
    (200, Kind::Malformed),
    (204, Kind::Malformed),
    (301, Kind::Malformed),
    (304, Kind::Malformed),
    (307, Kind::Malformed),
    (400, Kind::Rejected),
    (401, Kind::Unauthenticated),
    (402, Kind::AccountSuspended),
    (403, Kind::Malformed),
    (404, Kind::Malformed),
    (405, Kind::Rejected),
    (408, Kind::Transient),
    (409, Kind::Transient),
    (412, Kind::AccountSuspended),
    (418, Kind::Rejected),
    (429, Kind::Throttled),
    (499, Kind::Transient),
    (500, Kind::Transient),
    (501, Kind::Rejected),
    (502, Kind::Transient),
    (503, Kind::Transient),
    (504, Kind::Transient),
    (599, Kind::Transient),
    (700, Kind::Malformed),
];

#[test]
fn the_code_in_the_body_decides_whatever_the_status() {
    for (number, name, kind, own_status) in CODES {
        let code = Code::from_number(number);
        assert_eq!(code.unwrap().name(), name);
        assert_eq!(Code::from_name(name), code);
        assert_eq!(classify(own_status, code), kind, "{name}");
        for (status, own) in STATUSES.into_iter().filter(|(status, _)| *status >= 400) {
            let suspended = own == Kind::AccountSuspended;
            let kind = if suspended { own } else { kind };
            assert_eq!(classify(status, code), kind, "{status} {name}");
        }
    }
}

#[test]
fn the_status_decides_where_the_body_has_no_code() {
    for (status, kind) in STATUSES {
        for no_error in [None, Some(Code::Ok)] {
            assert_eq!(classify(status, no_error), kind, "{status} {no_error:?}");
        }
    }
}

#[test]
fn account_suspended_by_status_or_by_name() {
    let named = Code::from_name("PRECONDITION_FAILED");
    for status in [400, 412, 403, 500] {
        assert_eq!(classify(status, named), Kind::AccountSuspended, "{status}");
    }
    assert_eq!(classify(200, named), Kind::Malformed);
    let refused = Attempt::new("update user alice", true, 7).refused(412, named, "unpaid", None);
    assert_eq!(refused.effect(), Effect::None);
    assert_eq!(
        refused.to_string(),
        "update user alice: 412 PRECONDITION_FAILED: unpaid"
    );
}

#[test]
fn a_redirect_or_a_success_is_malformed_whatever_its_body() {
    for status in [101, 200, 204, 301, 304, 307] {
        for (number, name, ..) in CODES {
            assert_eq!(
                classify(status, Code::from_number(number)),
                Kind::Malformed,
                "{status} {name}"
            );
        }
    }
}

#[test]
fn every_code_stands_at_its_number() {
    for (index, code) in (0_i64..).zip(Code::ALL) {
        assert_eq!(code as i64, index);
        assert_eq!(Code::from_number(index), Some(code));
    }
    for none in [17, -1, i64::MAX, 404] {
        assert_eq!(Code::from_number(none), None);
    }
    for none in ["", "5", "not_found", "PAYMENT_REQUIRED"] {
        assert_eq!(Code::from_name(none), None);
    }
}

fn answer(mutates: bool, http: u16, code: Option<i64>) -> Error {
    let code = code.and_then(Code::from_number);
    Attempt::new("update user alice", mutates, 7).refused(http, code, "words", None)
}

#[test]
fn a_refusal_changed_nothing_and_a_breakdown_may_have() {
    for (http, code, effect) in [
        (400, Some(3), Effect::None),
        (401, None, Effect::None),
        (403, Some(7), Effect::None),
        (403, None, Effect::Unknown),
        (404, Some(5), Effect::None),
        (404, None, Effect::Unknown),
        (409, Some(10), Effect::None),
        (409, None, Effect::None),
        (429, None, Effect::None),
        (501, None, Effect::None),
        (500, Some(3), Effect::None),
        (408, None, Effect::Unknown),
        (499, None, Effect::Unknown),
        (500, None, Effect::Unknown),
        (503, Some(14), Effect::Unknown),
        (504, Some(4), Effect::Unknown),
        (302, None, Effect::Unknown),
        (200, None, Effect::Unknown),
    ] {
        assert_eq!(answer(true, http, code).effect(), effect, "{http} {code:?}");
        assert_eq!(
            answer(false, http, code).effect(),
            Effect::None,
            "a read, {http} {code:?}"
        );
    }
}

#[test]
fn an_error_names_what_was_attempted_on_what() {
    assert_eq!(
        answer(true, 400, Some(3)).to_string(),
        "update user alice: 400 INVALID_ARGUMENT: words"
    );
    assert_eq!(
        answer(true, 502, Some(99)).to_string(),
        "update user alice: 502: words"
    );
    let attempt = Attempt::new("get user bob@example.com", false, 1);
    let error = attempt.failed(Kind::Transient, Effect::None, None, "no\nroute");
    assert_eq!(error.to_string(), "get user <redacted>: no route");
}

#[test]
fn waits_are_read_in_every_form_and_clamped() {
    let now: jiff::Timestamp = "2025-01-02T03:04:05Z".parse().unwrap();
    let wait = |name: &'static str, value: &str| {
        retry_after(
            &HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]),
            now,
        )
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (value, expected) in [
        ("1", seconds(1)),
        (" 60 ", seconds(60)),
        ("0", None),
        ("0.0", None),
        ("0.001", seconds(1)),
        ("1.5", Some(Duration::from_millis(1500))),
        ("601", seconds(600)),
        ("1000000000", seconds(600)),
        (&"9".repeat(400), seconds(600)),
        ("Thu, 02 Jan 2025 03:04:35 GMT", seconds(30)),
        ("Thu, 02 Jan 2025 03:04:00 GMT", None),
        ("Thu, 02 Jan 2025 03:04:05 GMT", None),
        ("Thu, 02 Jan 2025 03:04:06 GMT", seconds(1)),
        ("Fri, 02 Jan 2026 03:04:00 GMT", seconds(600)),
        ("Thursday, 02-Jan-25 03:04:35 GMT", seconds(30)),
        ("-1", None),
        ("1e9", None),
        ("inf", None),
        ("NaN", None),
        ("soon", None),
        ("1.2.3", None),
        ("", None),
    ] {
        assert_eq!(wait("retry-after", value), expected, "{value}");
    }
    assert_eq!(wait("retry-after-ms", "250"), seconds(1));
    assert_eq!(
        wait("retry-after-ms", "2500"),
        Some(Duration::from_millis(2500))
    );
    assert_eq!(wait("retry-after-ms", "0"), None);
    assert_eq!(wait("retry-after-ms", "99999999"), seconds(600));
    assert_eq!(wait("retry-after-ms", "-5"), None);
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[test]
fn milliseconds_win_unless_they_are_no_hint() {
    let both = |ms: &str| {
        let pairs = [("retry-after-ms", ms), ("retry-after", "7")];
        let headers = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        retry_after(&HeaderMap::from_iter(headers), jiff::Timestamp::UNIX_EPOCH)
    };
    assert_eq!(both("1500"), Some(Duration::from_millis(1500)));
    assert_eq!(both("junk"), Some(Duration::from_secs(7)));
    assert_eq!(both("0"), Some(Duration::from_secs(7)));
}

#[test]
fn retry_info_is_read_as_protobuf_writes_durations() {
    for (text, expected) in [
        ("3s", Some(Duration::from_secs(3))),
        ("3.5s", Some(Duration::from_millis(3500))),
        ("0.000000001s", Some(RETRY_AFTER_MIN)),
        ("315576000000s", Some(RETRY_AFTER_MAX)),
        ("0s", None),
        ("-3s", None),
        ("3", None),
        ("s", None),
        ("3ms", None),
        ("infs", None),
    ] {
        assert_eq!(retry_delay(text), expected, "{text}");
    }
}

#[test]
fn a_date_to_wait_for_counts_by_the_clock_of_the_server_that_named_it() {
    let wait = |here: &str, sent: &str| {
        let pairs = [
            ("retry-after", "Thu, 02 Jan 2025 03:04:35 GMT"),
            ("date", sent),
        ];
        let headers = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        retry_after(&HeaderMap::from_iter(headers), here.parse().unwrap())
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let sent = "Thu, 02 Jan 2025 03:04:05 GMT";
    for here in [
        "2025-01-02T03:04:05Z",
        "2025-01-01T00:00:00Z",
        "2035-01-02T00:00:00Z",
    ] {
        assert_eq!(wait(here, sent), seconds(30), "{here}");
    }
    assert_eq!(wait("2025-01-02T03:04:25Z", "yesterday"), seconds(10));
}

#[test]
fn an_error_has_the_status_of_the_answer_and_whether_the_call_left() {
    let refused = answer(true, 418, None);
    assert_eq!(
        (refused.http_status(), refused.is_unsent()),
        (Some(418), false)
    );
    let attempt = Attempt::new("list users", false, 1);
    let unsent = attempt.failed(Kind::Transient, Effect::None, None, "no route");
    assert_eq!((unsent.http_status(), unsent.is_unsent()), (None, false));
    assert!(unsent.unsent().is_unsent());
}
