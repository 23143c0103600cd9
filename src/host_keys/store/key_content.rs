//! Whether sshd can use a private key file (invariant H1).
//!
//! This program reads a key strictly. For everything else it asks the machine's own ssh-keygen, which loads keys by the same code as
//! sshd. This program alone never decides that a key is unusable.

use std::io;

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::host_keys::key::private_key::{PrivateKey, reformat};
use crate::host_keys::key::public_key::{PublicKey, PublicKeyError};
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::util::program::{self, words};

/// Makes ssh-keygen read the key from standard input, which has neither a mode nor a name.
const STDIN: &str = "/proc/self/fd/0";

/// The content of a file at the path of a private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyContent {
    /// A private key that sshd loads.
    Usable(PublicKey),
    /// A private key in a form that sshd does not load, and the text that it would load.
    Damaged(PublicKey, Vec<u8>),
    /// A private key with a passphrase, which sshd cannot load; with the public key, if that is known.
    Encrypted(Option<PublicKey>),
    /// A public key. sshd serves it if its `HostKeyAgent` has the private key.
    PublicOnly(PublicKey),
    /// OpenSSH finds no key in it.
    Unusable,
}

impl KeyContent {
    /// The public key, if it is known.
    pub fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::Usable(key) | Self::Damaged(key, _) | Self::PublicOnly(key) => Some(key),
            Self::Encrypted(key) => key.as_ref(),
            Self::Unusable => None,
        }
    }
}

/// Checks the bytes of a file, without cached answers.
///
/// # Errors
/// As [`check`].
pub fn private_key_content(bytes: &[u8]) -> io::Result<KeyContent> {
    check(bytes, &mut OpensshAnswers::default())
}

/// Checks the bytes of a file.
///
/// # Errors
/// When ssh-keygen gives no answer. Then nothing is known about the key.
pub(crate) fn check(bytes: &[u8], answers: &mut OpensshAnswers) -> io::Result<KeyContent> {
    match PrivateKey::parse(bytes) {
        PrivateKey::Good(key) => return Ok(KeyContent::Usable(key)),
        PrivateKey::Encrypted(key) => return Ok(KeyContent::Encrypted(key)),
        PrivateKey::Unknown => {}
    }
    let digest = Base64Unpadded::encode_string(&Sha256::digest(bytes));
    if let Some(key) = answers.key(&digest) {
        return Ok(KeyContent::Usable(key));
    }
    match ask_keygen(bytes)? {
        KeygenAnswer::Key(key) => {
            answers.set_key(digest, &key);
            return Ok(KeyContent::Usable(key));
        }
        KeygenAnswer::Passphrase => return Ok(KeyContent::Encrypted(None)),
        KeygenAnswer::NoKey => {}
    }
    if let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| public_key(text).ok()) {
        return Ok(KeyContent::PublicOnly(key));
    }
    let Some(text) = reformat(bytes) else { return Ok(KeyContent::Unusable) };
    if let PrivateKey::Encrypted(key) = PrivateKey::parse(&text) {
        return Ok(KeyContent::Encrypted(key));
    }
    Ok(match ask_keygen(&text)? {
        KeygenAnswer::Key(key) => KeyContent::Damaged(key, text),
        KeygenAnswer::Passphrase => KeyContent::Encrypted(None),
        KeygenAnswer::NoKey => KeyContent::Unusable,
    })
}

/// ssh-keygen's answer about a private key.
#[derive(Debug)]
enum KeygenAnswer {
    Key(PublicKey),
    Passphrase,
    NoKey,
}

fn ask_keygen(private: &[u8]) -> io::Result<KeygenAnswer> {
    if private.is_empty() {
        return Ok(KeygenAnswer::NoKey);
    }
    let output = program::run("ssh-keygen", words(&["-y", "-P", "", "-f", STDIN]), private)?;
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return public_key(&text).map(KeygenAnswer::Key).map_err(|why| io::Error::other(why.to_string()));
    }
    let message = output.messages;
    if message.contains("passphrase") {
        return Ok(KeygenAnswer::Passphrase);
    }
    // An error of the system says nothing about the key.
    let is_about_key = output.status.code().is_some() && message.starts_with("Load key ");
    let system_errors =
        ["Permission denied", "annot allocate", "allocation failed", "internal error", "Too many open files"];
    if is_about_key && !system_errors.iter().any(|text| message.contains(text)) {
        Ok(KeygenAnswer::NoKey)
    } else {
        Err(io::Error::other(format!("ssh-keygen: {} ({message})", output.status)))
    }
}

