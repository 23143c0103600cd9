//! Files written as a whole (invariant D1), and locks between runs.
//!
//! A file is written under another name beside its place, synced and renamed. A link is followed, since people
//! keep their ssh configuration in a repository and link to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};

/// The mode of a file that did not exist.
const PRIVATE_FILE: u32 = 0o600;

/// Replaces the content of a file. Its mode and its owner are kept; a new file and a new folder are private.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = real(path);
    let folder = path.parent().unwrap_or(Path::new("/"));
    private_folder(folder)?;
    let old = fs::metadata(&path).ok();
    let mode = old.as_ref().map_or(PRIVATE_FILE, |old| old.permissions().mode() & 0o7777);
    let new = beside(&path, &format!("new-{}", std::process::id()));
    let written = (|| {
        drop(fs::remove_file(&new));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&new)?;
        file.write_all(content)?;
        // root may do this for another user, whose ssh would refuse a file of root.
        match &old {
            Some(old) if old.uid() != file.metadata()?.uid() => {
                fchown(&file, Some(old.uid()), Some(old.gid()))?
            }
            Some(_) => {}
            None => give_to_owner_of_folder(&file, &path)?,
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, &path)
    })();
    if written.is_err() {
        drop(fs::remove_file(&new));
    }
    written
}

/// The path behind links, also behind one whose target does not exist.
fn real(path: &Path) -> PathBuf {
    let behind = || {
        let target = path.parent()?.join(fs::read_link(path).ok()?);
        Some(fs::canonicalize(target.parent()?).ok()?.join(target.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(behind).unwrap_or_else(|| path.to_owned())
}

/// Makes the folder and those above it, if they do not exist. They belong to the owner of the folder above them.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), private_folder)?;
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| give_to_owner_of_folder(&File::open(folder)?, folder)),
    }
}

/// root may do this for another user, who could not read a file of root: a new file belongs to the owner of its folder.
fn give_to_owner_of_folder(file: &File, path: &Path) -> io::Result<()> {
    let folder = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    let own = file.metadata()?.uid();
    if own == 0 && folder.uid() != 0 { fchown(file, Some(folder.uid()), Some(folder.gid())) } else { Ok(()) }
}

/// The content of a file; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Waits until no other run has the lock of this file. It ends with the returned value.
pub(crate) fn lock(path: &Path) -> io::Result<Flock<File>> {
    Flock::lock(lock_file(path)?, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

fn lock_file(path: &Path) -> io::Result<File> {
    let path = real(path);
    path.parent().map_or(Ok(()), private_folder)?;
    let lock = beside(&path, "lock");
    let mut options = OpenOptions::new();
    // A FIFO in its place must not make this hang.
    options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(PRIVATE_FILE)
        .custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(&lock)?;
    give_to_owner_of_folder(&file, &lock)?;
    Ok(file)
}

/// Removes the lock of this file, which must not be held.
pub(crate) fn remove_lock(path: &Path) {
    drop(fs::remove_file(beside(&real(path), "lock")));
}

/// A hidden file in the same folder: `.NAME.SUFFIX`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}
