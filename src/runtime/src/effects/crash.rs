//! Crash points, for tests only: the process ends at a named point by SIGKILL. Nothing is
//! dropped; only the log lines of before are written, and one that names the point.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Effect, Side};
use crate::log_writer::LogWriter;

/// A place to die: `patch:before`, `status:after:2` (the second passing), `patch:after@alice` (about
/// whom), or all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CrashPoint {
    /// What is done there.
    pub effect: Effect,
    /// Before or after it.
    pub side: Side,
    /// At which passing, counted from 1.
    pub nth: u32,
    /// Only where it concerns this user or object.
    pub about: Option<String>,
}

impl FromStr for CrashPoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, about) = match text.split_once('@') {
            Some((place, about)) => (place, Some(about.to_owned())),
            None => (text, None),
        };
        let mut words = place.split(':');
        let mut named = Effect::ALL.iter();
        let name = words.next().unwrap_or_default();
        let effect = named.find(|effect| effect.name() == name);
        let side = match words.next() {
            Some("before") => Some(Side::Before),
            Some("after") => Some(Side::After),
            _ => None,
        };
        let nth = words.next().map_or(Some(1), |nth| nth.parse().ok());
        match (effect, side, nth, words.next()) {
            (Some(&effect), Some(side), Some(nth), None) if nth > 0 => Ok(Self {
                effect,
                side,
                nth,
                about,
            }),
            _ => Err("is not a crash point, write it like patch:after, status:before:2@alice"),
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{}:{side}:{}", self.effect.name(), self.nth)?;
        match &self.about {
            Some(about) => write!(f, "@{about}"),
            None => Ok(()),
        }
    }
}

/// The points to die at, each with how often it was passed. For the whole process: to hand it to every
/// place that does something would be a burden on the program for the sake of a test.
static ARMED: Mutex<Vec<(CrashPoint, u32)>> = Mutex::new(Vec::new());
/// Writes the log. A test waits for lines of it that the process has logged before it dies.
static LOGS: Mutex<Option<LogWriter>> = Mutex::new(None);
/// The log is waited for at most this long.
const FLUSH: Duration = Duration::from_secs(1);

/// From now on the process dies at whichever of these it comes to first.
pub fn arm(points: impl IntoIterator<Item = CrashPoint>, logs: LogWriter) {
    *LOGS.lock().unwrap_or_else(PoisonError::into_inner) = Some(logs);
    let points = points.into_iter().map(|point| (point, 0));
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    *armed = points.collect();
}

/// The process passes a point, or does not.
pub(super) fn point(effect: Effect, side: Side, about: &str) {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(point) = passed(&mut armed, effect, side, about) {
        die(point);
    }
}

/// Counts the passing, and returns the point that it completes.
fn passed<'a>(
    armed: &'a mut [(CrashPoint, u32)],
    effect: Effect,
    side: Side,
    about: &str,
) -> Option<&'a CrashPoint> {
    let mut reached = None;
    for (point, count) in armed {
        let concerns = point.about.as_deref().is_none_or(|one| one == about);
        if point.effect == effect && point.side == side && concerns {
            *count += 1;
            if *count == point.nth {
                reached = Some(&*point);
            }
        }
    }
    reached
}

fn die(point: &CrashPoint) -> ! {
    if let Some(logs) = &*LOGS.lock().unwrap_or_else(PoisonError::into_inner) {
        logs.flush_within(FLUSH);
    }
    // In one write, so that a reader of the log sees the whole line.
    let line = format!("crash point {point}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // A signal to oneself is delivered at once; should it not be, this is as sudden.
    std::process::abort()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_point_is_written_as_it_is_read() {
        for effect in Effect::ALL {
            for rest in ["before:1", "after:2", "before:3@alice", "after:1@a:b@c"] {
                let text = format!("{}:{rest}", effect.name());
                let point: CrashPoint = text.parse().unwrap();
                assert_eq!(point.to_string(), text);
                assert_eq!(point.effect, *effect);
            }
        }
        let short: CrashPoint = "patch:after@bob".parse().unwrap();
        assert_eq!(short.to_string(), "patch:after:1@bob");
    }

    #[test]
    fn what_is_no_point_is_refused() {
        for text in [
            "",
            "patch",
            "patch:",
            "patch:during",
            "pat:after",
            "patch:after:0",
            "patch:after:x",
            "patch:after:1:1",
            ":after",
        ] {
            assert!(text.parse::<CrashPoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_passing_that_was_asked_for_is_the_one() {
        let armed = |text: &str| vec![(text.parse().unwrap(), 0)];
        let passings = [
            (Effect::Patch, Side::After, "alice"),
            (Effect::Patch, Side::Before, "bob"),
            (Effect::Status, Side::After, "bob"),
            (Effect::Patch, Side::After, "bob"),
            (Effect::Patch, Side::After, "alice"),
            (Effect::Patch, Side::After, "bob"),
        ];
        for (text, expected) in [
            ("patch:after", 0),
            ("patch:before", 1),
            ("patch:after:2", 3),
            ("patch:after@bob", 3),
            ("patch:after:2@alice", 4),
            ("patch:after:2@bob", 5),
        ] {
            let mut armed = armed(text);
            let reached = passings.iter().position(|(effect, side, about)| {
                passed(&mut armed, *effect, *side, about).is_some()
            });
            assert_eq!(reached, Some(expected), "{text}");
        }
    }
}
