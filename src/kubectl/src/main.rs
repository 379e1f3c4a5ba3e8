//! The program `kubectl-fireworks`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_fireworks::cli::main(std::env::args_os()).into()
}