/// The first public key in the text of a `.pub` file. For a type that this program does not know, ssh-keygen reports the size and the
/// name.
///
/// # Errors
/// When there is no public key, with the reason.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, PublicKeyError> {
    let mut error = PublicKeyError::Form;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match PublicKey::parse(line) {
            Ok(key) => return Ok(key),
            Err(PublicKeyError::Algorithm(name)) => {
                return listed(line).ok_or(PublicKeyError::Algorithm(name));
            }
            Err(why) => error = why,
        }
    }
    Err(error)
}

/// Reads a key with `ssh-keygen -l`, which prints `BITS FINGERPRINT COMMENT (TYPE)`.
fn listed(line: &str) -> Option<PublicKey> {
    let output = program::run("ssh-keygen", words(&["-l", "-f", STDIN]), line.as_bytes()).ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let (bits, _) = text.split_once(' ')?;
    let (_, type_name) = text.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    let key = PublicKey::parse_listed(line, bits.parse().ok()?, type_name).ok()?;
    text.contains(&key.fingerprint()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_keys::key::test_keys::{BAD_FORMS, damaged, generate};

    fn checked(bytes: &[u8]) -> KeyContent {
        private_key_content(bytes).expect("ssh-keygen answers")
    }

    const PEM: [&str; 8] = ["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""];

    #[test]
    fn h1_text_around_a_key_does_not_make_it_unusable() {
        let (pem, public) = generate(&PEM);
        let public = PublicKey::parse(&public).expect("a good key");
        let text = String::from_utf8(pem).expect("text");
        for (form, text) in [
            ("plain", text.clone()),
            (
                "attributes",
                format!("Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n{text}"),
            ),
            ("comment", format!("# ours\n\n{text}")),
            ("text behind", format!("{text}a note\n")),
            ("CRLF", text.replace('\n', "\r\n")),
            ("trailing blanks", text.replace('\n', "  \n")),
            ("no final newline", text.trim_end().to_owned()),
        ] {
            let KeyContent::Usable(key) = checked(text.as_bytes()) else { panic!("{form}: not usable") };
            assert!(key.is_same_key(&public), "{form}");
        }
    }

    #[test]
    fn h1_damaged_key_is_not_lost() {
        let (key, public) = generate(&["-t", "ed25519", "-N", ""]);
        let public = PublicKey::parse(&public).expect("a good key");
        for form in BAD_FORMS {
            let KeyContent::Damaged(found, text) = checked(&damaged(form, &key)) else { panic!("{form}") };
            assert_eq!((&found, &text), (&public, &key), "{form}");
        }
    }

    #[test]
    fn h1_unusable_locked_and_public_keys_are_told_apart() {
        let (key, public) = generate(&["-t", "ed25519", "-N", ""]);
        assert!(matches!(checked(public.as_bytes()), KeyContent::PublicOnly(_)));
        for length in [1, 40, key.len() / 2, key.len() - 40] {
            assert_eq!(checked(&key[..length]), KeyContent::Unusable, "cut to {length} bytes");
        }
        assert_eq!(checked(b"garbage"), KeyContent::Unusable);
        assert_eq!(checked(b""), KeyContent::Unusable);
        for locked in [
            &["-t", "ed25519", "-N", "secret"][..],
            &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"],
        ] {
            assert!(matches!(checked(&generate(locked).0), KeyContent::Encrypted(_)), "{locked:?}");
        }
    }

    #[test]
    fn h3_public_key_is_found_among_other_lines() {
        let (_, public) = generate(&["-t", "ed25519", "-N", ""]);
        let key = PublicKey::parse(&public).expect("a good key");
        for text in [format!("# ours\n\n{public}"), public.replace(' ', "\t"), format!("  {public}\n\n")] {
            assert!(public_key(&text).is_ok_and(|found| found.is_same_key(&key)), "{text:?}");
        }
        assert!(public_key("garbage").is_err());
    }
}
