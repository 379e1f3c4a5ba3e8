//! Connections of the administrative server. Each is accepted at once. Where a peer or all peers together have too many,
//! the one that is least likely to be a probe's is closed: the oldest without a complete request head, else the oldest
//! idle one. So clients that open many connections and send nothing delay no probe and cost bounded memory.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Sleep;
use tower_service::Service;

use crate::clock;

/// Open connections of all peers together.
const TOTAL: usize = 64;
/// Open connections of one peer: a scraper and the probes of a kubelet need a handful.
const PER_PEER: usize = 8;
/// From a request's first byte, or from the start of the connection, to the end of the request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const HEAD_MAX: usize = 8 << 10;
/// The longest life of a connection. A scraper that keeps its connection opens a new one this often.
const LIFE: Duration = Duration::from_mins(1);
/// The pause after a failed accept: file descriptors are short, and trying again at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts and serves connections for as long as it is polled. Dropped, it closes them.
pub(super) async fn serve(listener: &TcpListener, router: Router) {
    let mut open = Open::default();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            // A connection that fails ends alone.
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, from)) = accepted else {
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                };
                let peer = from.ip().to_canonical();
                open.evict(peer);
                let phase = Phase::default();
                let task = tasks.spawn(converse(stream, phase.clone(), router.clone()));
                open.add(peer, phase, task);
                // Accepted connections are read before the next ones are accepted.
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn converse(stream: TcpStream, phase: Phase, router: Router) {
    let connection = Connection::new(stream, phase.clone());
    let service = service_fn(move |request| {
        phase.set(Activity::Serving);
        let (mut router, phase) = (router.clone(), phase.clone());
        async move {
            let answer = router.call(request).await;
            phase.set(Activity::Idle);
            answer
        }
    });
    let serving = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(connection), service);
    // An error is the client's: there is no one to report it to.
    let _ = serving.await;
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Activity {
    /// No complete head of a request has arrived.
    Head,
    /// A request is being answered.
    Serving,
    /// A request was answered, and nothing has arrived since.
    Idle,
}

/// A connection's stage, shared between what reads it and what answers.
#[derive(Clone, Debug, Default)]
struct Phase(Arc<AtomicU8>);

impl Phase {
    fn set(&self, activity: Activity) {
        self.0.store(activity as u8, Ordering::Relaxed);
    }

    fn is(&self, activity: Activity) -> bool {
        self.0.load(Ordering::Relaxed) == activity as u8
    }
}

/// The open connections, oldest first.
#[derive(Debug, Default)]
struct Open(VecDeque<OpenConnection>);

#[derive(Debug)]
struct OpenConnection {
    peer: IpAddr,
    phase: Phase,
    task: AbortHandle,
}

impl Open {
    fn add(&mut self, peer: IpAddr, phase: Phase, task: AbortHandle) {
        self.0.push_back(OpenConnection { peer, phase, task });
    }

    /// Closes one connection where a further one of that peer would be too many.
    fn evict(&mut self, peer: IpAddr) {
        self.0.retain(|entry| !entry.task.is_finished());
        let of_peer = |entry: &OpenConnection| entry.peer == peer;
        let victim = if self.0.iter().filter(|entry| of_peer(entry)).count() >= PER_PEER {
            self.victim(of_peer)
        } else if self.0.len() >= TOTAL {
            self.victim(|_| true)
        } else {
            None
        };
        if let Some(closed) = victim.and_then(|at| self.0.remove(at)) {
            closed.task.abort();
        }
    }

    fn victim(&self, is_candidate: impl Fn(&OpenConnection) -> bool) -> Option<usize> {
        let oldest = |wanted: &dyn Fn(&OpenConnection) -> bool| {
            let mut entries = self.0.iter();
            entries.position(|entry| is_candidate(entry) && wanted(entry))
        };
        oldest(&|entry| entry.phase.is(Activity::Head))
            .or_else(|| oldest(&|entry| entry.phase.is(Activity::Idle)))
            .or_else(|| oldest(&|_| true))
    }
}

/// A connection that fails once its life or the time for a request's head is over.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    phase: Phase,
    life: Pin<Box<Sleep>>,
    head: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, phase: Phase) -> Self {
        Self {
            stream,
            phase,
            life: Box::pin(tokio::time::sleep(LIFE)),
            head: Box::pin(tokio::time::sleep(HEAD_WITHIN)),
        }
    }

    /// An error once a time is over; until then the task is woken when one ends.
    fn alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_over = self.life.as_mut().poll(cx).is_ready()
            || (self.phase.is(Activity::Head) && self.head.as_mut().poll(cx).is_ready());
        if is_over {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.phase.is(Activity::Idle) {
            self.phase.set(Activity::Head);
            self.head.as_mut().reset(clock::now() + HEAD_WITHIN);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
