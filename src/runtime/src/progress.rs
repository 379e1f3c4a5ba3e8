//! Liveness: is some piece of work running far longer than it ever may? Being idle is healthy, so is being busy; only
//! work past its own deadline is not. Knows nothing of what the work is. The decision is pure: the time is passed in.
//!
//! A thread that blocks for ever is caught without this: on a current-thread runtime the probe itself goes unanswered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::clock;

/// How far past its deadline a piece of work may be before the process is called stuck.
pub const GRACE: Duration = Duration::from_secs(30);

/// At most this many pieces are watched at once: far above any concurrency the program has, and a bound on memory.
const CAPACITY: usize = 1024;

/// The pieces of work under way. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    next: u64,
    running: BTreeMap<u64, Piece>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    started: Instant,
    deadline: Duration,
}

/// One piece of work under way; dropping it, by whatever way the work ends, says that it ended.
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as this is dropped"]
pub struct Guard {
    progress: Progress,
    piece: Option<u64>,
}

impl Progress {
    /// Begins a piece of work that must have ended `deadline` from now. When 1024 are already under way, this one is
    /// not watched.
    pub fn begin(&self, deadline: Duration) -> Guard {
        self.begin_at(clock::now(), deadline)
    }

    /// [`Progress::begin`] with the time given.
    pub fn begin_at(&self, now: Instant, deadline: Duration) -> Guard {
        let mut pieces = self.lock();
        if pieces.running.len() >= CAPACITY {
            return Guard {
                progress: self.clone(),
                piece: None,
            };
        }
        let id = pieces.next;
        pieces.next = pieces.next.wrapping_add(1);
        pieces.running.insert(
            id,
            Piece {
                started: now,
                deadline,
            },
        );
        Guard {
            progress: self.clone(),
            piece: Some(id),
        }
    }

    /// Why the process is stuck at `now`, in one line for the probe's answer; `None` while it is not. Of several
    /// overdue pieces it names the one that began first.
    #[must_use]
    pub fn is_stuck(&self, now: Instant) -> Option<String> {
        let pieces = self.lock();
        pieces
            .running
            .values()
            .find_map(|piece| piece.complaint(now))
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        // No code that can panic runs under the lock, and a probe must answer whatever happened before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    fn complaint(self, now: Instant) -> Option<String> {
        let age = now.saturating_duration_since(self.started);
        (age > self.deadline.saturating_add(GRACE)).then(|| {
            format!(
                "work with a deadline of {} s has been running for {} s",
                self.deadline.as_secs(),
                age.as_secs()
            )
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(piece) = self.piece {
            self.progress.lock().running.remove(&piece);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_process_is_never_stuck() {
        let progress = Progress::default();
        let start = clock::now();
        drop(progress.begin_at(start, SECOND));
        assert_eq!(progress.is_stuck(start + MINUTE * 60), None);
    }

    #[test]
    fn work_past_its_deadline_and_grace_is_stuck() {
        let progress = Progress::default();
        let start = clock::now();
        let _guard = progress.begin_at(start, MINUTE);
        assert_eq!(progress.is_stuck(start + MINUTE + GRACE), None);
        let complaint = progress.is_stuck(start + MINUTE + GRACE + SECOND).unwrap();
        assert_eq!(
            complaint,
            "work with a deadline of 60 s has been running for 91 s"
        );
    }

    #[test]
    fn many_short_pieces_do_not_hide_a_stuck_one() {
        let progress = Progress::default();
        let start = clock::now();
        let _stuck = progress.begin_at(start, SECOND);
        for n in 0..5000 {
            drop(progress.begin_at(start + SECOND * n, SECOND));
        }
        assert!(progress.clone().is_stuck(start + MINUTE).is_some());
        assert_eq!(progress.lock().running.len(), 1);
    }

    #[test]
    fn a_panic_in_the_work_ends_the_piece() {
        let progress = Progress::default();
        let start = clock::now();
        let inner = progress.clone();
        let outcome = std::thread::spawn(move || {
            let _guard = inner.begin_at(start, SECOND);
            panic!("the work fails");
        })
        .join();
        assert!(outcome.is_err());
        assert_eq!(progress.is_stuck(start + MINUTE), None);
    }

    #[test]
    fn memory_is_bounded() {
        let progress = Progress::default();
        let start = clock::now();
        let guards: Vec<Guard> = (0..CAPACITY + 10)
            .map(|_| progress.begin_at(start, SECOND))
            .collect();
        assert_eq!(progress.lock().running.len(), CAPACITY);
        drop(guards);
        assert_eq!(progress.lock().running.len(), 0);
    }

    #[test]
    fn a_deadline_beyond_time_itself_does_no_harm() {
        let progress = Progress::default();
        let start = clock::now();
        let _guard = progress.begin_at(start, Duration::MAX);
        assert_eq!(progress.is_stuck(start + MINUTE), None);
        assert_eq!(progress.is_stuck(start - SECOND), None);
    }
}
