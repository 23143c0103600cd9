//! A private key file, looked at just far enough to know that it is whole, and which public key belongs to it. Pure.
//!
//! The format is OpenSSH's own (PROTOCOL.key in its sources), which `ssh-keygen` has written since 2018: the public key stands in it in
//! the clear, so that a lost `.pub` can be written again without another program. Secret numbers are stepped over, never kept.

use base64ct::{Base64, Encoding};

use super::public_key::{PublicKey, split_string};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// What a private key file holds.
#[derive(Debug, PartialEq, Eq)]
pub enum PrivateKey {
    /// A whole key, and its public half, with its comment.
    Whole(PublicKey),
    /// A key behind a passphrase, which sshd cannot use as a host key; somebody put it there.
    Locked,
    /// A key in an older form (PEM), of which only `ssh-keygen` can tell more.
    OtherForm,
    /// No key, or a part of one.
    Broken,
}

impl PrivateKey {
    /// Looks at a file's bytes.
    pub fn look(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::Broken };
        let text = text.trim();
        if let Some(inside) = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)) {
            return decode(inside).and_then(|bytes| read(&bytes)).unwrap_or(Self::Broken);
        }
        let pem = text.strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("PRIVATE KEY-----"));
        match pem {
            Some((kind, rest)) if text.ends_with("PRIVATE KEY-----") && rest.contains("-----END ") => {
                if kind.contains("ENCRYPTED") || rest.contains("ENCRYPTED") {
                    Self::Locked
                } else {
                    Self::OtherForm
                }
            }
            _ => Self::Broken,
        }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let characters: String = text.split_ascii_whitespace().collect();
    Base64::decode_vec(&characters).ok()
}

fn read(bytes: &[u8]) -> Option<PrivateKey> {
    let (cipher, rest) = split_string(bytes.strip_prefix(MAGIC)?)?;
    let (_kdf, rest) = split_string(rest)?;
    let (_options, rest) = split_string(rest)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (blob, rest) = split_string(rest)?;
    let (secret, []) = split_string(rest)? else { return None };
    if u32::from_be_bytes(*count) != 1 {
        return None;
    }
    if cipher != b"none" {
        return Some(PrivateKey::Locked);
    }
    let public = PublicKey::from_blob(blob, "").ok()?;
    let comment = comment(secret, &public)?;
    Some(PrivateKey::Whole(public.with_comment(comment)))
}

/// Steps through the secret section, checks that it belongs to the public key, and takes the comment from its end.
fn comment(secret: &[u8], public: &PublicKey) -> Option<String> {
    let (checks, rest) = secret.split_first_chunk::<8>()?;
    // Two equal random numbers: after a wrong decryption they would differ.
    if checks[..4] != checks[4..] {
        return None;
    }
    let (algorithm, mut rest) = split_string(rest)?;
    if algorithm != public.algorithm.as_bytes() {
        return None;
    }
    // How many fields lie before the comment, and which of them, in this order, make up the public key.
    let (fields, shared): (usize, &[usize]) = match &*public.algorithm {
        "ssh-ed25519" => (2, &[0]),
        "ssh-rsa" => (6, &[1, 0]),
        _ => (3, &[0, 1]),
    };
    let mut values = Vec::with_capacity(fields);
    for _ in 0..fields {
        let (value, after) = split_string(rest)?;
        values.push(value);
        rest = after;
    }
    if !public.consists_of(shared.iter().map(|field| values[*field])) {
        return None;
    }
    let (comment, padding) = split_string(rest)?;
    // 1, 2, 3, … up to the cipher's block size.
    let padded = padding.len() < 256
        && padding.iter().zip(1..).all(|(byte, count): (_, u16)| u16::from(*byte) == count);
    padded.then(|| String::from_utf8_lossy(comment).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::random;

    /// Keys made by the machine's own `ssh-keygen`: the private file, and the `.pub` beside it.
    fn made(options: &[&str]) -> (Vec<u8>, String) {
        let folder = std::env::temp_dir().join(format!("scw-agent-key-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let path = folder.join("key");
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-C", "a comment", "-f"]).arg(&path).args(options);
        assert!(command.status().expect("ssh-keygen runs").success(), "{options:?}");
        let key =
            (fs::read(&path).expect("read"), fs::read_to_string(path.with_extension("pub")).expect("read"));
        fs::remove_dir_all(folder).expect("removed");
        key
    }

    #[test]
    fn h2_the_public_key_in_a_private_one_is_the_one_that_ssh_keygen_wrote() {
        for options in [
            &["-t", "ed25519", "-N", ""][..],
            &["-t", "ecdsa", "-N", ""],
            &["-t", "ecdsa", "-b", "384", "-N", ""],
            &["-t", "ecdsa", "-b", "521", "-N", ""],
            &["-t", "rsa", "-b", "2048", "-N", ""],
        ] {
            let (private, public) = made(options);
            let PrivateKey::Whole(found) = PrivateKey::look(&private) else { panic!("{options:?}") };
            assert_eq!(found, PublicKey::parse(&public).expect("a good key"), "{options:?}");
            assert_eq!(format!("{} {}", found.key_text(), found.comment), public.trim_end());
        }
    }

    #[test]
    fn h1_a_key_behind_a_passphrase_or_in_an_older_form_is_not_broken() {
        assert_eq!(PrivateKey::look(&made(&["-t", "ed25519", "-N", "secret"]).0), PrivateKey::Locked);
        assert_eq!(
            PrivateKey::look(&made(&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]).0),
            PrivateKey::OtherForm
        );
        assert_eq!(
            PrivateKey::look(&made(&["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""]).0),
            PrivateKey::OtherForm
        );
        assert_eq!(
            PrivateKey::look(&made(&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"]).0),
            PrivateKey::Locked
        );
    }

    #[test]
    fn h1_a_key_that_was_cut_short_anywhere_is_broken() {
        let (private, _) = made(&["-t", "ed25519", "-N", ""]);
        for length in 0..private.len() - 2 {
            assert_eq!(PrivateKey::look(&private[..length]), PrivateKey::Broken, "cut to {length} bytes");
        }
        for garbage in
            [&b"garbage"[..], b"\xff\xfe", b"-----BEGIN OPENSSH PRIVATE KEY-----", b"ssh-ed25519 AAAA x"]
        {
            assert_eq!(PrivateKey::look(garbage), PrivateKey::Broken);
        }
    }

    #[test]
    fn a_key_whose_halves_do_not_belong_together_is_broken() {
        let (private, _) = made(&["-t", "ed25519", "-N", ""]);
        let text = String::from_utf8(private).expect("text");
        let inside =
            text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).expect("the form");
        let bytes = decode(inside).expect("base64");
        assert!(matches!(read(&bytes), Some(PrivateKey::Whole(_))));
        // The public key starts behind four strings and a number: one bit of it is enough.
        let at = MAGIC.len() + 8 + 8 + 4 + 4 + 4 + 4 + "ssh-ed25519".len() + 4;
        let mut other = bytes;
        other[at] ^= 1;
        assert_eq!(read(&other), None);
    }
}
