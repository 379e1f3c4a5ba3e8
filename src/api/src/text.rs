//! Makes remote text fit to be shown: in a log line, a condition, an event.
//! Pure and linear in its input; it knows nothing of HTTP or JSON. What it hands on is one line,
//! bounded, without control characters and without anything shaped like an e-mail address.

/// The most characters of a remote message that are ever shown.
pub const MESSAGE_MAX: usize = 256;

const REDACTED: &str = "<redacted>";
const ELLIPSIS: char = '…';

/// One bounded, harmless line made of `text`.
///
/// White space and control characters become single spaces (none at either end); invisible
/// format characters (zero-width, bidirectional, tags) vanish; every word with an at sign in it
/// becomes `<redacted>`, also where the sign is full-width or percent-encoded. At most `max_chars`
/// characters come out; a cut shows as an ellipsis. Cleaning twice changes nothing more.
#[must_use]
pub fn clean(text: &str, max_chars: usize) -> String {
    let mut line = Line {
        max: max_chars,
        ..Line::default()
    };
    let mut word = Word::default();
    for c in text.chars() {
        if is_invisible(c) {
            continue;
        }
        if belongs_to_word(c) {
            word.push(c, max_chars);
            continue;
        }
        word.flush(&mut line);
        if c.is_whitespace() || c.is_control() {
            line.space();
        } else {
            line.push(c);
        }
        if line.full {
            break;
        }
    }
    word.flush(&mut line);
    line.finish()
}

/// What two texts differ in that are shown alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unseen {
    /// Only characters that draw nothing.
    Invisible,
    /// Only white space and control characters.
    WhiteSpace,
    /// What is redacted.
    Redacted,
}

/// Returns what two different texts differ in, where that cannot be seen once both are cleaned.
#[must_use]
pub fn unseen(one: &str, other: &str) -> Option<Unseen> {
    let visible = |text: &str| {
        text.chars()
            .filter(|c| !draws_nothing(*c))
            .collect::<String>()
    };
    let words = |text: &str| {
        let is_gap = |c: char| c.is_whitespace() || c.is_control();
        let words = text.split(is_gap).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    };
    if one == other {
        return None;
    }
    let shown = [one, other].map(visible);
    if shown[0] == shown[1] {
        Some(Unseen::Invisible)
    } else if words(&shown[0]) == words(&shown[1]) {
        Some(Unseen::WhiteSpace)
    } else if clean(one, MESSAGE_MAX) == clean(other, MESSAGE_MAX) {
        Some(Unseen::Redacted)
    } else {
        None
    }
}

/// The output so far. `full` means that a character found no room.
#[derive(Default)]
struct Line {
    text: String,
    chars: usize,
    max: usize,
    pending_space: bool,
    full: bool,
}

impl Line {
    fn space(&mut self) {
        self.pending_space = self.chars > 0;
    }

    fn push(&mut self, c: char) {
        if std::mem::take(&mut self.pending_space) {
            self.put(' ');
        }
        self.put(c);
    }

    fn put(&mut self, c: char) {
        if self.full || self.chars == self.max {
            self.full = true;
            return;
        }
        self.text.push(c);
        self.chars += 1;
    }

    fn finish(mut self) -> String {
        if self.full && self.max > 0 {
            self.text.pop();
            while self.text.ends_with(' ') {
                self.text.pop();
            }
            self.text.push(ELLIPSIS);
        }
        self.text
    }
}

/// A run of characters that may make up an address. Only what could still be shown is kept, but
/// the run is watched to its end: an at sign behind the cut must hide what stands before it.
#[derive(Default)]
struct Word {
    text: String,
    chars: usize,
    address: bool,
    last_two: (char, char),
}

