//! The golden table: what an answer of the gateway is taken for, and what follows from it. The tables are written from
//! what the operator promises, cell by cell, and the program is held against them; no cell may be copied from what the
//! program prints.
//!
//! `tables` holds them; `classes` holds the client to them, over HTTP; `consequences` the directory, the plan and the
//! status.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod calls;
mod classes;
mod consequences;
mod tables;
