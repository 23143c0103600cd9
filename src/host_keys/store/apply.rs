//! Does what [`crate::host_keys::store::plan`](mod@crate::host_keys::store::plan) decided for every key that sshd names, wherever it stands.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::effective::{conventional_type, is_conventional};
use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::{KeyFile, look, public_path};
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::make_keys;
use crate::host_keys::store::make_keys::KeyToMake;
use crate::host_keys::store::plan::{KeyPlan, Mending, Reason, Rules};
use crate::util::files;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct KeyChanges {
    /// Keys that were there and good.
    pub kept: BTreeSet<String>,
    /// Keys that were made.
    pub made: BTreeSet<String>,
    /// Keys that stayed, and what was mended around them.
    pub mended: Vec<(String, Mending)>,
    /// What was no key, and the name that it has now.
    pub set_aside: Vec<PathBuf>,
    /// Keys that were removed because they were another Instance's.
    pub removed: Vec<PathBuf>,
    /// Keys that sshd names and does not serve, while it serves others; each with the reason.
    pub passed_over: Vec<(PathBuf, Reason)>,
    /// What could not be done; the other keys were done all the same.
    pub failed: Vec<(PathBuf, HostKeyError)>,
    /// The private keys that were made.
    pub new_files: BTreeSet<PathBuf>,
}

/// Which keys are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Those that are missing or broken.
    OnlyBroken,
    /// All: they are another Instance's, and known to it. But for those with these fingerprints: an earlier attempt has made them.
    AllBut(BTreeSet<String>),
}

/// What the work is about.
#[derive(Debug)]
pub(crate) struct KeyStore<'a> {
    /// sshd's own folder.
    pub(crate) folder: &'a Path,
    pub(crate) rules: Rules<'a>,
    pub(crate) group: KeyGroup,
    /// Whether sshd itself said which keys it has. Otherwise what it does not name may be a key of its own.
    pub(crate) is_sshd_known: bool,
}

