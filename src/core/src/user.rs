//! One `FireworksUser` object: what its spec asks for, how the remote user differs, what is to be done about it, and what its
//! status reports.

mod contenders;
pub mod desired;
pub mod drift;
pub mod events;
pub mod facts;
pub(crate) mod forced_reads;
pub mod guards;
pub mod hour;
pub mod identity;
pub mod messages;
pub mod object;
pub mod pending_reports;
pub mod plan;
pub mod reconcile;
pub mod state;
pub mod status;
pub mod status_patch;
