//! A bearer token in a file, read again as client-go does: at most once a minute, without the white space at its ends,
//! which a file written by hand has and a header must not. While the file cannot be read the last token stays in use.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use kube::config::AuthInfo;
use operator_runtime::clock;
use tokio::time::Instant;

use crate::cli::UsageError;

/// The age at which a token is read again: client-go's minute less its leeway of 10 s.
const REREAD: Duration = Duration::from_secs(50);

/// A file and the token last read from it.
pub(super) struct TokenFile {
    path: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    header: HeaderValue,
    read_at: Instant,
}

impl TokenFile {
    /// Takes the token file over from the configuration, if that is how it authenticates.
    ///
    /// # Errors
    /// The file, where it holds no token.
    pub(super) fn take_from(auth: &mut AuthInfo) -> Result<Option<Self>, UsageError> {
        // kube prefers these.
        if auth.auth_provider.is_some()
            || auth.token.is_some()
            || (auth.username.is_some() && auth.password.is_some())
        {
            return Ok(None);
        }
        let Some(path) = auth.token_file.take().map(PathBuf::from) else {
            return Ok(None);
        };
        let header = read(&path).map_err(|problem| {
            UsageError::new(&format!("token file {}", path.display()), problem)
        })?;
        let current = Mutex::new(Current {
            header,
            read_at: clock::now(),
        });
        Ok(Some(Self { path, current }))
    }

    /// Returns the value of the `Authorization` header.
    pub(super) fn header(&self, now: Instant) -> HeaderValue {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(current.read_at) >= REREAD {
            current.read_at = now;
            if let Ok(header) = read(&self.path) {
                current.header = header;
            }
        }
        current.header.clone()
    }
}

fn read(path: &PathBuf) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    if token.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "holds characters that no token has".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}
