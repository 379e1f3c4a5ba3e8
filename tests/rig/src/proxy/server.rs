//! Moves the bytes: accepts the operator's calls, passes them on, and brings the answers back piece by piece, asking at
//! each step what is broken.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::stream::{self, Stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, HOST, TRANSFER_ENCODING, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as Call, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::KubeFault;
use super::call;
use super::faults::{Faults, Stage};
use crate::audit::Request;
use crate::error::RigError;
use crate::rest;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How to reach the API server.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    url: String,
    client: reqwest::Client,
}

impl Upstream {
    /// `authority` is the file of certificates to trust.
    pub(super) fn new(url: &str, authority: &Path) -> Result<Self, RigError> {
        Ok(Self {
            url: url.to_owned(),
            client: rest::client(authority)?,
        })
    }

    async fn pass(&self, call: Call<Bytes>) -> Result<Response<reqwest::Body>, reqwest::Error> {
        let (mut head, body) = call.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        for header in [HOST, CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(header);
        }
        let passed = self
            .client
            .request(head.method, format!("{}{path}", self.url))
            .headers(head.headers)
            .body(body);
        passed.send().await.map(Into::into)
    }
}

/// Serves until `stopped` resolves. `report` learns how the start went.
pub(super) fn run(
    listener: std::net::TcpListener,
    upstream: Upstream,
    faults: &Arc<Faults>,
    stopped: oneshot::Receiver<()>,
    report: &mpsc::Sender<io::Result<()>>,
) {
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            let _entered = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok((runtime, listener))
        });
    let (runtime, listener) = match started {
        Ok(started) => started,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    let _ = report.send(Ok(()));
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, upstream, faults) => {}
            _ = stopped => {}
        }
    });
    // Dropping the runtime drops the connections.
}

async fn accept(listener: tokio::net::TcpListener, upstream: Upstream, faults: &Arc<Faults>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors: trying again at once would spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (upstream, faults) = (upstream.clone(), Arc::clone(faults));
        tokio::spawn(async move {
            let service = service_fn(|call| answer(call, upstream.clone(), Arc::clone(&faults)));
            // An error is what was asked for, or a client that went away.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// One call and the beginning of its answer. An error closes the connection.
async fn answer(
    call: Call<Incoming>,
    upstream: Upstream,
    faults: Arc<Faults>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Cause>>, Cause> {
    let asked = reported(&call);
    faults.arrived(&asked);
    let (head, body) = call.into_parts();
    let mut call = Call::from_parts(head, body.collect().await?.to_bytes());
    let mut reply_is_lost = false;
    match faults.meet(&asked, Stage::Call) {
        None | Some((_, KubeFault::Cut | KubeFault::End)) => {}
        Some((id, KubeFault::Hold)) => faults.healed(id).await,
        Some((_, KubeFault::Delay(wait))) => tokio::time::sleep(wait).await,
        Some((_, KubeFault::DropBefore)) => return Err("dropped before".into()),
        Some((_, KubeFault::DropAfter)) => reply_is_lost = true,
        Some((_, KubeFault::Unstreamed)) => {
            let uri = call.uri().to_string();
            *call.uri_mut() = uri
                .replace("&resourceVersionMatch=NotOlderThan", "")
                .parse()?;
        }
        Some((_, KubeFault::BlackHole)) => match std::future::pending::<Infallible>().await {},
    }
    let (mut head, body) = upstream.pass(call).await?.into_parts();
    if reply_is_lost {
        return Err("dropped after".into());
    }
    // The connection to the API server is another one than the operator's.
    for header in [CONNECTION, TRANSFER_ENCODING] {
        head.headers.remove(header);
    }
    let pieces = Box::pin(pieces(body, asked, faults));
    Ok(Response::from_parts(head, StreamBody::new(pieces)))
}

fn reported(call: &Call<Incoming>) -> Request {
    let agent = call.headers().get(USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    call::read(
        call.method().as_str(),
        call.uri().path(),
        call.uri().query().unwrap_or_default(),
        agent.unwrap_or_default(),
    )
}

/// The answer's pieces, each handed on only when nothing is broken.
fn pieces(
    body: reqwest::Body,
    asked: Request,
    faults: Arc<Faults>,
) -> impl Stream<Item = Result<Frame<Bytes>, Cause>> + Send {
    let state = Some((body, asked, faults));
    stream::unfold(state, |state| async {
        let (mut body, asked, faults) = state?;
        let mut moves = faults.moves();
        let mut piece = None;
        loop {
            moves.mark_unchanged();
            match faults.meet(&asked, Stage::Answer) {
                None => {}
                Some((id, KubeFault::Hold)) => {
                    faults.healed(id).await;
                    continue;
                }
                Some((_, KubeFault::BlackHole)) => std::future::pending().await,
                Some((_, KubeFault::End)) => return None,
                Some(_) => return Some((Err("cut".into()), None)),
            }
            if let Some(piece) = piece.take() {
                return Some((piece, Some((body, asked, faults))));
            }
            tokio::select! {
                read = body.frame() => piece = Some(read?.map_err(Cause::from)),
                _ = moves.changed() => {}
            }
        }
    })
}
