//! What an answer is taken for: every code in every shape under every status, and every body that is no word of the
//! gateway's, for each call, through the production client over HTTP.

use fireworks_api::error::{Effect, Error, Kind};
use fireworks_gateway_simulator::Settings as SimulatorSettings;
use fireworks_gateway_simulator::{ErrorShape, Fault, Kind as FaultKind, Simulator, Verb};

use crate::calls::{Answer, Call, KEY, Server, client};
use crate::tables::{self, codes, statuses};

fn verb(call: Call) -> Verb {
    match call {
        Call::List => Verb::List,
        Call::Get => Verb::Get,
        Call::Patch => Verb::Patch,
    }
}

/// Whether a PATCH that was answered so may have been applied. After a refusal it was not, nor after a conflict
/// that aborted it; after anything else it may have been.
fn effect(call: Call, class: Kind, http: u16, code: Option<i64>) -> Effect {
    let aborted = code == Some(10) || (code.is_none() && http == 409);
    let unclear = match class {
        Kind::Transient => !aborted,
        Kind::Malformed => true,
        _ => false,
    };
    if call == Call::Patch && unclear {
        Effect::Unknown
    } else {
        Effect::None
    }
}

fn check(error: Option<Error>, cell: &str, class: Kind, effect: Effect) {
    let error = error.unwrap_or_else(|| panic!("{cell}: taken for a success"));
    assert_eq!(
        (*error.kind(), error.effect()),
        (class, effect),
        "{cell}: {error}"
    );
    let shown = error.to_string();
    assert!(
        shown.chars().count() < 600 && !shown.contains('\n'),
        "{cell}: {shown}"
    );
    assert!(
        !shown.contains(KEY) && !shown.contains('@'),
        "{cell}: {shown}"
    );
}

