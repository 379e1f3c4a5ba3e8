//! The simulator over HTTP, as a client on a socket sees it. No HTTP library is used: what is asserted is the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod broken;
mod client;
mod control;
mod faults;
mod program;
