//! `make bench`: measures what the operator costs and how fast it is, on a real API server and against a simulator of
//! the gateway, and shows each figure beside what it must be. A figure that is missed is shown as missed; the exit code
//! is 0 unless the run itself is broken.
//!
//! The map: `scenarios` (what is measured), `figures` (values and bounds, pure), `table`, `plots` and `results` (what
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
mod sweeps;
mod table;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fireworks_gateway_simulator::{Settings, Simulator, User};

use broken::Sound;
use figures::{Figures, Must, whole};
use scenarios::latency::{self, Rest};
use scenarios::standing::{Promise, Standing};
use scenarios::{changes, peer, queue, scarce};
use tokio::sync::watch;
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
    #[arg(long)]
    quick: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("the bench is broken: {broken}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Sound<()> {
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
    let measured = measure(&world, arguments.quick, &mut figures).await;
    if measured.is_err() {
        world.plane.keep_folder();
    }
    measured?;
    results::write(&arguments.out, arguments.quick, &figures)
}

/// The same users whatever their number.
fn people(count: usize) -> Sound<Vec<User>> {
    let settings = Settings {
        users: count,
        ..Settings::default()
    };
    Ok(Simulator::start(settings)?.users())
}

/// The main stories, one after the other, and beside them those that take long and little.
async fn measure(world: &World, quick: bool, figures: &mut Figures) -> Sound<()> {
    if quick {
        return stories(world, quick, figures).await;
    }
    let (over, ended) = watch::channel(false);
    let few = people(260)?;
    let main = async {
        stories(world, quick, figures).await?;
        over.send_replace(true);
        Ok(())
    };
    let ((), slow) = tokio::try_join!(main, scarce::slow(world, &few, ended))?;
    slow.tell(figures);
    Ok(())
}

async fn stories(world: &World, quick: bool, figures: &mut Figures) -> Sound<()> {
    let gateway = world.account(0, &[]).await?;
    world.namespace("bench").await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace: "bench",
    };
    let all = people(if quick { 1_000 } else { 50_000 })?;
    let (few, some) = (&all[..10], &all[..1_000]);
    standing
        .measure(&promise(0, Some(12.0), 0, 0), figures)
        .await?;
    standing.grow(few).await?;
    standing.measure(&promise(10, None, 1, 20), figures).await?;
    latency::measure(&standing, few, &edits(10, 8), figures).await?;
    standing.grow(&all[10..1_000]).await?;
    standing
        .measure(&promise(1_000, Some(14.0), 5, 3), figures)
        .await?;
    latency::measure(&standing, some, &edits(1_000, 8), figures).await?;
    changes::measure(&standing, some, figures).await?;
    peer::measure(&standing, some, figures).await?;
    if quick {
        return Ok(());
    }
    many(&standing, &all, figures).await
}

/// From 10,000 objects on.
async fn many(standing: &Standing<'_>, all: &[User], figures: &mut Figures) -> Sound<()> {
    let ten_thousand = &all[..10_000];
    standing.grow(&all[1_000..10_000]).await?;
    let promised = Promise {
        start: Some(3.0),
        ..promise(10_000, Some(32.0), 50, 0)
    };
    standing.measure(&promised, figures).await?;
    // Long enough to meet a sweep, which comes every 100 s.
    latency::measure(standing, ten_thousand, &edits(10_000, 37), figures).await?;
    queue::behind_drift(standing, ten_thousand, figures).await?;
    let neighbours = &all[10_000..10_010];
    queue::beside_a_crowd(standing, ten_thousand, neighbours, figures).await?;
    queue::roll_out(standing, ten_thousand, figures).await?;
    let (crowd, ()) = tokio::try_join!(scarce::crowded(standing.world, &all[..1_000]), async {
        standing.grow(&all[10_010..50_000]).await?;
        standing
            .measure(&promise(50_000, Some(110.0), 250, 0), figures)
            .await
    })?;
    crowd.tell(figures);
    Ok(())
}

fn promise(objects: usize, rss: Option<f64>, calls: usize, sweeps: usize) -> Promise {
    Promise {
        objects,
        rss,
        calls,
        start: None,
        sweeps,
        runs: 3,
    }
}

/// Ten edits a second, for so many seconds in each of three runs.
fn edits(objects: usize, seconds: usize) -> Rest {
    Rest {
        objects,
        edits: seconds * 10,
        every: Duration::from_millis(100),
        runs: 3,
    }
}
