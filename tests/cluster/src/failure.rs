//! Why something did not come true, as one text for a person. Nothing decides by it.

use std::error::Error;
use std::fmt;

/// What failed, its causes included.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What most things here come to.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `Failure` itself is no `Error`, so that every error becomes one by `?`.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self(text)
    }
}

/// Fails with that text unless it holds.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds {
        Ok(())
    } else {
        Err(Failure::new(otherwise()))
    }
}
