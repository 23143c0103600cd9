//! Files written whole (law D1) and read within a bound; locks. Every file that this program leaves behind is written here,
//! but for the keys that `ssh-keygen` makes and for pipes and sockets.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// Puts `bytes` at `path`, so that at any instant, power cuts included, the old content or the new is there, whole.
///
/// The temporary file stands in the same folder, is synced, renamed, and the folder is synced. `mode` is the file's
/// permission bits, whatever the process's umask.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = folder.join(format!(".{name}.new"));
    // What a run that was cut off left behind.
    let _ = fs::remove_file(&beside);
    let written = write_new(&beside, bytes, mode).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    sync_folder(folder)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename in `folder` last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder that only its owner may enter, its parents with it; one that is there stays as it is.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder that everybody may read and only its owner may write to, whatever the umask. One that is there stays as it is.
pub(crate) fn public_folder(path: &Path) -> io::Result<()> {
    const MODE: u32 = 0o755;
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(MODE).create(parent)?;
    }
    match fs::DirBuilder::new().mode(MODE).create(path) {
        // The umask may have taken rights away.
        Ok(()) => File::open(path)?.set_permissions(Permissions::from_mode(MODE)),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(why) => Err(why),
    }
}

/// Makes a folder that only its owner may enter, below one that everybody may read.
pub(crate) fn private_subfolder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), public_folder)?;
    private_folder(path)
}

/// A file or folder of which no other process has a [`Lock`]; given back when dropped.
pub(crate) struct Lock(Option<Flock<File>>);

/// Waits until nobody else has the folder.
///
/// Every process that may open the folder can hold the lock for ever: only for folders that no other user can reach.
pub(crate) fn lock(folder: &Path) -> io::Result<Lock> {
    let file = File::open(folder)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, why)| io::Error::from(why))?;
    Ok(Lock(Some(lock)))
}

/// Locks a folder that is open, unless another process has it.
pub(crate) fn try_lock(folder: File) -> io::Result<Lock> {
    let lock = Flock::lock(folder, FlockArg::LockExclusiveNonblock);
    Ok(Lock(Some(lock.map_err(|(_, why)| io::Error::from(why))?)))
}

/// How often [`lock_within`] tries.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Locks a file that only its owner may open, and makes it if it is missing. Tries for as long as `patience`.
///
/// # Errors
/// As the system reports; `TimedOut` if another process still has the lock.
pub(crate) fn lock_within(path: &Path, patience: Duration) -> io::Result<Lock> {
    // Opened for reading: a file that is there serves on a read-only disk, too.
    let flags = OFlag::O_CREAT | OFlag::O_NOFOLLOW;
    let mut file = OpenOptions::new().read(true).mode(0o600).custom_flags(flags.bits()).open(path)?;
    let deadline = Instant::now() + patience;
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
                let why = format!("another process has held the lock for {} s", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            why => return Err(why.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Its own way of dropping panics where the system says no; then the end of the process gives it back.
        if let Some(Err((lock, _))) = self.0.take().map(Flock::unlock) {
            std::mem::forget(lock);
        }
    }
}

/// Reads a file of at most `limit` bytes; `None` where there is none.
///
/// # Errors
/// As the system reports, `InvalidInput` for what is no regular file (a pipe would keep us waiting), and `FileTooLarge`
/// beyond the limit.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    // What the kernel makes up in /proc counts as regular, too.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // `Take` does not know the length, and would begin with 32 bytes: a dozen calls for a key.
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
        private_folder(&folder).expect("a folder");
        folder
    }

    #[test]
    fn d1_a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = folder("whole");
        let path = folder.join("record.json");
        write_whole(&path, b"old", 0o600).expect("written");
        write_whole(&path, b"new", 0o600).expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_missing_file_is_none_and_one_beyond_the_limit_an_error() {
        let folder = folder("bounded");
        let path = folder.join("value");
        assert_eq!(read_bounded(&path, 3).expect("no error"), None);
        fs::write(&path, b"1234").expect("written");
        assert_eq!(read_bounded(&path, 3).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_bounded(&path, 4).expect("read").as_deref(), Some(&b"1234"[..]));
        fs::remove_dir_all(folder).expect("removed");
    }
}
