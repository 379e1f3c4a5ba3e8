//! Makes text of an answer that is almost JSON. A display name that ends in half of a surrogate pair, or one
//! byte that is no UTF-8, must not hide all users of the account. Pure; the result is at most three times as long.

use std::borrow::Cow;
use std::str;

/// What stands in place of what could not be read.
pub(super) const UNREADABLE: char = char::REPLACEMENT_CHARACTER;

/// Returns `body` with [`UNREADABLE`] for each thing that no JSON string may hold: bytes that are no UTF-8, bare
/// control characters, halves of surrogate pairs, and escapes that do not exist. What is wrong outside of strings
/// stays.
pub(super) fn mended(body: &[u8]) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (&*text, false);
    while let Some(next) = rest.chars().next() {
        let (length, readable) = match next {
            '\\' if in_string => escape(rest),
            _ => (next.len_utf8(), !in_string || next >= ' '),
        };
        in_string ^= next == '"';
        let (one, others) = rest.split_at(length);
        if readable {
            mended.push_str(one);
        } else {
            mended.push(UNREADABLE);
        }
        rest = others;
    }
    mended
}

/// Returns the length of the escape at the start of `text`, and whether it stands for a character. Of one that
/// does not exist the backslash alone counts.
fn escape(text: &str) -> (usize, bool) {
    match text.as_bytes().get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => (2, true),
        Some(b'u') => match unit(text, 0) {
            Some(0xD800..=0xDBFF) => match unit(text, 6) {
                Some(0xDC00..=0xDFFF) => (12, true),
                _ => (6, false),
            },
            Some(0xDC00..=0xDFFF) => (6, false),
            Some(_) => (6, true),
            None => (1, false),
        },
        _ => (1, false),
    }
}

/// Returns the UTF-16 unit that the escape at that place is.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_mended_where_json_forbids_it_and_nowhere_else() {
        for (broken, expected) in [
            (&br#"{"a":"x\ud83d"}"#[..], "{\"a\":\"x\u{fffd}\"}"),
            (br#""\ud83dx""#, "\"\u{fffd}x\""),
            (br#""\ud83d\u0041""#, "\"\u{fffd}\\u0041\""),
            (br#""\ud83d\ud83d\ude00""#, "\"\u{fffd}\\ud83d\\ude00\""),
            (br#""\ude00\ud83d""#, "\"\u{fffd}\u{fffd}\""),
            (br#""\u12""#, "\"\u{fffd}u12\""),
            (br#""\u+123""#, "\"\u{fffd}u+123\""),
            (br#""\x41""#, "\"\u{fffd}x41\""),
            (b"\"a\xffb\"", "\"a\u{fffd}b\""),
            (b"\"a\nb\x01\"\n", "\"a\u{fffd}b\u{fffd}\"\n"),
            (b"\"a\\", "\"a\u{fffd}"),
        ] {
            assert_eq!(mended(broken), expected);
        }
        for whole in [
            r#"{"a":"\ud83d\ude00 \u00e9 \" \\ \/ \b\f\n\r\t","b\\":[1,null]}"#,
            "{\n\t\"\u{1f600}\": \"\u{7f}\"\r\n}",
            r#"{"\\":"\\ud83d"}"#,
        ] {
            assert_eq!(mended(whole.as_bytes()), whole);
        }
    }
}
