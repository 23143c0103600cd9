//! Atomic writes (invariant D1), bounded reads and locks. This module writes every file that the program keeps, except pipes,
//! sockets and the keys that `ssh-keygen` creates.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use nix::libc;

/// Writes a file atomically: at any time, also after a power failure, `path` has the complete old or the complete new content.
///
/// A temporary file in the same folder is written, synced and renamed; then the folder is synced. The file gets the permission
/// bits `mode`, independent of the umask.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, |_| Ok(()), || Ok(())).map(drop)
}

/// The same, with this group, and only if `confirm` succeeds right before the file gets its name.
pub(crate) fn write_atomic_if(
    path: &Path,
    bytes: &[u8],
    (mode, group): (u32, Option<u32>),
    confirm: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    replace(path, bytes, mode, |file| fchown(file, None, group), confirm).map(drop)
}

/// The same, with a lock on the file until the result is dropped. The kernel releases it when the process ends, however that happens.
/// [`is_locked_for_writing`] tests it. The lock needs write access, so no other user can hold one.
pub(crate) fn write_locked(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let lock = |file: &File| Ok(fcntl(file, FcntlArg::F_OFD_SETLK(&write_lock())).map(drop)?);
    replace(path, bytes, mode, lock, || Ok(()))
}

/// Whether a process has the lock of [`write_locked`] on the open file. Read access is enough.
pub(crate) fn is_locked_for_writing(file: &File) -> io::Result<bool> {
    let mut lock = libc::flock { l_type: READ_LOCK, ..write_lock() };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(lock.l_type != NO_LOCK)
}

/// The types of a lock, in the size that the structure has.
#[expect(clippy::cast_possible_truncation, reason = "the constants are small")]
const READ_LOCK: libc::c_short = libc::F_RDLCK as libc::c_short;
#[expect(clippy::cast_possible_truncation, reason = "the constants are small")]
const WRITE_LOCK: libc::c_short = libc::F_WRLCK as libc::c_short;
#[expect(clippy::cast_possible_truncation, reason = "the constants are small")]
const NO_LOCK: libc::c_short = libc::F_UNLCK as libc::c_short;

/// A lock on a complete file.
fn write_lock() -> libc::flock {
    // From the beginning of the file (SEEK_SET) to its end.
    libc::flock { l_type: WRITE_LOCK, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 }
}

/// `prepare` is called before anybody else may open the file, and `confirm` before it gets its name.
fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    prepare: impl FnOnce(&File) -> io::Result<()>,
    confirm: impl FnOnce() -> io::Result<()>,
) -> io::Result<File> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.new"));
    // An interrupted process may have left this file.
    let _ = fs::remove_file(&temporary);
    let written = write_new(&temporary, bytes).and_then(|file| {
        prepare(&file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        confirm()?;
        fs::rename(&temporary, path)?;
        Ok(file)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    let file = written?;
    sync_folder(folder)?;
    Ok(file)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Syncs `folder`, so that a rename in it survives a power failure.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates a folder that only its owner may enter, and its parents. An existing folder is not changed.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a folder that everybody may read and only its owner may write to, independent of the umask. An existing folder is not
/// changed.
pub(crate) fn create_public_folder(path: &Path) -> io::Result<()> {
    const MODE: u32 = 0o755;
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(MODE).create(parent)?;
    }
    match fs::DirBuilder::new().mode(MODE).create(path) {
        // The umask may have removed permissions.
        Ok(()) => File::open(path)?.set_permissions(Permissions::from_mode(MODE)),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(why) => Err(why),
    }
}

/// Creates a folder that only its owner may enter, inside a folder that everybody may read.
pub(crate) fn create_private_subfolder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), create_public_folder)?;
    create_private_folder(path)
}

/// An exclusive lock on a file or folder. It is released on drop.
pub(crate) struct Lock(Option<Flock<File>>);

/// Locks a folder. Waits as long as another process has the lock.
///
/// Every process that can open the folder can keep the lock forever. So use this only for folders that no other user can open.
pub(crate) fn lock(folder: &Path) -> io::Result<Lock> {
    let file = File::open(folder)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, why)| io::Error::from(why))?;
    Ok(Lock(Some(lock)))
}

/// Locks an open folder. Fails at once if another process has the lock.
pub(crate) fn try_lock(folder: File) -> io::Result<Lock> {
    let lock = Flock::lock(folder, FlockArg::LockExclusiveNonblock);
    Ok(Lock(Some(lock.map_err(|(_, why)| io::Error::from(why))?)))
}

/// The time between two tries of [`lock_within`].
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Locks a file that only its owner may open, and creates it if it is missing. Tries until `timeout`.
///
/// # Errors
/// The system's error; `TimedOut` if another process still has the lock.
pub(crate) fn lock_within(path: &Path, timeout: Duration) -> io::Result<Lock> {
    // Opened for reading, so that an existing file can be locked on a read-only disk, too.
    let flags = OFlag::O_CREAT | OFlag::O_NOFOLLOW;
    let mut file = OpenOptions::new().read(true).mode(0o600).custom_flags(flags.bits()).open(path)?;
    let deadline = Instant::now() + timeout;
    loop {
        let why = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Lock(Some(lock))),
            Err((unlocked, why)) => {
                file = unlocked;
                why
            }
        };
        match why {
            Errno::EINTR => {}
            Errno::EWOULDBLOCK if Instant::now() < deadline => sleep(LOCK_POLL),
            Errno::EWOULDBLOCK => {
                let why = format!("another process has held the lock for {} s", timeout.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            why => return Err(why.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The drop of `Flock` panics if the unlock fails. So the lock is forgotten then, and the end of the process releases it.
        if let Some(Err((lock, _))) = self.0.take().map(Flock::unlock) {
            std::mem::forget(lock);
        }
    }
}

/// Reads a file of at most `limit` bytes; `None` if there is no file.
///
/// # Errors
/// The system's error; `InvalidInput` if it is not a regular file (a read from a pipe could block); `FileTooLarge` if it is larger
/// than the limit.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    // Files in /proc are regular files, too.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // `Take` does not know the length and would begin with 32 bytes: a key would need a dozen reads.
    let expected = metadata.len().min(limit) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("scw-agent-{name}-{:x}", random::generator().u64(..)));
        create_private_folder(&folder).expect("a folder");
        folder
    }

    #[test]
    fn d1_file_is_replaced_atomically_and_no_other_file_remains() {
        let folder = folder("whole");
        let path = folder.join("record.json");
        write_atomic(&path, b"old", 0o600).expect("written");
        write_atomic(&path, b"new", 0o600).expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn lock_of_a_written_file_ends_with_its_holder() {
        let folder = folder("locked");
        let path = folder.join("running.json");
        let is_locked = || is_locked_for_writing(&File::open(&path).expect("opened")).expect("tested");
        write_atomic(&path, b"old", 0o644).expect("written");
        assert!(!is_locked());
        let holder = write_locked(&path, b"new", 0o644).expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert!(is_locked(), "another read does not release it");
        assert!(is_locked());
        drop(holder);
        assert!(!is_locked());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn missing_file_is_none_and_too_large_file_is_an_error() {
        let folder = folder("bounded");
        let path = folder.join("value");
        assert_eq!(read_bounded(&path, 3).expect("no error"), None);
        fs::write(&path, b"1234").expect("written");
        assert_eq!(read_bounded(&path, 3).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_bounded(&path, 4).expect("read").as_deref(), Some(&b"1234"[..]));
        fs::remove_dir_all(folder).expect("removed");
    }
}
