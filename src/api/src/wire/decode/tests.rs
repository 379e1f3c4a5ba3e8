//! What the decoder accepts, what it forgives and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::email::EmailHash;

mod any_input;

fn acme() -> AccountId {
    "acme".parse().unwrap()
}

fn user_of(body: &Value) -> Result<User, Flaw> {
    user(body.to_string().as_bytes(), &acme())
}

fn page_of(body: &Value) -> Result<Page, Flaw> {
    page(body.to_string().as_bytes(), &acme())
}

fn named(fields: &Value) -> Value {
    let mut body = json!({"name": "accounts/acme/users/alice"});
    body.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    body
}

#[test]
fn a_full_user_is_read_field_by_field() {
    let user = user_of(&named(&json!({
        "role": "custom", "permissionPreset": "agent", "displayName": "Alice", "email": "alice@example.com",
        "serviceAccount": true, "state": "READY", "status": {"code": "OK", "message": "fine"},
        "createTime": "2025-01-02T03:04:05Z", "updateTime": "2025-01-02T03:04:05.678901Z",
        "somethingNew": {"deep": [1, {"er": null}]},
    })))
    .unwrap();
    assert_eq!(
        user,
        User {
            id: "alice".parse().unwrap(),
            role: Role::Custom,
            permission_preset: Some("agent".into()),
            display_name: Some("Alice".into()),
            email: Some(EmailHash::of("Alice@example.com")),
            service_account: true,
            state: State::Ready,
            status: Some(Status {
                code: "OK".into(),
                message: "fine".into()
            }),
            create_time: Some("2025-01-02T03:04:05Z".parse().unwrap()),
            update_time: Some("2025-01-02T03:04:05.678901Z".parse().unwrap()),
        }
    );
    assert!(!format!("{user:?}").contains("example.com"));
}

#[test]
fn absent_null_and_zero_mean_the_same() {
    let absent = user_of(&named(&json!({}))).unwrap();
    let fields = [
        "role",
        "permissionPreset",
        "displayName",
        "email",
        "state",
        "createTime",
        "updateTime",
    ];
    let all = |value: &Value| {
        let mut body = named(&json!({"serviceAccount": value, "status": value}));
        for field in fields {
            body[field] = value.clone();
        }
        body
    };
    assert_eq!(user_of(&all(&Value::Null)).unwrap(), absent);
    let mut zero = all(&json!(""));
    zero["serviceAccount"] = json!(false);
    for status in [
        json!({}),
        json!({"code": "", "message": ""}),
        json!({"code": 0}),
        json!({"code": null}),
    ] {
        zero["status"] = status;
        assert_eq!(user_of(&zero).unwrap(), absent);
    }
    assert_eq!(absent.role, Role::Other("".into()));
    assert_eq!(absent.state, State::Unspecified);
    assert_eq!(
        (absent.permission_preset, absent.display_name, absent.status),
        (None, None, None)
    );
    assert!(absent.email.is_none() && !absent.service_account);
}

#[test]
fn email_is_kept_as_a_hash_and_unreadable_ones_match_no_address() {
    let hash_of = |email: Value| user_of(&named(&json!({"email": email}))).unwrap().email;
    let alice = hash_of(json!("alice@example.com"));
    assert_eq!(alice, Some(EmailHash::of("ALICE@example.com")));
    assert_ne!(alice, hash_of(json!("bob@example.com")));
    for odd in [json!(5), json!(true), json!({"a": "b"}), json!(["a@b.c"])] {
        assert_eq!(hash_of(odd.clone()), Some(EmailHash::unreadable()), "{odd}");
    }
}

#[test]
fn unknown_values_and_odd_times_survive() {
    let user = user_of(&named(&json!({
        "role": "owner", "state": "FROZEN", "status": {"code": "NEW_CODE"}, "updateTime": "yesterday", "createTime": 5,
        "serviceAccount": "yes",
    })))
    .unwrap();
    assert_eq!(user.role, Role::Other("owner".into()));
    assert_eq!(user.state, State::Other("FROZEN".into()));
    assert_eq!(&*user.status.unwrap().code, "NEW_CODE");
    assert_eq!((user.update_time, user.create_time), (None, None));
}

