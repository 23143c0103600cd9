//! Likely mistakes in a value that can run, for `scw-agent setup validate` and the journal. Pure.
//!
//! The texts contain only words of this program, line numbers and sizes; they never quote the value (invariant S3).

use std::fmt;

use crate::scripts::model::header::{HeaderMark, header_mark};

/// The longest value that Terraform accepts, in characters, by its documentation.
const TERRAFORM_MAX_CHARACTERS: usize = 127_998;

/// A likely mistake. Line numbers start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The file's name, used as a user data key, would look like this key.
    Name(&'static str),
    /// The value has this many characters, more than Terraform accepts.
    Size(usize),
    /// This line ends with CR LF, and this number of other lines do.
    LineEnds(usize, usize),
    /// This line of settings is not one of the first comment lines, so it has no effect.
    SettingsBelow(usize),
    /// This comment is similar to a line of settings, and is not read as one.
    NotSettings(usize),
}

/// The likely mistakes in a script that can run.
pub(crate) fn of_script(body: &[u8]) -> Vec<Warning> {
    let mut is_leading = true;
    let (mut line_ends, mut similar, mut below) = (None, None, None);
    // The text ends at a NUL byte, or at a line that is not UTF-8: binary data may follow.
    let text = body.split(|byte| *byte == 0).next().unwrap_or_default();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let Ok(text) = std::str::from_utf8(bytes) else { break };
        if text.ends_with('\r') {
            line_ends = Some(line_ends.map_or((line, 0), |(first, more)| (first, more + 1)));
        }
        is_leading &= text.starts_with('#');
        match header_mark(text.trim_start()) {
            HeaderMark::Settings(_) | HeaderMark::Similar { has_settings: true } if !is_leading => {
                below = below.or(Some(line));
            }
            HeaderMark::Similar { has_settings: false } if is_leading => similar = similar.or(Some(line)),
            _ => {}
        }
    }
    let mut warnings = Vec::new();
    warnings.extend(line_ends.map(|(first, more)| Warning::LineEnds(first, more)));
    warnings.extend(similar.map(Warning::NotSettings));
    warnings.extend(below.map(Warning::SettingsBelow));
    warnings
}

/// The likely mistake in a complete value, of any kind.
pub(crate) fn of_value(value: &[u8]) -> Option<Warning> {
    let characters = std::str::from_utf8(value).map_or(value.len(), |text| text.chars().count());
    (characters > TERRAFORM_MAX_CHARACTERS).then_some(Warning::Size(characters))
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(meant) => {
                write!(f, "this file's name is not the key of a script; did you mean `{meant}`?")
            }
            Self::Size(characters) => write!(
                f,
                "the value has {characters} characters; Terraform accepts at most {TERRAFORM_MAX_CHARACTERS}"
            ),
            Self::LineEnds(line, 0) => write!(f, "line {line} of the script ends with CRLF (Windows)"),
            Self::LineEnds(line, more) => {
                write!(f, "line {line} of the script and {more} more end with CRLF (Windows)")
            }
            Self::SettingsBelow(line) => write!(
                f,
                "line {line} of the script: a setting here has no effect; move it to the comments at the beginning of the script"
            ),
            Self::NotSettings(line) => {
                write!(
                    f,
                    "line {line} of the script: not a line of settings, which begins with `# scw-setup:`"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_likely_mistakes_are_reported_by_line() {
        use Warning::{LineEnds, NotSettings, SettingsBelow};
        for (body, expected) in [
            (&b"#!/bin/sh\n# scw-setup: timeout=1m\necho\n"[..], vec![]),
            (b"#!/bin/sh\necho\r\n", vec![LineEnds(2, 0)]),
            (b"#!/bin/sh\n\necho 1\r\necho 2\necho 3\r\nexit\r", vec![LineEnds(3, 2)]),
            (b"#!/bin/sh\necho a\\rb\nprintf 'a\rb'\n", vec![]),
            (b"#!/bin/sh\nexit\n\x1f\x8b\x08\0\r\n\r\n", vec![]),
            (b"#!/bin/sh\nexit\nBZh91AY&SY\xfe\n\r\n", vec![]),
            (b"#!/bin/sh\n\n# scw-setup: timeout=1m\n", vec![SettingsBelow(3)]),
            (b"#!/bin/sh\nset -e\n  # scw-setup: nonsense\n# scw-setup: user=x\n", vec![SettingsBelow(3)]),
            (b"#!/bin/sh\nset -e\n# SCW_SETUP timeout=1m\n", vec![SettingsBelow(3)]),
            (b"#!/bin/sh\nset -e\n# SCW setup: the rest\n", vec![]),
            (b"#!/bin/sh\ncat <<'#'\n# about scw-setup: timeout=1m\n#\n", vec![]),
            (b"#!/bin/sh\n# SCW setup: installs nginx\n", vec![NotSettings(2)]),
            (b"#!/bin/sh\n# scw-setup installs nginx\n", vec![]),
        ] {
            assert_eq!(of_script(body), expected, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn value_too_long_for_terraform_is_reported() {
        assert_eq!(of_value(&[b'#'; TERRAFORM_MAX_CHARACTERS]), None);
        let warning = of_value(&[b'#'; TERRAFORM_MAX_CHARACTERS + 1]).expect("a warning");
        assert!(warning.to_string().starts_with("the value has 127999 characters"), "{warning}");
        assert_eq!(of_value("é".repeat(TERRAFORM_MAX_CHARACTERS).as_bytes()), None);
    }
}
