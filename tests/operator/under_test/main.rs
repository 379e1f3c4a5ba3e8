//! The operator's program with the flags that tests need.

use std::process::ExitCode;
use std::sync::Arc;

use fireworks_user_operator::run::Options;
use fireworks_user_operator::start;
use operator_under_test::flags::Flags;
use operator_under_test::hooks::TestHooks;
use operator_under_test::{virtual_time, wall_clock};

fn main() -> ExitCode {
    let (flags, arguments) = Flags::split(std::env::args_os());
    start::main(arguments, move |logs| {
        if flags == Flags::default() {
            return Options::default();
        }
        let hooks = TestHooks::new(&flags, logs.clone());
        if let Some(file) = flags.time {
            virtual_time::follow(file, hooks.under_way.clone());
        }
        Options {
            hooks: Arc::new(hooks),
            wall_clock: wall_clock::shifted_by(flags.wall_clock),
        }
    })
}
