//! Plumbing that knows no Kubernetes kind and no remote service: watches, the clock, logs, liveness and the administrative
//! HTTP server. Nothing here may name a `FireworksUser`, the gateway or a reconcile step; callers pass plain values in and
//! get plain values back.

pub mod admin;
pub mod bulk;
pub mod clock;
pub mod hooks;
pub mod lease;
pub mod log_writer;
pub mod progress;
pub mod pulse;
pub mod tasks;
pub mod telemetry;
pub mod versions;
pub mod watch;
