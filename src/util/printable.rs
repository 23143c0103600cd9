//! Escapes text from outside for a message, a document or a terminal. Pure.
//!
//! The rule (invariant S3): a message never quotes a value. Secrets may be in user data, scripts and their headers, response bodies,
//! records and command arguments. A typing error (`evn=TOKEN=…`) can make a value look like a name. Messages go to the journal, to
//! the world-readable summary and to the logs of CI systems. So a message says where the error is (key, line, word number) and what
//! is expected there. It may contain only these texts from outside:
//! - a word of a fixed list of this program (a setting, an option, a known interpreter), also after "did you mean";
//! - a number, a duration or an id that was parsed;
//! - a user data key, the file name of a MIME part, the path of an existing file, a process: others can see these names anyway;
//! - what root wrote into the configuration of the agent or of sshd: no setting there is a secret.
//!
//! A name that does not come from this program goes through this module. It escapes characters that would control a terminal, change
//! the order of the text or begin a new line. No error type may contain a value: its variants have numbers and `&'static str` only.

use std::fmt::{self, Write as _};

/// A longer name is truncated to this many characters and ends with `…`.
const MAX_NAME_CHARS: usize = 100;

/// Text as one line. See [`line()`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a>(&'a str);

/// The text as one line. Control, format, bidirectional and separator characters are escaped, such as `\u{202e}`; a tab is not
/// escaped. A second escape changes nothing, so the result is for people and cannot be converted back.
pub(crate) fn line(text: &str) -> Line<'_> {
    Line(text)
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, is_shown, f)
    }
}

/// A name as one line of at most 100 characters.
pub(crate) fn name(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME_CHARS) {
        None => line(text).to_string(),
        Some((end, _)) => format!("{}…", line(&text[..end])),
    }
}

/// Bytes as lines for a terminal: escaped as by [`line()`], except for line feeds. Invalid UTF-8 is escaped by byte, such as `\xff`.
pub(crate) fn lines(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // A write into a string does not fail.
        let _ = escape(chunk.valid(), |c| c == '\n' || is_shown(c), &mut shown);
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Text with escaped line breaks, for the journal. The journal's readers escape the other characters themselves.
pub(crate) fn without_line_breaks(text: &str) -> String {
    let breaks = ['\n', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut joined = String::with_capacity(text.len());
    let _ = escape(text, |c| !breaks.contains(&c), &mut joined);
    joined
}

/// A JSON document for a terminal. It is equivalent to the original, because it uses JSON's own escapes and the escaped characters
/// can occur in strings only.
pub(crate) fn json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || is_shown(c) {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

/// What is wrong with a JSON document, and where. (serde's own message quotes the document.)
pub(crate) fn json_fault(why: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match why.classify() {
        Category::Data => "unexpected content",
        Category::Eof => "the JSON document is cut off",
        Category::Syntax | Category::Io => "not valid JSON",
    };
    format!("{what} at line {}, column {}", why.line(), why.column())
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool, out: &mut impl fmt::Write) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(|c| !is_kept(c)) {
        let (kept, from) = rest.split_at(at);
        let mut characters = from.chars();
        if let Some(c) = characters.next() {
            write!(out, "{kept}{}", c.escape_debug())?;
        }
        rest = characters.as_str();
    }
    out.write_str(rest)
}

/// Whether a character is shown without an escape.
pub fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return c == '\t' || c == ' ' || c.is_ascii_graphic();
    }
    // `escape_debug` is the only access to the standard library's table of printable characters. It also escapes a combining
    // character at the beginning of a text, so a letter is put before the character.
    let mut text = [b'a', 0, 0, 0, 0];
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Controls of both kinds, format and bidirectional characters, separators, tags.
    const HIDDEN: &str = "\0\u{7}\u{8}\u{b}\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9d}\u{ad}\u{600}\u{61c}\u{180e}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{feff}\u{fff9}\u{110bd}\u{e0001}\u{e0041}\u{a0}\u{3000}\u{e000}";

    #[test]
    fn s3_hidden_characters_are_escaped_and_others_stay() {
        for c in HIDDEN.chars() {
            let text = format!("a{c}b");
            let shown = [line(&text).to_string(), name(&text), lines(text.as_bytes())];
            for shown in shown {
                assert!(shown.starts_with("a\\") && shown.ends_with('b') && shown.len() > 3, "{shown:?}");
                assert!(shown.chars().all(is_shown), "{shown:?}");
                assert_eq!(line(&shown).to_string(), shown, "escaped twice");
            }
        }
        for text in ["", "plain", "two words\tand a tab", "clé 鍵 مفتاح 🔑 e\u{301}", "\"'\\u{1b}"] {
            assert_eq!((line(text).to_string(), lines(text.as_bytes())), (text.to_owned(), text.to_owned()));
        }
        assert_eq!(line("a\nb").to_string(), "a\\nb");
        assert_eq!(lines(b"a\n\xff\x1b[31m\xc3\n"), "a\n\\xff\\u{1b}[31m\\xc3\n");
    }

    #[test]
    fn name_is_bounded() {
        let long = "é".repeat(MAX_NAME_CHARS);
        assert_eq!(name(&long), long);
        assert_eq!(name(&format!("{long}x")), format!("{long}…"));
    }

    #[test]
    fn journal_message_only_loses_its_line_breaks() {
        assert_eq!(without_line_breaks("\u{1b}[32mok\u{1b}[0m\r"), "\u{1b}[32mok\u{1b}[0m\r");
        assert_eq!(without_line_breaks("a\nPRIORITY=0\u{2028}b\u{85}"), "a\\nPRIORITY=0\\u{2028}b\\u{85}");
    }

    #[test]
    fn escaped_json_document_has_the_same_content() {
        let value = serde_json::json!({ "key": HIDDEN, "other": "clé \"🔑\" \\", "list": [1, null] });
        for document in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let shown = json(&document);
            assert!(shown.chars().all(|c| c == '\n' || is_shown(c)), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
        }
    }

    #[test]
    fn s3_json_fault_does_not_quote_the_document() {
        for document in
            [r#"{"a":"hunter2"}"#, "hunter2", r#""hunter2"#, r#"{"hunter2":1}"#, r#"{"a":hunter2}"#, ""]
        {
            let why = serde_json::from_str::<std::collections::BTreeMap<char, u8>>(document)
                .expect_err("another shape");
            let message = json_fault(&why);
            assert!(!message.contains("hunter2") && message.contains("line "), "{message}");
        }
    }
}