impl KeyStore<'_> {
    /// Looks at every key that sshd names.
    pub(crate) fn look(&self, answers: &mut OpensshAnswers) -> Vec<KeyFile> {
        // Without its folder there is no sshd, and nothing to make keys for (invariant D2).
        let is_there = |path: &&PathBuf| !path.starts_with(self.folder) || self.folder.exists();
        let paths = self.rules.effective.files.iter().filter(is_there);
        paths.map(|path| look(path, &self.group, answers)).collect()
    }

    /// Brings the keys to where sshd serves every one of them that it can; the keys as they are afterwards.
    pub(crate) fn ensure(&self, renew: &Renewal, answers: &mut OpensshAnswers) -> (KeyChanges, Vec<KeyFile>) {
        let mut done = KeyChanges::default();
        let mut keys = self.look(answers);
        let folders: BTreeSet<_> = keys.iter().filter_map(|key| key.target.parent()).collect();
        folders.iter().for_each(|folder| make_keys::clear_away(folder));
        let plans = match renew {
            Renewal::OnlyBroken => self.rules.plan(&keys),
            Renewal::AllBut(renewed) => self.rules.plan_renewal(&keys, renewed),
        };
        let before = fingerprints(&keys);
        self.apply(&keys, &plans, renew, &mut done);
        let renewed = match renew {
            Renewal::OnlyBroken => None,
            Renewal::AllBut(renewed) => Some(renewed),
        };
        if renewed.is_some() && done.failed.is_empty() && self.is_sshd_known {
            self.remove_others(&keys, &plans, &mut done);
        }
        let changed = !done.made.is_empty() || !done.mended.is_empty() || renewed.is_some();
        if changed {
            folders.iter().for_each(|folder| make_keys::restore_labels(folder));
            keys = self.look(answers);
        }
        if let Some(renewed) = renewed.filter(|_| done.failed.is_empty()) {
            let is_old = |key: &str| before.contains(key) && !renewed.contains(key);
            let old = keys.iter().filter(|key| key.loaded().is_some_and(|key| is_old(&key.fingerprint())));
            done.failed.extend(old.map(|key| (key.path.clone(), HostKeyError::NotReplaced)));
        }
        (done, keys)
    }

    fn apply(&self, keys: &[KeyFile], plans: &[KeyPlan], renew: &Renewal, done: &mut KeyChanges) {
        let mut orders: Vec<KeyToMake<'_>> = Vec::new();
        for (key, plan) in keys.iter().zip(plans) {
            let name = self.name(&key.path);
            match plan {
                KeyPlan::Keep => _ = done.kept.insert(name),
                KeyPlan::Mend(mending) => match mend(key, mending) {
                    Ok(()) => done.mended.push((name, mending.clone())),
                    Err(why) => done.failed.push((key.path.clone(), file_error(key, why))),
                },
                // Two names of one file.
                KeyPlan::Make { .. } if orders.iter().any(|order| order.file.target == key.target) => {}
                KeyPlan::Make { kind, set_aside } => {
                    orders.push(KeyToMake { file: key, kind, set_aside: *set_aside })
                }
                // Removed when all the others are made.
                KeyPlan::Remove | KeyPlan::Ignore => {}
                KeyPlan::LeaveAlone(reason) if reason.is_failure(renew) => {
                    done.failed.push((key.path.clone(), HostKeyError::LeftAlone(reason.clone())));
                }
                KeyPlan::LeaveAlone(reason) => done.passed_over.push((key.path.clone(), reason.clone())),
            }
        }
        let made = make_keys::make(&orders, self.group.for_new_keys());
        for (order, made) in orders.iter().zip(made) {
            match made {
                Ok(aside) => {
                    done.set_aside.extend(aside);
                    done.made.insert(self.name(&order.file.path));
                    done.new_files.insert(order.file.path.clone());
                }
                Err(why) => done.failed.push((order.file.path.clone(), why)),
            }
        }
    }

    /// Removes another Instance's keys that are not made here, and those that have the name of a host key although sshd names
    /// them nowhere: a private key that two machines have is nobody's.
    fn remove_others(&self, keys: &[KeyFile], plans: &[KeyPlan], done: &mut KeyChanges) {
        let parents = keys.iter().filter_map(|key| key.path.parent());
        // One folder may have several names: each key is looked for by the one without links.
        let folders: BTreeSet<_> =
            parents.chain([self.folder]).filter_map(|path| path.canonicalize().ok()).collect();
        let place = |key: &KeyFile| {
            let folder = key.path.parent()?.canonicalize().ok()?;
            Some(folder.join(key.path.file_name()?))
        };
        let is_kept = |path: &Path| {
            let is_named =
                |key: &KeyFile| key.target == path || place(key).is_some_and(|place| place == path);
            let named = keys.iter().zip(plans).find(|(key, _)| is_named(key));
            named.is_some_and(|(_, plan)| *plan != KeyPlan::Remove)
        };
        for folder in folders {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let key = name.strip_suffix(".pub").unwrap_or(&name);
                if !is_conventional(key) || is_kept(&folder.join(key)) {
                    continue;
                }
                match fs::remove_file(entry.path()) {
                    Ok(()) => done.removed.push(entry.path()),
                    Err(why) => tracing::error!(
                        "{} is another Instance's key and cannot be removed: {why}",
                        entry.path().display()
                    ),
                }
            }
        }
    }

    /// What a key is called in messages: its type where it has a conventional name in sshd's own folder.
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

fn mend(key: &KeyFile, mending: &Mending) -> io::Result<()> {
    let private = &key.target;
    make_keys::roots_alone(private.parent().unwrap_or(Path::new("/")))?;
    if mending.owner {
        chown(private, Some(nix::unistd::geteuid().as_raw()), None)?;
    }
    if let Some(mode) = mending.mode {
        fs::set_permissions(private, Permissions::from_mode(mode))?;
    }
    if let Some(text) = &mending.text {
        // ssh-keygen read exactly this text as the same key.
        let mode = mending.mode.or(key.access.map(|access| access.mode)).unwrap_or(0o600);
        files::write_whole(private, text, mode & 0o600)?;
    }
    if let Some(public) = &mending.public_key {
        let line = format!("{} {}", public.key_text(), public.comment);
        make_keys::make_room(&public_path(&key.path))?;
        files::write_whole(&public_path(&key.path), format!("{}\n", line.trim_end()).as_bytes(), 0o644)?;
    }
    Ok(())
}

impl Reason {
    /// Whether it keeps a key from being as it should. What an agent holds is in use, but it is not replaced.
    fn is_failure(&self, renew: &Renewal) -> bool {
        match self {
            Self::UnknownType => false,
            Self::HeldByAgent => *renew != Renewal::OnlyBroken,
            _ => true,
        }
    }
}
