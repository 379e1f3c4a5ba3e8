//! A proxy between the operator and the API server that breaks what a test asks for: calls are held, dropped or
//! never answered, watches freeze or end. Calls are named as in the audit log ([`Requests`]), so a test
//! speaks of what the operator asked the same way on both sides of the proxy.
//!
//! It speaks plain HTTP/1.1 to the operator on a loopback address, and TLS to the API server; who asks is decided by
//! the token that it passes on. Here is what a test holds; `call` reads requests, `faults` keeps what is broken, and
//! `server` moves the bytes.

mod call;
mod faults;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::audit::{Request, Requests};
use crate::control_plane::ControlPlane;
use crate::error::RigError;
use crate::folder::Folder;
use crate::kubeconfig;
use crate::wait::Timeout;
use faults::Faults;

/// What happens to the calls that a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeFault {
    /// They stand still until the fault is healed, and go on then: a call before it is passed on, the answer of one
    /// that has begun (such as a watch) where it is. What the API server sends meanwhile waits.
    Hold,
    /// They are passed on so much later.
    Delay(Duration),
    /// The connection is closed before the call is passed on.
    DropBefore,
    /// The connection is closed after the API server has answered, without the answer.
    DropAfter,
    /// They are never answered, nor do answers that have begun go on, also after the fault is healed: only new calls
    /// are then served.
    BlackHole,
    /// Answers that have begun are torn off by closing the connection. Calls are passed on.
    Cut,
    /// The API server refuses to stream a list, as an older one does: a parameter is taken away without which it cannot.
    Unstreamed,
    /// Answers that have begun end there as if they were complete, as a watch does whose time is over.
    End,
}

/// A running proxy. Dropping it closes its connections; so does the end of this process.
#[derive(Debug)]
pub struct KubeProxy {
    faults: Arc<Faults>,
    folder: Folder,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A fault that is in force until it is healed or dropped.
#[derive(Debug)]
#[must_use = "a fault that is dropped is healed"]
pub struct Broken {
    id: u64,
    faults: Arc<Faults>,
}

impl KubeProxy {
    /// Starts one before the API server of `plane`; when it returns, calls are accepted.
    ///
    /// # Errors
    /// If `plane` was started without `deploy/`, or no address can be listened on.
    pub fn start(plane: &ControlPlane) -> Result<Self, RigError> {
        let upstream = server::Upstream::new(&plane.url(), &plane.authority())?;
        let failed = || RigError::io("listen for the operator's calls to the API server");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
        listener.set_nonblocking(true).map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let folder = Folder::new("rig-proxy-")?;
        redirect(
            plane.operator_kubeconfig()?,
            &folder.join("kubeconfig"),
            address,
        )?;
        let faults = Arc::new(Faults::default());
        let (stop, stopped) = oneshot::channel();
        let (report, started) = mpsc::channel();
        let shared = Arc::clone(&faults);
        let thread = std::thread::Builder::new()
            .name("kube-proxy".into())
            .spawn(move || server::run(listener, upstream, &shared, stopped, &report))
            .map_err(failed())?;
        started
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the proxy's thread ended at once")))
            .map_err(failed())?;
        Ok(Self {
            faults,
            folder,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The operator's kubeconfig, with this proxy as the server.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Breaks these calls from now on, until the fault is healed. Answers that have begun are broken too where
    /// [`KubeFault`] asks for it. Of several faults for a call the oldest counts.
    pub fn fault(&self, calls: Requests, what: KubeFault) -> Broken {
        self.broken(calls, what, usize::MAX)
    }

    /// Breaks the next such call alone.
    pub fn fault_once(&self, calls: Requests, what: KubeFault) -> Broken {
        self.broken(calls, what, 1)
    }

    fn broken(&self, calls: Requests, what: KubeFault, times: usize) -> Broken {
        Broken {
            id: self.faults.add(calls, what, times),
            faults: Arc::clone(&self.faults),
        }
    }

    /// The calls that have arrived here, in that order, with `code` 0 and no body.
    #[must_use]
    pub fn calls(&self) -> Vec<Request> {
        self.faults.calls()
    }

    /// How many of these calls have arrived here.
    #[must_use]
    pub fn seen(&self, these: &Requests) -> usize {
        self.faults.seen(these)
    }

    /// Waits until that number of these calls have arrived here.
    ///
    /// # Errors
    /// [`Timeout`] after `deadline`.
    pub async fn until_seen(
        &self,
        deadline: Duration,
        these: &Requests,
        count: usize,
    ) -> Result<(), Timeout> {
        let what = format!("{count} calls at the proxy");
        self.faults
            .until(deadline, &what, |faults| (faults.seen(these), count))
            .await
    }
}

impl Broken {
    /// How many calls and answers it has met so far; an answer that it holds counts as soon as it is held.
    #[must_use]
    pub fn met(&self) -> usize {
        self.faults.met(self.id)
    }

    /// Waits until it has met that number.
    ///
    /// # Errors
    /// [`Timeout`] after `deadline`.
    pub async fn until_met(&self, deadline: Duration, count: usize) -> Result<(), Timeout> {
        let what = format!("{count} calls to meet the fault");
        self.faults
            .until(deadline, &what, |faults| (faults.met(self.id), count))
            .await
    }

    /// Ends it; what it holds goes on.
    pub fn heal(self) {
        drop(self);
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.faults.remove(self.id);
    }
}

impl Drop for KubeProxy {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; it cannot be handed on here.
            let _ = thread.join();
        }
    }
}

/// The kubeconfig `from` with another server, written to `to`.
fn redirect(from: &Path, to: &Path, server: SocketAddr) -> Result<(), RigError> {
    let text = std::fs::read(from).map_err(RigError::io("read the operator's kubeconfig"))?;
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    let token = config["users"][0]["user"]["token"].as_str();
    let token = token.ok_or(RigError::NotThere("no token in the operator's kubeconfig"))?;
    let namespace = config["contexts"][0]["context"]["namespace"].as_str();
    let namespace = namespace.unwrap_or("default");
    kubeconfig::write(to, &format!("http://{server}"), None, token, namespace)
}
