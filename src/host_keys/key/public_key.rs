//! A public key in the form of a `.pub` file (type, key, comment), with its size in bits and its SHA256 fingerprint. Pure.
//!
//! For the types that this program knows, it computes the size and the name. For other types they come from ssh-keygen, see
//! [`crate::host_keys::store::key_content`]. The fingerprint is computed for every type.

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A public key with consistent parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The algorithm as in the file: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …
    pub algorithm: String,
    /// The size in bits, as `ssh-keygen -l` prints it.
    pub bits: usize,
    /// The name that `ssh-keygen -l` prints in brackets: `ED25519`, …
    pub type_name: String,
    /// The text after the key; may be empty.
    pub comment: String,
    blob: Vec<u8>,
    /// Computed once: the daemon needs it at each check.
    fingerprint: String,
}

/// Why a text is not a public key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PublicKeyError {
    /// Not of the form `TYPE BASE64 [COMMENT]`.
    #[error("not of the form `TYPE BASE64 COMMENT`")]
    Form,
    /// The middle part is not base64.
    #[error("its second part is not base64")]
    Base64,
    /// The key data are truncated, or of another type than the line says.
    #[error("the key data are truncated or of another type")]
    KeyData,
    /// This program does not know this type of key.
    #[error("unknown key type {0:?}")]
    Algorithm(String),
}

impl PublicKey {
    /// Reads one line of a `.pub` file.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let (algorithm, blob, comment) = parts(text)?;
        let key = Self::from_blob(&blob, comment)?;
        if key.algorithm == algorithm { Ok(key) } else { Err(PublicKeyError::KeyData) }
    }

    /// Reads a line with a type that this program does not know. Size and name come from `ssh-keygen -l`.
    pub(crate) fn parse_listed(text: &str, bits: usize, type_name: &str) -> Result<Self, PublicKeyError> {
        let (algorithm, blob, comment) = parts(text)?;
        let (inside, _) = split_string(&blob).ok_or(PublicKeyError::KeyData)?;
        if inside != algorithm.as_bytes() {
            return Err(PublicKeyError::KeyData);
        }
        let (algorithm, comment, type_name) =
            (algorithm.to_owned(), comment.to_owned(), type_name.to_owned());
        let fingerprint = fingerprint(&blob);
        Ok(Self { algorithm, bits, type_name, comment, blob, fingerprint })
    }

    /// Reads the binary form of a key.
    pub(crate) fn from_blob(blob: &[u8], comment: &str) -> Result<Self, PublicKeyError> {
        let (algorithm, rest) = split_string(blob).ok_or(PublicKeyError::KeyData)?;
        let algorithm = String::from_utf8(algorithm.to_vec()).map_err(|_| PublicKeyError::KeyData)?;
        let bits = bits(&algorithm, rest)?;
        let type_name = match &*algorithm {
            "ssh-ed25519" => "ED25519",
            "ssh-rsa" => "RSA",
            _ => "ECDSA",
        };
        let (type_name, comment) = (type_name.to_owned(), comment.to_owned());
        let fingerprint = fingerprint(blob);
        Ok(Self { algorithm, bits, type_name, comment, blob: blob.to_vec(), fingerprint })
    }

    /// The same key with another comment.
    #[must_use]
    pub fn with_comment(self, comment: String) -> Self {
        Self { comment, ..self }
    }

    /// The binary form of the key.
    pub(crate) fn blob(&self) -> &Vec<u8> {
        &self.blob
    }

    /// Whether it is the same key. Comments are not compared.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.blob == other.blob
    }

    /// Whether the key data are exactly these fields.
    pub(crate) fn consists_of<'a>(&self, fields: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut rest = split_string(&self.blob).map(|(_, rest)| rest);
        for field in fields {
            rest = rest.and_then(split_string).and_then(|(value, rest)| (value == field).then_some(rest));
        }
        rest == Some(&[])
    }

    /// The key without its comment, as in a `.pub` or known_hosts file.
    pub fn key_text(&self) -> String {
        format!("{} {}", self.algorithm, Base64::encode_string(&self.blob))
    }

    /// The fingerprint as OpenSSH writes it: `SHA256:` and 43 characters.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// The data of an SSHFP record for the key (RFC 4255, 6594, 7479): algorithm, SHA-256, and the digest in hexadecimal. `None` for a type
    /// without a number in these RFCs.
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

fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(blob)))
}

/// A line's algorithm, decoded key and comment.
fn parts(text: &str) -> Result<(&str, Vec<u8>, &str), PublicKeyError> {
    let (algorithm, rest) = split_at_blank(text.trim()).ok_or(PublicKeyError::Form)?;
    let (key, comment) = split_at_blank(rest).unwrap_or((rest, ""));
    let blob = Base64::decode_vec(key).map_err(|_| PublicKeyError::Base64)?;
    Ok((algorithm, blob, comment.trim()))
}

