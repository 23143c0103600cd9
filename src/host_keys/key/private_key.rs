//! Reads the text of a private key file as strictly as sshd does, and returns the public key in it. Pure.
//!
//! [`PrivateKey::parse`] knows OpenSSH's own format (PROTOCOL.key in its sources), in the one form that sshd loads. About every other text
//! ssh-keygen decides, see [`crate::host_keys::store::key_content`] (invariant H1). [`reformat`] writes a key with a damaged text (line
//! ends, white space, text around it) in the form that sshd loads. Secret numbers are skipped and never stored.

use base64ct::{Base64, Encoding};

use crate::host_keys::key::public_key::{PublicKey, split_string};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// OpenSSH refuses smaller RSA keys.
const MIN_RSA_BITS: usize = 1024;
/// The block size of the cipher `none`, in bytes.
const BLOCK_BYTES: usize = 8;

/// What this program finds out about a private key file without ssh-keygen.
#[derive(Debug, PartialEq, Eq)]
pub enum PrivateKey {
    /// A key that sshd loads, with its comment.
    Good(PublicKey),
    /// A key in OpenSSH's format with a passphrase. The public key is outside of the encrypted part.
    Encrypted(Option<PublicKey>),
    /// Everything else. ssh-keygen decides about it.
    Unknown,
}

impl PrivateKey {
    /// Reads the bytes of a file.
    pub fn parse(bytes: &[u8]) -> Self {
        container(bytes).and_then(|bytes| read(&bytes)).unwrap_or(Self::Unknown)
    }
}

/// The decoded bytes between the markers. Only line ends may separate the characters of the key. Text after the line of the end marker
/// is not read, as in sshd.
fn container(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(BEGIN.as_bytes())?.strip_prefix(b"\n")?;
    let marker = format!("\n{END}\n");
    let end = rest.windows(marker.len()).position(|window| window == marker.as_bytes())?;
    let characters: String = std::str::from_utf8(&rest[..end]).ok()?.split('\n').collect();
    Base64::decode_vec(&characters).ok()
}

fn read(bytes: &[u8]) -> Option<PrivateKey> {
    let (cipher, rest) = split_string(bytes.strip_prefix(MAGIC)?)?;
    let (kdf, rest) = split_string(rest)?;
    let (options, rest) = split_string(rest)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (blob, rest) = split_string(rest)?;
    let (secret, after) = split_string(rest)?;
    if u32::from_be_bytes(*count) != 1 {
        return None;
    }
    let public = PublicKey::from_blob(blob, "").ok();
    if cipher != b"none" {
        // The tag of an authenticated cipher may follow.
        return Some(PrivateKey::Encrypted(public));
    }
    let public = public?;
    let is_plain = kdf == b"none" && options.is_empty() && after.is_empty();
    let is_complete = !secret.is_empty() && secret.len() % BLOCK_BYTES == 0;
    let is_large = public.algorithm != "ssh-rsa" || public.bits >= MIN_RSA_BITS;
    if !(is_plain && is_complete && is_large) {
        return None;
    }
    let comment = comment(secret, &public)?;
    Some(PrivateKey::Good(public.with_comment(comment)))
}

/// Reads the secret section, checks that it belongs to the public key, and returns the comment at its end.
fn comment(secret: &[u8], public: &PublicKey) -> Option<String> {
    let (checks, rest) = secret.split_first_chunk::<8>()?;
    // Two equal random numbers. After a wrong decryption they would differ.
    if checks[..4] != checks[4..] {
        return None;
    }
    let (algorithm, mut rest) = split_string(rest)?;
    if algorithm != public.algorithm.as_bytes() {
        return None;
    }
    // How many fields precede the comment, and which of them, in this order, are the public key.
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
    // The second field of an ed25519 key is the seed, followed by the public key again.
    let is_ed25519 = public.algorithm != "ssh-ed25519" || values[1].get(32..) == Some(values[0]);
    if !is_ed25519 || !public.consists_of(shared.iter().map(|field| values[*field])) {
        return None;
    }
    let (comment, padding) = split_string(rest)?;
    // The padding is 1, 2, 3, … up to the end of the block.
    let padded =
        padding.len() < BLOCK_BYTES && padding.iter().zip(1..).all(|(byte, count): (_, u8)| *byte == count);
    let text = std::str::from_utf8(comment).ok().filter(|text| !text.contains('\0'))?;
    padded.then(|| text.to_owned())
}

