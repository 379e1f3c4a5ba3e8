//! What a terminal shows: its width and colours. Output that goes elsewhere has neither, unless colours are asked for.

use std::io::{self, IsTerminal as _};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use terminal_size::{Width, terminal_size_of};

use crate::plan::Action;

/// When the output has colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is dumb
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How text is laid out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutputStyle {
    /// The columns of the terminal; nothing where lines do not wrap.
    pub width: Option<usize>,
    /// It has colours.
    pub has_color: bool,
}

impl OutputStyle {
    /// Returns how text on standard output is laid out.
    #[must_use]
    pub fn of_stdout(color: Color) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size = is_terminal
            .then(|| terminal_size_of(io::stdout()))
            .flatten();
        let width = size.map(|(Width(columns), _)| usize::from(columns));
        Self {
            width: width.filter(|columns| *columns > 0),
            has_color: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => is_terminal && !refuses_color(),
            },
        }
    }

    /// Returns the action in its colour.
    #[must_use]
    pub(crate) fn action(self, action: Action, is_about_admin: bool, text: &str) -> String {
        if !self.has_color {
            return text.to_owned();
        }
        let color = match action {
            Action::Change if is_about_admin => AnsiColor::Magenta,
            Action::Change | Action::Deleted => AnsiColor::Yellow,
            Action::Hold
            | Action::Refused
            | Action::Conflict
            | Action::Invalid
            | Action::Unread => AnsiColor::Red,
            Action::Wait | Action::Drift | Action::Absent | Action::Suspended => AnsiColor::Cyan,
            Action::InSync => AnsiColor::Green,
        };
        let style = Style::new().bold().fg_color(Some(color.into()));
        format!("{style}{text}{style:#}")
    }
}

/// Returns whether the environment refuses colours, see <https://no-color.org>.
fn refuses_color() -> bool {
    #[allow(
        clippy::disallowed_methods,
        reason = "two variables about the terminal, which no flag stands for"
    )]
    let value = |name: &str| std::env::var_os(name).unwrap_or_default();
    !value("NO_COLOR").is_empty() || value("TERM") == "dumb"
}
