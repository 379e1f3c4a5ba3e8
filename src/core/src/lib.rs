//! Every decision of the operator, as plain data and pure functions: no I/O, no async, no locks, no clocks, no logs. Time is a
//! parameter, [`time::Moment`]; what an API server or the gateway answered comes in as values of `fireworks_crd` and
//! `fireworks_api`.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`account`] | one remote account: what is known of its users, which requests may leave |
//! | [`claims`] | which object holds which remote user |
//! | [`grants`] | what flags allow objects to grant and take away |
//! | [`user`] | one `FireworksUser`: desired state, facts, guards, plan, status, reconciler |
//! | [`rules`] | the rules of the decisions, as one table |
//! | [`world`] | what all reconciliations share |
//! | [`time`], [`random`] | the monotonic time; jitter |

pub mod account;
pub mod claims;
pub mod grants;
pub mod random;
mod rebase;
pub mod rules;
pub mod time;
pub mod user;
pub mod world;

// The tests of this crate cannot depend on a crate that depends on it: its types would be others.
#[cfg(test)]
#[path = "../../../tests/builders/src/lib.rs"]
#[allow(unreachable_pub, reason = "public in the crate `builders`")]
mod builders;
#[cfg(test)]
extern crate self as fireworks_core;
