//! Carries out the plan of [`crate::host_keys::store::plan`](mod@crate::host_keys::store::plan) for every key that sshd's configuration
//! names, in whichever folder it is.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::effective::{conventional_type, is_conventional};
use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::{KeyFile, inspect, public_path};
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::make_keys::{self, KeyToMake};
use crate::host_keys::store::plan::{KeyPlan, KeyRepairs, Rules, SkipReason};
use crate::util::files;
use crate::util::labels::restore_labels;

/// What was done to the keys.
#[derive(Debug, Default)]
pub(crate) struct KeyChanges {
    /// Keys that needed no change.
    pub kept: BTreeSet<String>,
    /// Keys that were made.
    pub made: BTreeSet<String>,
    /// Keys that stayed, and what was repaired around them.
    pub repaired: Vec<(String, KeyRepairs)>,
    /// The new names of files that were no usable keys and were moved aside.
    pub set_aside: Vec<PathBuf>,
    /// Keys of another Instance that were removed.
    pub removed: Vec<PathBuf>,
    /// Keys that sshd's configuration names and sshd does not serve, while it serves others; each with the reason.
    pub skipped: Vec<(PathBuf, SkipReason)>,
    /// Keys for which the plan failed. The other keys are done nevertheless.
    pub failed: Vec<(PathBuf, HostKeyError)>,
    /// The paths of the private keys that were made.
    pub new_files: BTreeSet<PathBuf>,
}

/// Which keys are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeysToReplace {
    /// Only missing and broken keys.
    Broken,
    /// All keys, because another Instance has them too. The exception is keys with these fingerprints: an earlier attempt has made them.
    AllExcept(BTreeSet<String>),
}

/// The host keys of this machine, and the rules for them.
#[derive(Debug)]
pub(crate) struct KeyStore<'a> {
    /// sshd's own folder.
    pub(crate) folder: &'a Path,
    pub(crate) rules: Rules<'a>,
    pub(crate) group: KeyGroup,
    /// Whether sshd itself answered which keys it has. If not, any other key file may be one of sshd's keys too.
    pub(crate) sshd_answered: bool,
}

