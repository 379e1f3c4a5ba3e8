//! How the story looks: headlines, commands, their output, the gateway's calls, checks. Colours only on a terminal that
//! wants them. Knows nothing of what is shown.

use std::env;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";

/// Where the steps are shown.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colours: bool,
}

impl Screen {
    /// The standard output.
    pub(crate) fn of_this_process() -> Self {
        let terminal = stdout().is_terminal();
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            terminal,
            colours: terminal && !plain,
        }
    }

    /// Whether a person is likely to read it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A step begins.
    pub(crate) fn headline(&self, number: usize, text: &str) {
        self.plain("");
        self.line(BOLD, &format!("{number}. {text}"));
    }

    /// Something worth knowing that is not the story.
    pub(crate) fn note(&self, text: &str) {
        self.line(DIM, &format!("# {text}"));
    }

    /// A command as a person types it, its further lines included.
    pub(crate) fn command(&self, text: &str) {
        self.line(CYAN, &format!("$ {}", text.trim_end()));
    }

    /// What a command printed.
    pub(crate) fn output(&self, text: &str) {
        if !text.trim().is_empty() {
            self.plain(text.trim_end());
        }
    }

    /// What the gateway was asked, one line a call.
    pub(crate) fn calls(&self, lines: &[String]) {
        if lines.is_empty() {
            self.line(DIM, "  no request to Fireworks");
        }
        for line in lines {
            self.line(DIM, &format!("  request  {line}"));
        }
    }

    /// Something that was found true.
    pub(crate) fn check(&self, text: &str) {
        self.line(GREEN, &format!("  ✓ {text}"));
    }

    /// Prints the result of a run in which all steps passed.
    pub(crate) fn came_true(&self, took: Duration, cost: &str) {
        let seconds = took.as_secs_f32();
        let text = format!("All steps passed in {seconds:.0} s, with {cost}.");
        self.plain("");
        self.line(BOLD, &text);
    }

    /// The end of one that did not; also for those who read only the error output.
    pub(crate) fn failed(&self, why: &str) {
        // What was shown so far comes first, where both outputs end in the same place.
        let _ = stdout().flush();
        let (on, off) = self.paint(RED);
        eprintln!("\n{on}A step failed: {why}{off}");
    }

    /// Text as it is.
    #[expect(
        clippy::unused_self,
        reason = "all that is shown goes through the screen"
    )]
    pub(crate) fn plain(&self, text: &str) {
        // A reader that went away is no reason to end: the exit code still shows it.
        let _ = writeln!(stdout(), "{text}");
    }

    fn line(&self, colour: &str, text: &str) {
        let (on, off) = self.paint(colour);
        self.plain(&format!("{on}{text}{off}"));
    }

    fn paint<'a>(&self, colour: &'a str) -> (&'a str, &'a str) {
        if self.colours {
            (colour, RESET)
        } else {
            ("", "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_painted_without_a_terminal() {
        let screen = |colours| Screen {
            terminal: colours,
            colours,
        };
        assert_eq!(screen(false).paint(RED), ("", ""));
        assert_eq!(screen(true).paint(RED), (RED, RESET));
    }
}
