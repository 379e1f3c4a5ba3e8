//! The shipped program from outside: its settings and help, the definition that it prints, and what other processes may see of
//! it. Needs no API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::doc_markdown,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod definition;
mod hardening;
mod settings;
