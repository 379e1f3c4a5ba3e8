//! Connections over real sockets: which is closed when there are too many, and how long one may take.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;

const LONG: Duration = Duration::from_mins(1);

/// A server that answers `/livez`.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/livez", get(|| async { "ok\n" }));
    tokio::spawn(async move { serve(&listener, router).await });
    address
}

/// A connection from 127.0.0.`peer`, once the server has accepted it and every one before it.
async fn connect(server: SocketAddr, peer: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, peer), 0));
    socket.bind(from).unwrap();
    socket.connect(server).await.unwrap()
}

/// Sends a request and reads its answer; the connection stays open.
async fn request(stream: &mut TcpStream) -> String {
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: admin\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    while !answer.ends_with("ok\n") {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    answer
}

/// Whether the server has closed the connection: waits for it, at most for `within`.
async fn is_closed_within(stream: &mut TcpStream, within: Duration) -> bool {
    let mut buffer = [0; 1024];
    match tokio::time::timeout(within, stream.read(&mut buffer)).await {
        Ok(read) => read.unwrap_or(0) == 0,
        Err(_) => false,
    }
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    is_closed_within(stream, LONG).await
}

/// A silent connection that is still open once the server has done all that was asked of it.
async fn is_open(stream: &mut TcpStream, server: SocketAddr) -> bool {
    request(&mut connect(server, 200).await).await;
    !is_closed_within(stream, Duration::from_millis(1)).await
}

#[tokio::test]
async fn ninth_connection_closes_oldest_without_head() {
    let server = server().await;
    let mut idle = connect(server, 2).await;
    request(&mut idle).await;
    let mut silent = Vec::new();
    for _ in 1..PER_PEER {
        silent.push(connect(server, 2).await);
    }
    let mut other_peer = connect(server, 3).await;
    let mut ninth = connect(server, 2).await;
    request(&mut ninth).await;
    assert!(is_closed(&mut silent[0]).await);
    for kept in silent.iter_mut().skip(1).chain([&mut other_peer]) {
        assert!(is_open(kept, server).await);
    }
    request(&mut idle).await;
}

#[tokio::test]
async fn ninth_connection_closes_oldest_idle_where_all_have_heads() {
    let server = server().await;
    let mut idle = Vec::new();
    for _ in 0..PER_PEER {
        let mut stream = connect(server, 2).await;
        request(&mut stream).await;
        idle.push(stream);
    }
    request(&mut connect(server, 2).await).await;
    assert!(is_closed(&mut idle[0]).await);
    request(&mut idle[1]).await;
}

#[tokio::test]
async fn connection_beyond_total_closes_oldest_of_all_peers() {
    let server = server().await;
    let mut open = Vec::new();
    for number in 0..TOTAL {
        let peer = 2 + u8::try_from(number / PER_PEER).unwrap();
        open.push(connect(server, peer).await);
    }
    request(&mut connect(server, 100).await).await;
    assert!(is_closed(&mut open[0]).await);
    assert!(!is_closed_within(&mut open[1], Duration::from_millis(1)).await);
}

#[tokio::test]
async fn probes_answer_under_a_flood_of_new_connections() {
    let server = server().await;
    let flood = async {
        let mut held = VecDeque::new();
        loop {
            let mut stream = connect(server, 2).await;
            stream.write_all(b"GET /livez").await.unwrap();
            held.push_back(stream);
            if held.len() > 2 * TOTAL {
                held.pop_front();
            }
        }
    };
    let probes = async {
        for _ in 0..50 {
            let probe = async { request(&mut connect(server, 3).await).await };
            let answer = tokio::time::timeout(Duration::from_secs(1), probe).await;
            assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
        }
    };
    tokio::select! {
        () = flood => {}
        () = probes => {}
    }
}

#[tokio::test(start_paused = true)]
async fn request_head_must_end_within_five_seconds() {
    let server = server().await;
    for sends_first in [false, true] {
        let mut stream = connect(server, 2).await;
        if sends_first {
            request(&mut stream).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let began = clock::now();
        // A byte a second keeps no connection open.
        for byte in b"GET /livez HTTP/1.1" {
            if stream.write_all(&[*byte]).await.is_err()
                || is_closed_within(&mut stream, Duration::from_secs(1)).await
            {
                break;
            }
        }
        let took = clock::now() - began;
        assert!(took >= HEAD_WITHIN, "{took:?}");
        assert!(took <= HEAD_WITHIN + Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connection_ends_with_its_life() {
    let server = server().await;
    let mut stream = connect(server, 2).await;
    request(&mut stream).await;
    let began = clock::now();
    assert!(is_closed_within(&mut stream, LIFE * 2).await);
    let took = clock::now() - began;
    assert!(took > HEAD_WITHIN * 2 && took <= LIFE, "{took:?}");
}

#[tokio::test]
async fn head_beyond_eight_kib_is_refused() {
    let server = server().await;
    for (size, expected) in [
        (HEAD_MAX / 2, "HTTP/1.1 200"),
        (HEAD_MAX * 2, "HTTP/1.1 431"),
    ] {
        let mut stream = connect(server, 2).await;
        let head = format!(
            "GET /livez HTTP/1.1\r\nconnection: close\r\nx: {}\r\n\r\n",
            "x".repeat(size)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), expected);
    }
}
