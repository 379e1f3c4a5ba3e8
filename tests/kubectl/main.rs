//! The commands for people, as processes: what they print, where, and how they exit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod api_server;
mod ci;
mod command;
mod commands;
mod docs;
mod endings;
mod explain;
mod from_cluster;
mod generated;
mod github;
mod golden;
mod import;
mod nasty;
mod no_cluster;
mod packages;
mod pages;
mod plan;
mod terminal;
mod truth;
mod validate;
