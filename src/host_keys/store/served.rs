//! What sshd serves (invariant H3): the keys that it loads, accepts, and offers first of their type. Root's units write it to /run,
//! where the daemon reads it: the daemon may read neither a private key nor sshd's configuration everywhere.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::agent;
use crate::host_keys::sshd::cache::KeyText;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys};
use crate::host_keys::sshd::query::conventional_keys;
use crate::host_keys::store::key_file::{KeyFile, Private, public_path};
use crate::metadata::api::instance::InstanceId;
use crate::util::files;

const VERSION: u32 = 2;
const MAX_BYTES: u64 = 256 * 1024;

/// The host keys of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedKeys {
    /// How it is known what sshd serves.
    pub source: ConfigSource,
    /// The Instance whose keys they are: published nowhere else. `None` until it is known.
    pub instance: Option<InstanceId>,
    /// Every key that sshd names or that has the name of a host key, in the order of the paths.
    pub keys: Vec<LocalKey>,
    /// What is wrong with them.
    pub problems: Vec<KeyProblem>,
}

/// One host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalKey {
    /// The private key's file.
    pub path: PathBuf,
    /// The public key, where it is known.
    pub key: Option<PublicKey>,
    /// Whether sshd serves it.
    pub served: bool,
}

/// Something wrong with the host keys, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProblem {
    /// What is wrong.
    pub what: String,
    /// What a person can do.
    pub remedy: String,
}

/// The file's shape.
#[derive(Serialize, Deserialize)]
struct ServedDocument {
    version: u32,
    source: ConfigSource,
    instance: Option<InstanceId>,
    keys: Vec<ServedEntry>,
    problems: Vec<KeyProblem>,
}

#[derive(Serialize, Deserialize)]
struct ServedEntry {
    path: PathBuf,
    key: Option<KeyText>,
    served: bool,
}

impl ServedKeys {
    /// Of the keys that sshd names, as they were looked at; and, in its own folder, of those that it does not name.
    pub(crate) fn of(effective: &EffectiveHostKeys, folder: &Path, files: &[KeyFile]) -> Self {
        let mut problems = Vec::new();
        let held = held_by_agent(effective, files, &mut problems);
        let mut types = BTreeSet::new();
        let mut keys = Vec::new();
        for file in files {
            let loaded = file
                .loaded()
                .or_else(|| file.held_by_agent().filter(|key| held.iter().any(|blob| blob == key.blob())));
            // Of several keys of one type, sshd takes the first.
            let served = loaded
                .as_ref()
                .is_some_and(|key| effective.offers(key) && types.insert(key.algorithm.clone()));
            let key = loaded.or_else(|| file.public_key());
            if key.is_some() || !matches!(file.private, Private::Missing) {
                keys.push(LocalKey { path: file.path.clone(), key, served });
            }
        }
        for path in conventional_keys(folder) {
            if !files.iter().any(|file| file.path == path) && path.is_file() {
                keys.push(LocalKey { key: read_public(&path), path, served: false });
            }
        }
        keys.sort_by(|a, b| a.path.cmp(&b.path));
        Self { source: effective.source, instance: None, keys, problems }
    }

    /// The public keys that sshd serves.
    pub fn served(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(|key| key.served).filter_map(|key| key.key.as_ref())
    }

    /// No server is enabled that would serve them.
    pub fn none_served(&mut self) {
        self.keys.iter_mut().for_each(|key| key.served = false);
    }

    /// Reads what was written in this boot; `None` where nothing was, or nothing that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        let document: ServedDocument =
            serde_json::from_slice(&files::read_bounded(path, MAX_BYTES).ok()??).ok()?;
        if document.version != VERSION {
            return None;
        }
        let key = |entry: ServedEntry| {
            let key = entry.key.as_ref().and_then(KeyText::key);
            LocalKey { path: entry.path, served: entry.served && key.is_some(), key }
        };
        let ServedDocument { source, instance, keys, problems, .. } = document;
        let keys = keys.into_iter().map(key).collect();
        Some(Self { source, instance, keys, problems })
    }

    /// Writes it for the daemon; touches nothing where it stands there already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if Self::read(path).as_ref() == Some(self) {
            return Ok(());
        }
        let entry = |key: &LocalKey| ServedEntry {
            path: key.path.clone(),
            key: key.key.as_ref().map(KeyText::from),
            served: key.served,
        };
        let keys = self.keys.iter().map(entry).collect();
        let (instance, problems) = (self.instance.clone(), self.problems.clone());
        let document = ServedDocument { version: VERSION, source: self.source, instance, keys, problems };
        write_for_boot(path, &serde_json::to_vec(&document)?)
    }

    /// By the `.pub` files alone, for a person who may read nothing else while nothing was written in this boot. What sshd serves is not
    /// known then.
    pub(crate) fn by_public_files(folder: &Path) -> Self {
        let key = |path: PathBuf| LocalKey { key: read_public(&path), path, served: false };
        let mut keys: Vec<_> = conventional_keys(folder).into_iter().map(key).collect();
        keys.sort_by(|a, b| a.path.cmp(&b.path));
        Self { source: ConfigSource::Names, instance: None, keys, problems: Vec::new() }
    }
}

/// The keys that sshd's agent holds, if one of the files needs it.
fn held_by_agent(
    effective: &EffectiveHostKeys,
    files: &[KeyFile],
    problems: &mut Vec<KeyProblem>,
) -> Vec<Vec<u8>> {
    let Some(socket) = &effective.agent else { return Vec::new() };
    if files.iter().all(|file| file.held_by_agent().is_none()) {
        return Vec::new();
    }
    match agent::held_keys(socket) {
        Ok(keys) => keys,
        Err(why) => {
            problems.push(KeyProblem {
                what: format!(
                    "HostKeyAgent {socket} cannot be asked for its keys, so they are not published: {why}"
                ),
                remedy: "start the agent before sshd, and name its socket by a path".to_owned(),
            });
            Vec::new()
        }
    }
}

/// The `.pub` beside a key that sshd does not name.
fn read_public(private: &Path) -> Option<PublicKey> {
    let bytes = files::read_bounded(&public_path(private), MAX_BYTES).ok().flatten()?;
    PublicKey::parse(std::str::from_utf8(&bytes).ok()?).ok()
}

/// Writes a file that stands until the next boot, for all to read.
pub(crate) fn write_for_boot(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        files::public_folder(folder)?;
    }
    files::write_whole(path, bytes, 0o644)
}
