//! Virtual time: ten minutes of timers pass within seconds, or a day at once, as after the sleep of a machine. A test moves
//! the clock of timers and of the operator's deadlines; the wall clock is another one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::under_way::UnderWay;

/// How often the clock is moved.
const TICK: Duration = Duration::from_millis(2);
/// How much more than the time that has passed it is moved at a time, so that timers fire one after the other.
const STEP: Duration = Duration::from_millis(200);

/// How far the clock is to be moved, in all, and how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Order {
    way: Way,
    moved: Duration,
    /// It stands still otherwise: real time does not count.
    still: bool,
}

/// How the clock is moved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Way {
    /// Step by step, never while a request is under way: it takes no time, or its deadline would be cut short.
    #[default]
    Hurry,
    /// The same, but requests that are under way when the order comes are not waited for.
    Outwait,
    /// At once, whatever is under way.
    Jump,
}

impl Order {
    /// `hurry 600`, `outwait 15` or `jump 86400`, in whole seconds, with ` still` behind it where real time is not to
    /// count. What is none of these moves nothing.
    fn read(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let way = match words.next() {
            Some("hurry") => Way::Hurry,
            Some("outwait") => Way::Outwait,
            Some("jump") => Way::Jump,
            _ => return Self::default(),
        };
        let seconds = words.next().and_then(|word| word.parse().ok());
        Self {
            way,
            moved: Duration::from_secs(seconds.unwrap_or(0)),
            still: words.next() == Some("still"),
        }
    }

    /// How much to move now.
    fn step(self, moved: Duration, is_idle: bool) -> Duration {
        let left = self.moved.saturating_sub(moved);
        match self.way {
            Way::Jump => left,
            Way::Hurry | Way::Outwait if is_idle => left.min(STEP),
            Way::Hurry | Way::Outwait => Duration::ZERO,
        }
    }
}

/// Has the clock of the current runtime follow real time, and moves it as the file orders. Right before each step, a line is
/// appended to the file of the same name with `.steps` at its end: `1700000000000 200 200`, the true time in milliseconds
/// since 1970, how many the clock is ahead of it from then on, and how many it was moved in all.
pub fn follow(file: PathBuf, under_way: UnderWay) {
    tokio::time::pause();
    let (ticks, mut ticked) = mpsc::channel(1);
    // While this runs, a clock that is moved by hand does not move itself to the next timer.
    tokio::task::spawn_blocking(move || tick(&ticks));
    tokio::spawn(async move {
        let mut steps = steps(&file);
        let mut order = Order::default();
        let (mut moved, mut stood) = (Duration::ZERO, Duration::ZERO);
        while let Some(passed) = ticked.recv().await {
            let next = Order::read(&std::fs::read_to_string(&file).unwrap_or_default());
            if next != order && next.way == Way::Outwait {
                under_way.forget();
            }
            order = next;
            let passed = if order.still {
                stood += passed;
                Duration::ZERO
            } else {
                passed
            };
            let more = order.step(moved, under_way.count() == 0);
            moved += more;
            if !more.is_zero() {
                report(&mut steps, moved, stood);
            }
            tokio::time::advance(passed + more).await;
        }
    });
}

fn steps(file: &Path) -> Option<File> {
    let mut name = file.as_os_str().to_owned();
    name.push(".steps");
    File::options().create(true).append(true).open(name).ok()
}

fn report(steps: &mut Option<File>, moved: Duration, stood: Duration) {
    let (now, moved) = (Timestamp::now().as_millisecond(), moved.as_millis());
    // One that stands still for long falls behind, and is then not ahead at all.
    let ahead = moved.saturating_sub(stood.as_millis());
    let line = format!("{now} {ahead} {moved}\n");
    // A test that waits for the step names it.
    let _ = steps.as_mut().map(|file| file.write_all(line.as_bytes()));
}

/// Reports again and again how much real time has passed, for as long as there is a reader.
fn tick(ticks: &mpsc::Sender<Duration>) {
    let mut last = Instant::now();
    loop {
        std::thread::sleep(TICK);
        let now = Instant::now();
        if ticks.blocking_send(now - last).is_err() {
            return;
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_followed_step_by_step_or_at_once() {
        let second = Duration::from_secs(1);
        let order = |way, seconds, still| Order {
            way,
            moved: second * seconds,
            still,
        };
        let read = Order::read;
        assert_eq!(read("hurry 600\n"), order(Way::Hurry, 600, false));
        assert_eq!(read("jump 86400"), order(Way::Jump, 86400, false));
        assert_eq!(read("outwait 15 still"), order(Way::Outwait, 15, true));
        for nothing in ["", "hurry", "hurry soon", "jump -1", "sleep 9"] {
            assert_eq!(read(nothing).step(Duration::ZERO, true), Duration::ZERO);
        }
        let hurry = read("hurry 600");
        assert_eq!(hurry.step(Duration::ZERO, true), STEP);
        assert_eq!(hurry.step(Duration::ZERO, false), Duration::ZERO);
        assert_eq!(hurry.step(second * 600, true), Duration::ZERO);
        assert_eq!(read("jump 9").step(second, false), second * 8);
    }
}
