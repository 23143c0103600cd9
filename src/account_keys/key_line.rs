//! One line of an authorized_keys file with a key that sshd can read (sshd(8), AUTHORIZED_KEYS FILE FORMAT). Pure.

use base64ct::{Base64, Encoding};
use thiserror::Error;

use crate::host_keys::key::public_key::{PublicKey, split_string};

/// The service accepts keys of 65,000 characters and names of 1,000; a line with both fits.
const MAX_BYTES: usize = 80 * 1024;

/// A line with a complete key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyLine {
    /// The options before the key, as written.
    options: Option<String>,
    key: PublicKey,
}

/// Why a text is not used as a line. The text itself is never shown: it may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum KeyLineError {
    /// It would be more than one line, or a terminal would be controlled by it.
    #[error("it has a control character")]
    ControlCharacter,
    /// It is longer than any key.
    #[error("it is longer than any key")]
    TooLong,
    /// Options before the key change what the key may do; they are accepted only from root's own file.
    #[error("it has options before the key")]
    Options,
    /// There is no complete key.
    #[error("it has no complete public key")]
    NoKey,
    /// More keys than anybody has.
    #[error("there are more keys than 1000; the others are left out")]
    TooMany,
}

impl KeyLine {
    /// A key of the account or of a tag: type, key and comment. Anybody who may edit these decides who becomes root, but not how.
    ///
    /// # Errors
    /// [`KeyLineError`]
    pub(crate) fn without_options(text: &str) -> Result<Self, KeyLineError> {
        let line = Self::parse(text)?;
        if line.options.is_some() { Err(KeyLineError::Options) } else { Ok(line) }
    }

    /// A line that may have options.
    ///
    /// # Errors
    /// [`KeyLineError`], but never for options.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyLineError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(KeyLineError::ControlCharacter);
        }
        if text.len() > MAX_BYTES {
            return Err(KeyLineError::TooLong);
        }
        if let Some(key) = public_key(text) {
            return Ok(Self { options: None, key });
        }
        let (options, rest) = split_options(text).ok_or(KeyLineError::NoKey)?;
        let key = public_key(rest).ok_or(KeyLineError::NoKey)?;
        Ok(Self { options: Some(options.to_owned()), key })
    }

    /// The line, without its end.
    pub(crate) fn text(&self) -> String {
        let mut text = self.identity();
        if !self.key.comment.is_empty() {
            text = format!("{text} {}", self.key.comment);
        }
        text
    }

    /// What makes it this key: the line without its comment.
    pub(crate) fn identity(&self) -> String {
        let options = self.options.as_ref().map(|options| format!("{options} ")).unwrap_or_default();
        format!("{options}{}", self.key.key_text())
    }

    /// Whether there are options before the key.
    pub(crate) fn has_options(&self) -> bool {
        self.options.is_some()
    }

    /// Whether the key is of a type that was checked completely. Another one may be a certificate, or not be a key at all.
    pub(crate) fn is_checked(&self) -> bool {
        is_known(&self.key.algorithm)
    }

    /// The key.
    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// A key of any type, whose data have the same type as the text says.
fn public_key(text: &str) -> Option<PublicKey> {
    let (algorithm, rest) = split_at_blank(text)?;
    let text = format!("{algorithm} {rest}");
    if is_known(algorithm) {
        return PublicKey::parse(&text).ok();
    }
    // The type of a security key, or one that this program does not know. sshd judges what is in it.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-@.".contains(c);
    let blob = Base64::decode_vec(rest.split([' ', '\t']).next()?).ok()?;
    let (_, data) = split_string(&blob)?;
    split_string(data)?;
    algorithm.chars().all(is_name).then(|| PublicKey::parse_listed(&text, 0, algorithm).ok())?
}

/// Whether [`PublicKey::parse`] checks keys of this type completely.
fn is_known(algorithm: &str) -> bool {
    let curve = algorithm.strip_prefix("ecdsa-sha2-nistp");
    matches!(algorithm, "ssh-ed25519" | "ssh-rsa") || matches!(curve, Some("256" | "384" | "521"))
}

