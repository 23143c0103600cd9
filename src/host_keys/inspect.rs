//! What is in the key folder: reading only.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::key_type::KeyType;
use super::private_key::PrivateKey;
use super::public_key::{PublicKey, PublicKeyError};
use super::served::Served;
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

/// Whether sshd can take a file for a private key.
pub(super) fn is_usable(private: &Path) -> bool {
    let bytes = files::read_bounded(private, LARGEST).ok().flatten().unwrap_or_default();
    !bytes.is_empty() && !matches!(PrivateKey::look(&bytes), PrivateKey::Broken | PrivateKey::Locked)
}

fn read_public(path: &Path) -> io::Result<Result<PublicKey, PublicKeyError>> {
    let bytes = files::read_bounded(path, LARGEST)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(std::str::from_utf8(&bytes).map_err(|_| PublicKeyError::Form).and_then(PublicKey::parse))
}

/// The public keys of a machine.
#[derive(Debug, Default)]
pub struct PublicKeys {
    /// Those that read well, in the order of their files.
    pub good: Vec<LocalKey>,
    /// Those that do not, and why.
    pub bad: Vec<(PathBuf, String)>,
}

/// A public key whose private key is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalKey {
    /// The public key's file.
    pub path: PathBuf,
    /// What it holds.
    pub key: PublicKey,
    /// Whether sshd serves it.
    pub served: bool,
}

impl PublicKeys {
    /// Those that sshd serves.
    pub fn served(&self) -> impl Iterator<Item = &PublicKey> {
        self.good.iter().filter(|key| key.served).map(|key| &key.key)
    }
}

/// Reads the public key of every `ssh_host_*_key` of a folder, and of what else sshd serves, in the order of the paths.
///
/// # Errors
/// When the folder cannot be listed. A folder that is not there has no keys.
pub fn public_keys(folder: &Path, served: &Served) -> io::Result<PublicKeys> {
    let mut paths: Vec<_> = list(folder)?
        .into_iter()
        .chain(served.keys.iter().flatten().cloned())
        // A public key without its private one is nobody's: sshd cannot serve it (law H3).
        .filter(|private| private.is_file())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let mut keys = PublicKeys::default();
    for private in paths {
        let mut path = private.clone().into_os_string();
        path.push(".pub");
        let path = PathBuf::from(path);
        match read_public(&path) {
            Ok(Ok(key)) => keys.good.push(LocalKey { served: served.serves(&private, &key), path, key }),
            // sshd has types that it serves only when told to, and others that it has given up; ours are three.
            Ok(Err(PublicKeyError::Algorithm(_))) => {}
            Ok(Err(why)) => keys.bad.push((path, why.to_string())),
            Err(why) => keys.bad.push((path, why.to_string())),
        }
    }
    Ok(keys)
}

/// The private keys in a folder, by their names alone; none where it cannot be listed.
pub(super) fn private_keys(folder: &Path) -> Vec<PathBuf> {
    list(folder).unwrap_or_default().into_iter().filter(|path| path.is_file()).collect()
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("ssh_host_") && name.ends_with("_key") {
            paths.push(path);
        }
    }
    Ok(paths)
}
