//! What in a value is likely a mistake and keeps no script from running: for `setup validate` and the journal. Pure.
//!
//! All texts are this program's own, with numbers of lines and bytes: nothing of the value is quoted (invariant S3).

use std::fmt;

use crate::scripts::model::header::{HeaderMark, mark};

/// What Terraform takes as a value, in characters, by its documentation.
const LARGEST_FOR_TERRAFORM: usize = 127_998;

/// A likely mistake. Lines are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The file has a name that as a key would be nearly this one.
    Name(&'static str),
    /// So many characters are more than Terraform takes.
    Size(usize),
    /// This line ends with CRLF, and so many more do.
    LineEnds(usize, usize),
    /// This line of settings stands below the leading comments.
    SettingsBelow(usize),
    /// This leading comment begins nearly like a line of settings, and is none.
    NotSettings(usize),
}

/// In a script that can run.
pub(crate) fn of_script(body: &[u8]) -> Vec<Warning> {
    let mut is_leading = true;
    let (mut ends, mut near, mut below) = (None, None, None);
    // Behind the text, anything may stand: it ends at a NUL byte and at a line that is not UTF-8.
    let text = body.split(|byte| *byte == 0).next().unwrap_or_default();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let Ok(text) = std::str::from_utf8(bytes) else { break };
        if text.ends_with('\r') {
            ends = Some(ends.map_or((line, 0), |(first, more)| (first, more + 1)));
        }
        is_leading &= text.starts_with('#');
        match mark(text.trim_start()) {
            HeaderMark::Settings(_) | HeaderMark::Near { is_setting: true } if !is_leading => {
                below = below.or(Some(line));
            }
            HeaderMark::Near { is_setting: false } if is_leading => near = near.or(Some(line)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    found.extend(ends.map(|(first, more)| Warning::LineEnds(first, more)));
    found.extend(near.map(Warning::NotSettings));
    found.extend(below.map(Warning::SettingsBelow));
    found
}

/// In a value as a whole.
pub(crate) fn of_value(value: &[u8]) -> Option<Warning> {
    let characters = std::str::from_utf8(value).map_or(value.len(), |text| text.chars().count());
    (characters > LARGEST_FOR_TERRAFORM).then_some(Warning::Size(characters))
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(meant) => {
                write!(f, "a user data key of this file's name is not a script's; did you mean `{meant}`?")
            }
            Self::Size(characters) => write!(
                f,
                "the value has {characters} characters: Terraform refuses more than {LARGEST_FOR_TERRAFORM}, and so may others"
            ),
            Self::LineEnds(line, 0) => write!(f, "line {line} of the script ends with CRLF (Windows)"),
            Self::LineEnds(line, more) => {
                write!(f, "line {line} of the script and {more} more end with CRLF (Windows)")
            }
            Self::SettingsBelow(line) => write!(
                f,
                "line {line} of the script: a setting here has no effect: settings stand in the comments that the script begins with, before any other line"
            ),
            Self::NotSettings(line) => {
                write!(f, "line {line} of the script: not read as settings, which begin with `# scw-setup:`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_likely_mistakes_in_a_script_are_named_by_line() {
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
    fn a_value_that_terraform_refuses_is_named() {
        assert_eq!(of_value(&[b'#'; LARGEST_FOR_TERRAFORM]), None);
        let warning = of_value(&[b'#'; LARGEST_FOR_TERRAFORM + 1]).expect("a warning");
        assert!(warning.to_string().starts_with("the value has 127999 characters"), "{warning}");
        assert_eq!(of_value("é".repeat(LARGEST_FOR_TERRAFORM).as_bytes()), None);
    }
}
