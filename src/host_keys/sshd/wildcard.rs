//! Matches a text against `*` and `?`, as in the patterns of sshd's configuration. Pure.

/// Whether `text` matches `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to continue after the last `*` if the text after it does not match: then the star takes one more byte.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), back) {
            (Some(b'*'), _) => {
                back = Some((p + 1, t));
                p += 1;
            }
            (Some(b'?'), _) => (p, t) = (p + 1, t + 1),
            (Some(byte), _) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            (_, Some((after, taken))) => {
                back = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_is_any_text_and_question_mark_any_byte() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*.conf", "50-redhat.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("ssh-*", "ssh-ed25519", true),
            ("*nistp???", "ecdsa-sha2-nistp256", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        // The time grows in proportion to the number of stars, not faster.
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
    }
}
