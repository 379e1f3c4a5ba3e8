//! Patterns of user ids: `*` stands for any characters, `?` for one.

/// Returns whether the whole text matches the pattern. Takes time in proportion to the product of their lengths at most.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the last star was, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while next < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[next] => {
                at += 1;
                next += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, next) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_the_whole_id() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("*-bot", "ci-bot"),
            ("a?c", "abc"),
            ("*a*b", "xaab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", "ab"),
            ("?", ""),
            ("*-bot", "bot"),
            ("A*", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let slow = "*a".repeat(30) + "b";
        assert!(!matches(&slow, &"a".repeat(200)));
    }
}
