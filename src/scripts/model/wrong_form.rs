//! Recognizes values that are not a script: the common mistakes of the tools that set user data. Pure.
//!
//! Each mistake has its own message (invariant S5). This module reads the beginning of the value; it never runs what it
//! decodes, and its messages never quote the value (invariant S3).

use std::fmt;

use base64ct::{Base64, Encoding};

/// How many characters of base64 are decoded to recognize the content: a multiple of four.
const BASE64_SAMPLE_LEN: usize = 64;
/// The shortest decoded text, in bytes. The base64 of a shorter text cannot be distinguished from a word.
const MIN_TEXT_LEN: usize = 12;
/// The first bytes of every gzip file.
pub(crate) const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a value is that is not a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongForm {
    /// UTF-8 that begins with a byte order mark.
    ByteOrderMark,
    /// UTF-16, as Windows programs save text.
    Utf16,
    /// gzip.
    Gzip,
    /// base64 of a script or of other text.
    Base64,
    /// base64 of gzip, as from Terraform's `base64gzip` and `cloudinit_config`.
    Base64OfGzip,
    /// `@` and a file name: the tool that set the value does not read files this way.
    FileName,
    /// White space or empty lines before `#!`.
    WhiteSpaceInFront,
    /// None of these.
    Unknown,
}

impl WrongForm {
    /// The form of a value that does not begin with `#!`.
    pub fn of(value: &[u8]) -> Self {
        if value.starts_with(BYTE_ORDER_MARK) {
            Self::ByteOrderMark
        } else if is_utf16(value) {
            Self::Utf16
        } else if value.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if skip_white_space(value).starts_with(b"#!") {
            Self::WhiteSpaceInFront
        } else if is_file_name(value) {
            Self::FileName
        } else {
            base64_form(value).unwrap_or(Self::Unknown)
        }
    }
}

/// The value without the white space at its beginning: all white space of Unicode, as in cloud-init.
pub(crate) fn skip_white_space(value: &[u8]) -> &[u8] {
    // Only the part before the first byte that is not UTF-8.
    let text = value.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let is_space = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
    &value[text.len() - text.trim_start_matches(is_space).len()..]
}

/// Whether bytes begin with a byte order mark of UTF-16, or with two ASCII characters in UTF-16.
fn is_utf16(value: &[u8]) -> bool {
    match *value {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, b, c, d, ..] => (a == 0) != (b == 0) && (a == 0) == (c == 0) && (b == 0) == (d == 0),
        _ => false,
    }
}

fn is_file_name(value: &[u8]) -> bool {
    let line = value.trim_ascii();
    line.len() > 1 && line.starts_with(b"@") && !line.iter().any(u8::is_ascii_control)
}

/// The form of a value that is base64, in one of its two alphabets. Words also consist of base64 characters, so the decoded
/// bytes decide.
fn base64_form(value: &[u8]) -> Option<WrongForm> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let text = value.trim_ascii();
    let unpadded = text.strip_suffix(b"=").unwrap_or(text);
    let unpadded = unpadded.strip_suffix(b"=").unwrap_or(unpadded);
    if !unpadded.iter().all(|byte| is_base64(*byte) || byte.is_ascii_whitespace()) {
        return None;
    }
    let mut sample = String::new();
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()).take(BASE64_SAMPLE_LEN) {
        sample.push(match byte {
            b'-' => '+',
            b'_' => '/',
            byte => char::from(*byte),
        });
    }
    sample.truncate(sample.len() / 4 * 4);
    let decoded = Base64::decode_vec(&sample).ok()?;
    // Three bytes: a word may decode to the first two by chance.
    if decoded.starts_with(b"\x1f\x8b\x08") {
        return Some(WrongForm::Base64OfGzip);
    }
    let is_script = decoded.starts_with(b"#!/") || decoded.starts_with(b"#! ");
    let is_utf16_text = is_utf16(&decoded) && decoded.iter().filter(|byte| **byte == 0).count() > 2;
    let is_text = decoded.len() >= MIN_TEXT_LEN && is_text(&decoded);
    (is_script || is_utf16_text || is_text || decoded.starts_with(BYTE_ORDER_MARK))
        .then_some(WrongForm::Base64)
}

/// Whether bytes are UTF-8 without control characters. The last character may be incomplete.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let is_utf8 = std::str::from_utf8(bytes).map_or_else(|why| why.error_len().is_none(), |_| true);
    is_utf8 && !bytes.iter().any(is_control)
}

