//! Fingerprints in the format of `ssh-keygen -l`.

use std::collections::BTreeSet;

/// The hash and the type of a key, which a person compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint {
    hash: String,
    kind: String,
}

impl Fingerprint {
    /// Parses `<bits> SHA256:<hash> <comment> (<TYPE>)`.
    fn parse(line: &str) -> Result<Fingerprint, String> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [bits, hash, .., kind]
                if bits.parse::<u32>().is_ok() && hash.starts_with("SHA256:") && kind.starts_with('(') =>
            {
                Ok(Fingerprint { hash: (*hash).to_owned(), kind: (*kind).to_owned() })
            }
            _ => Err(format!("not a fingerprint: {line:?}")),
        }
    }

    /// The fingerprints in a text, each line of which must be one.
    pub(crate) fn set(text: &str) -> Result<BTreeSet<Fingerprint>, String> {
        text.lines().map(Fingerprint::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_and_order_are_ignored() {
        let one = "256 SHA256:aa root@x (ED25519)\n3072 SHA256:bb root@x (RSA)";
        let two = "3072 SHA256:bb 127.0.0.1 (RSA)\n256 SHA256:aa no comment (ED25519)\n";
        assert_eq!(Fingerprint::set(one), Fingerprint::set(two));
        assert_ne!(Fingerprint::set(one), Fingerprint::set("256 SHA256:aa root@x (ED25519)"));
    }

    #[test]
    fn other_lines_are_an_error() {
        for line in ["", "no such key", "256 MD5:aa:bb root@x (ED25519)", "x SHA256:aa root@x (RSA)"] {
            assert!(Fingerprint::set(&format!("{line}\n")).is_err(), "{line:?}");
        }
    }
}
