//! A public key as a `.pub` file holds it: type, key, comment; its size in bits and its SHA256 fingerprint. Pure.
//!
//! Size and name are computed for the types that this program knows. For another type they are asked of ssh-keygen
//! ([`crate::host_keys::store::key_content`]); the fingerprint is computed for every type.

use std::fmt;

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

/// A public key whose parts agree with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// As in the file: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …
    pub algorithm: String,
    /// The size as `ssh-keygen -l` counts it.
    pub bits: usize,
    /// The name that `ssh-keygen -l` puts in brackets: `ED25519`, …
    pub type_name: String,
    /// What stands behind the key, perhaps nothing.
    pub comment: String,
    blob: Vec<u8>,
}

/// Why a text is not a public key.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicKeyError {
    /// Not of the form `TYPE BASE64 [COMMENT]`.
    Form,
    /// The middle part is not base64.
    Base64,
    /// The key's inside is cut short, or says another type than its outside.
    Inside,
    /// A type of key that this program does not know.
    Algorithm(String),
}

impl PublicKey {
    /// Reads one line of a `.pub` file.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let (algorithm, blob, comment) = parts(text)?;
        let key = Self::from_blob(&blob, comment)?;
        if key.algorithm == algorithm { Ok(key) } else { Err(PublicKeyError::Inside) }
    }

    /// The same for a type that this program does not know, with what `ssh-keygen -l` said of its size and name.
    pub(crate) fn parse_listed(text: &str, bits: usize, type_name: &str) -> Result<Self, PublicKeyError> {
        let (algorithm, blob, comment) = parts(text)?;
        let (inside, _) = split_string(&blob).ok_or(PublicKeyError::Inside)?;
        if inside != algorithm.as_bytes() {
            return Err(PublicKeyError::Inside);
        }
        let (algorithm, comment, type_name) =
            (algorithm.to_owned(), comment.to_owned(), type_name.to_owned());
        Ok(Self { algorithm, bits, type_name, comment, blob })
    }

    /// Reads a key's binary form.
    pub(crate) fn from_blob(blob: &[u8], comment: &str) -> Result<Self, PublicKeyError> {
        let (algorithm, rest) = split_string(blob).ok_or(PublicKeyError::Inside)?;
        let algorithm = String::from_utf8(algorithm.to_vec()).map_err(|_| PublicKeyError::Inside)?;
        let bits = bits(&algorithm, rest)?;
        let type_name = match &*algorithm {
            "ssh-ed25519" => "ED25519",
            "ssh-rsa" => "RSA",
            _ => "ECDSA",
        };
        let (type_name, comment) = (type_name.to_owned(), comment.to_owned());
        Ok(Self { algorithm, bits, type_name, comment, blob: blob.to_vec() })
    }

    /// The same key with another comment.
    #[must_use]
    pub fn with_comment(self, comment: String) -> Self {
        Self { comment, ..self }
    }

    /// Its binary form.
    pub(crate) fn blob(&self) -> &Vec<u8> {
        &self.blob
    }

    /// Whether it is the same key; comments do not count.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.blob == other.blob
    }

    /// Whether the key's inside is these fields and nothing else.
    pub(crate) fn consists_of<'a>(&self, fields: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut rest = split_string(&self.blob).map(|(_, rest)| rest);
        for field in fields {
            rest = rest.and_then(split_string).and_then(|(value, rest)| (value == field).then_some(rest));
        }
        rest == Some(&[])
    }

    /// The key without its comment, as a `.pub` or known_hosts file has it.
    pub fn key_text(&self) -> String {
        format!("{} {}", self.algorithm, Base64::encode_string(&self.blob))
    }

    /// `SHA256:` and 43 characters, as OpenSSH writes it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(&self.blob)))
    }

    /// The key as the data of an SSHFP record (RFC 4255, 6594, 7479): algorithm, SHA-256, the digest in hexadecimal. `None`
    /// for a type that has no number there.
    pub fn sshfp(&self) -> Option<String> {
        let algorithm = match &*self.type_name {
            "RSA" => 1,
            "ECDSA" => 3,
            "ED25519" => 4,
            _ => return None,
        };
        let digest: String = Sha256::digest(&self.blob).iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("{algorithm} 2 {digest}"))
    }
}

/// A line's algorithm, decoded key and comment.
fn parts(text: &str) -> Result<(&str, Vec<u8>, &str), PublicKeyError> {
    let mut parts = text.trim().splitn(3, [' ', '\t']);
    let (algorithm, key) = parts.next().zip(parts.next()).ok_or(PublicKeyError::Form)?;
    let blob = Base64::decode_vec(key).map_err(|_| PublicKeyError::Base64)?;
    Ok((algorithm, blob, parts.next().unwrap_or_default().trim()))
}