/// The options, which end at the first blank outside of quotes, and what follows them. As in sshd, only `\"` is an escape, and also
/// outside of quotes.
fn split_options(text: &str) -> Option<(&str, &str)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if is_escaped => is_escaped = false,
            '\\' if text[at + 1..].starts_with('"') => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => {
                let (options, rest) = text.split_at(at);
                let begins_well = options.starts_with(|c: char| c.is_ascii_alphabetic());
                return begins_well.then(|| (options, rest.trim_start_matches([' ', '\t'])));
            }
            _ => {}
        }
    }
    None
}

fn split_at_blank(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once([' ', '\t'])?;
    Some((first, rest.trim_start_matches([' ', '\t'])))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A valid key, another one for each number.
    pub(crate) fn key_text(number: u8) -> String {
        let string = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
            [&length[..], bytes].concat()
        };
        let blob = [string(b"ssh-ed25519"), string(&[number; 32])].concat();
        format!("ssh-ed25519 {}", Base64::encode_string(&blob))
    }

    /// A line with this key, and a comment.
    pub(crate) fn line(number: u8) -> KeyLine {
        KeyLine::parse(&format!("{} key {number}", key_text(number))).expect("a line")
    }

    #[test]
    fn lines_with_a_complete_key_are_read() {
        let key = key_text(1);
        let blanks = key.replace(' ', " \t ");
        let security_key = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIMEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAAAABHNzaDo=";
        for (given, expected, has_options) in [
            (key.clone(), key.clone(), false),
            (format!(" {key}  me@laptop ü \r\n"), format!("{key} me@laptop ü"), false),
            (format!("{blanks} c"), format!("{key} c"), false),
            (format!("{security_key} c"), format!("{security_key} c"), false),
            (
                format!("from=\"10.0.0.1\",command=\"a \\\" b\" \t{key} c"),
                format!("from=\"10.0.0.1\",command=\"a \\\" b\" {key} c"),
                true,
            ),
            (format!("cert-authority {key}"), format!("cert-authority {key}"), true),
            // sshd does not know `\\\\` as an escape.
            (
                format!("command=\"a\\\\\" {} \" {key}", key_text(2)),
                format!("command=\"a\\\\\" {} \" {key}", key_text(2)),
                true,
            ),
        ] {
            let line = KeyLine::parse(&given).expect(&given);
            assert_eq!(line.text(), expected, "{given}");
            assert_eq!(KeyLine::parse(&line.text()).as_ref(), Ok(&line), "it is read back");
            let refused = KeyLine::without_options(&given) == Err(KeyLineError::Options);
            assert_eq!(refused, has_options, "{given}");
        }
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        let key = key_text(1);
        for (text, why) in [
            (String::new(), KeyLineError::NoKey),
            (format!("# {key}"), KeyLineError::NoKey),
            (format!("#{key}"), KeyLineError::NoKey),
            (key[..40].to_owned(), KeyLineError::NoKey),
            (key.replace("ssh-ed25519", "ssh-rsa"), KeyLineError::NoKey),
            (key.replace("ssh-ed25519", "ssh-new"), KeyLineError::NoKey),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 c".to_owned(), KeyLineError::NoKey),
            ("ssh-new AAAAB3NzaC1uZXc= c".to_owned(), KeyLineError::NoKey),
            (format!("command=\"x {key}"), KeyLineError::NoKey),
            (format!("@cert-authority {key}"), KeyLineError::NoKey),
            (format!("{key}\nssh-rsa EVIL"), KeyLineError::ControlCharacter),
            (format!("{key} a\u{0}b"), KeyLineError::ControlCharacter),
            (format!("{key} \u{1b}[2J"), KeyLineError::ControlCharacter),
            (format!("{key} {}", "x".repeat(MAX_BYTES)), KeyLineError::TooLong),
        ] {
            assert_eq!(KeyLine::parse(&text), Err(why), "{text}");
        }
    }
}
