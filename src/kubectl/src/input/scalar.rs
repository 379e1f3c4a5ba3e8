//! What an unquoted text of YAML means: the rules of YAML 1.1 as `kubectl` and the API server apply them, so that `no` is
//! false and `0x1F` is a number here as it is there.

use super::tree::Tree;

const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const TRUE: [&str; 11] = [
    "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
];
const FALSE: [&str; 11] = [
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF",
];
const INFINITE: [&str; 9] = [
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];
const NOT_A_NUMBER: [&str; 3] = [".nan", ".NaN", ".NAN"];

/// Returns the value of an unquoted text.
#[must_use]
pub fn resolve(text: &str) -> Tree {
    if NULLS.contains(&text) {
        return Tree::Null;
    }
    if TRUE.contains(&text) {
        return Tree::Bool(true);
    }
    if FALSE.contains(&text) {
        return Tree::Bool(false);
    }
    if INFINITE.contains(&text) || NOT_A_NUMBER.contains(&text) {
        // No JSON has them: whichever it is, it is a number and no text.
        return Tree::Float(f64::NAN);
    }
    let is_number_like = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let number = is_number_like.then(|| number(&text.replace('_', "")));
    number
        .flatten()
        .unwrap_or_else(|| Tree::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Tree> {
    if let Some(value) = integer(text) {
        return Some(i64::try_from(value).map_or(Tree::Float(0.0), Tree::Int));
    }
    is_decimal(text).then(|| text.parse().map_or(Tree::Float(0.0), Tree::Float))
}

/// Reads a whole number, in the base that its prefix names.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, &*lower),
    };
    let is_digit = |c: char| c.is_digit(base);
    let is_number = !digits.is_empty() && digits.len() <= 24 && digits.chars().all(is_digit);
    let value = is_number.then(|| i128::from_str_radix(digits, base).ok());
    value.flatten().map(|value| sign * value)
}

/// Returns whether the text is a decimal number, with an exponent or without.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !part.is_empty();
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        !digits.is_empty() && is_digits(digits)
    };
    has_digits && is_digits(whole) && is_digits(part) && exponent.is_none_or(is_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_text_means_what_kubectl_makes_of_it() {
        for text in ["~", "", "null"] {
            assert_eq!(resolve(text), Tree::Null, "{text}");
        }
        for (text, value) in [("yes", true), ("On", true), ("no", false), ("N", false)] {
            assert_eq!(resolve(text), Tree::Bool(value), "{text}");
        }
        for (text, value) in [
            ("7", 7),
            ("-7", -7),
            ("+1_000", 1000),
            ("0x1F", 31),
            ("0b11", 3),
            ("010", 8),
        ] {
            assert_eq!(resolve(text), Tree::Int(value), "{text}");
        }
        for text in ["1e3", "1.5", ".5", "-2.5E-3", "08", ".inf", ".NaN", "1."] {
            assert_eq!(resolve(text).kind(), "number", "{text}");
        }
        for text in [
            "alice",
            "1-2",
            "2026-01-01",
            "1e",
            "e1",
            "-",
            ".",
            "12:30",
            "yEs",
            "0xg",
        ] {
            assert_eq!(resolve(text), Tree::Text(text.to_owned()), "{text}");
        }
    }
}
