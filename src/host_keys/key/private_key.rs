//! A private key file's text, read as strictly as sshd reads it, and which public key belongs to it. Pure.
//!
//! [`PrivateKey::parse`] knows OpenSSH's own format (PROTOCOL.key in its sources) in the one form that sshd loads. What it
//! does not know is not condemned: [`crate::host_keys::store::key_content`] asks ssh-keygen (invariant H1). [`reformat`] writes a key whose
//! text was damaged (line ends, blanks, text around it) in the form that sshd loads. Secret numbers are skipped, never kept.

use base64ct::{Base64, Encoding};

use crate::host_keys::key::public_key::{PublicKey, split_string};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// OpenSSH refuses an RSA key of fewer bits.
const MIN_RSA_BITS: usize = 1024;
/// The cipher `none` counts in blocks of so many bytes.
const BLOCK: usize = 8;

/// What this program knows of a private key file without asking ssh-keygen.
#[derive(Debug, PartialEq, Eq)]
pub enum PrivateKey {
    /// A key that sshd loads, with its comment.
    Good(PublicKey),
    /// A key in OpenSSH's format behind a passphrase. The public key stands outside of the encrypted part.
    Locked(Option<PublicKey>),
    /// Everything else: ssh-keygen decides.
    Unknown,
}

impl PrivateKey {
    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Self {
        container(bytes).and_then(|bytes| read(&bytes)).unwrap_or(Self::Unknown)
    }
}

/// The decoded bytes between the markers. Only line ends may stand between the characters of the key; whatever follows
/// the end marker's line is not read, as in sshd.
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
        // The tag of an authenticated cipher may stand behind.
        return Some(PrivateKey::Locked(public));
    }
    let public = public?;
    let is_plain = kdf == b"none" && options.is_empty() && after.is_empty();
    let is_whole = !secret.is_empty() && secret.len() % BLOCK == 0;
    let is_large = public.algorithm != "ssh-rsa" || public.bits >= MIN_RSA_BITS;
    if !(is_plain && is_whole && is_large) {
        return None;
    }
    let comment = comment(secret, &public)?;
    Some(PrivateKey::Good(public.with_comment(comment)))
}

/// Steps through the secret section, checks that it belongs to the public key, and returns the comment at its end.
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
    // How many fields stand before the comment, and which of them, in this order, make up the public key.
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
    // An ed25519 key's second field is the seed and the public key once more.
    let is_ed25519 = public.algorithm != "ssh-ed25519" || values[1].get(32..) == Some(values[0]);
    if !is_ed25519 || !public.consists_of(shared.iter().map(|field| values[*field])) {
        return None;
    }
    let (comment, padding) = split_string(rest)?;
    // 1, 2, 3, … up to the block's end.
    let padded =
        padding.len() < BLOCK && padding.iter().zip(1..).all(|(byte, count): (_, u8)| *byte == count);
    let text = std::str::from_utf8(comment).ok().filter(|text| !text.contains('\0'))?;
    padded.then(|| text.to_owned())
}

/// The first private key in a text, written anew: without what stands around it, with one line end behind each line and no
/// blanks. `None` where there is none. Whether it is a key that OpenSSH loads, ssh-keygen decides.
pub fn reformat(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    // Line ends that somebody wrote as an escape sequence, as in JSON or a shell variable.
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
    // As long as ssh-keygen writes them.
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
    use crate::host_keys::key::test_keys::{BAD_FORMS, made, spoilt};

    #[test]
    fn h2_the_public_key_in_a_private_one_is_ssh_keygens() {
        for options in [
            &["-t", "ed25519", "-N", ""][..],
            &["-t", "ecdsa", "-N", ""],
            &["-t", "ecdsa", "-b", "384", "-N", ""],
            &["-t", "ecdsa", "-b", "521", "-N", ""],
            &["-t", "rsa", "-b", "2048", "-N", ""],
        ] {
            let (private, public) = made(options);
            let PrivateKey::Good(found) = PrivateKey::parse(&private) else { panic!("{options:?}") };
            assert_eq!(found, PublicKey::parse(&public).expect("a good key"), "{options:?}");
            assert_eq!(format!("{} {}", found.key_text(), found.comment), public.trim_end());
            // sshd reads no further than the end marker.
            let behind = [&private[..], b"a note\n"].concat();
            assert_eq!(PrivateKey::parse(&behind), PrivateKey::Good(found));
        }
    }

    #[test]
    fn h1_a_locked_key_is_known_as_one() {
        let (private, public) = made(&["-t", "ed25519", "-N", "secret"]);
        let PrivateKey::Locked(Some(found)) = PrivateKey::parse(&private) else { panic!("locked") };
        assert!(found.is_same_key(&PublicKey::parse(&public).expect("a good key")));
    }

    #[test]
    fn h1_only_the_strict_form_is_called_good() {
        let (private, _) = made(&["-t", "ed25519", "-N", ""]);
        for length in 0..private.len() {
            assert_eq!(PrivateKey::parse(&private[..length]), PrivateKey::Unknown, "cut to {length} bytes");
        }
        for form in BAD_FORMS {
            assert_eq!(PrivateKey::parse(&spoilt(form, &private)), PrivateKey::Unknown, "{form}");
        }
        let pem = made(&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]).0;
        assert_eq!(PrivateKey::parse(&pem), PrivateKey::Unknown);
    }

    #[test]
    fn h1_a_damaged_text_is_written_as_it_was() {
        for options in [&["-t", "ed25519", "-N", ""][..], &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]]
        {
            let (private, _) = made(options);
            assert_eq!(reformat(&private).as_deref(), Some(&private[..]), "{options:?}");
            for form in BAD_FORMS {
                assert_eq!(reformat(&spoilt(form, &private)).as_deref(), Some(&private[..]), "{form}");
            }
        }
        for no_key in [&b""[..], b"garbage", b"-----BEGIN OPENSSH PRIVATE KEY-----", b"ssh-ed25519 AAAA x"] {
            assert_eq!(reformat(no_key), None);
        }
    }

    #[test]
    fn a_key_whose_halves_do_not_belong_together_is_not_good() {
        let (private, _) = made(&["-t", "ed25519", "-N", ""]);
        let bytes = container(&private).expect("the form");
        assert!(matches!(read(&bytes), Some(PrivateKey::Good(_))));
        // The public key starts behind four strings and a number: one bit of it is enough.
        let at = MAGIC.len() + 8 + 8 + 4 + 4 + 4 + 4 + "ssh-ed25519".len() + 4;
        let mut other = bytes;
        other[at] ^= 1;
        assert_eq!(read(&other), None);
    }
}
