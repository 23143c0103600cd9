//! Files written as a whole (invariant D1), and locks between runs.
//!
//! A file is written under another name beside its place, synced and renamed. A link is followed, since people
//! keep their ssh configuration in a repository and link to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// The mode of a file that did not exist.
const PRIVATE_FILE: u32 = 0o600;

/// Replaces the content of a file. Its mode is kept; a new file and a new folder are private.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    private_folder(folder)?;
    let mode = fs::metadata(&path).map_or(PRIVATE_FILE, |metadata| metadata.permissions().mode() & 0o7777);
    let new = beside(&path, &format!("new-{}", std::process::id()));
    let written = (|| {
        drop(fs::remove_file(&new));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&new)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, &path)
    })();
    if written.is_err() {
        drop(fs::remove_file(&new));
    }
    written
}

/// Makes the folder and those above it, if they do not exist.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The content of a file; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until no other run has the lock of this file. It ends with the returned value.
pub(crate) fn lock(path: &Path) -> io::Result<Flock<File>> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map_or(Ok(()), private_folder)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(PRIVATE_FILE);
    let file = options.open(beside(&path, "lock"))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// A hidden file in the same folder: `.NAME.SUFFIX`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}
