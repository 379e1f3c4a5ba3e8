//! The client against a server that says, byte for byte, what the test wants it to say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use error::Code;
use fireworks_api::wire::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

mod broken;
mod setup;

const ALICE: &str =
    r#"{"name":"accounts/acme/users/alice","role":"admin","email":"alice@example.com"}"#;

fn settings(base: &str) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Settings {
        base_url: base.parse().unwrap(),
        account: "acme".parse().unwrap(),
        ca_file: None,
        https_proxy: None,
        wall_clock: || jiff::Timestamp::UNIX_EPOCH,
    }
}

fn connect(settings: Settings, gate: Gate) -> Result<Client, SetupError> {
    let keys = ApiKeys::fixed("fw_canary".into()).unwrap();
    Client::new(settings, keys, gate)
}

fn client(base: &str) -> Client {
    connect(settings(base), Gate::new(|| true)).unwrap()
}

fn alice() -> UserId {
    "alice".parse().unwrap()
}

fn patch() -> UserPatch {
    UserPatch {
        role: Role::Admin,
        permission_preset: Some("".into()),
        display_name: None,
    }
}

/// An answer with a body of declared length.
fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads one request to its end.
async fn request(stream: &mut TcpStream) -> String {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        let Some(head) = text.find("\r\n\r\n") else {
            continue;
        };
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        if seen.len() >= head + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap()) {
            return String::from_utf8(seen).unwrap();
        }
    }
}

/// A client of a server that gives `answer` to one request; `hold` leaves the connection open.
async fn serving(answer: Vec<u8>, hold: bool) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = request(&mut stream).await;
        // The client hangs up on an answer it will not read.
        let _ = stream.write_all(&answer).await;
        if hold {
            std::future::pending::<()>().await;
        }
        seen
    });
    (client, server)
}

async fn update_answered(answer: Vec<u8>) -> Result<User, Error> {
    serving(answer, false)
        .await
        .0
        .update(&alice(), &patch())
        .await
}

fn verdict(error: &Error) -> (Kind, Effect) {
    (*error.kind(), error.effect())
}

