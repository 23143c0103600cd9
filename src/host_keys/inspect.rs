//! What is in the key folder: reading only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::key_type::KeyType;
use super::public_key::{PublicKey, PublicKeyError};
use crate::files;

/// Far over any key file: an RSA key of 16384 bits has about 13 kB.
const LARGEST: u64 = 64 * 1024;

/// What one type's key files are like.
#[derive(Debug)]
pub enum KeyState {
    /// No private key.
    Missing,
    /// A private key file of no bytes, as a power cut leaves it.
    Empty,
    /// A private key, and a public key that reads well.
    Good,
    /// A private key, and no public key that reads well.
    NoPublicKey,
    /// The private key is there and cannot be read: unknown is not new (law H1).
    Unreadable(io::Error),
}

/// Looks at the files of one type of key.
pub fn inspect(folder: &Path, key_type: KeyType) -> KeyState {
    match files::read_bounded(&key_type.private_path(folder), LARGEST) {
        Ok(None) => KeyState::Missing,
        Ok(Some(bytes)) if bytes.is_empty() => KeyState::Empty,
        Err(why) => KeyState::Unreadable(why),
        Ok(Some(_)) => match read_public(&key_type.public_path(folder)) {
            Ok(Ok(_)) => KeyState::Good,
            _ => KeyState::NoPublicKey,
        },
    }
}

fn read_public(path: &Path) -> io::Result<Result<PublicKey, PublicKeyError>> {
    let bytes = files::read_bounded(path, LARGEST)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(std::str::from_utf8(&bytes).map_err(|_| PublicKeyError::Form).and_then(PublicKey::parse))
}

/// The public keys in a folder.
#[derive(Debug, Default)]
pub struct PublicKeys {
    /// Those that read well, by file name.
    pub good: Vec<(PathBuf, PublicKey)>,
    /// Those that do not, and why.
    pub bad: Vec<(PathBuf, String)>,
}

/// Reads every `ssh_host_*_key.pub` of a folder, in the order of the names.
///
/// # Errors
/// When the folder cannot be listed. A folder that is not there has no keys.
pub fn public_keys(folder: &Path) -> io::Result<PublicKeys> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(PublicKeys::default()),
        Err(why) => return Err(why),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("ssh_host_") && name.ends_with("_key.pub") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    let mut keys = PublicKeys::default();
    for path in paths {
        match read_public(&path) {
            Ok(Ok(key)) => keys.good.push((path, key)),
            Ok(Err(why)) => keys.bad.push((path, why.to_string())),
            Err(why) => keys.bad.push((path, why.to_string())),
        }
    }
    Ok(keys)
}
