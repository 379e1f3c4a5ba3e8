//! Crash points: the process ends before or after a request by SIGKILL. Nothing is dropped; only the log lines of before are
//! written, and one that names the point.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use operator_runtime::hooks::Request;
use operator_runtime::log_writer::LogWriter;

/// The log is waited for at most this long.
const FLUSH: Duration = Duration::from_secs(1);

/// Where a crash point lies.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// Nothing has been sent.
    Before,
    /// The response has arrived, or was given up, and has not been used.
    After,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Before, Self::After];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// Returns the words of a request: verb, resource and, where it has one, name.
#[must_use]
pub fn words(request: &Request<'_>) -> String {
    let Request {
        verb,
        resource,
        name,
    } = request;
    format!("{verb} {resource} {name}").trim_end().to_owned()
}

/// A place to end at, written like `before 1 patch fireworksusers/status alice`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CrashPoint {
    /// Before or after the request.
    pub side: Side,
    /// At which of these requests, counted from 1.
    pub nth: u32,
    /// The request's [`words`]; without a name those of every name.
    pub request: String,
}

impl CrashPoint {
    fn is_at(&self, side: Side, words: &str) -> bool {
        let rest = words.strip_prefix(&*self.request);
        let is_request = rest.is_some_and(|rest| {
            let is_whole_word = rest.is_empty() || rest.starts_with(' ');
            is_whole_word && self.request.contains(' ')
        });
        self.side == side && is_request
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.side, self.nth, self.request)
    }
}

impl FromStr for CrashPoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.splitn(3, ' ');
        let side = match words.next() {
            Some("before") => Some(Side::Before),
            Some("after") => Some(Side::After),
            _ => None,
        };
        let nth = words.next().and_then(|nth| nth.parse().ok());
        let request = words.next().filter(|request| request.contains(' '));
        match (side, nth, request) {
            (Some(side), Some(nth), Some(request)) if nth > 0 => Ok(Self {
                side,
                nth,
                request: request.to_owned(),
            }),
            _ => Err("not a crash point like `before 1 patch fireworksusers/status alice`"),
        }
    }
}

/// The points that a file names.
pub struct Crash {
    file: PathBuf,
    logs: LogWriter,
    armed: Mutex<Armed>,
}

/// The text of the file when it was last read, and each of its points with the number of requests counted since then.
#[derive(Default)]
struct Armed {
    text: String,
    points: Vec<(CrashPoint, u32)>,
}

impl Crash {
    /// Returns the points of this file, one a line. It is read at each request; requests are counted from when it changed.
    #[must_use]
    pub fn new(file: PathBuf, logs: LogWriter) -> Self {
        Self {
            file,
            logs,
            armed: Mutex::default(),
        }
    }

    /// Ends the process if this is one of the points.
    pub(crate) fn point(&self, side: Side, request: &Request<'_>) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.arm(text);
        if let Some(point) = armed.reached(side, &words(request)) {
            self.die(point);
        }
    }

    fn die(&self, point: &CrashPoint) -> ! {
        self.logs.flush_within(FLUSH);
        // In one write, so that a reader of the log sees the whole line.
        let line = format!("crash point {point}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        // A signal to oneself is delivered at once; should it not be, this is as sudden.
        std::process::abort()
    }
}

impl Armed {
    /// Takes the points of the text, if it is another one.
    ///
    /// # Panics
    /// If a line is not a crash point.
    fn arm(&mut self, text: String) {
        if text == self.text {
            return;
        }
        let points = text.lines().map(str::parse).collect::<Result<Vec<_>, _>>();
        assert!(points.is_ok(), "{text}: {points:?}");
        let points = points.into_iter().flatten();
        self.points = points.map(|point| (point, 0)).collect();
        self.text = text;
    }

    /// Counts the request, and returns the point that it reaches.
    fn reached(&mut self, side: Side, words: &str) -> Option<&CrashPoint> {
        let mut reached = None;
        for (point, count) in &mut self.points {
            if point.is_at(side, words) {
                *count += 1;
                if *count == point.nth {
                    reached = Some(&*point);
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn crash_point_is_written_as_it_is_read() {
        for text in [
            "before 1 list fireworksusers",
            "after 2 updateUser users alice",
            "before 3 patch fireworksusers/status a:b@c",
        ] {
            let point: CrashPoint = text.parse().unwrap();
            assert_eq!(point.to_string(), text);
        }
        for text in [
            "",
            "before",
            "during 1 get users",
            "after 0 get users",
            "after x get users",
            "after 1 get",
        ] {
            assert!(text.parse::<CrashPoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn crash_point_is_reached_at_its_request() {
        let requests = [
            (Side::After, "updateUser users alice"),
            (Side::Before, "updateUser users bob"),
            (Side::After, "patch fireworksusers/status bob"),
            (Side::After, "updateUser users bob"),
            (Side::After, "updateUser users alice"),
            (Side::After, "updateUser users bob"),
        ];
        for (text, expected) in [
            ("after 1 updateUser users", Some(0)),
            ("before 1 updateUser users", Some(1)),
            ("after 2 updateUser users", Some(3)),
            ("after 1 updateUser users bob", Some(3)),
            ("after 2 updateUser users alice", Some(4)),
            ("after 1 updateUser users bo", None),
            ("after 1 patch fireworksusers", None),
        ] {
            let mut armed = Armed::default();
            armed.arm(text.to_owned());
            let reached = requests
                .iter()
                .position(|(side, words)| armed.reached(*side, words).is_some());
            assert_eq!(reached, expected, "{text}");
        }
    }

    #[test]
    fn requests_are_counted_from_when_the_points_changed() {
        let mut armed = Armed::default();
        let request = "list fireworksusers";
        for text in [
            "after 2 list fireworksusers",
            "after 2 list fireworksusers\nbefore 1 get x",
        ] {
            armed.arm(text.to_owned());
            assert_eq!(armed.reached(Side::After, request), None);
        }
        armed.arm("after 2 list fireworksusers\nbefore 1 get x".to_owned());
        assert!(armed.reached(Side::After, request).is_some());
    }
}