/// protobuf JSON may carry the number of an enum's value in place of its name.
#[test]
fn state_numbers_stand_for_their_names() {
    let names = [
        "STATE_UNSPECIFIED",
        "CREATING",
        "READY",
        "UPDATING",
        "DELETING",
    ];
    for (number, name) in names.iter().enumerate() {
        let state = user_of(&named(&json!({"state": number}))).unwrap().state;
        assert_eq!(state, State::from(*name));
        assert!(!matches!(state, State::Other(_)), "{name}");
    }
    for number in [5, -1] {
        let state = user_of(&named(&json!({"state": number}))).unwrap().state;
        assert_eq!(state, State::Other(number.to_string().into()));
    }
}

#[test]
fn a_status_code_may_be_a_number_and_its_message_is_cleaned() {
    let status = |status: Value| {
        user_of(&named(&json!({"status": status})))
            .unwrap()
            .status
            .unwrap()
    };
    let internal = status(json!({"code": 13, "message": "mail\nto bob@example.com"}));
    assert_eq!(
        (&*internal.code, &*internal.message, internal.is_ok()),
        ("INTERNAL", "mail to <redacted>", false)
    );
    assert_eq!(&*status(json!({"code": 99})).code, "99");
    assert!(status(json!({"code": "OK"})).is_ok());
    assert!(status(json!({"message": "all well"})).is_ok());
}

#[test]
fn an_unknown_field_named_like_an_errors_is_no_error() {
    for later in [
        json!({"code": "ABC", "message": "welcome"}),
        json!({"error": {}}),
        json!({"code": 0, "error": null}),
    ] {
        assert!(user_of(&named(&later)).is_ok(), "{later}");
        let page = page_of(&json!({"users": [named(&later)], "message": "x"}));
        assert_eq!(page.unwrap().users.len(), 1, "{later}");
    }
}

#[test]
fn both_spellings_of_a_field_name_are_read() {
    let user = user_of(&named(
        &json!({"permission_preset": "agent", "display_name": "A", "update_time": "2025-01-01T00:00:00Z"}),
    ));
    let user = user.unwrap();
    assert_eq!(
        (
            user.permission_preset.as_deref(),
            user.display_name.as_deref()
        ),
        (Some("agent"), Some("A"))
    );
    assert!(user.update_time.is_some());
}

#[test]
fn a_user_that_is_not_one_is_refused() {
    for (body, flaw) in [
        (json!({"code": 5, "message": "x"}), ERROR_BODY),
        (json!({"error": {"code": 5}}), ERROR_BODY),
        (named(&json!({"code": 5})), ERROR_BODY),
        (named(&json!({"error": {"message": "x"}})), ERROR_BODY),
        (json!({"role": "user"}), "the user has no name"),
        (json!({}), "the user has no name"),
        (json!({"name": 7}), "the user has no name"),
        (json!([]), NOT_JSON),
        (json!(null), NOT_JSON),
        (
            json!({"name": "accounts/other/users/alice"}),
            "the response is about another account",
        ),
        (
            json!({"name": "accounts/acme2/users/alice"}),
            "the response is about another account",
        ),
        (
            json!({"name": "alice"}),
            "the response is about another account",
        ),
        (
            json!({"name": "accounts/acme/users/a/b"}),
            "the user's id cannot be used",
        ),
        (
            json!({"name": "accounts/acme/users/.."}),
            "the user's id cannot be used",
        ),
        (named(&json!({"role": 1})), WRONG_TYPE),
        (named(&json!({"permissionPreset": ["agent"]})), WRONG_TYPE),
        (named(&json!({"displayName": {}})), WRONG_TYPE),
        (named(&json!({"state": true})), WRONG_TYPE),
        (named(&json!({"status": "OK"})), WRONG_TYPE),
        (named(&json!({"status": {"code": []}})), WRONG_TYPE),
    ] {
        assert_eq!(user_of(&body), Err(flaw), "{body}");
    }
    for body in [
        &b"{\"name\": \"accounts/acme/users/al"[..],
        b"",
        b"{} {}",
        b"<html>",
        b"\xff",
    ] {
        assert_eq!(user(body, &acme()), Err(NOT_JSON));
    }
}

#[test]
fn an_endless_text_is_cut_where_no_wanted_value_can_reach() {
    let user = user_of(&named(&json!({"displayName": "é".repeat(5000)}))).unwrap();
    assert_eq!(user.display_name.unwrap().chars().count(), TEXT_MAX);
}

