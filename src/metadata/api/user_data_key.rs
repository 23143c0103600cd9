//! The name of a user data key: checked when made, so that no key can ever change the path it is put in.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::util::printable;

/// What stands unencoded in a URL path beside letters and digits: RFC 3986's "unreserved" characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// No limit is documented; this is well over any name seen, and keeps a request line short.
const LONGEST: usize = 255;

/// A user data key that can be asked for: not empty, not `.` or `..`, no control character, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserDataKey(String);

/// Why a name cannot be a user data key.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The name is empty.
    Empty,
    /// The name is `.` or `..`, which a server may take for a step in the path.
    Dots,
    /// The name has a control character.
    Control,
    /// The name is longer than 255 bytes.
    TooLong,
    /// The name is not UTF-8.
    NotUtf8,
}

impl UserDataKey {
    /// The key under which the fingerprints of the host keys are published.
    pub fn fingerprints() -> Self {
        Self("ssh-host-fingerprints".to_owned())
    }

    /// cloud-init's own key.
    pub fn cloud_init() -> Self {
        Self("cloud-init".to_owned())
    }

    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        match name {
            "" => Err(KeyError::Empty),
            "." | ".." => Err(KeyError::Dots),
            _ if name.len() > LONGEST => Err(KeyError::TooLong),
            _ if name.chars().any(char::is_control) => Err(KeyError::Control),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// Reads a key back from a URL path segment.
    pub fn from_path_segment(segment: &str) -> Result<Self, KeyError> {
        let name = percent_decode_str(segment).decode_utf8().map_err(|_| KeyError::NotUtf8)?;
        Self::new(&name)
    }

    /// The key as its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as one segment of a URL path. It never holds a `/`, and serves as a file name for the same reason.
    pub fn to_path_segment(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED).to_string()
    }
}

/// For a message: escaped. [`UserDataKey::as_str`] is the key itself.
impl fmt::Display for UserDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        printable::line(&self.0).fmt(f)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a user data key cannot be empty",
            Self::Dots => "a user data key cannot be `.` or `..`",
            Self::Control => "a user data key cannot hold control characters",
            Self::TooLong => "a user data key cannot be longer than 255 bytes",
            Self::NotUtf8 => "a user data key must be valid UTF-8",
        })
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_change_the_path_is_refused() {
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
    fn a_key_is_shown_on_one_line_and_cannot_change_its_order() {
        let key = UserDataKey::new("a\u{202e}b\u{2028}c").expect("a good key");
        assert_eq!((&*key.to_string(), key.as_str()), ("a\\u{202e}b\\u{2028}c", "a\u{202e}b\u{2028}c"));
    }

    #[test]
    fn any_other_key_goes_into_one_path_segment_and_comes_back() {
        for (name, segment) in [
            ("setup-script.10_web~", "setup-script.10_web~"),
            ("a/../b", "a%2F..%2Fb"),
            ("a b?c#d%", "a%20b%3Fc%23d%25"),
            ("clé", "cl%C3%A9"),
        ] {
            let key = UserDataKey::new(name).expect("a good key");
            assert_eq!(key.to_path_segment(), segment);
            assert_eq!(UserDataKey::from_path_segment(segment), Ok(key));
        }
    }
}
