//! Simulator of the Fireworks gateway's users API: what a test, the demo or a curious person talks to instead of
//! the real account. It answers like the gateway, journals every request and misbehaves on demand.
//!
//! The map: `account` (the users and their rules, pure), [`listing`] (pages, filters, order, pure), [`wire`] (JSON in
//! and out, pure), [`faults`] (which fault hits which call, pure), [`journal`] (what was asked and answered),
//! [`past`] (what the users truly were), `latency` (how long a request waits, pure), `gateway` (one request against the account), `server` (HTTP, and carrying
//! faults out), `spoil` (right answers made wrong, pure), [`delivery`] (how bytes travel), `contract` (what an
//! exchange must look like), [`model`] (the account without a server), `control` (the `/_…` pages),
//! `connection` (TCP with a reset on demand), [`simulator`] (the handle a test holds).
//!
//! ```no_run
//! use fireworks_gateway_simulator::{Settings, Simulator, User};
//!
//! # fn main() -> std::io::Result<()> {
//! let gateway = Simulator::start(Settings::default())?;
//! gateway.put_user(User::new("alice", "user"));
//! println!("{} knows alice", gateway.base_url());
//! # Ok(())
//! # }
//! ```

mod account;
pub mod answer;
mod clock;
mod connection;
mod contract;
mod control;
pub mod delivery;
pub mod faults;
mod gateway;
pub mod journal;
mod latency;
pub mod listing;
pub mod model;
pub mod past;
mod quota;
mod seed;
mod server;
pub mod settings;
mod shared;
pub mod simulator;
mod spoil;
pub mod user;
pub mod wire;

pub use faults::{Armed, Chaos, Fault, Kind, RawBody, Rewrite};
pub use journal::{Change, Entry, Outcome, Side, Verb, Violation, Wait};
pub use model::Model;
pub use past::Moment;
pub use settings::{ErrorShape, Settings, Switches, UnsetStyle};
pub use simulator::Simulator;
pub use user::{RemoteStatus, User};
