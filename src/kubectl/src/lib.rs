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

pub mod cli;
pub mod exit;
pub mod input;
pub mod problem;
pub mod schema;
pub mod validate;
