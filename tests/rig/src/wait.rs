//! Waiting for a condition, with a message worth reading when it does not come true. Never a fixed sleep.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const POLL: Duration = Duration::from_millis(25);

/// A condition did not come true in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("waited {waited:.1?} in vain for {what}; last seen: {seen}")]
pub struct Timeout {
    /// What was awaited.
    pub what: String,
    /// What the last probe saw instead.
    pub seen: String,
    /// For how long.
    pub waited: Duration,
}

/// Asks `probe` every 25 ms until it answers `Ok`, and hands that on. Its `Err` means "not yet" and contains what was
/// seen instead: `Err("2 of 3 Ready")`, or simply the error of a `kubectl` that is expected to work soon.
///
/// # Errors
/// [`Timeout`] after `deadline`, naming `what` and what was last seen. A probe that hangs is cut off then.
pub async fn until<T, S: Display>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, S>,
) -> Result<T, Timeout> {
    let begun = Instant::now();
    let end = begun + deadline;
    let mut seen = None;
    loop {
        match timeout_at(end, probe()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(instead)) => seen = Some(instead.to_string()),
            Err(_) => seen = Some(seen.unwrap_or_else(|| "the probe did not answer".to_owned())),
        }
        if Instant::now() + POLL >= end {
            let seen = seen.unwrap_or_default();
            return Err(Timeout {
                what: what.to_owned(),
                seen,
                waited: begun.elapsed(),
            });
        }
        sleep(POLL).await;
    }
}

/// [`until`] for a thread without a runtime.
pub(crate) fn until_blocking<T, E>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<Result<T, String>, E>,
) -> Result<Result<T, Timeout>, E> {
    let begun = std::time::Instant::now();
    loop {
        match probe()? {
            Ok(answer) => return Ok(Ok(answer)),
            Err(seen) if begun.elapsed() >= deadline => {
                return Ok(Err(Timeout {
                    what: what.to_owned(),
                    seen,
                    waited: begun.elapsed(),
                }));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_good_answer_is_handed_on() {
        let mut asked = 0;
        let answer = until(Duration::from_secs(5), "a third question", async || {
            asked += 1;
            if asked == 3 { Ok("yes") } else { Err("no") }
        });
        assert_eq!(answer.await.unwrap(), "yes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_names_what_was_awaited_and_what_was_seen() {
        let timeout = until(Duration::from_secs(2), "three Ready users", async || {
            Err::<(), _>("1 of 3")
        });
        let message = timeout.await.unwrap_err().to_string();
        assert_eq!(
            message,
            "waited 2.0s in vain for three Ready users; last seen: 1 of 3"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_cut_off() {
        let timeout = until(Duration::from_secs(2), "an answer", async || {
            std::future::pending::<Result<(), String>>().await
        });
        assert_eq!(timeout.await.unwrap_err().seen, "the probe did not answer");
    }
}
