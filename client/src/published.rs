//! The published fingerprints: the value of the user data key `ssh-host-fingerprints`, as the agent, Scaleway's
//! own scripts and cloud-init write it. Pure.
//!
//! A line is `BITS SHA256:… COMMENT (TYPE)`. Only the fingerprint counts: it contains the type and the key.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding};

/// The user data key.
pub(crate) const KEY: &str = "ssh-host-fingerprints";

/// More entries are ignored. A server has a handful of keys.
const MAX_ENTRIES: usize = 64;

/// A message has no more.
const MAX_LISTED: usize = 8;

/// The SHA-256 fingerprint of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// From the digest.
    pub fn of(digest: &[u8; 32]) -> Self {
        Self(*digest)
    }

    /// From `SHA256:` and 43 characters.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        let encoded = text.strip_prefix("SHA256:").filter(|encoded| encoded.len() == 43)?;
        Base64Unpadded::decode(encoded, &mut digest).ok().filter(|decoded| decoded.len() == 32)?;
        Some(Self(digest))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", Base64Unpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fingerprints that an Instance published; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published(Vec<Entry>);

/// One published key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// The type that the line names: `ED25519`. It is for display only, and empty if the line has none.
    pub kind: String,
}

impl Published {
    /// The fingerprints of a value; `None` if it has none. Lines without a fingerprint are ignored: the value may
    /// be of another program.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for line in value.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let [bits, fingerprint, ..] = fields[..] else { continue };
            let Some(fingerprint) = Fingerprint::parse(fingerprint) else { continue };
            if bits.parse::<u32>().is_err() || entries.iter().any(|entry| entry.fingerprint == fingerprint) {
                continue;
            }
            let kind = fields.last().and_then(|last| last.strip_prefix('(')?.strip_suffix(')'));
            let is_type = |kind: &&str| kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if entries.len() == MAX_ENTRIES {
                break;
            }
            entries.push(Entry { fingerprint, kind: kind.filter(is_type).unwrap_or_default().to_owned() });
        }
        (!entries.is_empty()).then_some(Self(entries))
    }

    /// Whether this key is published.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.iter().any(|entry| entry.fingerprint == *fingerprint)
    }

    /// All entries, in the order of the value.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The fingerprints, for a message.
    pub fn list(&self) -> String {
        let shown = self.0.iter().take(MAX_LISTED).map(|entry| entry.fingerprint.to_string());
        let more = (self.0.len() > MAX_LISTED).then(|| format!("{} more", self.0.len() - MAX_LISTED));
        shown.chain(more).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

    #[test]
    fn lines_of_all_writers_are_understood() {
        for (value, count) in [
            (format!("256 {A} root@web-1 (ED25519)"), 1),
            (format!("256 {A} root@web-1 (ED25519)\n3072 {B} root@web-1 (RSA)\n"), 2),
            (format!("256 {A} no comment (ED25519)\r\n"), 1),
            (format!("256 {A} (ED25519)"), 1),
            (format!("256 {A}"), 1),
            (format!("256 {A} x (ED25519)\n256 {A} y (ED25519)"), 1),
        ] {
            let published = Published::parse(value.as_bytes()).expect(&value);
            assert_eq!(published.entries().len(), count, "{value:?}");
            assert!(published.contains(&Fingerprint::parse(A).expect("one")));
        }
    }

    #[test]
    fn values_without_a_fingerprint_are_nothing() {
        for value in [
            "",
            "\n\n",
            "256 MD5:00:11 root@x (ED25519)",
            A,
            &format!("x {A} y (ED25519)"),
            &format!("256 {} y (ED25519)", &A[..49]),
            &format!("256 {A}A y (ED25519)"),
            "256 SHA256:\u{1b}[31mAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA y (ED25519)",
        ] {
            assert_eq!(Published::parse(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn type_is_shown_only_if_it_is_one() {
        let value = format!("256 {A} x (\u{1b}[31m)\n256 {B} x (ED25519-CERT)");
        let published = Published::parse(value.as_bytes()).expect("two");
        assert_eq!(published.entries()[0].kind, "");
        assert_eq!(published.entries()[1].kind, "ED25519-CERT");
    }
}
