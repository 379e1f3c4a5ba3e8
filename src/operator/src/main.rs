//! The operator's program.

use std::process::ExitCode;

use fireworks_user_operator::run::Options;
use fireworks_user_operator::start;

fn main() -> ExitCode {
    start::main(std::env::args_os(), |_| Options::default())
}
