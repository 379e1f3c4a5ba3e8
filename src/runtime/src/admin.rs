//! The administrative HTTP server: probes and metrics, nothing else, no authentication, nothing secret. What ready and
//! live mean is the caller's: two functions passed in. Provides a listener and a future that serves it.

mod connections;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// The media type of what `/metrics` answers.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a probe in one line: `Ok` if it passes, `Err` with the reason if it does not. Must not block.
pub type Check = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the server shows.
#[derive(Clone)]
pub struct Admin {
    /// Behind `/readyz`.
    pub ready: Check,
    /// Behind `/livez` and its older name `/healthz`.
    pub live: Check,
    /// Returns the metrics in the OpenMetrics text format, behind `/metrics`.
    pub scrape: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Binds the listener, where `[::]` stands for every address of either family.
///
/// # Errors
/// The system's error, with the address that could not be bound in its message.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let every = address.ip() == Ipv6Addr::UNSPECIFIED;
    let without_ipv6 = every.then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into());
    bind_either(address, without_ipv6)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("listen on {address}: {error}")))
}

/// Binds `address`, or `other` where this machine has no such address.
async fn bind_either(address: SocketAddr, other: Option<SocketAddr>) -> io::Result<TcpListener> {
    use io::ErrorKind::{AddrInUse, PermissionDenied};
    let bound = TcpListener::bind(address).await;
    match (bound, other) {
        (Err(error), Some(other)) if !matches!(error.kind(), AddrInUse | PermissionDenied) => {
            TcpListener::bind(other).await
        }
        (bound, _) => bound,
    }
}

/// Serves for as long as it is polled. Dropped, it closes its connections.
pub async fn serve(listener: &TcpListener, admin: Admin) {
    connections::serve(listener, router(admin)).await;
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn live(State(admin): State<Admin>) -> impl IntoResponse {
    answer((admin.live)())
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    answer((admin.ready)())
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], (admin.scrape)())
}

fn answer(outcome: Result<String, String>) -> (StatusCode, String) {
    let (code, line) = match outcome {
        Ok(line) => (StatusCode::OK, line),
        Err(line) => (StatusCode::SERVICE_UNAVAILABLE, line),
    };
    (code, format!("{}\n", line.replace('\n', " ")))
}

#[cfg(test)]
mod tests;
