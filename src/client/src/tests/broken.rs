//! Answers and connections that are too large, too slow, torn, or missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[tokio::test]
async fn an_oversized_answer_is_not_read_whether_announced_or_not() {
    let announced = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ALICE}",
        BODY_MAX + 1
    )
    .into_bytes();
    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=(BODY_MAX / 0x10000) {
        endless.extend_from_slice(b"10000\r\n");
        endless.resize(endless.len() + 0x10000, b' ');
        endless.extend_from_slice(b"\r\n");
    }
    for (oversized, hold) in [(announced, true), (endless, true)] {
        let (client, _server) = serving(oversized, hold).await;
        let error = client.update(&alice(), &patch()).await.unwrap_err();
        assert_eq!(
            (verdict(&error), error.message()),
            (
                (Kind::Malformed, Effect::Unknown),
                "the response is too large"
            )
        );
    }
}

#[tokio::test]
async fn the_largest_allowed_answer_is_read() {
    let body = format!("{ALICE}{}", " ".repeat(BODY_MAX - ALICE.len()));
    assert_eq!(
        update_answered(answer("200 OK", "", body))
            .await
            .unwrap()
            .id,
        alice()
    );
}

#[tokio::test]
async fn a_success_that_breaks_off_is_unknown_and_so_is_a_broken_refusal() {
    for (head, verdict_expected) in [
        ("200 OK", (Kind::Transient, Effect::Unknown)),
        ("400 Bad Request", (Kind::Transient, Effect::Unknown)),
        ("403 Forbidden", (Kind::Transient, Effect::Unknown)),
        ("404 Not Found", (Kind::Transient, Effect::Unknown)),
        (
            "402 Payment Required",
            (Kind::AccountSuspended, Effect::None),
        ),
        (
            "412 Precondition Failed",
            (Kind::AccountSuspended, Effect::None),
        ),
        ("401 Unauthorized", (Kind::Unauthenticated, Effect::None)),
        ("429 Too Many Requests", (Kind::Throttled, Effect::None)),
    ] {
        let torn =
            format!("HTTP/1.1 {head}\r\ncontent-length: 500\r\n\r\n{{\"code\":3,").into_bytes();
        let error = update_answered(torn).await.unwrap_err();
        assert_eq!(
            (verdict(&error), error.message()),
            (verdict_expected, "the response ended early"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_leaves_the_effect_unknown() {
    for silent in [
        Vec::new(),
        b"HTTP/1.1 2".to_vec(),
        b"garbage\r\n\r\n".to_vec(),
    ] {
        let error = update_answered(silent).await.unwrap_err();
        assert_eq!(
            verdict(&error),
            (Kind::Transient, Effect::Unknown),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .starts_with("update user alice: the connection broke: "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_at_the_deadline() {
    let stuck = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{".to_vec();
    for (silent, words) in [
        (Vec::new(), "no response in time"),
        (stuck, "the response did not end in time"),
    ] {
        let (mut client, _server) = serving(silent, true).await;
        client.call_timeout = Duration::from_millis(300);
        let error = client.update(&alice(), &patch()).await.unwrap_err();
        assert_eq!(
            (verdict(&error), error.message()),
            ((Kind::Transient, Effect::Unknown), words)
        );
    }
}

#[tokio::test]
async fn a_drip_of_bytes_does_not_put_off_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = client(&format!("http://{}", listener.local_addr().unwrap()));
    client.call_timeout = Duration::from_millis(300);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n")
            .await
            .unwrap();
        let mut drip = tokio::time::interval(Duration::from_millis(10));
        // Ends when the client hangs up.
        while stream.write_all(b" ").await.is_ok() {
            drip.tick().await;
        }
    });
    let call = tokio::time::timeout(Duration::from_secs(10), async {
        client.get(&alice()).await
    });
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.message(), "the response did not end in time");
    drop(client);
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn without_a_connection_nothing_can_have_changed() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = client(&format!("http://{closed}"))
        .update(&alice(), &patch())
        .await
        .unwrap_err();
    assert_eq!(verdict(&error), (Kind::Transient, Effect::None));
    assert!(error.message().starts_with("cannot connect: "), "{error}");
    assert!(error.message().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_call_whose_connection_is_made_during_a_pause_does_not_leave() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = connect(settings(&base), Gate::new(|| false)).unwrap();
    let error = client.update(&alice(), &patch()).await.unwrap_err();
    assert!(error.is_unsent(), "{error}");
    assert_eq!(
        (*error.kind(), error.effect()),
        (Kind::Transient, Effect::None)
    );
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"", "not a byte of it");
}

#[tokio::test]
async fn update_without_permission_leaves_no_byte_on_a_new_or_a_used_connection() {
    let refused = || Permission {
        within: Duration::MAX,
        gate: Gate::new(|| false),
    };
    for is_used in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&format!("http://{}", listener.local_addr().unwrap()));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            if is_used {
                request(&mut stream).await;
                let answer = answer("200 OK", "", ALICE);
                stream.write_all(&answer).await.unwrap();
            }
            let mut seen = Vec::new();
            stream.read_to_end(&mut seen).await.unwrap();
            seen
        });
        if is_used {
            client.update(&alice(), &patch()).await.unwrap();
        }
        let sent = client.update_within(&alice(), &patch(), refused()).await;
        let error = sent.unwrap_err();
        assert!(error.is_unsent(), "{error}");
        assert_eq!(verdict(&error), (Kind::Transient, Effect::None));
        drop(client);
        assert_eq!(server.await.unwrap(), b"", "not a byte of it");
    }
}

#[tokio::test]
async fn update_ends_within_the_time_of_its_permission() {
    let (client, _server) = serving(Vec::new(), true).await;
    let permission = Permission {
        within: Duration::from_millis(50),
        gate: Gate::new(|| true),
    };
    let error = client
        .update_within(&alice(), &patch(), permission)
        .await
        .unwrap_err();
    assert_eq!(verdict(&error), (Kind::Transient, Effect::Unknown));
    assert_eq!(error.message(), "no response in time");
}

#[tokio::test]
async fn a_429_is_known_before_its_slow_body_has_ended() {
    let slow =
        b"HTTP/1.1 429 Slow down\r\nretry-after: 30\r\ncontent-length: 500\r\n\r\n{".to_vec();
    let (client, _server) = serving(slow, true).await;
    let error = client.update(&alice(), &patch()).await.unwrap_err();
    assert_eq!(
        (verdict(&error), error.message()),
        (
            (Kind::Throttled, Effect::None),
            "the response did not end in time"
        ),
        "after {THROTTLED_BODY_TIMEOUT:?}, not after {CALL_TIMEOUT:?}"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
}
