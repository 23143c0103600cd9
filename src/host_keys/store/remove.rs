//! Which files to remove from a disk that becomes the image of other Instances: every private key that sshd serves, in any folder.
//!
//! The next boot makes new keys. If it cannot make one, or if a key cannot be removed, that is reported (invariant H1).

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
use crate::host_keys::store::key_file::{KeyFile, PrivateFile, PublicFile, public_path};
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::make_keys::{can_make, check_only_root_can_replace};
use crate::host_keys::store::plan::Rules;
use crate::host_keys::store::problems::drop_in;
use crate::util::program;

/// What to do before the disk becomes an image.
#[derive(Debug, Default)]
pub(crate) struct PlannedRemoval {
    /// Public keys to write first. They show the next boot the type of a private key if its name does not.
    pub write: Vec<(PathBuf, String)>,
    /// Files to remove.
    pub remove: BTreeSet<PathBuf>,
    /// Keys that the next boot cannot make, with the reason.
    pub warnings: Vec<String>,
    /// Keys that cannot be removed, with the reason.
    pub failures: Vec<String>,
}

/// Inspects every key that sshd's configuration names, and every file with the name of a host key in the same folders.
pub(crate) fn planned_removal(paths: &HostKeyPaths) -> PlannedRemoval {
    let mut answers = OpensshAnswers::load(&paths.openssh_answers, program::stamp("ssh-keygen"));
    let (effective, error) = query::effective(paths, &mut answers);
    let rules = Rules { effective: &effective, types: &KeyType::ALL, only_certified: false };
    let store = KeyStore { folder: &paths.keys, rules, group: KeyGroup::read(), sshd_answered: true };
    let files = store.inspect(&mut answers);
    let mut planned_removal = PlannedRemoval::default();
    planned_removal.failures.extend(error.map(|why| format!("{why}; keys that only sshd knows may remain")));
    for file in &files {
        planned_removal.add(&store, file);
    }
    let parents = files.iter().filter_map(|file| file.path.parent());
    for folder in parents.chain([&*paths.keys]).collect::<BTreeSet<_>>() {
        planned_removal.add_conventional(folder, &files);
    }
    planned_removal
}

impl PlannedRemoval {
    fn add(&mut self, store: &KeyStore<'_>, file: &KeyFile) {
        let path = file.path.display();
        if let Some(Err(why)) =
            file.target.parent().filter(|folder| folder.exists()).map(check_only_root_can_replace)
        {
            self.warnings.push(format!("{path}: the next boot cannot make this key: {why}"));
        }
        let key = match &file.private {
            _ if store.rules.may_be_in_agent(file) => {
                return self
                    .failures
                    .push(format!("{path}: the private key is in sshd's HostKeyAgent; remove it there"));
            }
            PrivateFile::Missing => return,
            PrivateFile::NotVisible(_) | PrivateFile::Unreadable(_) => {
                return self
                    .failures
                    .push(format!("{path}: cannot be read, so it may contain a private key"));
            }
            PrivateFile::Found(KeyContent::Usable(key) | KeyContent::Damaged(key, _)) => Some(key),
            PrivateFile::Empty | PrivateFile::Found(_) => None,
        };
        if conventional_type(&file.path).is_some() {
            // The public key is removed with it.
            self.remove.insert(public_path(&file.path));
        } else if store.rules.effective.agent.is_some() && key.is_some() {
            // A remaining public key would mean that the agent has the private one.
            self.remove.insert(public_path(&file.path));
            self.warnings.push(format!("{path}: the next boot cannot know the type of this key"));
        } else if let Some(key) = key {
            if !matches!(file.public, PublicFile::Same(_)) {
                let line = format!("{} {}", key.key_text(), key.comment);
                self.write.push((public_path(&file.path), format!("{}\n", line.trim_end())));
            }
        } else {
            // sshd serves no key from this file, and it may be of use to somebody.
            return;
        }
        self.remove.insert(file.target.clone());
        if let Some(remedy) = drop_in(&file.target) {
            self.warnings.push(format!("{path}: the next boot cannot make this key unless you {remedy}"));
        }
        if let Some(kind) = store.rules.new_key(file).filter(|kind| !can_make(kind)) {
            self.warnings.push(format!("{path}: ssh-keygen cannot make a key of type {}", kind.keygen_type));
        }
    }

    /// Adds files with the name of a host key that sshd's configuration does not name, and public keys whose private key is missing.
    fn add_conventional(&mut self, folder: &Path, files: &[KeyFile]) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let private = folder.join(name.strip_suffix(".pub").unwrap_or(&name));
            let is_named = files
                .iter()
                .any(|file| file.path == private && !matches!(file.private, PrivateFile::Missing));
            let is_key = private.file_name().and_then(|name| name.to_str()).is_some_and(is_conventional);
            if is_key && !is_named {
                self.remove.insert(entry.path());
            }
        }
        self.remove.retain(|path| path.symlink_metadata().is_ok());
    }
}
