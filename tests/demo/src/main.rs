//! `make demo`: a Kubernetes API, a gateway simulator and the operator, all as processes, and the story of what they do
//! for a platform team. Wiring and the exit code are here; the story is in `story`, what it stands on in `world`, the
//! talk with the simulator in `gateway`, and how it looks in `screen`.

// A demonstration measures real processes: it reads the real clock and the real environment.
#![allow(clippy::disallowed_methods)]

mod failure;
mod gateway;
mod scene;
mod screen;
mod story;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use rig::ControlPlane;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::screen::Screen;
use crate::story::run_scenes;
use crate::world::World;

fn main() -> ExitCode {
    let screen = Screen::of_this_process();
    match run(&screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.failed(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(screen: &Screen) -> Result<(), Failure> {
    let begun = Instant::now();
    screen.note("starting a Kubernetes API (etcd, kube-apiserver) with crds/ and deploy/ applied");
    // Before the runtime: it keeps the calling thread for some seconds.
    let plane = ControlPlane::start(&rig::Options::default())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?
        .block_on(perform(screen, plane, begun))
}

async fn perform(screen: &Screen, plane: ControlPlane, begun: Instant) -> Result<(), Failure> {
    let world = World::start(screen, plane).await?;
    if let Err(failure) = run_scenes(screen, &world).await {
        world.keep_logs();
        return Err(failure);
    }
    screen.came_true(begun.elapsed(), &world.cost().await?);
    if screen.is_terminal() {
        let ended = until_signal().map_err(|error| Failure::new(error.to_string()))?;
        screen.plain(&world.invitation());
        ended.await;
        screen.plain("\nending");
    }
    Ok(())
}

/// Ends with Ctrl-C or SIGTERM.
fn until_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
