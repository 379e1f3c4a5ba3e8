//! The operator's program with the flags that tests need.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fireworks_user_operator::run::Options;
use fireworks_user_operator::start;
use operator_runtime::lease::Durations;
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
            lease: durations(flags.lease.as_deref()),
        }
    })
}

/// Returns the durations of the Lease, in milliseconds with commas between them; otherwise those of the operator.
fn durations(text: Option<&str>) -> Durations {
    let parts: Vec<_> = text.into_iter().flat_map(|text| text.split(',')).collect();
    let millis = |text: &str| text.parse().map(Duration::from_millis);
    match parts
        .iter()
        .map(|text| millis(text))
        .collect::<Result<Vec<_>, _>>()
        .as_deref()
    {
        Ok(&[lease, renew, retry]) => Durations {
            lease,
            renew,
            retry,
        },
        _ => Durations::PRODUCTION,
    }
}
