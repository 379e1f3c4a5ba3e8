//! Why a run of the bench is worth nothing. A figure that is missed is no failure; this is.

use std::error::Error;
use std::fmt;

/// What went wrong, in one line or with the end of a log.
pub(crate) struct Broken(String);

/// The result of a step.
pub(crate) type Sound<T> = Result<T, Broken>;

impl Broken {
    /// With these words.
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// It is no `Error` itself, so that any of them becomes one.
impl<E: Error> From<E> for Broken {
    fn from(error: E) -> Self {
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            words = format!("{words}: {inner}");
            cause = inner.source();
        }
        Self(words)
    }
}

/// Sound only where that holds.
pub(crate) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Sound<()> {
    if holds {
        Ok(())
    } else {
        Err(Broken::new(why()))
    }
}