/// 17 codes, as a number and as a name, bare and wrapped, × its own status and every other × 3 calls.
#[tokio::test]
async fn every_code_in_every_shape_under_every_status_is_of_its_class() {
    let gateway = Simulator::start(SimulatorSettings::default()).unwrap();
    gateway.set_api_keys([KEY]);
    let client = client(&gateway.base_url(), KEY);
    let mut cells = 0;
    for call in Call::ALL {
        for code in codes() {
            for shape in ErrorShape::ALL {
                for (http, by_status) in statuses() {
                    // A redirect or a success with an error in it is malformed, and 402 and 412 speak of the account, whatever
                    // the body holds.
                    let class = match code.class {
                        Some(class) if http >= 400 && !matches!(http, 402 | 412) => class,
                        _ => by_status,
                    };
                    let fault = FaultKind::Error {
                        code: code.number,
                        status: Some(http),
                        shape,
                        message: Some(format!("bob@example.com {KEY} request-{cells}")),
                    };
                    gateway.set_faults([Fault::new(fault).on(verb(call))]);
                    let cell = format!("{call:?} {} {shape:?} under {http}", code.name);
                    let decides = code.class.map(|_| code.number);
                    let error = call.make(&client).await;
                    check(error, &cell, class, effect(call, class, http, decides));
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 3 * 17 * 4 * statuses().len());
}

/// Without an explicit status the gateway's own is used, and none is forgotten.
#[tokio::test]
async fn every_code_under_its_own_status_is_named_in_the_error() {
    let gateway = Simulator::start(SimulatorSettings::default()).unwrap();
    gateway.set_api_keys([KEY]);
    let client = client(&gateway.base_url(), KEY);
    for code in codes() {
        gateway.set_faults([Fault::new(FaultKind::error(code.number))]);
        let error = Call::Patch.make(&client).await.unwrap();
        assert_eq!(error.http_status(), Some(code.http), "{}", code.name);
        if code.class.is_some() {
            let start = format!("update user alice: {} {}: ", code.http, code.name);
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}

type Headers = Vec<(&'static str, String)>;

/// Bodies without a code: the status decides.
fn wordless() -> Vec<(&'static str, Headers, Vec<u8>)> {
    let json = || vec![("content-type", "application/json".to_owned())];
    let html = || vec![("content-type", "text/html; charset=utf-8".to_owned())];
    let all = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", vec![], vec![]),
        ("nothing, called JSON", json(), vec![]),
        (
            "text",
            vec![],
            all("upstream connect error or disconnect/reset before headers"),
        ),
        ("text, called JSON", json(), all("no healthy upstream")),
        (
            "HTML",
            html(),
            all("<html><head><title>502 Bad Gateway</title></head></html>"),
        ),
        (
            "HTML, called JSON",
            json(),
            all("\n <!DOCTYPE html><p>bob@example.com"),
        ),
        ("binary", vec![], (0..=255).collect()),
        ("binary, called JSON", json(), vec![0xff, 0xfe, 0, 0x80]),
        ("half of an error", json(), all(r#"{"code":3,"mess"#)),
        ("a list", json(), all(r#"[{"code":3,"message":"no"}]"#)),
        ("a number", json(), all("3")),
        ("null", json(), all("null")),
        ("an object without a word", json(), all("{}")),
        (
            "a name that is no code",
            json(),
            all(r#"{"code":"NOT_HERE","message":"no"}"#),
        ),
        (
            "a name in lower case",
            json(),
            all(r#"{"code":"not_found","message":"no"}"#),
        ),
        (
            "the name of no error",
            json(),
            all(r#"{"code":"OK","message":"no"}"#),
        ),
        (
            "a code of text",
            json(),
            all(r#"{"code":"5","message":"no"}"#),
        ),
        (
            "a broken code",
            json(),
            all(r#"{"code":5.5,"message":"no"}"#),
        ),
        ("code 0", json(), all(r#"{"code":0,"message":"no"}"#)),
        ("code 17", json(), all(r#"{"code":17,"message":"no"}"#)),
        ("code -1", json(), all(r#"{"code":-1,"message":"no"}"#)),
        (
            "a huge code",
            json(),
            all(r#"{"code":18446744073709551615,"message":"no"}"#),
        ),
        ("wrapped text", json(), all(r#"{"error":"no"}"#)),
        (
            "wrapped code 0",
            json(),
            all(r#"{"error":{"code":0,"message":"no"}}"#),
        ),
        (
            "a wrapped name that is no code",
            json(),
            all(r#"{"error":{"code":"GONE"}}"#),
        ),
        (
            "a name under another key",
            json(),
            all(r#"{"status":"NOT_FOUND","message":"no"}"#),
        ),
    ]
}

#[tokio::test]
async fn the_status_decides_without_a_code_in_the_body() {
    let server = Server::start().await;
    let client = client(&server.url, KEY);
    for call in Call::ALL {
        for (http, class) in statuses() {
            for (what, headers, body) in wordless() {
                let cell = format!("{call:?} {what} under {http}");
                // An empty object with a success status is a page without users: protobuf leaves out what is empty.
                let empty_page = call == Call::List && http < 300 && matches!(&body[..], b"{}");
                server.answers(Answer {
                    status: http,
                    headers,
                    body,
                });
                let error = call.make(&client).await;
                if empty_page {
                    assert!(error.is_none(), "{cell}");
                } else {
                    check(error, &cell, class, effect(call, class, http, None));
                }
            }
        }
    }
}

/// Suspended accounts are refused with a name that is no google.rpc code.
#[tokio::test]
async fn account_suspended_by_name_under_every_error_status() {
    let server = Server::start().await;
    let client = client(&server.url, KEY);
    for call in Call::ALL {
        for (http, class) in statuses() {
            for body in [
                r#"{"error":{"message":"no","code":"PRECONDITION_FAILED","type":"error"}}"#,
                r#"{"code":"PRECONDITION_FAILED","message":"no"}"#,
            ] {
                let class = if http >= 400 {
                    Kind::AccountSuspended
                } else {
                    class
                };
                server.answers(Answer {
                    status: http,
                    headers: Vec::new(),
                    body: body.as_bytes().to_vec(),
                });
                let cell = format!("{call:?} {body} under {http}");
                let error = call.make(&client).await;
                check(error, &cell, class, effect(call, class, http, None));
            }
        }
    }
}

/// A success with an error in it, whatever else it holds: the page is no complete list, the user none that was read.
#[tokio::test]
async fn malformed_response_is_a_success_with_an_error_body() {
    let server = Server::start().await;
    let client = client(&server.url, KEY);
    for body in [
        r#"{"code":"NOT_FOUND","message":"no"}"#,
        r#"{"error":{"code":"NOT_FOUND","message":"no"}}"#,
        r#"{"error":{"message":"no"},"users":[]}"#,
        r#"{"code":13,"message":"no","users":[{"name":"accounts/acme/users/alice"}]}"#,
        r#"{"error":{"code":13},"name":"accounts/acme/users/alice","role":"user"}"#,
        r#"{"code":"INTERNAL","name":"accounts/acme/users/alice","role":"user"}"#,
    ] {
        for call in Call::ALL {
            server.answers(Answer {
                status: 200,
                headers: Vec::new(),
                body: body.as_bytes().to_vec(),
            });
            let expected = effect(call, Kind::Malformed, 200, None);
            let error = call.make(&client).await;
            check(
                error,
                &format!("{call:?} {body}"),
                Kind::Malformed,
                expected,
            );
        }
    }
}

/// A success about another user, about another account, or about none.
#[tokio::test]
async fn malformed_response_is_a_success_about_another_user() {
    let server = Server::start().await;
    let client = client(&server.url, KEY);
    for body in [
        r#"{"name":"accounts/acme/users/bob","role":"admin"}"#,
        r#"{"name":"accounts/acme/users/Alice","role":"admin"}"#,
        r#"{"name":"accounts/other/users/alice","role":"admin"}"#,
        r#"{"name":"alice","role":"admin"}"#,
        r#"{"role":"admin"}"#,
        r#"{"name":7,"role":"admin"}"#,
        r#"{"name":"accounts/acme/users/alice","role":["admin"]}"#,
        r#"{"name":"accounts/acme/users/alice/keys/1","role":"admin"}"#,
    ] {
        for call in [Call::Get, Call::Patch] {
            let headers = Vec::new();
            let body = body.as_bytes().to_vec();
            server.answers(Answer {
                status: 200,
                headers,
                body,
            });
            let error = call.make(&client).await;
            let expected = effect(call, Kind::Malformed, 200, None);
            check(error, &format!("{call:?}"), Kind::Malformed, expected);
        }
    }
}

/// No redirect is followed, whatever the status and wherever it points.
#[tokio::test]
async fn malformed_response_is_a_redirect_which_is_not_followed() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/v1/x", elsewhere.local_addr().unwrap());
    let server = Server::start().await;
    let client = client(&server.url, KEY);
    for (http, class) in statuses()
        .into_iter()
        .filter(|(http, _)| (300..400).contains(http))
    {
        for call in Call::ALL {
            let answer = Answer {
                status: http,
                headers: vec![("location", location.clone())],
                body: br#"{"code":5,"message":"no"}"#.to_vec(),
            };
            server.answers(answer);
            let cell = format!("{call:?} {http}");
            check(
                call.make(&client).await,
                &cell,
                class,
                effect(call, class, http, None),
            );
        }
    }
    assert_eq!(tables::class_of_status(301), Kind::Malformed);
    // A connection would already be waiting to be accepted.
    let absent_user =
        tokio::time::timeout(std::time::Duration::from_millis(1), elsewhere.accept()).await;
    assert!(absent_user.is_err());
}
