//! The served keys (invariant H3): the keys that sshd loads and accepts, the first one of each type.
//!
//! The units that run as root write them to a file in /run for the daemon. The daemon itself may not read private keys, and cannot
//! read sshd's configuration everywhere.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::cache::KeyText;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys};
use crate::host_keys::sshd::host_key_agent;
use crate::host_keys::sshd::query::conventional_keys;
use crate::host_keys::store::key_file::{KeyFile, PrivateFile, public_path};
use crate::metadata::api::instance::InstanceId;
use crate::util::files;

const VERSION: u32 = 2;
const MAX_BYTES: u64 = 256 * 1024;

/// The last content of the file, and its meaning. The daemon reads the file at each check, where decoding the keys was half of its work.
static LAST_DECODED: Mutex<Option<(Vec<u8>, LocalKeys)>> = Mutex::new(None);

/// The host keys of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalKeys {
    /// Where the list of served keys comes from.
    pub source: ConfigSource,
    /// The Instance that the keys belong to. They are published for no other Instance. `None` until it is known.
    pub instance: Option<InstanceId>,
    /// Every key that sshd's configuration names, and every other file with the name of a host key; sorted by path.
    pub keys: Vec<LocalKey>,
    /// The problems of the keys.
    pub problems: Vec<KeyProblem>,
}

/// One host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalKey {
    /// The path of the private key.
    pub path: PathBuf,
    /// The public key, if it is known.
    pub key: Option<PublicKey>,
    /// Whether sshd serves it.
    pub served: bool,
}

/// A problem of the host keys, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProblem {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// The document in the file.
#[derive(Serialize, Deserialize)]
struct LocalKeysFile {
    version: u32,
    source: ConfigSource,
    instance: Option<InstanceId>,
    keys: Vec<LocalKeyEntry>,
    problems: Vec<KeyProblem>,
}

#[derive(Serialize, Deserialize)]
struct LocalKeyEntry {
    path: PathBuf,
    key: Option<KeyText>,
    served: bool,
}

impl LocalKeys {
    /// From the inspected keys that sshd's configuration names, and from other key files in sshd's own folder.
    pub(crate) fn of(effective: &EffectiveHostKeys, folder: &Path, files: &[KeyFile]) -> Self {
        let mut problems = Vec::new();
        let agent_keys = keys_in_agent(effective, files, &mut problems);
        let mut types = BTreeSet::new();
        let mut keys = Vec::new();
        for file in files {
            let loaded = file.loaded().or_else(|| {
                file.key_in_agent().filter(|key| agent_keys.iter().any(|blob| blob == key.blob()))
            });
            // sshd serves the first of several keys of one type.
            let served = loaded
                .as_ref()
                .is_some_and(|key| effective.offers(key) && types.insert(key.algorithm.clone()));
            let key = loaded.or_else(|| file.public_key());
            if key.is_some() || !matches!(file.private, PrivateFile::Missing) {
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

    /// Marks all keys as not served, because no OpenSSH server is enabled.
    pub fn mark_not_served(&mut self) {
        self.keys.iter_mut().for_each(|key| key.served = false);
    }

    /// Reads the file that was written in this boot; `None` if there is none or it cannot be read.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = files::read_bounded(path, MAX_BYTES).ok()??;
        let mut last = LAST_DECODED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = last.as_ref().filter(|(same, _)| *same == bytes) {
            return Some(keys.clone());
        }
        let keys = Self::decode(&bytes)?;
        *last = Some((bytes, keys.clone()));
        Some(keys)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let document: LocalKeysFile = serde_json::from_slice(bytes).ok()?;
        if document.version != VERSION {
            return None;
        }
        let key = |entry: LocalKeyEntry| {
            let key = entry.key.as_ref().and_then(KeyText::key);
            LocalKey { path: entry.path, served: entry.served && key.is_some(), key }
        };
        let LocalKeysFile { source, instance, keys, problems, .. } = document;
        let keys = keys.into_iter().map(key).collect();
        Some(Self { source, instance, keys, problems })
    }

    /// Writes the file for the daemon. If it already has this content, it is not touched.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if Self::read(path).as_ref() == Some(self) {
            return Ok(());
        }
        let entry = |key: &LocalKey| LocalKeyEntry {
            path: key.path.clone(),
            key: key.key.as_ref().map(KeyText::from),
            served: key.served,
        };
        let keys = self.keys.iter().map(entry).collect();
        let (instance, problems) = (self.instance.clone(), self.problems.clone());
        let document = LocalKeysFile { version: VERSION, source: self.source, instance, keys, problems };
        write_for_boot(path, &serde_json::to_vec(&document)?)
    }

    /// From the `.pub` files alone. This is for a user who may read nothing else, as long as the file was not written in this boot. Then it
    /// is not known which keys sshd serves.
    pub(crate) fn by_public_files(folder: &Path) -> Self {
        let key = |path: PathBuf| LocalKey { key: read_public(&path), path, served: false };
        let mut keys: Vec<_> = conventional_keys(folder).into_iter().map(key).collect();
        keys.sort_by(|a, b| a.path.cmp(&b.path));
        Self { source: ConfigSource::Names, instance: None, keys, problems: Vec::new() }
    }
}

/// The keys in sshd's agent. The agent is asked only if one of the files needs it.
fn keys_in_agent(
    effective: &EffectiveHostKeys,
    files: &[KeyFile],
    problems: &mut Vec<KeyProblem>,
) -> Vec<Vec<u8>> {
    let Some(socket) = &effective.agent else { return Vec::new() };
    if files.iter().all(|file| file.key_in_agent().is_none()) {
        return Vec::new();
    }
    match host_key_agent::agent_keys(socket) {
        Ok(keys) => keys,
        Err(why) => {
            problems.push(KeyProblem {
                what: format!("cannot query HostKeyAgent {socket}, so its keys are not published: {why}"),
                remedy: "start the agent before sshd, and set HostKeyAgent to the path of its socket"
                    .to_owned(),
            });
            Vec::new()
        }
    }
}

/// Reads the `.pub` beside a key that sshd's configuration does not name.
fn read_public(private: &Path) -> Option<PublicKey> {
    let bytes = files::read_bounded(&public_path(private), MAX_BYTES).ok().flatten()?;
    PublicKey::parse(std::str::from_utf8(&bytes).ok()?).ok()
}

/// Writes a file in /run that everybody may read.
pub(crate) fn write_for_boot(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        files::create_public_folder(folder)?;
    }
    files::write_atomic(path, bytes, 0o644)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::util::random;

    #[test]
    fn h3_changed_file_is_read_anew() {
        let folder = std::env::temp_dir().join(format!("scw-agent-served-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let path = folder.join("served.json");
        let keys = |served| LocalKeys {
            source: ConfigSource::Sshd,
            instance: None,
            keys: vec![LocalKey {
                path: "/etc/ssh/ssh_host_ed25519_key".into(),
                key: PublicKey::parse(
                    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X",
                )
                .ok(),
                served,
            }],
            problems: vec![],
        };
        assert_eq!(LocalKeys::read(&path), None);
        for served in [true, true, false, true] {
            keys(served).write(&path).expect("written");
            assert_eq!(LocalKeys::read(&path), Some(keys(served)));
        }
        fs::write(&path, "{").expect("written");
        assert_eq!(LocalKeys::read(&path), None);
        fs::remove_dir_all(folder).expect("removed");
    }
}
