//! The files in root's home folder that tell which keys root has.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use thiserror::Error;

use crate::util::files;

/// The most that is read of a file in the folder.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why a file is not used.
#[derive(Debug, Error)]
pub(crate) enum RootFileError {
    /// Another user can write to it.
    #[error("{} can be changed by another user than root, so it is not used", .0.display())]
    NotOurs(PathBuf),
    /// A call of the system failed.
    #[error("{}: {}", .0.display(), .1)]
    System(PathBuf, #[source] io::Error),
}

/// The files of root's home folder.
pub(crate) struct RootFiles {
    home: PathBuf,
}

impl RootFiles {
    /// The files below root's home folder.
    pub(crate) fn of_root() -> Self {
        let root = User::from_uid(Uid::from_raw(0)).ok().flatten();
        Self { home: root.map_or_else(|| PathBuf::from("/root"), |root| root.dir) }
    }

    /// The home folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The keys that the owner keeps on this machine; empty if there is no such file.
    ///
    /// # Errors
    /// If the file is there and cannot be read: without it, keys would be lost.
    pub(crate) fn instance_keys(&self) -> Result<String, RootFileError> {
        let path = self.home.join(".ssh/instance_keys");
        let failed = |why| RootFileError::System(path.clone(), why);
        // A link whose target is missing, or hidden by the unit's sandbox, is no missing file.
        let folder = self.home.join(".ssh");
        let has_folder = folder.symlink_metadata().is_ok();
        self.home.metadata().map_err(failed)?;
        if !has_folder || folder.metadata().is_ok() && is_missing(&path) {
            return Ok(String::new());
        }
        let real = path.canonicalize().map_err(failed)?;
        // sshd would refuse a file that others can write to or replace, so root must not copy its content.
        let home = self.home.canonicalize().map_err(failed)?;
        if !is_only_roots(&real, &home) {
            return Err(RootFileError::NotOurs(path));
        }
        let text = files::read_bounded(&real, MAX_BYTES).map_err(failed)?;
        Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
}

/// Whether only root can change a file and replace it, as sshd requires (StrictModes): of the file and of all folders above it, up to
/// `home` or `/`. The path has no links.
pub(crate) fn is_only_roots(file: &Path, home: &Path) -> bool {
    let own_uid = nix::unistd::geteuid().as_raw();
    let is_safe = |path: &Path| {
        path.metadata().is_ok_and(|it| (it.uid() == 0 || it.uid() == own_uid) && it.mode() & 0o022 == 0)
    };
    let is_below_home = file.starts_with(home);
    let folders = file.ancestors().skip(1).take_while(|folder| !is_below_home || folder.starts_with(home));
    is_safe(file) && { folders }.all(is_safe)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::util::random;

    #[test]
    fn instance_keys_that_others_can_change_are_not_used() {
        let home = std::env::temp_dir().join(format!("scw-agent-keys-{:x}", random::generator().u64(..)));
        let (folder, open) = (home.join(".ssh"), home.join("open"));
        let keys = folder.join("instance_keys");
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        };
        let read = || RootFiles { home: home.clone() }.instance_keys();
        fs::create_dir_all(&folder).expect("made");
        fs::create_dir(&open).expect("made");
        [&home, &folder, &open].iter().for_each(|path| set_mode(path, 0o755));
        assert_eq!(read().expect("none"), "");
        fs::create_dir(&keys).expect("made");
        assert!(read().is_err(), "a folder");
        fs::remove_dir(&keys).expect("removed");
        fs::write(&keys, "ssh-rsa A\n").expect("written");
        set_mode(&keys, 0o666);
        assert!(matches!(read(), Err(RootFileError::NotOurs(_))));
        // A link to a file in a folder in which others can replace it.
        set_mode(&open, 0o777);
        fs::write(open.join("keys"), "ssh-rsa A\n").expect("written");
        fs::remove_file(&keys).expect("removed");
        symlink(open.join("keys"), &keys).expect("linked");
        assert!(matches!(read(), Err(RootFileError::NotOurs(_))));
        set_mode(&open, 0o755);
        assert_eq!(read().expect("read"), "ssh-rsa A\n");
        fs::remove_dir_all(home).expect("removed");
    }
}
