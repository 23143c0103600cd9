//! A host key as a server offers it: the plain key, also out of a host certificate, and its fingerprint. Pure.
//!
//! A line of known_hosts with a certificate itself is a contradiction to ssh, so the plain key is taken out.

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::published::Fingerprint;

/// What the types of host certificates end with.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// No argument of a program is longer.
const MAX_BLOB: usize = 1024 * 1024;

/// A plain host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    kind: String,
    blob: Vec<u8>,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// It is not base64.
    #[error("the offered host key is not valid base64")]
    Base64,
    /// It has another structure than its type says.
    #[error("the offered host key is not a valid SSH public key")]
    Structure,
    /// It is a host certificate whose key cannot be found.
    #[error("the offered host certificate is of an unknown type")]
    UnknownCertificate,
}

impl HostKey {
    /// The key in the base64 form of known_hosts and of the token `%K`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_BLOB {
            return Err(KeyError::Structure);
        }
        let text = text.trim_end_matches('=');
        let blob = Base64Unpadded::decode_vec(text).map_err(|_| KeyError::Base64)?;
        let mut rest = blob.as_slice();
        let kind = field(&mut rest).and_then(type_name).ok_or(KeyError::Structure)?;
        let Some(of_certificate) = kind.strip_suffix(CERTIFICATE) else {
            // Something follows the type, and it is well-formed as far as all types have it in common.
            field(&mut rest).filter(|first| !first.is_empty()).ok_or(KeyError::Structure)?;
            return Ok(Self { kind: kind.to_owned(), blob: blob.clone() });
        };
        let fields = match of_certificate {
            "ssh-ed25519" => 1,
            "ssh-rsa" | "sk-ssh-ed25519" => 2,
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => 2,
            "sk-ecdsa-sha2-nistp256" => 3,
            "ssh-dss" => 4,
            _ => return Err(KeyError::UnknownCertificate),
        };
        let plain = match of_certificate {
            security_key if security_key.starts_with("sk-") => format!("{security_key}@openssh.com"),
            other => other.to_owned(),
        };
        let _nonce = field(&mut rest).ok_or(KeyError::Structure)?;
        let mut key = Vec::new();
        put(&mut key, plain.as_bytes());
        for _ in 0..fields {
            put(&mut key, field(&mut rest).ok_or(KeyError::Structure)?);
        }
        Ok(Self { kind: plain, blob: key })
    }

    /// The type: `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The type as `ssh-keygen -l` shows it: `ED25519`.
    pub fn short_kind(&self) -> String {
        let name = self.kind.split('@').next().unwrap_or_default();
        let name = name.strip_prefix("ssh-").unwrap_or(name);
        match name {
            "rsa" | "dss" | "ed25519" => name.to_uppercase(),
            _ if name.starts_with("ecdsa-") => "ECDSA".to_owned(),
            _ => name.to_uppercase(),
        }
    }

    /// The key in base64.
    pub fn base64(&self) -> String {
        Base64::encode_string(&self.blob)
    }

    /// The fingerprint, with SHA-256.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&Sha256::digest(&self.blob).into())
    }
}

/// A type consists of visible ASCII characters.
fn type_name(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

/// Takes one field, which has its length before it.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn put(key: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X";

    fn blob(fields: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        fields.iter().for_each(|field| put(&mut bytes, field));
        Base64::encode_string(&bytes)
    }

    #[test]
    fn plain_key_has_its_type_and_fingerprint() {
        let key = HostKey::parse(ED25519).expect("a key");
        assert_eq!((key.kind(), key.short_kind().as_str()), ("ssh-ed25519", "ED25519"));
        assert_eq!(key.base64(), ED25519);
        assert!(key.fingerprint().to_string().starts_with("SHA256:"));
    }

    #[test]
    fn certificate_yields_its_plain_key() {
        let nonce: &[u8] = &[7; 32];
        let tables: [(&str, &str, &[&[u8]]); 4] = [
            ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", &[&[1; 32]]),
            ("ssh-rsa-cert-v01@openssh.com", "ssh-rsa", &[&[1, 0, 1], &[9; 257]]),
            ("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256", &[b"nistp256", &[4; 65]]),
            ("sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com", &[&[1; 32], b"ssh:"]),
        ];
        for (kind, plain, fields) in tables {
            let mut certificate = vec![kind.as_bytes(), nonce];
            certificate.extend(fields);
            certificate.push(&[0; 8]);
            let mut expected = vec![plain.as_bytes()];
            expected.extend(fields);
            let key = HostKey::parse(&blob(&certificate)).expect(kind);
            assert_eq!((key.kind(), key.base64()), (plain, blob(&expected)));
        }
    }

    #[test]
    fn key_of_an_unknown_type_is_a_key() {
        let key = HostKey::parse(&blob(&[b"ssh-mldsa44-ed25519", &[3; 1344]])).expect("a key");
        assert_eq!(key.short_kind(), "MLDSA44-ED25519");
    }

    #[test]
    fn unusable_keys_are_refused() {
        for (text, error) in [
            ("", KeyError::Structure),
            ("not base64!", KeyError::Base64),
            (&ED25519[..24], KeyError::Structure),
            (&blob(&[b"ssh-\x1b[31m", b"x"]), KeyError::Structure),
            (&blob(&[b"new-cert-v01@openssh.com", b"n", b"x"]), KeyError::UnknownCertificate),
            (&blob(&[b"ssh-rsa-cert-v01@openssh.com", b"n", b"x"]), KeyError::Structure),
            (&"A".repeat(MAX_BLOB + 4), KeyError::Structure),
        ] {
            assert_eq!(HostKey::parse(text), Err(error), "{text:?}");
        }
    }
}