impl fmt::Display for WrongForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByteOrderMark => {
                "the value begins with a byte order mark: save it as UTF-8 without one and set it again"
            }
            Self::Utf16 => "the value is UTF-16 text: save it as UTF-8 and set it again",
            Self::Gzip => "the value is packed with gzip: set it unpacked",
            Self::Base64 => "the value is base64: set it decoded",
            Self::Base64OfGzip => {
                "the value is base64 of gzip: set the text itself, neither encoded nor packed"
            }
            Self::FileName => {
                "the value is `@` and a file's name: the tool set the name instead of the file's content"
            }
            Self::WhiteSpaceInFront => "the value has white space or an empty line before `#!`: remove it",
            Self::Unknown => "the script does not start with `#!` and an interpreter, such as `#!/bin/sh`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &[u8] = b"#!/bin/sh\necho hello\n";

    fn encoded(bytes: &[u8]) -> String {
        Base64::encode_string(bytes)
    }

    #[test]
    fn s5_each_mistake_of_a_tool_has_its_own_form() {
        use WrongForm::*;
        let utf16 =
            |order: fn(u16) -> [u8; 2]| "#!/bin/sh\n".encode_utf16().flat_map(order).collect::<Vec<_>>();
        let wrapped = encoded(&SCRIPT.repeat(9)).as_bytes().chunks(76).collect::<Vec<_>>().join(&b'\n');
        let url_safe = encoded(b"#!/bin/sh\n# ???>>>???>>>\n").replace('+', "-").replace('/', "_");
        for (value, form) in [
            (&b"\xef\xbb\xbf#!/bin/sh\n"[..], ByteOrderMark),
            (b"\xef\xbb\xbf\n#!/bin/sh\n", ByteOrderMark),
            (&[&b"\xff\xfe"[..], &utf16(u16::to_le_bytes)].concat(), Utf16),
            (&[&b"\xfe\xff"[..], &utf16(u16::to_be_bytes)].concat(), Utf16),
            (&utf16(u16::to_le_bytes), Utf16),
            (&utf16(u16::to_be_bytes), Utf16),
            (b"\x1f\x8b\x08", Gzip),
            (encoded(SCRIPT).as_bytes(), Base64),
            (format!("\n{}\n", encoded(SCRIPT)).as_bytes(), Base64),
            (encoded(SCRIPT).trim_end_matches('=').as_bytes(), Base64),
            (&wrapped, Base64),
            (url_safe.as_bytes(), Base64),
            (encoded(b"#!/bin/sh").as_bytes(), Base64),
            (encoded(b"#cloud-config\nusers: []\n").as_bytes(), Base64),
            (encoded("écho dix-sept été".as_bytes()).as_bytes(), Base64),
            (encoded(encoded(SCRIPT).as_bytes()).as_bytes(), Base64),
            (encoded(&utf16(u16::to_le_bytes)).as_bytes(), Base64),
            (encoded(b"\x1f\x8b\x08\x00\x00\x00\x00\x00").as_bytes(), Base64OfGzip),
            (b"@setup.sh", FileName),
            (b"@/root/my setup.sh\r\n", FileName),
            (b"\n#!/bin/sh\n", WhiteSpaceInFront),
            (b" \t#!/bin/sh\n", WhiteSpaceInFront),
            ("\u{a0}\u{2003}#!/bin/sh\n".as_bytes(), WhiteSpaceInFront),
            (b"", Unknown),
            (b"@", Unknown),
            (b"@echo off\necho hello\n", Unknown),
            (b"echo hello\n", Unknown),
            (b"hello", Unknown),
            (b"planted-secret", Unknown),
            (b"correcthorsebatterystaple", Unknown),
            (b"d41d8cd98f00b204e9800998ecf8427e", Unknown),
            (b"0a1b2c3d-4e5f-6789-abcd-ef0123456789", Unknown),
            (b"\0\0\0\0", Unknown),
            (b"\x7fELF\x02\x01\x01\0", Unknown),
            (b"\xff", Unknown),
        ] {
            assert_eq!(WrongForm::of(value), form, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn s5_words_are_not_taken_for_base64() {
        let mut random = fastrand::Rng::with_seed(7);
        for length in (0..100).flat_map(|length| [length; 200]) {
            let word: String = (0..length).map(|_| random.alphanumeric()).collect();
            assert_eq!(WrongForm::of(word.as_bytes()), WrongForm::Unknown, "{word}");
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..20_000 {
            let length = random.usize(..100);
            let byte =
                |_| *random.choice(b"#!@ \n\t=+-_/Aa0\0\xef\xbb\xbf\xff\xfe\x1f\x8b\xc2\xa0").unwrap_or(&0);
            let bytes: Vec<u8> = (0..length).map(byte).collect();
            let _ = (WrongForm::of(&bytes), skip_white_space(&bytes));
        }
    }
}
