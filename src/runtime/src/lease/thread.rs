//! The thread of an election, and what the program has of it.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use tokio::sync::{oneshot, watch};

use super::Leadership;
use super::elect::{Election, Elector};
use super::status::Status;

/// How far an election is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// This process does not hold the Lease.
    Standby,
    /// It does.
    Leading {
        /// Another process has held the Lease before: its requests may still take effect.
        had_former: bool,
    },
}

/// An election under way. Dropped, it ends without giving the Lease back.
#[derive(Debug)]
pub struct Handle {
    /// Whether this process holds the Lease.
    pub leadership: Leadership,
    /// What of it is shown.
    pub status: Arc<Status>,
    phase: watch::Receiver<Phase>,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
}

impl Handle {
    /// Returns what shows how far the election is.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Gives the Lease back, if this process holds it, and returns once that has succeeded or was given up, within a second.
    /// No change may be under way, and none begins afterwards.
    pub async fn give_back(mut self) {
        if self.stop.take().is_some_and(|stop| stop.send(()).is_ok()) {
            // A closed channel means that the thread has ended.
            let _ = (&mut self.ended).await;
        }
    }
}

/// Begins an election on a thread and a runtime of its own. `connect` makes the client there. `lost` is called there when the
/// Lease was held and is lost, when that is uncertain, and when no election is possible, with the reason in one line; by then no
/// further request may begin.
///
/// # Errors
/// The system's error, where no thread or runtime can be started.
pub fn start(
    election: Election,
    connect: impl Future<Output = Result<kube::Client, String>> + Send + 'static,
    lost: impl FnOnce(&str) + Send + 'static,
) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let leadership = Leadership::none(election.durations);
    let status = Arc::<Status>::default();
    let (phase, phases) = watch::channel(Phase::Standby);
    let (stop, mut stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let handle = Handle {
        leadership: leadership.clone(),
        status: status.clone(),
        phase: phases,
        stop: Some(stop),
        ended,
    };
    let elect = {
        let leadership = leadership.clone();
        async move {
            let client = tokio::select! {
                client = connect => client,
                _ = &mut stopped => return None,
            };
            let client = match client {
                Ok(client) => client,
                Err(problem) => return Some(problem),
            };
            let elector = Elector::new(client, election, leadership, status, phase);
            elector.run(stopped).await
        }
    };
    let run = move || {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(elect)));
        leadership.end();
        let why = outcome.unwrap_or_else(|_| Some("the election panicked".to_owned()));
        if let Some(why) = why {
            lost(&why);
        }
        // Nothing waits where the program has ended.
        let _ = end.send(());
    };
    thread::Builder::new().name("lease".to_owned()).spawn(run)?;
    Ok(handle)
}
