//! The operator as its users meet it: a process under the shipped RBAC with a real token, a real API
//! server, and the gateway simulator over HTTP. One control plane serves the whole binary; each test has
//! a namespace, a simulator and an operator of its own. A module a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::doc_markdown,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod absence;
mod account_suspended;
mod admin_server;
mod admins;
mod api_server;
mod audit;
mod broken_answers;
mod churn;
mod claims;
mod clock;
mod cost;
mod counts;
mod crash_points;
mod crashes;
mod credentials;
mod deletions;
mod drift;
mod faults;
mod from_cluster;
mod gateway_legs;
mod golden;
mod grants;
mod guards;
mod held;
mod helm;
mod hostile_metadata;
mod identity;
mod imported;
mod key_rotation;
mod kills;
mod kube_access;
mod kube_faults;
mod kube_legs;
mod kube_storms;
mod kubectl;
mod leader_election;
mod lifecycle;
mod log_pipe;
mod main_job;
mod manifests;
mod metrics_page;
mod namespaces;
mod observe;
mod oracles;
mod other_namespace;
mod paging;
mod planned;
mod possession;
mod process;
mod recorded_requests;
mod refusals;
mod restores;
mod rights;
mod secrecy;
mod sieve;
mod stage;
mod stops;
mod tenants;
mod throttling;
mod unreadable_rows;
mod upgrade;
mod virtual_time;
mod wall_clock;
mod witness;
