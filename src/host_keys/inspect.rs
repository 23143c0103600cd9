//! What is in the key folder: reading only.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::key_type::KeyType;
use super::private_key::PrivateKey;
use super::public_key::{PublicKey, PublicKeyError};
use crate::files;

/// Far over any key file: an RSA key of 16384 bits has about 13 kB.
const LARGEST: u64 = 64 * 1024;

/// What one type's key files are like.
#[derive(Debug)]
pub struct KeyFiles {
    /// The private key.
    pub private: Private,
    /// The public key beside it.
    pub public: Public,
    /// Who can read the private key, where there is one.
    pub access: Option<Access>,
}

/// A private key file.
#[derive(Debug)]
pub enum Private {
    /// There is none.
    Missing,
    /// A file of no bytes, as a power cut leaves it.
    Empty,
    /// There are bytes.
    Found(PrivateKey),
    /// There is something, and it cannot be read: unknown is not new (law H1).
    Unreadable(io::Error),
}

/// The public key beside a private one.
#[derive(Debug)]
pub enum Public {
    /// It reads well.
    Good(PublicKey),
    /// It is missing, cannot be read, or is no public key.
    Lost,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Whether it belongs to us; to root, that is.
    pub ours: bool,
    /// The owning group.
    pub group: u32,
}

/// Looks at the files of one type of key.
pub fn inspect(folder: &Path, key_type: KeyType) -> KeyFiles {
    let path = key_type.private_path(folder);
    let private = match files::read_bounded(&path, LARGEST) {
        Ok(None) => Private::Missing,
        Ok(Some(bytes)) if bytes.is_empty() => Private::Empty,
        Ok(Some(bytes)) => Private::Found(PrivateKey::look(&bytes)),
        Err(why) => Private::Unreadable(why),
    };
    let public = match read_public(&key_type.public_path(folder)) {
        Ok(Ok(key)) => Public::Good(key),
        _ => Public::Lost,
    };
    let us = nix::unistd::geteuid().as_raw();
    let access = fs::metadata(&path).ok().map(|there| Access {
        mode: there.mode() & 0o7777,
        ours: there.uid() == us,
        group: there.gid(),
    });
    KeyFiles { private, public, access }
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
        // A public key without its private one is nobody's: sshd cannot serve it (law H3).
        if name.starts_with("ssh_host_") && name.ends_with("_key.pub") && path.with_extension("").exists() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    let mut keys = PublicKeys::default();
    for path in paths {
        match read_public(&path) {
            Ok(Ok(key)) => keys.good.push((path, key)),
            // sshd has types that it serves only when told to, and others that it has given up; ours are three.
            Ok(Err(PublicKeyError::Algorithm(_))) => {}
            Ok(Err(why)) => keys.bad.push((path, why.to_string())),
            Err(why) => keys.bad.push((path, why.to_string())),
        }
    }
    Ok(keys)
}
