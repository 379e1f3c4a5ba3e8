//! The administration port under clients that open many connections and send nothing or little.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::Stage;

/// Connections that are opened.
const OPENED: usize = 1_000;
/// Of which the newest are kept by their client: more than the server accepts, fewer than the test has files for.
const KEPT: usize = 500;
/// The kubelet's default timeout of a probe.
const PROBE_WITHIN: Duration = Duration::from_secs(1);
const GROWTH_MAX_KIB: u64 = 4 << 10;

async fn connections(address: SocketAddr, first: &[u8]) -> VecDeque<TcpStream> {
    let mut open = VecDeque::new();
    for _ in 0..OPENED {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may have closed it already.
        let _ = stream.write_all(first).await;
        open.push_back(stream);
        if open.len() > KEPT {
            open.pop_front();
        }
    }
    open
}

/// A client with 1,000 idle or slow connections makes no probe fail and costs little memory.
#[tokio::test]
async fn thousand_connections_delay_no_probe() {
    let stage = Stage::set("admin-server").await;
    stage.user("alice", "user");
    stage.apply("alice", "{role: user}").await;
    let operator = stage.operator().await;
    stage.until_ready("alice").await;
    let address = operator.address().await.unwrap();
    let before = operator.rss_kib().unwrap();
    for first in [&b""[..], b"GET /livez HTTP/1.1\r\nx: "] {
        let mut open = connections(address, first).await;
        for path in ["/livez", "/readyz", "/metrics"].repeat(5) {
            for slow in &mut open {
                let _ = slow.write_all(first.get(..1).unwrap_or_default()).await;
            }
            let probe = tokio::time::timeout(PROBE_WITHIN, operator.admin_get(path)).await;
            let (status, body) = probe.expect("an answer within a second").unwrap();
            assert_eq!(status, 200, "{path}: {body}");
        }
    }
    let growth = operator.rss_kib().unwrap().saturating_sub(before);
    assert!(growth <= GROWTH_MAX_KIB, "{growth} KiB");
}
