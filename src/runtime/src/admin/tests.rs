//! The administrative server over real sockets: its answers, and an address in use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

struct Server {
    address: SocketAddr,
    healthy: Arc<AtomicBool>,
}

async fn start() -> Server {
    let healthy = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&healthy);
    let admin = Admin {
        ready: Arc::new(|| Err("the cache\nis not synced".to_owned())),
        live: Arc::new(move || {
            flag.load(Ordering::Relaxed)
                .then(|| "ok".to_owned())
                .ok_or_else(|| "stuck".to_owned())
        }),
        scrape: Arc::new(|| {
            "fireworks_user_operator_build_info{version=\"1.2.3\"} 1\n# EOF\n".to_owned()
        }),
    };
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(&listener, admin).await });
    Server { address, healthy }
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn probes_answer_ok_or_the_cause() {
    let server = start().await;
    for path in ["/livez", "/healthz"] {
        let answer = ask(server.address, path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nok\n"),
            "{answer}"
        );
    }
    let answer = ask(server.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nthe cache is not synced\n"),
        "{answer}"
    );
    server.healthy.store(false, Ordering::Relaxed);
    let answer = ask(server.address, "/livez").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.ends_with("stuck\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics_and_nothing_else_exists() {
    let server = start().await;
    let answer = ask(server.address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(OPENMETRICS) && answer.ends_with("# EOF\n"),
        "{answer}"
    );
    assert!(ask(server.address, "/").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn listener_serves_both_address_families() {
    let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
}

#[tokio::test]
async fn listener_falls_back_where_an_address_is_missing() {
    let [missing, present] = ["[2001:db8::1]:0", "127.0.0.1:0"].map(|one| one.parse().unwrap());
    let listener = bind_either(missing, Some(present)).await.unwrap();
    assert_eq!(listener.local_addr().unwrap().ip(), present.ip());
    // One in use is not passed over.
    let taken = listener.local_addr().unwrap();
    let error = bind_either(taken, Some(present)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    bind_either(missing, None).await.unwrap_err();
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = start().await;
    let error = bind(server.address).await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()), "{error}");
}
