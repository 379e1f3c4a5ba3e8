//! Each leg of the way to the gateway becomes unresponsive once: the connection is not answered, or it is taken and nothing is read,
//! the answer does not begin, or it does not end. A call has 15 seconds, 5 of them to connect; five more, by the
//! operator's own clock, and all is well.

use std::net::SocketAddr;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Fault, Kind, Verb};
use rig::until;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::stage::{LONG, Stage, Start};
use crate::witness::Running;

/// The fifteen seconds that a call to the gateway is given, and five.
const RECOVERED: u64 = 20;
/// The five seconds that a connection is given, and five.
const CONNECTED: u64 = 10;

/// A way to the gateway where a client that connects is not answered, before it is opened.
struct Door {
    listener: TcpListener,
    // As many as the system keeps waiting for a listener: others are not even refused.
    waiting: Vec<TcpStream>,
}

impl Door {
    async fn shut() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(taken) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
            waiting.push(taken.unwrap());
        }
        Self { listener, waiting }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Waits until a client has connected.
    async fn until_asked(&self) {
        let port = format!(":{:04X}", self.listener.local_addr().unwrap().port());
        until(LONG, "a connection that is not answered", async || {
            let table =
                std::fs::read_to_string("/proc/net/tcp").map_err(|error| error.to_string())?;
            // Number, own address, the other's address, and 02: asked, and not answered.
            let asks = |line: &str| {
                let fields: Vec<_> = line.split_whitespace().collect();
                matches!(fields[..], [_, _, other, "02", ..] if other.ends_with(&port))
            };
            table
                .lines()
                .any(asks)
                .then_some(())
                .ok_or_else(|| "none".to_owned())
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
    }

    /// From now on all clients are let through to the gateway.
    fn open(self, gateway: SocketAddr) {
        drop(self.waiting);
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = self.listener.accept().await {
                tokio::spawn(async move {
                    let mut gateway = TcpStream::connect(gateway).await?;
                    tokio::io::copy_bidirectional(&mut caller, &mut gateway).await
                });
            }
        });
    }
}

/// An operator in sync whose sweeps are far apart, so that one call hangs and no other.
async fn in_sync(prefix: &str) -> (Stage, Clock, Running) {
    let stage = Stage::set(prefix).await;
    stage.user("alice", "user");
    let clock = Clock::new();
    let start = Start {
        sweep: "10m",
        ..Start::default()
    };
    let operator = stage.operator_with(clock.start(start)).await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;
    (stage, clock, operator)
}

async fn until_hit(stage: &Stage) {
    let hit = |calls: &[Entry]| calls.iter().any(|call| call.fault.is_some());
    stage.until_journal("a call that hangs", hit).await;
}

/// One change meets it, and no other does.
async fn a_change_recovers(prefix: &str, kind: Kind) {
    let (stage, mut clock, operator) = in_sync(prefix).await;
    // Only the first change of a process is preceded by a read of its user.
    stage.apply("alice", "{role: inference-user}").await;
    stage.until_ready("alice").await;
    stage.gateway.add_fault(Fault::new(kind).on(Verb::Patch));
    stage.apply("alice", "{role: contributor}").await;
    until_hit(&stage).await;
    clock.leave(RECOVERED);
    let alice = stage.until_ready("alice").await;
    assert_eq!(alice["status"]["role"], "contributor");
    assert!(stage.patches("alice").len() <= 3);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_change_that_is_not_answered_is_made_within_five_seconds_of_its_deadline() {
    a_change_recovers("mute", Kind::Hang { applied: false }).await;
}

#[tokio::test]
async fn a_change_whose_answer_does_not_end_is_ready_within_five_seconds_of_its_deadline() {
    a_change_recovers("broken-off", Kind::HangInBody).await;
}

/// The first list meets it, which all objects wait for.
async fn a_list_recovers(prefix: &str, kind: Kind) {
    let stage = Stage::set(prefix).await;
    stage.user("alice", "user");
    stage.gateway.add_fault(Fault::new(kind).on(Verb::List));
    let mut clock = Clock::new();
    let start = clock.start(Start::default());
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    until_hit(&stage).await;
    clock.leave(RECOVERED);
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_list_that_is_not_answered_is_asked_again_within_five_seconds_of_its_deadline() {
    a_list_recovers("mute-list", Kind::Hang { applied: false }).await;
}

#[tokio::test]
async fn a_list_that_does_not_end_is_asked_again_within_five_seconds_of_its_deadline() {
    a_list_recovers("broken-list", Kind::HangInBody).await;
}

#[tokio::test]
async fn a_connection_that_is_accepted_and_never_read_is_replaced() {
    let stage = Stage::set("deaf").await;
    stage.user("alice", "user");
    let deaf = stage.gateway.add_fault(Fault::new(Kind::Deaf).always());
    let mut clock = Clock::new();
    let start = clock.start(Start::default());
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    // A connection is met before a call is read: what hangs on it is under way by now.
    until(LONG, "a connection", async || {
        let faults = stage.gateway.faults();
        match faults.iter().map(|fault| fault.hits).sum::<u64>() {
            0 => Err("none"),
            _ => Ok(()),
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    clock.sleep(16).await;
    stage.until_reason("alice", "RemoteUnavailable").await;
    stage.gateway.remove_fault(deaf);
    clock.leave(RECOVERED);
    stage.until_ready("alice").await;
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn an_unanswered_connection_is_replaced_within_five_seconds_of_its_deadline() {
    let stage = Stage::set("no-answer").await;
    stage.user("alice", "user");
    let door = Door::shut().await;
    let mut clock = Clock::new();
    let start = clock.start(Start {
        args: vec![format!("--base-url={}", door.url())],
        ..Start::default()
    });
    let operator = stage.operator_with(start).await;
    stage.apply("alice", "{role: contributor}").await;
    door.until_asked().await;
    clock.sleep(6).await;
    stage.until_reason("alice", "RemoteUnavailable").await;
    let gateway = stage.gateway.base_url();
    door.open(gateway.trim_start_matches("http://").parse().unwrap());
    clock.leave(CONNECTED);
    stage.until_ready("alice").await;
    assert_eq!(stage.patches("alice").len(), 1);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}