#[test]
fn a_page_skips_and_counts_malformed_rows() {
    let page = page_of(&json!({
        "users": [
            named(&json!({"role": "user"})), null, 3, "x", [1], {}, {"name": "accounts/other/users/bob"},
            {"name": "accounts/acme/users/bob", "role": 5}, {"name": "accounts/acme/users/carol@example.com"},
        ],
        "nextPageToken": "2", "totalSize": 9,
    }))
    .unwrap();
    let ids: Vec<_> = page.users.iter().map(|user| user.id.as_str()).collect();
    assert_eq!(ids, ["alice", "carol@example.com"]);
    assert_eq!((page.malformed, page.total), (7, Some(9)));
    assert_eq!(page.next.unwrap().as_str(), "2");
}

#[test]
fn a_repeated_key_spoils_neither_row_nor_page() {
    let body = br#"{"users":[{"name":"x","name":"accounts/acme/users/alice","role":"user","role":"admin"}],"users":null,
        "users":[{"name":"accounts/acme/users/bob"}]}"#;
    let page = page(body, &acme()).unwrap();
    assert_eq!(page.users.len(), 1);
    assert_eq!(page.users[0].id.as_str(), "bob");
}

#[test]
fn the_last_page_has_no_token_in_any_spelling() {
    let empty = Page {
        users: vec![],
        malformed: 0,
        next: None,
        total: None,
    };
    for body in [
        json!({}),
        json!({"users": null, "nextPageToken": null, "totalSize": null}),
        json!({"users": [], "nextPageToken": "", "totalSize": 0}),
    ] {
        assert_eq!(page_of(&body).unwrap(), empty, "{body}");
    }
    assert_eq!(
        page_of(&json!({"totalSize": "12"})).unwrap().total,
        Some(12)
    );
    for odd in [json!(-1), json!("many"), json!(1.5), json!({})] {
        assert_eq!(page_of(&json!({"totalSize": odd})).unwrap().total, None);
    }
}

#[test]
fn a_page_that_is_not_one_is_refused_as_a_whole() {
    for body in [
        json!({"code": 13, "message": "x"}),
        json!({"error": {"code": 13}}),
        json!({"error": {"code": "INTERNAL"}, "users": []}),
        json!({"code": 13, "users": []}),
        json!({"users": {}}),
        json!({"users": "none"}),
        json!({"nextPageToken": 5}),
        json!({"nextPageToken": "t".repeat(TOKEN_MAX + 1)}),
        json!({"users": vec![json!(null); ROWS_MAX + 1]}),
        json!([]),
    ] {
        assert!(page_of(&body).is_err(), "{body}");
    }
    assert!(
        page_of(&json!({"nextPageToken": "t".repeat(TOKEN_MAX)}))
            .unwrap()
            .next
            .is_some()
    );
}

#[test]
fn error_bodies_are_read_wrapped_or_not() {
    let read =
        |body: Value| error_body(body.to_string().as_bytes()).map(|body| (body.code, body.message));
    assert_eq!(
        read(json!({"code": 5, "message": "gone", "details": [{}]})),
        Some((Some(Code::NotFound), Some("gone".into())))
    );
    assert_eq!(
        read(json!({"error": {"code": 7, "message": "no"}})),
        Some((Some(Code::PermissionDenied), Some("no".into())))
    );
    assert_eq!(
        read(json!({"error": "no luck"})),
        Some((None, Some("no luck".into())))
    );
    for (code, message) in [(json!("NOT_FOUND"), json!(1)), (json!(5), json!(null))] {
        let bare = json!({"code": code, "message": message});
        for body in [
            json!({"error": bare}),
            json!({"code": code, "error": {}}),
            bare,
        ] {
            assert_eq!(read(body), Some((Some(Code::NotFound), None)));
        }
    }
    for no_code in [
        json!(5.5),
        json!(0),
        json!(17),
        json!(-1),
        json!(404),
        json!(u64::MAX),
        json!("5"),
        json!("not_found"),
    ] {
        assert_eq!(read(json!({"code": no_code})), Some((None, None)));
    }
    assert_eq!(read(json!([5])), None);
    assert_eq!(error_body(b"upstream connect error"), None);
}

const THREE: &str = r#"{"users":[
    {"name":"accounts/acme/users/alice","role":"user","displayName":"Alice","state":"READY","status":{"code":"OK"}},
    {"name":"accounts/acme/users/bob","role":"admin","displayName":"BOB","permissionPreset":"agent"},
    {"name":"accounts/acme/users/carol","role":"custom","createTime":"2025-01-02T03:04:05Z"}
],"nextPageToken":"2","totalSize":3}"#;

fn ids(page: &Page) -> Vec<&str> {
    page.users.iter().map(|user| user.id.as_str()).collect()
}

