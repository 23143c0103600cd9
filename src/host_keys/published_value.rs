//! The published value: the content of the user data key `ssh-host-fingerprints`, in the form that its consumers parse (invariant H3). Pure.
//!
//! There is one line for each key, `BITS SHA256:… COMMENT (TYPE)`. The lines are joined by `\n`, without one at the end. One consumer splits
//! a line into exactly four fields, and another throws on a line that it cannot parse. So a comment has no space and is never empty.

use crate::host_keys::key::public_key::PublicKey;

/// The value to publish. It is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published(String);

impl Published {
    /// The text of the value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a stored value has the same lines, in any order: other programs write them in another one (invariant H4). A consumer may
    /// not accept a repeated or an empty line, so these make a difference.
    pub fn has_same_lines(&self, stored: &[u8]) -> bool {
        let sorted = |value: &[u8]| {
            let mut lines: Vec<_> = value.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort_unstable();
            lines
        };
        stored.len() == self.0.len() && sorted(stored) == sorted(self.0.as_bytes())
    }
}

/// The value for these keys; `None` without keys.
pub fn published_value<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Option<Published> {
    let lines: Vec<_> = keys.into_iter().map(line).collect();
    if lines.is_empty() { None } else { Some(Published(lines.join("\n"))) }
}

fn line(key: &PublicKey) -> String {
    format!("{} {} {} ({})", key.bits, key.fingerprint(), comment(&key.comment), key.type_name)
}

/// The comment as one field that cannot be mistaken for the type in brackets.
fn comment(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_ascii_graphic() && !matches!(c, '(' | ')') { c } else { '_' }).collect();
    if clean.is_empty() { "-".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X";

    fn key(comment: &str) -> PublicKey {
        PublicKey::parse(&format!("{KEY} {comment}")).expect("a good key")
    }

    #[test]
    fn h3_each_line_has_four_fields_with_any_comment() {
        for comment in ["root@scw-example", "", "a comment with spaces", "odd (RSA)", "tab\there", "clé"] {
            let value = published_value([&key(comment)]).expect("one key");
            let fields: Vec<_> = value.as_str().split(' ').collect();
            assert_eq!(fields.len(), 4, "{}", value.as_str());
            assert_eq!((fields[0], fields[3]), ("256", "(ED25519)"));
            assert!(fields[1].starts_with("SHA256:") && fields[1].len() == 50);
        }
    }

    #[test]
    fn h4_value_with_the_same_lines_is_equal() {
        let published = Published("256 SHA256:a x (ED25519)\n3072 SHA256:b x (RSA)".to_owned());
        for (stored, equal) in [
            ("256 SHA256:a x (ED25519)\n3072 SHA256:b x (RSA)", true),
            ("3072 SHA256:b x (RSA)\n256 SHA256:a x (ED25519)", true),
            ("3072 SHA256:b x (RSA)\n256 SHA256:a x (ED25519)\n", false),
            ("256 SHA256:a x (ED25519)", false),
            ("256 SHA256:a x (ED25519)\n256 SHA256:a x (ED25519)", false),
            ("256 SHA256:a y (ED25519)\n3072 SHA256:b x (RSA)", false),
            ("", false),
        ] {
            assert_eq!(published.has_same_lines(stored.as_bytes()), equal, "{stored:?}");
        }
    }

    #[test]
    fn h3_value_has_no_final_newline_and_no_keys_no_value() {
        let value = published_value([&key("a"), &key("b")]).expect("two keys");
        assert_eq!(value.as_str().matches('\n').count(), 1);
        assert!(!value.as_str().ends_with('\n'));
        assert_eq!(value.as_str().matches("SHA256:").count(), 2);
        assert_eq!(published_value([]), None);
    }
}
