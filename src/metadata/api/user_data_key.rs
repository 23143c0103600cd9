//! The name of a user data key. It is validated when it is created, so that no key can change the URL path that contains it.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use crate::util::printable;

/// The characters that are percent-encoded in a URL path: all except the "unreserved" characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// No limit is documented. This one is far above the length of any known name, and it keeps a request line short.
const MAX_KEY_BYTES: usize = 255;

/// A valid user data key: not empty, not `.` or `..`, no control characters, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserDataKey(String);

/// Why a name cannot be a user data key.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The name is empty.
    #[error("a user data key cannot be empty")]
    Empty,
    /// The name is `.` or `..`, which a server may interpret as a step in the path.
    #[error("a user data key cannot be `.` or `..`")]
    Dots,
    /// The name has a control character.
    #[error("a user data key cannot contain control characters")]
    Control,
    /// The name is longer than 255 bytes.
    #[error("a user data key cannot be longer than 255 bytes")]
    TooLong,
    /// The name is not UTF-8.
    #[error("a user data key must be valid UTF-8")]
    NotUtf8,
}

impl UserDataKey {
    /// The key under which the fingerprints of the host keys are published.
    pub fn fingerprints() -> Self {
        Self("ssh-host-fingerprints".to_owned())
    }

    /// The key that cloud-init reads.
    pub fn cloud_init() -> Self {
        Self("cloud-init".to_owned())
    }

    /// Validates `name`.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        match name {
            "" => Err(KeyError::Empty),
            "." | ".." => Err(KeyError::Dots),
            _ if name.len() > MAX_KEY_BYTES => Err(KeyError::TooLong),
            _ if name.chars().any(char::is_control) => Err(KeyError::Control),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// Parses a key from a URL path segment.
    pub fn from_path_segment(segment: &str) -> Result<Self, KeyError> {
        let name = percent_decode_str(segment).decode_utf8().map_err(|_| KeyError::NotUtf8)?;
        Self::new(&name)
    }

    /// The key as the owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as one segment of a URL path. It never contains a `/`, so it can also be a file name.
    pub fn to_path_segment(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED).to_string()
    }
}

/// The escaped key, for a message. [`UserDataKey::as_str`] is the key itself.
impl fmt::Display for UserDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        printable::line(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_could_change_the_path_is_refused() {
        let long = "k".repeat(256);
        for (name, why) in [
            ("", KeyError::Empty),
            (".", KeyError::Dots),
            ("..", KeyError::Dots),
            ("a\nb", KeyError::Control),
            ("a\0b", KeyError::Control),
            (&*long, KeyError::TooLong),
        ] {
            assert_eq!(UserDataKey::new(name), Err(why), "{name:?}");
        }
        assert_eq!(UserDataKey::from_path_segment("%ff"), Err(KeyError::NotUtf8));
        assert_eq!(UserDataKey::from_path_segment("%2e%2E"), Err(KeyError::Dots));
    }

    #[test]
    fn key_is_displayed_escaped_on_one_line() {
        let key = UserDataKey::new("a\u{202e}b\u{2028}c").expect("a valid key");
        assert_eq!((&*key.to_string(), key.as_str()), ("a\\u{202e}b\\u{2028}c", "a\u{202e}b\u{2028}c"));
    }

    #[test]
    fn valid_key_is_one_path_segment_and_can_be_parsed_again() {
        for (name, segment) in [
            ("setup-script.10_web~", "setup-script.10_web~"),
            ("a/../b", "a%2F..%2Fb"),
            ("a b?c#d%", "a%20b%3Fc%23d%25"),
            ("clé", "cl%C3%A9"),
        ] {
            let key = UserDataKey::new(name).expect("a valid key");
            assert_eq!(key.to_path_segment(), segment);
            assert_eq!(UserDataKey::from_path_segment(segment), Ok(key));
        }
    }
}
