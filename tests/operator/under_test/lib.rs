//! The operator as tests run it: the start of the shipped program with hooks around its requests and clocks that a test
//! moves. Without a flag of [`flags`] it is the shipped program.

// It reads the real clocks to make others of them.
#![allow(clippy::disallowed_methods)]

pub mod crash;
pub mod flags;
pub mod hooks;
pub mod under_way;
pub mod virtual_time;
pub mod wall_clock;
