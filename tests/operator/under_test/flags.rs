//! The flags that tests add to the operator's own.

use std::ffi::OsString;
use std::path::PathBuf;

/// What tests ask for. Each file is read when it is needed, so that a test may write it while the operator runs.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// `--test-crash-at FILE`: the points at which the process ends, one a line; see [`crate::crash`].
    pub crash_at: Option<PathBuf>,
    /// `--test-lease MS,MS,MS`: the durations of the Lease: its own, that of a renewal, and the time between two.
    pub lease: Option<String>,
    /// `--test-panic-on REQUEST`: the request, such as `get fireworksusers alice`, before which its task panics.
    pub panic_on: Option<String>,
    /// `--test-record FILE`: each request is appended to this file before it is sent.
    pub record: Option<PathBuf>,
    /// `--test-stall-at FILE`: while this file exists, each request blocks the process before it is sent.
    pub stall_at: Option<PathBuf>,
    /// `--test-time FILE`: how far the monotonic clock is to be moved; see [`crate::virtual_time`].
    pub time: Option<PathBuf>,
    /// `--test-wall-clock FILE`: the number of seconds by which the wall clock is ahead.
    pub wall_clock: Option<PathBuf>,
}

impl Flags {
    /// Returns the flags of tests, and the arguments without them. A flag and its value are two arguments, or one with `=`.
    #[must_use]
    pub fn split(arguments: impl IntoIterator<Item = OsString>) -> (Self, Vec<OsString>) {
        let (mut flags, mut rest) = (Self::default(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (&*text, None),
            };
            let Some(set) = flags.setter(name) else {
                rest.push(argument);
                continue;
            };
            let next = || arguments.next().map(|next| next.to_string_lossy().into());
            set(value.or_else(next).unwrap_or_default());
        }
        (flags, rest)
    }

    /// Returns what sets the flag of this name.
    fn setter(&mut self, name: &str) -> Option<Box<dyn FnOnce(String) + '_>> {
        let file = match name {
            "--test-panic-on" => {
                return Some(Box::new(|request| self.panic_on = Some(request)));
            }
            "--test-lease" => return Some(Box::new(|text| self.lease = Some(text))),
            "--test-crash-at" => &mut self.crash_at,
            "--test-record" => &mut self.record,
            "--test-stall-at" => &mut self.stall_at,
            "--test-time" => &mut self.time,
            "--test-wall-clock" => &mut self.wall_clock,
            _ => return None,
        };
        Some(Box::new(|path| *file = Some(path.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_tests_are_taken_out() {
        let arguments = [
            "operator",
            "run",
            "--test-time",
            "/a",
            "--namespace=x",
            "--test-crash-at=/b",
            "--test-panic-on",
            "get fireworksusers alice",
            "--test-soon",
        ];
        let (flags, rest) = Flags::split(arguments.map(OsString::from));
        let expected = Flags {
            time: Some("/a".into()),
            crash_at: Some("/b".into()),
            panic_on: Some("get fireworksusers alice".to_owned()),
            ..Flags::default()
        };
        assert_eq!(flags, expected);
        assert_eq!(rest, ["operator", "run", "--namespace=x", "--test-soon"]);
    }
}
