//! Inspects one host key: the private key's file, who may read it, and the `.pub` beside it. It only reads.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::store::key_content::{self, KeyContent};
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::mounts::{Obstacle, obstacle};
use crate::util::files;

/// The largest key file that is read. An RSA key of 16384 bits has 13 kB; sshd ignores what follows the key.
const MAX_BYTES: u64 = 1024 * 1024;
/// The number of links that the kernel follows.
const MAX_LINKS: usize = 40;

/// A host key that sshd's configuration names.
#[derive(Debug)]
pub(crate) struct KeyFile {
    /// The private key's path, as in sshd's configuration.
    pub path: PathBuf,
    /// The path of its file after all links are followed.
    pub target: PathBuf,
    /// The private key.
    pub private: PrivateFile,
    /// The `.pub` beside it.
    pub public: PublicFile,
    /// Who may read the private key, where there is one.
    pub access: Option<KeyAccess>,
}

/// A private key's file.
#[derive(Debug)]
pub(crate) enum PrivateFile {
    /// There is no file.
    Missing,
    /// This process cannot see whether the file exists.
    NotVisible(Obstacle),
    /// The file is empty, as after a power failure.
    Empty,
    /// The file has this content.
    Found(KeyContent),
    /// There is something that cannot be read or checked. An unknown key is not replaced (invariant H1).
    Unreadable(io::Error),
}

/// The `.pub` beside a private key.
#[derive(Debug)]
pub(crate) enum PublicFile {
    /// It has the public half of the private key, with this comment.
    Same(String),
    /// It has this key. The private key is another one, or not known.
    Other(PublicKey),
    /// It is missing, cannot be read, or has no public key.
    Unusable,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyAccess {
    /// Permission bits.
    pub mode: u32,
    /// Whether the file belongs to the user of this process, which is root in the units.
    pub is_owned_by_self: bool,
    /// Whether sshd loads the key although its group may read it.
    pub group_may_read: bool,
}

impl KeyAccess {
    /// The permission bits that sshd accepts.
    pub(crate) fn allowed(self) -> u32 {
        if self.group_may_read { 0o640 } else { 0o600 }
    }

    /// Whether sshd loads a key with this mode. sshd does not check the mode of another user's file.
    pub(crate) fn is_loaded(self) -> bool {
        !self.is_owned_by_self || self.mode & 0o077 & !self.allowed() == 0
    }
}

/// Inspects the key at `path`.
pub(crate) fn inspect(path: &Path, group: &KeyGroup, answers: &mut OpensshAnswers) -> KeyFile {
    let target = resolved(path);
    let private = match files::read_bounded(&target, MAX_BYTES) {
        Ok(None) => obstacle(&target).map_or(PrivateFile::Missing, PrivateFile::NotVisible),
        Ok(Some(bytes)) if bytes.is_empty() => PrivateFile::Empty,
        Ok(Some(bytes)) => match key_content::check(&bytes, answers) {
            Ok(content) => PrivateFile::Found(content),
            Err(why) => PrivateFile::Unreadable(why),
        },
        Err(why) => PrivateFile::Unreadable(why),
    };
    let content = match &private {
        PrivateFile::Found(content) => Some(content),
        _ => None,
    };
    let public = read_public(&public_path(path), content.and_then(KeyContent::public));
    let is_usable = matches!(content, Some(KeyContent::Usable(_)));
    let own_uid = nix::unistd::geteuid().as_raw();
    let access = fs::metadata(&target).ok().map(|there| KeyAccess {
        mode: there.mode() & 0o7777,
        is_owned_by_self: there.uid() == own_uid,
        group_may_read: group.may_read(&target, &there, is_usable, answers),
    });
    KeyFile { path: path.to_owned(), target, private, public, access }
}

impl KeyFile {
    /// The public key, if sshd loads the private one.
    pub(crate) fn loaded(&self) -> Option<PublicKey> {
        match &self.private {
            PrivateFile::Found(KeyContent::Usable(key)) if self.access.is_none_or(KeyAccess::is_loaded) => {
                Some(self.commented(key))
            }
            _ => None,
        }
    }

    /// The public key whose private key may be in sshd's agent.
    pub(crate) fn key_in_agent(&self) -> Option<PublicKey> {
        let public = match &self.private {
            PrivateFile::Found(KeyContent::PublicOnly(key) | KeyContent::Encrypted(Some(key))) => Some(key),
            PrivateFile::Found(KeyContent::Usable(_) | KeyContent::Damaged(..)) => return None,
            _ => None,
        };
        match (public, &self.public) {
            (Some(key), _) => Some(self.commented(key)),
            (None, PublicFile::Other(key)) => Some(key.clone()),
            (None, _) => None,
        }
    }

    /// The public half of the private key file, whether sshd loads it or not.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        let content = if let PrivateFile::Found(content) = &self.private { content.public() } else { None };
        content.map(|key| self.commented(key))
    }

    /// The key with the comment of the `.pub` file, which people edit.
    fn commented(&self, key: &PublicKey) -> PublicKey {
        match &self.public {
            PublicFile::Same(comment) if !comment.is_empty() => key.clone().with_comment(comment.clone()),
            _ => key.clone(),
        }
    }
}

/// The path of the public key beside a private one.
pub(crate) fn public_path(private: &Path) -> PathBuf {
    let mut name = OsString::from(private);
    name.push(".pub");
    name.into()
}

/// Reads the `.pub` and compares it with the private key, if that is known.
fn read_public(path: &Path, private: Option<&PublicKey>) -> PublicFile {
    let bytes = files::read_bounded(path, MAX_BYTES).ok().flatten().unwrap_or_default();
    let Ok(text) = String::from_utf8(bytes) else { return PublicFile::Unusable };
    if let Some(key) = private {
        let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(&key.key_text()));
        return match line.filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
            Some(comment) => PublicFile::Same(comment.trim().to_owned()),
            None => PublicFile::Unusable,
        };
    }
    key_content::public_key(&text).map_or(PublicFile::Unusable, PublicFile::Other)
}

/// The path with all links followed, even if the last one has no target.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("/")).join(next),
            Err(_) => break,
        }
    }
    path
}
