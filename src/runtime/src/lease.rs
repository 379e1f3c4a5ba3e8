//! LEADER ELECTION: of several processes one holds a Lease (`coordination.k8s.io/v1`) and may make changes. After client-go's
//! `leaderelection`, with these differences: the deadline is read from a clock that runs on while the machine sleeps, it is
//! asked before each change, and a process that has lost the Lease, or is not certain, ends.
//!
//! Knows no kind: what a leader does is the caller's.

mod elect;
mod leadership;
mod next;
mod object;
mod status;
mod thread;

pub use elect::Election;
pub use leadership::Leadership;
pub use next::{Durations, Next, Observed, Record, next_lease};
pub use status::Status;
pub use thread::{Handle, Phase, start};
