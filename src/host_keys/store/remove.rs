//! What goes from a disk that is to become the image of other Instances: every private key that sshd serves, wherever it stands.
//!
//! The next boot makes the keys anew. Where it cannot, or where a key cannot be removed, that is said (invariant H1).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::effective::{conventional_type, is_conventional};
use crate::host_keys::sshd::query;
use crate::host_keys::store::apply::KeyStore;
use crate::host_keys::store::key_content::KeyContent;
use crate::host_keys::store::key_file::{KeyFile, Private, PublicFile, public_path};
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::make_keys::{can_make, roots_alone};
use crate::host_keys::store::plan::Rules;
use crate::host_keys::store::problems::drop_in;
use crate::util::program;

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Clearing {
    /// Public keys to write first: beside a private key whose name does not tell its type, they tell it to the next boot.
    pub write: Vec<(PathBuf, String)>,
    /// Files to remove.
    pub remove: BTreeSet<PathBuf>,
    /// What the next boot cannot make, and why.
    pub warnings: Vec<String>,
    /// What cannot be removed, and why.
    pub failures: Vec<String>,
}

/// Looks at every key that sshd names, and at those that have the name of a host key in the same folders.
pub(crate) fn clearing(places: &HostKeyPaths) -> Clearing {
    let mut answers = OpensshAnswers::load(&places.answers, program::stamp("ssh-keygen"));
    let (effective, error) = query::effective(places, &mut answers);
    let rules = Rules { effective: &effective, types: &KeyType::ALL, only_certified: false };
    let task = KeyStore { folder: &places.keys, rules, group: KeyGroup::read(), is_sshd_known: true };
    let files = task.look(&mut answers);
    let mut clearing = Clearing::default();
    clearing.failures.extend(error.map(|why| format!("{why}: keys that only sshd knows of may be left")));
    for file in &files {
        clearing.add(&task, file);
    }
    let parents = files.iter().filter_map(|file| file.path.parent());
    for folder in parents.chain([&*places.keys]).collect::<BTreeSet<_>>() {
        clearing.add_conventional(folder, &files);
    }
    clearing
}

impl Clearing {
    fn add(&mut self, task: &KeyStore<'_>, file: &KeyFile) {
        let path = file.path.display();
        if let Some(Err(why)) = file.target.parent().filter(|folder| folder.exists()).map(roots_alone) {
            self.warnings.push(format!("{path}: the next boot cannot make this key: {why}"));
        }
        let key = match &file.private {
            _ if task.rules.is_held_by_agent(file) => {
                return self
                    .failures
                    .push(format!("{path}: the private key is in sshd's HostKeyAgent; remove it there"));
            }
            Private::Missing => return,
            Private::Unseen(_) | Private::Unreadable(_) => {
                return self.failures.push(format!("{path}: cannot be read, so it may hold a private key"));
            }
            Private::Found(KeyContent::Usable(key) | KeyContent::Damaged(key, _)) => Some(key),
            Private::Empty | Private::Found(_) => None,
        };
        if conventional_type(&file.path).is_some() {
            // With it goes the public key.
            self.remove.insert(public_path(&file.path));
        } else if task.rules.effective.agent.is_some() && key.is_some() {
            // Alone, the public key would stand for one that the agent holds.
            self.remove.insert(public_path(&file.path));
            self.warnings.push(format!("{path}: the next boot cannot know the type of this key"));
        } else if let Some(key) = key {
            if !matches!(file.public, PublicFile::Same(_)) {
                let line = format!("{} {}", key.key_text(), key.comment);
                self.write.push((public_path(&file.path), format!("{}\n", line.trim_end())));
            }
        } else {
            // No key that sshd serves, and somebody's file.
            return;
        }
        self.remove.insert(file.target.clone());
        if let Some(remedy) = drop_in(&file.target) {
            self.warnings.push(format!("{path}: the next boot cannot make this key unless you {remedy}"));
        }
        if let Some(kind) = task.rules.kind(file).filter(|kind| !can_make(kind)) {
            self.warnings.push(format!("{path}: ssh-keygen cannot make a key of type {}", kind.keygen_type));
        }
    }

    /// What has the name of a host key although sshd does not name it, and public keys whose private ones are gone.
    fn add_conventional(&mut self, folder: &Path, files: &[KeyFile]) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let private = folder.join(name.strip_suffix(".pub").unwrap_or(&name));
            let is_named =
                files.iter().any(|file| file.path == private && !matches!(file.private, Private::Missing));
            let is_key = private.file_name().and_then(|name| name.to_str()).is_some_and(is_conventional);
            if is_key && !is_named {
                self.remove.insert(entry.path());
            }
        }
        self.remove.retain(|path| path.symlink_metadata().is_ok());
    }
}
