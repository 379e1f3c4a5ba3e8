//! A file that is given for the key's: it is taken as its text is without one end of line, and whatever is wrong with
//! the error names it without a word of it.

use std::io::Write;

use fireworks_client::key::{ApiKeys, KeyError};

/// Reads it.
pub(crate) fn target(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(data).expect("space in it");
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let usable = !line.is_empty() && line.iter().all(u8::is_ascii_graphic);
    match ApiKeys::from_file(file.path().into()) {
        Ok(keys) => {
            assert!(usable, "not to be sent");
            let key = keys.current();
            assert_eq!(key.header.as_bytes(), [b"Bearer ", line].concat());
            assert!(key.header.is_sensitive());
            keys.reread();
            assert_eq!(keys.current().version, 1, "the same key is no new one");
        }
        Err(error) => {
            assert!(!usable || matches!(error, KeyError::TooLarge { .. }));
            let about = file.path().display().to_string();
            let reported = error.to_string().replace(&about, "");
            let content = String::from_utf8_lossy(data);
            let content = content.trim();
            assert!(content.len() < 8 || !reported.contains(content));
        }
    }
}
