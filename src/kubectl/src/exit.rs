//! The exit codes of all commands.

use std::process::ExitCode;

/// How a command ended. Of several outcomes the first in this order counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// The command line is wrong.
    Usage,
    /// Part of the input or of the account could not be read.
    Incomplete,
    /// A guard holds a change.
    Held,
    /// `plan`: there are changes. `validate`: a manifest is invalid.
    Found,
    /// Nothing to report.
    Nothing,
}

impl Exit {
    /// All of them, in the order in which they count.
    pub const ALL: [Self; 5] = [
        Self::Usage,
        Self::Incomplete,
        Self::Held,
        Self::Found,
        Self::Nothing,
    ];

    /// Returns the code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Found => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Held => 4,
        }
    }

    /// Returns what help and docs have about it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Nothing => "nothing to report",
            Self::Found => "plan: there are changes; validate: a manifest is invalid",
            Self::Usage => "the command line is wrong",
            Self::Incomplete => "incomplete: a file, the account or a user could not be read",
            Self::Held => {
                "plan: a guard holds a change, it was refused before, or two objects manage one user"
            }
        }
    }

    /// Returns the one of two outcomes that counts.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.min(other)
    }

    /// Returns it without those that `--exit-zero` turns into success.
    #[must_use]
    pub fn or_zero(self, exit_zero: bool) -> Self {
        match self {
            Self::Held | Self::Found if exit_zero => Self::Nothing,
            other => other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_outcomes_the_first_of_2_3_4_1_counts() {
        assert_eq!(Exit::ALL.map(Exit::code), [2, 3, 4, 1, 0]);
        for (at, first) in Exit::ALL.into_iter().enumerate() {
            for second in &Exit::ALL[at..] {
                assert_eq!(first.or(*second), first);
                assert_eq!(second.or(first), first);
            }
        }
    }

    #[test]
    fn exit_zero_hides_no_failure() {
        let codes = Exit::ALL.map(|exit| exit.or_zero(true).code());
        assert_eq!(codes, [2, 3, 0, 0, 0]);
    }
}
