//! TCP as axum wants it, plus three things it does not offer: connections are counted, one can be reset (a real RST, not
//! a polite end) from inside a handler, and one can be deaf: open, and never read.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::shared::Shared;

/// The listening socket.
pub(crate) struct Door {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, shared: Arc<Shared>) -> Self {
        Self { listener, shared }
    }
}

/// What others may do to a connection.
#[derive(Debug, Default)]
pub(crate) struct Line {
    cut: AtomicBool,
    /// Number of the fault that makes it deaf; 0: none.
    deaf: AtomicU64,
    /// Who waits to read from it.
    reader: Mutex<Option<Waker>>,
}

impl Line {
    /// Number of the fault that makes it deaf.
    pub(crate) fn deaf(&self) -> Option<u64> {
        Some(self.deaf.load(Ordering::SeqCst)).filter(|fault| *fault > 0)
    }

    /// Stops reading from it, or reads again.
    pub(crate) fn set_deaf(&self, fault: Option<u64>) {
        self.deaf.store(fault.unwrap_or(0), Ordering::SeqCst);
        let reader = self.reader.lock();
        if let Some(reader) = reader.unwrap_or_else(PoisonError::into_inner).take() {
            reader.wake();
        }
    }

    /// Whether nothing may be read; the waiting task is woken when that changes.
    fn reads_nothing(&self, waker: &Waker) -> bool {
        let reader = self.reader.lock();
        *reader.unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.deaf().is_some()
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Without it an answer may wait 40 ms for the client's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let line = Arc::new(Line::default());
                    let peer = Peer {
                        id: self.shared.accept(&line),
                        line: Arc::clone(&line),
                    };
                    return (Connection { stream, line }, peer);
                }
                Err(error) => {
                    // Most likely out of file descriptors: trying again at once would spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::default())
    }
}

/// The far end of one connection, as handlers see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Number of the connection, from 1.
    pub(crate) id: u64,
    line: Arc<Line>,
}

impl Peer {
    /// Resets the connection as soon as the server next touches it, at the latest when it writes the response.
    pub(crate) fn cut(&self) {
        self.line.cut.store(true, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// One accepted connection.
pub(crate) struct Connection {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Connection {
    fn intact(&self) -> io::Result<()> {
        if self.line.cut.load(Ordering::SeqCst) {
            // Closing with a linger time of zero sends RST instead of FIN.
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.intact()?;
        if self.line.reads_nothing(context.waker()) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.intact()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.intact()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