#[tokio::test]
async fn an_update_sends_the_patch_and_returns_the_answer() {
    let (client, server) = serving(
        answer("200 OK", "content-type: text/plain\r\n", ALICE),
        false,
    )
    .await;
    let user = client.update(&alice(), &patch()).await.unwrap();
    assert_eq!(
        (user.id, user.role, user.email.is_some()),
        (alice(), Role::Admin, true)
    );
    let seen = server.await.unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("PATCH /v1/accounts/acme/users/alice HTTP/1.1\r\n"),
        "{head}"
    );
    for header in [
        "authorization: Bearer fw_canary",
        "accept: application/json",
        "content-type: application/json",
        concat!(
            "user-agent: fireworks-user-operator/",
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert_eq!(
            head.lines().filter(|line| *line == header).count(),
            1,
            "{header} in {head}"
        );
    }
    assert_eq!(body, r#"{"role":"admin","permissionPreset":""}"#);
}

#[tokio::test]
async fn a_list_asks_for_whole_pages_and_sends_the_token_back_as_it_came() {
    let first = answer("200 OK", "", r#"{"users":[],"nextPageToken":"a+b/c=&d"}"#);
    let (client, server) = serving(first, false).await;
    let token = client.list(None).await.unwrap().next.unwrap();
    assert!(
        server
            .await
            .unwrap()
            .starts_with("GET /v1/accounts/acme/users?pageSize=200 HTTP/1.1\r\n")
    );
    let (client, server) = serving(answer("200 OK", "", "{}"), false).await;
    client.list(Some(&token)).await.unwrap();
    let expected =
        "GET /v1/accounts/acme/users?pageSize=200&pageToken=a%2Bb%2Fc%3D%26d HTTP/1.1\r\n";
    assert!(server.await.unwrap().starts_with(expected));
}

#[test]
fn ids_stay_one_segment_and_a_path_prefix_is_kept() {
    let client = client("http://127.0.0.1:1/prefix/");
    for (id, path) in [
        ("a~b._-", "a~b._-"),
        ("a+b c", "a%2Bb%20c"),
        ("%2e%2e", "%252e%252e"),
        ("a?b#c", "a%3Fb%23c"),
        ("é\\x", "%C3%A9%5Cx"),
    ] {
        let url = client.user_url(&UserId::from_remote(id).unwrap());
        assert_eq!(
            url.as_str(),
            format!("http://127.0.0.1:1/prefix/v1/accounts/acme/users/{path}")
        );
    }
}

/// An answer without success: its status, headers and body, and what is read of it.
type Refused = (
    &'static str,
    &'static str,
    &'static str,
    Kind,
    Option<Code>,
    &'static str,
);

const REFUSED: [Refused; 9] = [
    (
        "400 Bad",
        "",
        r#"{"code":3,"message":"bad role"}"#,
        Kind::Rejected,
        Some(Code::InvalidArgument),
        "update user alice: 400 INVALID_ARGUMENT: bad role",
    ),
    (
        "500 Oops",
        "",
        r#"{"error":{"code":7,"message":"no"}}"#,
        Kind::Denied,
        Some(Code::PermissionDenied),
        "update user alice: 500 PERMISSION_DENIED: no",
    ),
    (
        "404 Not Found",
        "",
        r#"{"code":5,"message":""}"#,
        Kind::NotFound,
        Some(Code::NotFound),
        "update user alice: 404 NOT_FOUND: no message",
    ),
    (
        "404 Not Found",
        "content-type: text/html; charset=utf-8\r\n",
        "gone",
        Kind::Malformed,
        None,
        "update user alice: 404: an HTML page",
    ),
    (
        "502 Bad Gateway",
        "",
        "\n<!DOCTYPE html>secret",
        Kind::Transient,
        None,
        "update user alice: 502: an HTML page",
    ),
    (
        "503 Busy",
        "",
        "upstream\r\nconnect error",
        Kind::Transient,
        None,
        "update user alice: 503: upstream connect error",
    ),
    (
        "403 No",
        "",
        r#"{"code":"PERMISSION_DENIED","message":"bob@example.com may not, fw_canary"}"#,
        Kind::Denied,
        Some(Code::PermissionDenied),
        "update user alice: 403 PERMISSION_DENIED: <redacted> may not, <redacted>",
    ),
    (
        "403 No",
        "content-type: text/html\r\n",
        "<html><title>Request blocked</title></html>",
        Kind::Malformed,
        None,
        "update user alice: 403: an HTML page",
    ),
    (
        "401 Who",
        "",
        "",
        Kind::Unauthenticated,
        None,
        "update user alice: 401: no message",
    ),
];

#[tokio::test]
async fn errors_are_read_in_every_shape() {
    for (status, headers, body, kind, code, shown) in REFUSED {
        let error = update_answered(answer(status, headers, body))
            .await
            .unwrap_err();
        assert_eq!(
            (*error.kind(), error.code(), error.to_string().as_str()),
            (kind, code, shown)
        );
        assert_eq!(error.key_version(), 1);
    }
}

#[tokio::test]
async fn the_wait_that_is_asked_for_is_returned() {
    let throttled = answer(
        "429 Slow down",
        "retry-after: 30\r\n",
        r#"{"code":8,"message":"slow down"}"#,
    );
    let error = update_answered(throttled).await.unwrap_err();
    assert_eq!(verdict(&error), (Kind::Throttled, Effect::None));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn retry_info_counts_beside_the_header_and_alone() {
    let body = r#"{"error":{"code":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3s"}]}}"#;
    for (headers, wait) in [
        ("", 3),
        ("retry-after: 0\r\n", 3),
        ("retry-after: 2\r\n", 3),
        ("retry-after: 4\r\n", 4),
    ] {
        let throttled = answer("429 Slow down", headers, body);
        let error = update_answered(throttled).await.unwrap_err();
        let expected = Some(Duration::from_secs(wait));
        assert_eq!(error.retry_after(), expected, "{headers}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!(
        "location: http://{}/v1/stolen\r\n",
        elsewhere.local_addr().unwrap()
    );
    for status in ["301 Moved", "307 Temporary Redirect"] {
        let error = update_answered(answer(status, &target, ALICE))
            .await
            .unwrap_err();
        assert_eq!(verdict(&error), (Kind::Malformed, Effect::Unknown));
    }
    // A connection would already be waiting to be accepted.
    let nobody = tokio::time::timeout(Duration::from_millis(1), elsewhere.accept()).await;
    assert!(nobody.is_err());
}

#[tokio::test]
async fn a_success_that_is_no_answer_is_malformed_and_may_have_changed_something() {
    for (body, flaw) in [
        (
            r#"{"name":"accounts/acme/users/bob","role":"admin"}"#,
            "the response is about another user",
        ),
        (
            r#"{"name":"accounts/acme/users/Alice","role":"admin"}"#,
            "the response is about another user",
        ),
        (
            r#"{"name":"accounts/other/users/alice","role":"admin"}"#,
            "the response is about another account",
        ),
        (
            r#"{"code":3,"message":"x"}"#,
            "a success status with an error body",
        ),
        (
            r#"{"error":{"code":3}}"#,
            "a success status with an error body",
        ),
        (&ALICE[..40], "the response is not the expected JSON"),
        ("", "the response is not the expected JSON"),
        ("<html>", "the response is not the expected JSON"),
    ] {
        let error = update_answered(answer("200 OK", "", body))
            .await
            .unwrap_err();
        assert_eq!(
            (verdict(&error), error.message()),
            ((Kind::Malformed, Effect::Unknown), flaw),
            "{body}"
        );
        let (client, _server) = serving(answer("200 OK", "", body), false).await;
        let error = client.get(&alice()).await.unwrap_err();
        assert_eq!(verdict(&error), (Kind::Malformed, Effect::None), "{body}");
    }
}

#[tokio::test]
async fn an_error_has_the_version_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let (mut client, server) = serving(answer("401 Who", "", ""), false).await;
    client.keys = ApiKeys::from_file(path.clone()).unwrap();
    std::fs::write(&path, "two").unwrap();
    client.keys().reread();
    let error = client.get(&alice()).await.unwrap_err();
    assert_eq!(
        (verdict(&error), error.key_version()),
        ((Kind::Unauthenticated, Effect::None), 2)
    );
    assert!(
        server
            .await
            .unwrap()
            .contains("authorization: Bearer two\r\n")
    );
}
