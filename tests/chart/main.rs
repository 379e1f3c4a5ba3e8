//! The helm chart and what is rendered from it: both helms, the values and their schema, and what a real API server answers
//! of every document that any combination of the switches can make. `make test` builds the helms; nothing is installed
//! here, for that takes a node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod accepted;
mod admission;
mod committed;
mod helm;
mod policies;
mod restrict_admin;
mod settings;
mod switches;
mod values;
