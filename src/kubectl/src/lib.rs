//! Commands for people: what the operator would do with manifests, and whether they are sound. Nothing here changes
//! anything: no module can send a request that does.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`cli`] | the command line, and what it prints |
//! | [`exit`] | the exit codes |
//! | [`input`] | manifests as they were written |
//! | [`problem`] | what is wrong with them, and where |
//! | [`schema`] | the schema of the custom resource, as the API server applies it |
//! | [`validate`] | the check of manifests without a cluster |
//! | [`reader`] | the gateway, for reading alone |
//! | [`cluster`] | the objects of a cluster, for reading alone |
//! | [`snapshot`] | the users of an account at one time |
//! | [`plan`] | the operator's decisions about them, and what they lead to |
//! | [`import`] | manifests of the users that an account has |
//! | [`style`] | what a terminal shows |
//! | `clock` | the clocks |
//! | `interrupt` | Ctrl-C |
//! | `progress` | the progress of long reads |

pub mod cli;
mod clock;
pub mod cluster;
pub mod exit;
pub mod import;
pub mod input;
mod interrupt;
pub mod plan;
pub mod problem;
mod progress;
pub mod reader;
pub mod schema;
pub mod snapshot;
pub mod style;
pub mod validate;
