//! The file in which a script stands while it runs (invariant S3, and no root for a script's user).
//!
//! All of them stand below one folder of root's in /run, so that no secret in a script is written to a disk. Each attempt has a folder
//! of its own there, new and with an unpredictable name. That folder stays root's: the script's user can enter it and read the file,
//! and can neither rename, link nor replace anything. Owner and mode are set on open descriptors, before the user can enter.
//! This module must not change the owner or the mode of anything by its path.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::scripts::model::script::Digest;
use crate::scripts::run::leftovers;
use crate::util::files;

const NAME: &str = "script";
/// The folder beside the one of all scripts, for root's when that one is full.
pub(crate) const OF_ROOT: &str = "scripts-of-root";
/// Everybody may enter, and only root may list or write.
const ENTER: u32 = 0o711;

/// A script's file. To be given to [`ScriptFile::remove`] in the end.
pub(crate) struct ScriptFile {
    parent: OwnedFd,
    folder: String,
    path: PathBuf,
    /// Tells other runners that the folder is in use.
    _lock: files::Lock,
}

impl ScriptFile {
    /// Writes a script where its user can read it and nobody else.
    ///
    /// # Errors
    /// As the system reports; and if `parent` is not root's alone. Nothing is left behind then.
    pub(crate) fn create(parent: &Path, run: &str, body: &[u8], uid: u32, gid: u32) -> io::Result<Self> {
        let at = open_parent(parent)?;
        let folder = format!("{}-{}", tag(run.as_bytes()), unpredictable()?);
        // Until the folder is locked it looks like a leftover.
        let making = files::lock(parent)?;
        // The name is new: one that exists is an error.
        mkdirat(&at, folder.as_str(), Mode::S_IRWXU)?;
        let path = parent.join(&folder).join(NAME);
        let locked = open_folder(&at, &folder).map_err(io::Error::from).map(File::from);
        let locked = locked.and_then(|opened| Ok((files::try_lock(opened.try_clone()?)?, opened)));
        drop(making);
        let filled = locked.and_then(|(lock, opened)| {
            fill(&opened, body, uid, gid)?;
            Ok(lock)
        });
        match filled {
            Ok(lock) => Ok(Self { parent: at, folder, path, _lock: lock }),
            Err(why) => {
                let _ = remove(&at, &folder);
                Err(why)
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with its folder.
    ///
    /// # Errors
    /// If something is left. The script may have removed it itself: that is no error.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove(&self.parent, &self.folder)
    }
}

/// Writes the script into its folder.
fn fill(folder: &File, body: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(folder, NAME, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    file.write_all(body)?;
    fchown(&file, Some(uid), Some(gid))?;
    file.set_permissions(Permissions::from_mode(0o500))?;
    drop(file);
    // Last: from now on the user can enter.
    folder.set_permissions(Permissions::from_mode(ENTER))
}

/// Removes what runners that were killed left behind, unless a process of that run still lives.
pub(crate) fn remove_leftovers(parent: &Path) {
    clear(parent);
    let of_root = parent.with_file_name(OF_ROOT);
    if of_root.exists() {
        clear(&of_root);
    }
}

fn clear(parent: &Path) {
    let Ok(at) = open_parent(parent) else { return };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A runner that is at work, or a script whose runner was killed.
        let is_used = || {
            let wanted = name.split_once('-').map(|(tag, _)| tag.to_owned());
            wanted.is_some_and(|wanted| !leftovers::processes(move |run| tag(run) == wanted).is_empty())
        };
        if is_locked(parent, &at, &name) || is_used() {
            continue;
        }
        if let Err(why) = remove(&at, &name) {
            tracing::warn!(
                "{} is left from an earlier run and cannot be removed: {why}",
                entry.path().display()
            );
        }
    }
}

fn is_locked(parent: &Path, at: &OwnedFd, folder: &str) -> bool {
    // Who makes a folder has this lock until the folder's own is taken.
    let _making = files::lock(parent);
    let Ok(folder) = open_folder(at, folder) else { return false };
    files::try_lock(File::from(folder)).is_err()
}

/// What a folder's name tells of its run. The path is in a script's arguments, which every user can read; with the run's id, any process
/// could pass for one of the run.
fn tag(run: &[u8]) -> String {
    let mut digest = Digest::of(run).to_string();
    digest.truncate(16);
    digest
}

/// One file and its folder; what else a script of root's put there is not removed, and so an error.
fn remove(parent: &OwnedFd, folder: &str) -> io::Result<()> {
    let missing_is_good = |result: nix::Result<()>| match result {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    };
    match open_folder(parent, folder) {
        Ok(opened) => missing_is_good(unlinkat(&opened, NAME, UnlinkatFlags::NoRemoveDir))?,
        Err(Errno::ENOENT) => return Ok(()),
        Err(why) => return Err(why.into()),
    }
    Ok(missing_is_good(unlinkat(parent, folder, UnlinkatFlags::RemoveDir))?)
}

/// The folder of all scripts, made if it is missing. It must be root's, and nobody else may write there.
fn open_parent(path: &Path) -> io::Result<OwnedFd> {
    if let Some(above) = path.parent() {
        files::public_folder(above)?;
    }
    match fs::DirBuilder::new().mode(ENTER).create(path) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        _ => {}
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = File::from(open(path, flags, Mode::empty())?);
    let there = folder.metadata()?;
    if there.uid() != nix::unistd::geteuid().as_raw() || there.mode() & 0o022 != 0 {
        let why = format!("{} must be root's, and nobody else may write there", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    // The umask may have taken rights away when it was made.
    if there.mode() & 0o777 != ENTER {
        folder.set_permissions(Permissions::from_mode(ENTER))?;
    }
    Ok(folder.into())
}

fn open_folder(parent: impl AsFd, name: &str) -> nix::Result<OwnedFd> {
    openat(parent, name, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// 64 bits that nobody can know beforehand.
fn unpredictable() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::util::random;

    fn folder() -> PathBuf {
        let base = std::env::temp_dir().join(format!("scw-agent-scripts-{:x}", random::generator().u64(..)));
        fs::create_dir(&base).expect("made");
        base.join("scripts")
    }

    #[test]
    fn d3_a_script_that_is_being_made_is_no_leftover() {
        let scripts = folder();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let is_over = AtomicBool::new(false);
        let made: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    remove_leftovers(&scripts);
                }
            });
            let create = |_| ScriptFile::create(&scripts, "run", b"#!/bin/sh\n", uid, gid);
            let made = (0..250).map(create).collect();
            is_over.store(true, Ordering::Relaxed);
            made
        });
        for script in made {
            let script = script.expect("made");
            assert!(script.path().exists());
            script.remove().expect("removed");
        }
        fs::remove_dir_all(scripts.parent().expect("a parent")).expect("removed");
    }
}
