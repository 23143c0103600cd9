//! Matches a text against a pattern with stars. Pure.

/// Whether `text` matches `pattern` with `*` and `?`, as in the patterns of sshd's configuration.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    matches_by(pattern.as_bytes(), text.as_bytes(), |pattern, byte| match pattern.first()? {
        b'?' => Some(1),
        plain => (*plain == byte).then_some(1),
    })
}

/// Whether `text` matches a pattern with `*`. `match_one` matches one byte of the text: it returns how many bytes of the pattern match it.
pub(crate) fn matches_by(pattern: &[u8], text: &[u8], match_one: fn(&[u8], u8) -> Option<usize>) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to continue after the last `*` if the text after it does not match: then the star takes one more byte.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        let rest = pattern.get(p..).unwrap_or_default();
        if rest.first() == Some(&b'*') {
            back = Some((p + 1, t));
            p += 1;
            continue;
        }
        match (match_one(rest, text[t]), back) {
            (Some(length), _) => (p, t) = (p + length, t + 1),
            (None, Some((after, taken))) => {
                back = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
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
