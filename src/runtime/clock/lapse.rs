//! Lets a test have time pass, for tests only: ten minutes of timers within seconds, or a day at once, as after the
//! sleep of a machine. The clock that timers and [`super::now`] follow is moved by hand then; the wall clock is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::real;
use crate::runtime::effects;

/// How often the clock is moved.
const TICK: Duration = Duration::from_millis(2);
/// How much more than the time that has passed it is moved at a time, so that timers fire one after the other.
const STEP: Duration = Duration::from_millis(200);

/// How far ahead of real time the clock is to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    /// Step by step, never while something is done outside: that takes no time, or its deadlines would be cut short.
    Hurry(Duration),
    /// At once, whatever is under way.
    Jump(Duration),
}

impl Order {
    /// `hurry 600` or `jump 86400`, in whole seconds. What is neither moves nothing.
    fn read(text: &str) -> Self {
        let (word, seconds) = text.trim().split_once(' ').unwrap_or_default();
        let ahead = Duration::from_secs(seconds.parse().unwrap_or(0));
        if word == "jump" {
            Self::Jump(ahead)
        } else {
            Self::Hurry(ahead)
        }
    }

    /// How much to move now.
    fn step(self, ahead: Duration, is_idle: bool) -> Duration {
        match self {
            Self::Jump(wanted) => wanted.saturating_sub(ahead),
            Self::Hurry(wanted) if is_idle => wanted.saturating_sub(ahead).min(STEP),
            Self::Hurry(_) => Duration::ZERO,
        }
    }
}

/// From now on the clock goes with real time and as far ahead of it as the file says. How far it has come, in whole
/// seconds, is written beside it, into a file of the same name with `.reached` at its end.
pub fn follow(file: PathBuf) {
    tokio::time::pause();
    let (ticks, mut ticked) = mpsc::channel(1);
    // While this runs, a clock that is moved by hand does not move itself to the next timer.
    tokio::task::spawn_blocking(move || tick(&ticks));
    tokio::spawn(async move {
        let mut ahead = Duration::ZERO;
        let mut told = Duration::ZERO;
        while let Some(passed) = ticked.recv().await {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let more = Order::read(&text).step(ahead, effects::under_way() == 0);
            ahead += more;
            tokio::time::advance(passed + more).await;
            if more.is_zero() && ahead != told {
                tell(&file, ahead);
                told = ahead;
            }
        }
    });
}

/// Says again and again how much time has really passed, for as long as somebody listens.
fn tick(ticks: &mpsc::Sender<Duration>) {
    let mut last = real();
    loop {
        std::thread::sleep(TICK);
        let now = real();
        if ticks.blocking_send(now - last).is_err() {
            return;
        }
        last = now;
    }
}

fn tell(file: &Path, ahead: Duration) {
    let mut reached = file.as_os_str().to_owned();
    reached.push(".reached");
    // A test that waits for it says what is missing.
    let _ = std::fs::write(reached, ahead.as_secs().to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_followed_step_by_step_or_at_once() {
        let second = Duration::from_secs(1);
        assert_eq!(Order::read("hurry 600\n"), Order::Hurry(second * 600));
        assert_eq!(Order::read("jump 86400"), Order::Jump(second * 86400));
        for nothing in ["", "hurry", "hurry soon", "jump -1"] {
            assert_eq!(
                Order::read(nothing).step(Duration::ZERO, true),
                Duration::ZERO
            );
        }
        let hurry = Order::Hurry(second * 600);
        assert_eq!(hurry.step(Duration::ZERO, true), STEP);
        assert_eq!(hurry.step(Duration::ZERO, false), Duration::ZERO);
        assert_eq!(hurry.step(second * 600, true), Duration::ZERO);
        assert_eq!(Order::Jump(second * 9).step(second, false), second * 8);
    }
}
