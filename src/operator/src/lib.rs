//! The operator that keeps a Fireworks AI account's users as declared.
//!
//! The **controller** watches `FireworksUser` objects. For each we **observe** the remote user,
//! **plan** the difference, **act** on it, and **report** what is true. What is decided about a user is decided in
//! `fireworks_core`.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`cli`] | the command line and the environment |
//! | [`api_object`] | an object as the API server sends it |
//! | [`account`] | carries out the requests of the account |
//! | [`context`] | what reconciliations share |
//! | [`controller`] | the watch, the queue, shutdown |
//! | [`reconcile`] | carries out the effects of one reconciliation |
//! | [`audit`] | a record before and after each change of a user |
//! | [`clock`] | the clock in the terms of decisions |
//! | `election` | which of several processes makes changes |
//! | [`events`] | Events on their way to the API server |
//! | [`metrics`] | what the process counts |
//! | [`rights`] | which requests the API server refuses the operator |
//! | [`run`] | wiring: settings in, the running whole out |
//! | [`shared`] | what decisions read and change, behind its lock |
//! | [`scopes`] | which watched namespaces are synced |
//! | [`start`] | the start of the program, to its exit code |

pub mod account;
pub mod api_object;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod context;
pub mod controller;
mod election;
pub mod events;
mod kubernetes;
pub mod metrics;
pub mod reconcile;
pub mod rights;
pub mod run;
pub mod scopes;
pub mod shared;
pub mod start;
