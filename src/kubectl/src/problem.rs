//! What is wrong with the input, and where.

use std::fmt;
use std::sync::Arc;

/// A place in the input.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The file, as it is shown.
    pub file: Arc<str>,
    /// The number of the document in its file, from 1; 0 for the whole file.
    pub document: usize,
    /// The line in the file, from 1; 0 for the whole file.
    pub line: usize,
}

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The object, as it is shown; empty where none could be read.
    pub object: String,
    /// The path of the field; empty where it is about the whole.
    pub field: String,
    /// What is wrong. No value is repeated: it may be an e-mail address.
    pub message: String,
    /// The document could not be read, so nothing is known of its objects.
    pub is_unread: bool,
}

impl Problem {
    /// Returns the problem of what could not be read.
    #[must_use]
    pub fn unread(place: Place, message: String) -> Self {
        Self {
            place,
            object: String::new(),
            field: String::new(),
            message,
            is_unread: true,
        }
    }

    /// Returns it as an annotation of GitHub Actions.
    #[must_use]
    pub fn annotation(&self) -> String {
        annotation(
            Level::Error,
            Some(&self.place),
            "FireworksUser",
            &self.words(),
        )
    }

    /// Returns the object, the field and what is wrong.
    fn words(&self) -> String {
        let parts = [&self.object, &self.field, &self.message];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            file,
            document,
            line,
        } = &self.place;
        match (document, line) {
            (0, _) => write!(f, "{file}: ")?,
            (1, line) => write!(f, "{file}:{line}: ")?,
            (document, line) => write!(f, "{file}:{line} (document {document}): ")?,
        }
        f.write_str(&self.words())
    }
}

/// How much an annotation matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// It must be mended.
    Error,
    /// It must be seen.
    Warning,
}

/// Returns an annotation of GitHub Actions, at that place if it has one.
#[must_use]
pub fn annotation(level: Level, place: Option<&Place>, title: &str, message: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let place = place.map(|place| {
        let (file, line) = (escaped(&place.file, true), place.line.max(1));
        format!("file={file},line={line},")
    });
    let (place, title) = (place.unwrap_or_default(), escaped(title, true));
    format!(
        "::{level} {place}title={title}::{}",
        escaped(message, false)
    )
}

/// Escapes what would end a part of an annotation.
fn escaped(text: &str, is_property: bool) -> String {
    let text = text
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    if is_property {
        text.replace(':', "%3A").replace(',', "%2C")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(document: usize) -> Problem {
        Problem {
            place: Place {
                file: "users/a,b.yaml".into(),
                document,
                line: 7,
            },
            object: "team-a/alice".into(),
            field: "spec.role".into(),
            message: "100% wrong\nreally".into(),
            is_unread: false,
        }
    }

    #[test]
    fn problem_names_file_line_document_object_and_field() {
        assert_eq!(
            problem(2).to_string(),
            "users/a,b.yaml:7 (document 2): team-a/alice: spec.role: 100% wrong\nreally"
        );
        let whole = Problem::unread(problem(0).place, "is not UTF-8".into());
        assert_eq!(whole.to_string(), "users/a,b.yaml: is not UTF-8");
    }

    #[test]
    fn annotation_cannot_be_ended_by_its_text() {
        assert_eq!(
            problem(1).annotation(),
            "::error file=users/a%2Cb.yaml,line=7,title=FireworksUser::team-a/alice: spec.role: 100%25 wrong%0Areally"
        );
    }
}
