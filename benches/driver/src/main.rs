//! `make bench`: measures what the operator costs and how fast it is, on a real API server and against a simulator of
//! the gateway, and shows each figure beside what it must be. A figure that is missed is shown as missed; the exit code
//! is 0 unless the run itself is broken.
//!
//! The map: `schedule` (which scenarios, in which order), `scenarios` (what is measured), `figures` (values and bounds, pure), `table`, `plots` and `results` (what
//! is shown and written), `world`, `gateway`, `load`, `process`, `sweeps` (the means).

// This program measures real processes: it reads the real clock, and nothing of it has crash points.
#![allow(clippy::disallowed_methods)]

mod broken;
mod edits;
mod figures;
mod gateway;
mod load;
mod plots;
mod process;
mod results;
mod scenarios;
mod schedule;
mod sweeps;
mod table;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use broken::Sound;
use figures::{Figures, Must, whole};
use results::Run;
use schedule::{Scenario, Schedule};
use world::{Programs, World};

/// Measures the operator on a real API server.
#[derive(Parser)]
#[command(name = "bench-driver")]
struct Arguments {
    /// The operator, as released
    #[arg(long)]
    operator: PathBuf,
    /// The baseline
    #[arg(long)]
    naive: PathBuf,
    /// The simulator of the gateway
    #[arg(long)]
    simulator: PathBuf,
    /// Where results go
    #[arg(long)]
    out: PathBuf,
    /// The short run: up to 1,000 objects
    #[arg(long, conflicts_with = "only")]
    quick: bool,
    /// These scenarios alone, with whatever they need
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("bench-driver: cannot measure: {broken}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Sound<()> {
    let run = Run::begin(arguments.quick, &arguments.only);
    let mut figures = Figures::default();
    figures.about("The program");
    let size = std::fs::metadata(&arguments.operator)?.len();
    let megabytes = whole(usize::try_from(size)?) / 1e6;
    figures.add(
        "release binary, stripped",
        "MB",
        Must::AtMost(8.0),
        vec![megabytes],
    );
    let world = World::start(Programs {
        operator: arguments.operator.canonicalize()?,
        naive: arguments.naive.canonicalize()?,
        simulator: arguments.simulator.canonicalize()?,
    })
    .await?;
    let schedule = Schedule::new(&world, arguments.quick, arguments.only)?;
    let measured = schedule.run(&mut figures).await;
    if measured.is_err() {
        world.plane.keep_folder();
    }
    measured?;
    run.write(&arguments.out, &figures)
}
