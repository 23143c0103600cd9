//! Text from outside for a message or a terminal: names from the API, host names from the command line (invariant S3). Pure.

/// A longer text is cut.
const MAX_CHARS: usize = 200;

/// The text as visible ASCII characters and spaces; all others are escaped as in Rust, such as `\u{1b}`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (number, c) in text.chars().enumerate() {
        if number == MAX_CHARS {
            shown.push_str("...");
            break;
        }
        match c {
            ' '..='~' => shown.push(c),
            _ => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_ascii_is_left() {
        assert_eq!(printable("web-1 \u{1b}[31m\n\u{202e}é"), "web-1 \\u{1b}[31m\\u{a}\\u{202e}\\u{e9}");
        assert_eq!(printable(&"a".repeat(500)).len(), MAX_CHARS + 3);
    }
}
