//! The operator that keeps a Fireworks AI account's users as declared.
//!
//! The **controller** watches `FireworksUser` objects. For each we **observe** the remote user,
//! **plan** the difference, **act** on it, and **report** what is true.
//!
//! | room | what belongs there |
//! |---|---|
//! | [`cli`] | the command line and the environment |
//! | [`crd`] | the custom resource: data and CEL rules |
//! | [`watched`] | an object as this process keeps it |
//! | [`claims`] | which object owns which remote user |
//! | [`fireworks`] | the remote API: client, budget, directory, reader |
//! | [`controller`] | the watch, the queue, shutdown |
//! | [`reconcile`] | one pass: observe, plan, act, report |
//! | [`audit`] | a record before and after each change of a user |
//! | [`conditions`] | reasons and conditions, pure |
//! | [`guards`] | the names of the guards and their reasons |
//! | [`events`] | Events on their way to the API server |
//! | [`rights`] | which requests the API server refuses the operator |
//! | [`rules`] | names of rules that tests break on purpose |
//! | [`scopes`] | which watched namespaces are synced |
//! | [`runtime`] | plumbing that knows no kind |

pub mod audit;
pub mod claims;
pub mod cli;
pub mod conditions;
pub mod controller;
pub mod crd;
pub mod events;
pub mod fireworks;
pub mod guards;
pub mod operator;
pub mod reconcile;
pub mod rights;
pub mod rules;
pub mod runtime;
pub mod scopes;
pub mod watched;