/// The key's size: given by the type, but for RSA, where it is the modulus's.
fn bits(algorithm: &str, inside: &[u8]) -> Result<usize, PublicKeyError> {
    match algorithm {
        "ssh-ed25519" => match split_string(inside) {
            Some((key, [])) if key.len() == 32 => Ok(256),
            _ => Err(PublicKeyError::Inside),
        },
        "ssh-rsa" => {
            let (exponent, rest) = split_string(inside).ok_or(PublicKeyError::Inside)?;
            let (modulus, []) = split_string(rest).ok_or(PublicKeyError::Inside)? else {
                return Err(PublicKeyError::Inside);
            };
            if !is_number(exponent) || !is_number(modulus) {
                return Err(PublicKeyError::Inside);
            }
            let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
            let top = modulus.iter().find(|byte| **byte != 0).ok_or(PublicKeyError::Inside)?;
            Ok(significant * 8 - top.leading_zeros() as usize)
        }
        _ => {
            let (bits, name, point) = match algorithm {
                "ecdsa-sha2-nistp256" => (256, b"nistp256", 65),
                "ecdsa-sha2-nistp384" => (384, b"nistp384", 97),
                "ecdsa-sha2-nistp521" => (521, b"nistp521", 133),
                _ => return Err(PublicKeyError::Algorithm(algorithm.to_owned())),
            };
            let (curve, rest) = split_string(inside).ok_or(PublicKeyError::Inside)?;
            match split_string(rest) {
                // 4: both coordinates follow, the only form that OpenSSH takes.
                Some((key @ [4, ..], [])) if curve == name && key.len() == point => Ok(bits),
                _ => Err(PublicKeyError::Inside),
            }
        }
    }
}

/// Whether this is a positive number as RFC 4251 has it, in its one form: written otherwise, the same key would have another fingerprint than the one
/// that sshd, which writes it anew, shows.
fn is_number(mpint: &[u8]) -> bool {
    // A zero in front keeps a number positive whose top bit is set, and stands nowhere else.
    match mpint {
        [0, second, ..] => *second >= 0x80,
        [first, ..] => (1..0x80).contains(first),
        [] => false,
    }
}

/// Takes one length-prefixed string (RFC 4251, section 5) off the front.
pub(crate) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("not of the form `TYPE BASE64 COMMENT`"),
            Self::Base64 => f.write_str("its second part is not base64"),
            Self::Inside => f.write_str("the key inside is cut short or of another type"),
            Self::Algorithm(name) => write!(f, "the key type {name:?} is not known"),
        }
    }
}

impl std::error::Error for PublicKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X root@scw-example\n";

    fn text(fields: &[&[u8]]) -> String {
        let strings = fields.iter().flat_map(|field| {
            let length = u32::try_from(field.len()).expect("short").to_be_bytes();
            length.into_iter().chain(field.iter().copied())
        });
        let algorithm = std::str::from_utf8(fields[0]).expect("UTF-8");
        format!("{algorithm} {}", Base64::encode_string(&strings.collect::<Vec<_>>()))
    }

    fn ecdsa(curve: &[u8], form: u8) -> String {
        text(&[b"ecdsa-sha2-nistp256", curve, &[&[form][..], &[7; 64]].concat()])
    }

    fn rsa(exponent: &[u8], modulus: &[u8]) -> String {
        text(&[b"ssh-rsa", exponent, modulus])
    }

    #[test]
    fn h3_a_key_has_one_form_and_so_one_fingerprint() {
        assert_eq!(PublicKey::parse(&ecdsa(b"nistp256", 4)).map(|key| key.bits), Ok(256));
        assert_eq!(PublicKey::parse(&rsa(b"\x03", b"\0\x91\x01")).map(|key| key.bits), Ok(16));
        assert_eq!(PublicKey::parse(&rsa(b"\x03", b"\x11\x01")).map(|key| key.bits), Ok(13));
    }

    #[test]
    fn the_parts_of_a_public_key_are_read() {
        let key = PublicKey::parse(ED25519).expect("a good key");
        assert_eq!((key.bits, &*key.type_name, &*key.comment), (256, "ED25519", "root@scw-example"));
        assert_eq!(key.fingerprint(), "SHA256:84sXE5jlapZx41/e3V0hwKOyH5NrjUo0e1f633mfVTc");
    }

    #[test]
    fn a_text_that_is_no_public_key_is_refused() {
        let cut = &ED25519[..60];
        for (text, why) in [
            ("", PublicKeyError::Form),
            ("ssh-ed25519", PublicKeyError::Form),
            ("ssh-ed25519 !!!! c", PublicKeyError::Base64),
            ("ssh-ed25519 AAAA c", PublicKeyError::Inside),
            (&ED25519.replace("ssh-ed25519", "ssh-rsa"), PublicKeyError::Inside),
            (&format!("{cut} c"), PublicKeyError::Inside),
            // The name of another curve, and a point in no form that OpenSSH takes.
            (&ecdsa(b"nistp384", 4), PublicKeyError::Inside),
            (&ecdsa(b"nistp256", 5), PublicKeyError::Inside),
            // RSA: no exponent, a negative modulus, one with a zero too many.
            (&rsa(b"", b"\0\x91\x01"), PublicKeyError::Inside),
            (&rsa(b"\x03", b"\x91\x01"), PublicKeyError::Inside),
            (&rsa(b"\x03", b"\0\0\x91\x01"), PublicKeyError::Inside),
            ("ssh-new AAAAB3NzaC1uZXc=", PublicKeyError::Algorithm("ssh-new".to_owned())),
        ] {
            assert_eq!(PublicKey::parse(text), Err(why), "{text}");
        }
    }
}
