//! The lock of the passes. One pass runs at a time: the units and a person may start one at the same moment.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::host_keys::paths::HostKeyPaths;
use crate::util::files;

/// How long a pass waits for another one to end. A complete renewal takes seconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes the lock. If its file cannot be created on the disk, the file in /run is used.
///
/// # Errors
/// When another process keeps the lock, or neither file can be created.
pub(super) fn lock(paths: &HostKeyPaths) -> Result<files::Lock, String> {
    let try_lock = |path: &Path, make_folder: fn(&Path) -> io::Result<()>| {
        let lock = path.parent().map_or(Ok(()), make_folder);
        lock.and_then(|()| files::lock_within(path, LOCK_TIMEOUT)).map_err(|why| (path.to_owned(), why))
    };
    let lock = match try_lock(&paths.lock, files::create_private_folder) {
        // The file cannot be created: the disk is full or read-only.
        Err((_, why)) if why.kind() != io::ErrorKind::TimedOut => {
            try_lock(&paths.lock_in_run, files::create_private_subfolder)
        }
        lock => lock,
    };
    lock.map_err(|(path, why)| format!("cannot lock {}: {why}", path.display()))
}