/// The first private key in a text, in a clean form: without the text around it, with one line end after each line and no white space.
/// `None` if there is none. ssh-keygen decides whether OpenSSH loads this key.
pub fn reformat(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    // Line ends may be escape sequences, as in JSON or a shell variable.
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (label, rest) = if label.ends_with("PRIVATE KEY") { (label, rest) } else { next_key(rest)? };
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let mut characters: String = body.split_whitespace().collect();
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    while characters.len() % 4 != 0 {
        characters.push('=');
    }
    if characters.is_empty() || !characters.chars().all(is_base64) {
        return None;
    }
    // The line lengths of ssh-keygen.
    let width = if label.starts_with("OPENSSH") { 70 } else { 64 };
    let mut lines = format!("-----BEGIN {label}-----\n");
    for line in characters.as_bytes().chunks(width) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines.push_str(&format!("-----END {label}-----\n"));
    Some(lines.into_bytes())
}

/// The label of the next private key in a text, and what follows its first marker.
fn next_key(mut text: &str) -> Option<(&str, &str)> {
    loop {
        let (label, rest) = text.split_once("-----BEGIN ")?.1.split_once("-----")?;
        if label.ends_with("PRIVATE KEY") {
            return Some((label, rest));
        }
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_keys::key::test_keys::{BAD_FORMS, damaged, generate};

    #[test]
    fn h2_public_half_is_the_one_of_ssh_keygen() {
        for options in [
            &["-t", "ed25519", "-N", ""][..],
            &["-t", "ecdsa", "-N", ""],
            &["-t", "ecdsa", "-b", "384", "-N", ""],
            &["-t", "ecdsa", "-b", "521", "-N", ""],
            &["-t", "rsa", "-b", "2048", "-N", ""],
        ] {
            let (private, public) = generate(options);
            let PrivateKey::Good(found) = PrivateKey::parse(&private) else { panic!("{options:?}") };
            assert_eq!(found, PublicKey::parse(&public).expect("a good key"), "{options:?}");
            assert_eq!(format!("{} {}", found.key_text(), found.comment), public.trim_end());
            // sshd does not read beyond the end marker.
            let with_note = [&private[..], b"a note\n"].concat();
            assert_eq!(PrivateKey::parse(&with_note), PrivateKey::Good(found));
        }
    }

    #[test]
    fn h1_key_with_a_passphrase_is_recognized() {
        let (private, public) = generate(&["-t", "ed25519", "-N", "secret"]);
        let PrivateKey::Encrypted(Some(found)) = PrivateKey::parse(&private) else { panic!("locked") };
        assert!(found.is_same_key(&PublicKey::parse(&public).expect("a good key")));
    }

    #[test]
    fn h1_only_the_strict_form_is_good() {
        let (private, _) = generate(&["-t", "ed25519", "-N", ""]);
        for length in 0..private.len() {
            assert_eq!(PrivateKey::parse(&private[..length]), PrivateKey::Unknown, "cut to {length} bytes");
        }
        for form in BAD_FORMS {
            assert_eq!(PrivateKey::parse(&damaged(form, &private)), PrivateKey::Unknown, "{form}");
        }
        let pem = generate(&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]).0;
        assert_eq!(PrivateKey::parse(&pem), PrivateKey::Unknown);
    }

    #[test]
    fn h1_damaged_text_is_restored_exactly() {
        for options in [&["-t", "ed25519", "-N", ""][..], &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]]
        {
            let (private, _) = generate(options);
            assert_eq!(reformat(&private).as_deref(), Some(&private[..]), "{options:?}");
            for form in BAD_FORMS {
                assert_eq!(reformat(&damaged(form, &private)).as_deref(), Some(&private[..]), "{form}");
            }
        }
        for no_key in [&b""[..], b"garbage", b"-----BEGIN OPENSSH PRIVATE KEY-----", b"ssh-ed25519 AAAA x"] {
            assert_eq!(reformat(no_key), None);
        }
    }

    #[test]
    fn key_with_two_different_halves_is_not_good() {
        let (private, _) = generate(&["-t", "ed25519", "-N", ""]);
        let bytes = container(&private).expect("the form");
        assert!(matches!(read(&bytes), Some(PrivateKey::Good(_))));
        // The public key starts after four strings and a number. Changing one bit of it is enough.
        let at = MAGIC.len() + 8 + 8 + 4 + 4 + 4 + 4 + "ssh-ed25519".len() + 4;
        let mut other = bytes;
        other[at] ^= 1;
        assert_eq!(read(&other), None);
    }
}