impl KeyStore<'_> {
    /// Inspects every key that sshd's configuration names.
    pub(crate) fn inspect(&self, answers: &mut OpensshAnswers) -> Vec<KeyFile> {
        // If sshd's folder is missing, there is no sshd that needs keys (invariant D2).
        let has_folder = |path: &&PathBuf| !path.starts_with(self.folder) || self.folder.exists();
        let paths = self.rules.effective.files.iter().filter(has_folder);
        paths.map(|path| inspect(path, &self.group, answers)).collect()
    }

    /// Makes and repairs keys so that sshd serves all that it can. Returns the changes, and the keys as they are afterwards.
    pub(crate) fn make_and_repair(
        &self,
        replace: &KeysToReplace,
        answers: &mut OpensshAnswers,
    ) -> (KeyChanges, Vec<KeyFile>) {
        let mut changes = KeyChanges::default();
        let mut keys = self.inspect(answers);
        let folders: BTreeSet<_> = keys.iter().filter_map(|key| key.target.parent()).collect();
        folders.iter().for_each(|folder| make_keys::remove_leftovers(folder));
        let plans = match replace {
            KeysToReplace::Broken => self.rules.plan(&keys),
            KeysToReplace::AllExcept(renewed) => self.rules.plan_renewal(&keys, renewed),
        };
        let before = fingerprints(&keys);
        self.apply(&keys, &plans, replace, &mut changes);
        let renewed = match replace {
            KeysToReplace::Broken => None,
            KeysToReplace::AllExcept(renewed) => Some(renewed),
        };
        if renewed.is_some() && changes.failed.is_empty() && self.sshd_answered {
            self.remove_others(&keys, &plans, &mut changes);
        }
        let changed = !changes.made.is_empty() || !changes.repaired.is_empty() || renewed.is_some();
        if changed {
            folders.iter().for_each(|folder| restore_labels(folder));
            keys = self.inspect(answers);
        }
        if let Some(renewed) = renewed.filter(|_| changes.failed.is_empty()) {
            let is_old = |key: &str| before.contains(key) && !renewed.contains(key);
            let old = keys.iter().filter(|key| key.loaded().is_some_and(|key| is_old(&key.fingerprint())));
            changes.failed.extend(old.map(|key| (key.path.clone(), HostKeyError::NotReplaced)));
        }
        (changes, keys)
    }

    fn apply(&self, keys: &[KeyFile], plans: &[KeyPlan], replace: &KeysToReplace, changes: &mut KeyChanges) {
        let mut to_make: Vec<KeyToMake<'_>> = Vec::new();
        for (key, plan) in keys.iter().zip(plans) {
            let name = self.name(&key.path);
            match plan {
                KeyPlan::Keep => _ = changes.kept.insert(name),
                KeyPlan::Repair(repairs) => match repair(key, repairs) {
                    Ok(()) => changes.repaired.push((name, repairs.clone())),
                    Err(why) => changes.failed.push((key.path.clone(), file_error(key, why))),
                },
                // Two paths of one file.
                KeyPlan::Make { .. } if to_make.iter().any(|other| other.file.target == key.target) => {}
                KeyPlan::Make { kind, set_aside } => {
                    to_make.push(KeyToMake { file: key, kind, set_aside: *set_aside })
                }
                // Removed after all the other keys are made.
                KeyPlan::Remove | KeyPlan::Ignore => {}
                KeyPlan::Skip(reason) if reason.is_failure(replace) => {
                    changes.failed.push((key.path.clone(), HostKeyError::Skipped(reason.clone())));
                }
                KeyPlan::Skip(reason) => changes.skipped.push((key.path.clone(), reason.clone())),
            }
        }
        let made = make_keys::make(&to_make, self.group.for_new_keys());
        for (key, made) in to_make.iter().zip(made) {
            match made {
                Ok(aside) => {
                    changes.set_aside.extend(aside);
                    changes.made.insert(self.name(&key.file.path));
                    changes.new_files.insert(key.file.path.clone());
                }
                Err(why) => changes.failed.push((key.file.path.clone(), why)),
            }
        }
    }

    /// Removes the keys of another Instance that get no replacement. It also removes files with the name of a host key that sshd's
    /// configuration does not name: a private key that two machines have protects neither of them.
    fn remove_others(&self, keys: &[KeyFile], plans: &[KeyPlan], changes: &mut KeyChanges) {
        let parents = keys.iter().filter_map(|key| key.path.parent());
        // One folder may have several paths. Keys are compared by the path without links.
        let folders: BTreeSet<_> =
            parents.chain([self.folder]).filter_map(|path| path.canonicalize().ok()).collect();
        let canonical = |key: &KeyFile| {
            let folder = key.path.parent()?.canonicalize().ok()?;
            Some(folder.join(key.path.file_name()?))
        };
        let is_kept = |path: &Path| {
            let has_path = |key: &KeyFile| {
                key.target == path || canonical(key).is_some_and(|canonical| canonical == path)
            };
            let configured = keys.iter().zip(plans).find(|(key, _)| has_path(key));
            configured.is_some_and(|(_, plan)| *plan != KeyPlan::Remove)
        };
        for folder in folders {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let key = name.strip_suffix(".pub").unwrap_or(&name);
                if !is_conventional(key) || is_kept(&folder.join(key)) {
                    continue;
                }
                match fs::remove_file(entry.path()) {
                    Ok(()) => changes.removed.push(entry.path()),
                    Err(why) => tracing::error!(
                        "cannot remove {}, a key of another Instance: {why}",
                        entry.path().display()
                    ),
                }
            }
        }
    }

    /// The name of a key in messages: its type if it has a conventional name in sshd's own folder, otherwise its path.
    pub(crate) fn name(&self, path: &Path) -> String {
        let kind = conventional_type(path).filter(|_| path.parent() == Some(self.folder));
        kind.unwrap_or_else(|| path.display().to_string())
    }
}

/// The fingerprints of the keys that sshd loads.
fn fingerprints(keys: &[KeyFile]) -> BTreeSet<String> {
    keys.iter().filter_map(KeyFile::loaded).map(|key| key.fingerprint()).collect()
}

fn file_error(key: &KeyFile, why: io::Error) -> HostKeyError {
    HostKeyError::File(key.target.parent().unwrap_or(Path::new("/")).to_owned(), why)
}

fn repair(key: &KeyFile, repairs: &KeyRepairs) -> io::Result<()> {
    let private = &key.target;
    make_keys::check_only_root_can_replace(private.parent().unwrap_or(Path::new("/")))?;
    if repairs.owner {
        chown(private, Some(nix::unistd::geteuid().as_raw()), None)?;
    }
    if let Some(mode) = repairs.mode {
        fs::set_permissions(private, Permissions::from_mode(mode))?;
    }
    if let Some(text) = &repairs.text {
        // ssh-keygen has read exactly this text, and got the same key.
        let mode = repairs.mode.or(key.access.map(|access| access.mode)).unwrap_or(0o600);
        files::write_atomic(private, text, mode & 0o600)?;
    }
    if let Some(public) = &repairs.public_key {
        let line = format!("{} {}", public.key_text(), public.comment);
        make_keys::move_folder_aside(&public_path(&key.path))?;
        files::write_atomic(&public_path(&key.path), format!("{}\n", line.trim_end()).as_bytes(), 0o644)?;
    }
    Ok(())
}

impl SkipReason {
    /// Whether the key is not as it should be. A key in an agent is in use; but a renewal cannot replace it.
    fn is_failure(&self, replace: &KeysToReplace) -> bool {
        match self {
            Self::UnknownType => false,
            Self::InAgent => *replace != KeysToReplace::Broken,
            _ => true,
        }
    }
}
