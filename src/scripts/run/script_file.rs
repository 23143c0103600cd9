//! The file of a script while it runs (invariant S3). A script's user must not become root.
//!
//! All script files are below one folder of root's in /run, so that no secret in a script is written to a disk. Each attempt
//! has its own new folder there, with an unpredictable name. The folder belongs to root: the script's user can enter it and
//! read the file, but cannot rename, link or replace anything. Owner and mode are set on open descriptors, before the user can
//! enter. This module must not change the owner or the mode of anything by its path.

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

/// The name of the file in the attempt's folder.
const FILE_NAME: &str = "script";
/// The folder for root's scripts if the folder for all scripts is full. Both have the same parent.
pub(crate) const ROOT_FOLDER: &str = "scripts-of-root";
/// The mode of the folders: everybody may enter, and only root may list or write.
const FOLDER_MODE: u32 = 0o711;

/// The file of a script. [`ScriptFile::remove`] must be called at the end.
pub(crate) struct ScriptFile {
    parent: OwnedFd,
    folder: String,
    path: PathBuf,
    /// Shows other runners that the folder is in use.
    _lock: files::Lock,
}

impl ScriptFile {
    /// Writes a script to a file that only its user and root can read.
    ///
    /// # Errors
    /// The file cannot be written, or a user other than root may write to `parent`. Then nothing remains on the file system.
    pub(crate) fn create(parent: &Path, run: &str, body: &[u8], uid: u32, gid: u32) -> io::Result<Self> {
        let parent_fd = open_parent(parent)?;
        let folder = format!("{}-{}", run_tag(run.as_bytes()), random_tag()?);
        // Until the folder is locked, another runner would take it for the folder of an earlier run.
        let creation_lock = files::lock(parent)?;
        // The folder must be new: an existing one is an error.
        mkdirat(&parent_fd, folder.as_str(), Mode::S_IRWXU)?;
        let path = parent.join(&folder).join(FILE_NAME);
        let locked = open_folder(&parent_fd, &folder).map_err(io::Error::from).map(File::from);
        let locked = locked.and_then(|opened| Ok((files::try_lock(opened.try_clone()?)?, opened)));
        drop(creation_lock);
        let written = locked.and_then(|(lock, opened)| {
            write_script(&opened, body, uid, gid)?;
            Ok(lock)
        });
        match written {
            Ok(lock) => Ok(Self { parent: parent_fd, folder, path, _lock: lock }),
            Err(why) => {
                let _ = remove(&parent_fd, &folder);
                Err(why)
            }
        }
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file and its folder. It is not an error if the script has removed them itself.
    ///
    /// # Errors
    /// The file or the folder cannot be removed.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove(&self.parent, &self.folder)
    }
}

/// Writes the script into its folder.
fn write_script(folder: &File, body: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(folder, FILE_NAME, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    file.write_all(body)?;
    fchown(&file, Some(uid), Some(gid))?;
    file.set_permissions(Permissions::from_mode(0o500))?;
    drop(file);
    // This is the last step: from now on the user can enter the folder.
    folder.set_permissions(Permissions::from_mode(FOLDER_MODE))
}

/// Removes the folders of runners that were killed, unless a process of that run still runs.
pub(crate) fn remove_leftovers(parent: &Path) {
    remove_unused_folders(parent);
    let root_folder = parent.with_file_name(ROOT_FOLDER);
    if root_folder.exists() {
        remove_unused_folders(&root_folder);
    }
}

/// Removes the attempts' folders in `parent` that no runner and no process uses.
fn remove_unused_folders(parent: &Path) {
    let Ok(parent_fd) = open_parent(parent) else { return };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Besides a runner, which has the lock, a script whose runner was killed may use the folder.
        let is_used = || {
            let tag = name.split_once('-').map(|(tag, _)| tag.to_owned());
            tag.is_some_and(|tag| !leftovers::processes(move |run| run_tag(run) == tag).is_empty())
        };
        if is_locked(parent, &parent_fd, &name) || is_used() {
            continue;
        }
        if let Err(why) = remove(&parent_fd, &name) {
            tracing::warn!("cannot remove {} of an earlier run: {why}", entry.path().display());
        }
    }
}

/// Whether a runner has the lock of this folder.
fn is_locked(parent: &Path, parent_fd: &OwnedFd, folder: &str) -> bool {
    // A runner that creates a folder has this lock until it has locked the folder.
    let _creation_lock = files::lock(parent);
    let Ok(folder) = open_folder(parent_fd, folder) else { return false };
    files::try_lock(File::from(folder)).is_err()
}

/// The part of a folder's name that identifies its run. It is not the run's id: the path is in the script's arguments, which
/// every user can read, and with the id any process could pretend to belong to the run.
fn run_tag(run: &[u8]) -> String {
    let mut digest = Digest::of(run).to_string();
    digest.truncate(16);
    digest
}

/// Removes the file and its folder. If a script of root's created other files there, they are not removed: that is an error.
fn remove(parent: &OwnedFd, folder: &str) -> io::Result<()> {
    let allow_missing = |result: nix::Result<()>| match result {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    };
    match open_folder(parent, folder) {
        Ok(opened) => allow_missing(unlinkat(&opened, FILE_NAME, UnlinkatFlags::NoRemoveDir))?,
        Err(Errno::ENOENT) => return Ok(()),
        Err(why) => return Err(why.into()),
    }
    Ok(allow_missing(unlinkat(parent, folder, UnlinkatFlags::RemoveDir))?)
}

/// Opens the folder of all scripts, and creates it if it does not exist. It must belong to root, and nobody else may write there.
fn open_parent(path: &Path) -> io::Result<OwnedFd> {
    if let Some(above) = path.parent() {
        files::create_public_folder(above)?;
    }
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        _ => {}
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = File::from(open(path, flags, Mode::empty())?);
    let metadata = folder.metadata()?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        let why = format!("{} must belong to root, and only root may write to it", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    // The umask may have removed permissions when the folder was created.
    if metadata.mode() & 0o777 != FOLDER_MODE {
        folder.set_permissions(Permissions::from_mode(FOLDER_MODE))?;
    }
    Ok(folder.into())
}

fn open_folder(parent: impl AsFd, name: &str) -> nix::Result<OwnedFd> {
    openat(parent, name, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// 64 bits that nobody can predict, in hexadecimal.
fn random_tag() -> io::Result<String> {
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
        fs::create_dir(&base).expect("created");
        base.join("scripts")
    }

    #[test]
    fn d3_folder_in_creation_is_not_removed() {
        let scripts = folder();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let is_finished = AtomicBool::new(false);
        let made: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_finished.load(Ordering::Relaxed) {
                    remove_leftovers(&scripts);
                }
            });
            let create = |_| ScriptFile::create(&scripts, "run", b"#!/bin/sh\n", uid, gid);
            let made = (0..250).map(create).collect();
            is_finished.store(true, Ordering::Relaxed);
            made
        });
        for script in made {
            let script = script.expect("created");
            assert!(script.path().exists());
            script.remove().expect("removed");
        }
        fs::remove_dir_all(scripts.parent().expect("a parent")).expect("removed");
    }
}