impl Word {
    fn push(&mut self, c: char, max_chars: usize) {
        let percent_encoded = self.last_two == ('%', '4') && c == '0';
        self.address |= percent_encoded || is_at_sign(c);
        self.last_two = (self.last_two.1, c);
        // One more than fits, so that the line notices the cut.
        if self.chars <= max_chars {
            self.text.push(c);
        }
        self.chars = self.chars.saturating_add(1);
    }

    fn flush(&mut self, line: &mut Line) {
        let word = std::mem::take(self);
        let shown = if word.address && word.chars > 1 {
            REDACTED
        } else {
            word.text.as_str()
        };
        for c in shown.chars() {
            line.push(c);
        }
    }
}

fn is_at_sign(c: char) -> bool {
    matches!(c, '@' | '\u{ff20}' | '\u{fe6b}')
}

/// What a local part or a domain can be made of; generous, since hiding too much is harmless.
fn belongs_to_word(c: char) -> bool {
    c.is_alphanumeric() || is_at_sign(c) || ".!#$%&'*+/=?^_`{|}~-".contains(c)
}

/// Characters that draw nothing, or reorder what is drawn.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The characters that [`clean`] removes, and those that it keeps because some scripts and emoji need them: fillers and
/// variation selectors.
fn draws_nothing(c: char) -> bool {
    is_invisible(c)
        || matches!(c,
            '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2065}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_passes_unchanged() {
        for text in [
            "",
            "role must be one of: admin, user",
            "naïve – 日本語 (ok)",
        ] {
            assert_eq!(clean(text, MESSAGE_MAX), text);
        }
    }

    #[test]
    fn addresses_are_hidden_in_every_spelling() {
        for (text, shown) in [
            ("no user alice@example.com here", "no user <redacted> here"),
            ("<alice@example.com>", "<<redacted>>"),
            (
                "email=\"o'brien+x@example.co.uk\",",
                "email=\"<redacted>\",",
            ),
            ("to:alice%40example.com;", "to:<redacted>;"),
            ("alice＠example.com", "<redacted>"),
            ("al\u{200b}ice@exam\u{ad}ple.com", "<redacted>"),
            ("jürgen@münchen.de, bob@localhost", "<redacted>, <redacted>"),
            ("root@[10.0.0.1]", "<redacted>[10.0.0.1]"),
            ("5 @ 3", "5 @ 3"),
        ] {
            assert_eq!(clean(text, MESSAGE_MAX), shown, "{text}");
        }
    }

    #[test]
    fn an_address_across_the_cut_is_hidden_as_a_whole() {
        let text = format!("{}@example.com", "a".repeat(40));
        assert_eq!(clean(&text, 20), "<redacted>");
        assert_eq!(clean(&format!("to {text}"), 8), "to <red…");
    }

    #[test]
    fn control_and_format_characters_do_not_survive() {
        assert_eq!(
            clean("\r\n a\u{0}\u{1b}[31m\t\tb\u{2028}c \n", 99),
            "a [31m b c"
        );
        assert_eq!(clean("a\u{202e}b\u{feff}c\u{e0041}", 99), "abc");
    }

    #[test]
    fn a_cut_is_counted_in_characters_and_shows() {
        assert_eq!(clean("日本語日本語", 4), "日本語…");
        assert_eq!(clean("日本語日", 4), "日本語日");
        assert_eq!(clean("ab cd", 4), "ab…");
        assert_eq!(clean("abc", 0), "");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_bounded_and_clean(text in any::<String>(), max in 0usize..80) {
            let shown = clean(&text, max);
            prop_assert!(shown.chars().count() <= max);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
            prop_assert_eq!(clean(&shown, max), shown);
        }

        #[test]
        fn no_address_survives_whatever_surrounds_it(
            before in "[^@]{0,20}", local in "[a-z.+]{1,8}", domain in "[a-z]{1,8}\\.com", after in ".{0,20}",
        ) {
            let shown = clean(&format!("{before}{local}@{domain}{after}"), 400);
            prop_assert!(!shown.contains(&format!("@{domain}")), "{}", shown);
        }
    }
}
