//! `make cluster-test` and `make cluster`: a one-node Kubernetes in namespaces of its own, and the operator installed on
//! it. Arguments and the exit code are here. `ground` is the outside, which leaves nothing behind; everything below
//! `node` and `scenarios` runs inside.

// It measures real processes: it reads the real clock and the real environment.
#![allow(clippy::disallowed_methods)]

mod certificates;
mod failure;
mod ground;
mod image;
mod images;
mod inside;
mod node;
mod pages;
mod scenarios;
mod settings;
mod shell;
mod traces;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::inside::Task;

/// A one-node Kubernetes in namespaces of its own, and the operator installed on it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs the scenarios, or those whose names contain one of these words, and checks that nothing is left behind
    Test {
        /// Parts of the names of scenarios
        scenarios: Vec<String>,
    },
    /// The node with the operator and the simulator installed, and a shell
    Shell,
    /// Starts a node, prints that, and waits to be killed
    #[command(hide = true)]
    Hold,
    /// The first process inside: starts the next one and buries the orphans
    #[command(hide = true)]
    Init {
        #[arg(long)]
        folder: PathBuf,
        #[command(subcommand)]
        task: Task,
    },
    /// Does the work inside
    #[command(hide = true)]
    Inside {
        #[arg(long)]
        folder: PathBuf,
        #[command(subcommand)]
        task: Task,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("cluster: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Verb) -> Result<ExitCode> {
    match command {
        Verb::Test { scenarios } => ground::test(scenarios),
        Verb::Shell => ground::enter(&Task::Shell),
        Verb::Hold => ground::enter(&Task::Hold),
        Verb::Init { folder, task } => inside::first(&folder, &task),
        Verb::Inside { folder, task } => inside::run(&folder, task),
    }
}
