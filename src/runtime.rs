//! Plumbing that knows no Kubernetes kind and no remote service: the clock, back-off, logs, metrics, liveness and the
//! administrative HTTP server. Nothing here may name a `FireworksUser`, the gateway or a reconcile step; whoever uses
//! it passes plain values in and gets plain values back.

pub mod admin;
pub mod backoff;
pub mod bulk;
pub mod causes;
pub mod clock;
pub mod effects;
pub mod log_writer;
pub mod metrics;
pub mod progress;
pub mod pulse;
pub mod tasks;
pub mod telemetry;
pub mod versions;
