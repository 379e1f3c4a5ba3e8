//! Why the story did not come true, as one text for a person. Nothing decides by it.

use std::error::Error;
use std::fmt;

use rig::{KubectlError, RigError, Timeout};

/// What failed, its causes included.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn with_causes(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RigError> for Failure {
    fn from(error: RigError) -> Self {
        Self::with_causes(&error)
    }
}

impl From<KubectlError> for Failure {
    fn from(error: KubectlError) -> Self {
        Self::with_causes(&error)
    }
}

impl From<Timeout> for Failure {
    fn from(error: Timeout) -> Self {
        Self::with_causes(&error)
    }
}