#[test]
fn a_row_that_is_no_json_text_hides_no_other() {
    // (in place of bob's display name, whether his row is good for anything)
    for (broken, is_read) in [
        (&br#""Bob \ud83d""#[..], true),
        (br#""\ude00""#, true),
        (b"\"B\xffb\"", true),
        (b"\"B\x01b\"", true),
        (b"\"B\nb\"", true),
        (br#""\x""#, true),
        (b"1e999", false),
        (br#""B","role":"ad\ud83dmin""#, false),
        (br#""B","name":"accounts/acme/users/bo\ud83d""#, false),
        (br#""B","state":"\ude00""#, false),
        (br#""B","status":{"code":"\ude00"}"#, false),
        (br#""B","status":{"co\ud83dde":"INTERNAL"}"#, false),
        (br#""B","ro\ud83dle":"admin""#, false),
    ] {
        let [before, after] = THREE.split_once(r#""BOB""#).map(<[&str; 2]>::from).unwrap();
        let body = [before.as_bytes(), broken, after.as_bytes()].concat();
        let what = String::from_utf8_lossy(broken);
        let page = page(&body, &acme()).unwrap();
        let expected = if is_read {
            (vec!["alice", "bob", "carol"], 0)
        } else {
            (vec!["alice", "carol"], 1)
        };
        assert_eq!((ids(&page), page.malformed), expected, "{what}");
        assert_eq!((page.total, page.next.is_some()), (Some(3), true), "{what}");
        if is_read {
            let name = page.users[1].display_name.as_deref();
            assert!(name.unwrap().contains(UNREADABLE), "{what}");
        }
    }
}

#[test]
fn one_bad_byte_never_makes_a_user_absent() {
    let whole = page(THREE.as_bytes(), &acme()).unwrap();
    for at in 0..THREE.len() {
        for bad in [0xff, 0xed, 0x00, 0x1f, b'\\'] {
            let mut body = THREE.as_bytes().to_vec();
            body[at] = bad;
            let Ok(page) = page(&body, &acme()) else {
                continue;
            };
            let what = String::from_utf8_lossy(&body);
            assert_eq!(page.users.len() + page.malformed, 3, "{what}");
            assert_eq!(page.next, whole.next, "{what}");
            for user in &page.users {
                let same = whole.users.iter().find(|one| one.id == user.id).unwrap();
                assert_eq!(user.role, same.role, "{what}");
                assert_eq!(user.permission_preset, same.permission_preset, "{what}");
                assert_eq!(user.state, same.state, "{what}");
            }
        }
    }
}

#[test]
fn a_user_with_an_unreadable_display_name_is_read() {
    let user_with = |field: &str| {
        let body = format!(r#"{{"name":"accounts/acme/users/alice","role":"user",{field}}}"#);
        user(body.as_bytes(), &acme())
    };
    let alice = user_with(r#""displayName":"x\ud83d""#).unwrap();
    assert_eq!(alice.display_name.as_deref(), Some("x\u{fffd}"));
    for undecided in [r#""role":"us\ud83der""#, r#""permissionPreset":"\ude00""#] {
        assert_eq!(user_with(undecided), Err(UNREADABLE_FIELD), "{undecided}");
    }
}

#[test]
fn an_error_body_that_is_no_json_text_keeps_its_code() {
    let body = error_body(br#"{"code":5,"message":"user \ud83d not found"}"#).unwrap();
    assert_eq!(body.code, Some(Code::NotFound));
    assert_eq!(body.message.as_deref(), Some("user \u{fffd} not found"));
}

#[test]
fn retry_info_among_the_details_is_the_wait() {
    let info = |delay: Value| json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
    let other = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "retryDelay": "9s"});
    let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
    for (details, expected) in [
        (json!([other, info(json!("3s"))]), seconds(3)),
        (
            json!([info(json!("2s")), info(json!("5s")), 7, null]),
            seconds(5),
        ),
        (json!([info(json!("0s"))]), None),
        (json!([info(json!(3))]), None),
        (json!([other]), None),
        (json!([]), None),
        (json!(info(json!("3s"))), None),
        (json!("3s"), None),
    ] {
        let bare = json!({"code": 8, "message": "slow down", "details": details});
        for body in [json!({"error": bare}), bare] {
            let read = error_body(body.to_string().as_bytes()).unwrap();
            assert_eq!(read.retry_delay, expected, "{body}");
        }
    }
}