/// What is before and after the first space or tab.
fn split_at_blank(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| matches!(byte, b' ' | b'\t'))?;
    Some((&text[..at], &text[at + 1..]))
}

/// The size of the key in bits. The type determines it, except for RSA: there it is the size of the modulus.
fn bits(algorithm: &str, inside: &[u8]) -> Result<usize, PublicKeyError> {
    match algorithm {
        "ssh-ed25519" => match split_string(inside) {
            Some((key, [])) if key.len() == 32 => Ok(256),
            _ => Err(PublicKeyError::KeyData),
        },
        "ssh-rsa" => {
            let (exponent, rest) = split_string(inside).ok_or(PublicKeyError::KeyData)?;
            let (modulus, []) = split_string(rest).ok_or(PublicKeyError::KeyData)? else {
                return Err(PublicKeyError::KeyData);
            };
            if !is_number(exponent) || !is_number(modulus) {
                return Err(PublicKeyError::KeyData);
            }
            let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
            let top = modulus.iter().find(|byte| **byte != 0).ok_or(PublicKeyError::KeyData)?;
            Ok(significant * 8 - top.leading_zeros() as usize)
        }
        _ => {
            let (bits, name, point) = match algorithm {
                "ecdsa-sha2-nistp256" => (256, b"nistp256", 65),
                "ecdsa-sha2-nistp384" => (384, b"nistp384", 97),
                "ecdsa-sha2-nistp521" => (521, b"nistp521", 133),
                _ => return Err(PublicKeyError::Algorithm(algorithm.to_owned())),
            };
            let (curve, rest) = split_string(inside).ok_or(PublicKeyError::KeyData)?;
            match split_string(rest) {
                // 4 means that both coordinates follow, the only form that OpenSSH accepts.
                Some((key @ [4, ..], [])) if curve == name && key.len() == point => Ok(bits),
                _ => Err(PublicKeyError::KeyData),
            }
        }
    }
}

/// Whether this is a positive number in the one form of RFC 4251. sshd writes numbers again in that form. So in any other form, the key
/// would have another fingerprint here than in sshd.
fn is_number(mpint: &[u8]) -> bool {
    // A leading zero keeps a number positive if its top bit is set. No other number has one.
    match mpint {
        [0, second, ..] => *second >= 0x80,
        [first, ..] => (1..0x80).contains(first),
        [] => false,
    }
}

/// Splits off the first length-prefixed string (RFC 4251, section 5).
pub(crate) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

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
    fn h3_key_has_only_one_form_and_fingerprint() {
        assert_eq!(PublicKey::parse(&ecdsa(b"nistp256", 4)).map(|key| key.bits), Ok(256));
        assert_eq!(PublicKey::parse(&rsa(b"\x03", b"\0\x91\x01")).map(|key| key.bits), Ok(16));
        assert_eq!(PublicKey::parse(&rsa(b"\x03", b"\x11\x01")).map(|key| key.bits), Ok(13));
    }

    #[test]
    fn parts_of_a_public_key_are_read() {
        let key = PublicKey::parse(ED25519).expect("a good key");
        assert_eq!((key.bits, &*key.type_name, &*key.comment), (256, "ED25519", "root@scw-example"));
        assert_eq!(key.fingerprint(), "SHA256:84sXE5jlapZx41/e3V0hwKOyH5NrjUo0e1f633mfVTc");
    }

    #[test]
    fn text_that_is_no_public_key_is_refused() {
        let cut = &ED25519[..60];
        for (text, why) in [
            ("", PublicKeyError::Form),
            ("ssh-ed25519", PublicKeyError::Form),
            ("ssh-ed25519 !!!! c", PublicKeyError::Base64),
            ("ssh-ed25519 AAAA c", PublicKeyError::KeyData),
            (&ED25519.replace("ssh-ed25519", "ssh-rsa"), PublicKeyError::KeyData),
            (&format!("{cut} c"), PublicKeyError::KeyData),
            // The name of another curve, and a point in a form that OpenSSH does not accept.
            (&ecdsa(b"nistp384", 4), PublicKeyError::KeyData),
            (&ecdsa(b"nistp256", 5), PublicKeyError::KeyData),
            // RSA: no exponent, a negative modulus, a modulus with a superfluous zero.
            (&rsa(b"", b"\0\x91\x01"), PublicKeyError::KeyData),
            (&rsa(b"\x03", b"\x91\x01"), PublicKeyError::KeyData),
            (&rsa(b"\x03", b"\0\0\x91\x01"), PublicKeyError::KeyData),
            ("ssh-new AAAAB3NzaC1uZXc=", PublicKeyError::Algorithm("ssh-new".to_owned())),
        ] {
            assert_eq!(PublicKey::parse(text), Err(why), "{text}");
        }
    }
}
