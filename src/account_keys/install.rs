//! Replaces root's `authorized_keys` in one step. On an error, the file stays as it was.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::account_keys::content::FIRST_LINE;
use crate::util::files;

/// The most that is read of a file in the folder.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why the file is not replaced.
#[derive(Debug, Error)]
pub(crate) enum InstallError {
    /// A file is something that this program does not replace.
    #[error("{} is no regular file, so it is not changed", .0.display())]
    NotAFile(PathBuf),
    /// The folder belongs to another user.
    #[error("{} does not belong to root, so it is not changed", .0.display())]
    NotOurs(PathBuf),
    /// A call of the system failed.
    #[error("{}: {}", .0.display(), .1)]
    System(PathBuf, #[source] io::Error),
}

/// The files of root's home folder.
pub(crate) struct RootKeys {
    home: PathBuf,
}

impl RootKeys {
    /// The files below this home folder.
    pub(crate) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    fn folder(&self) -> PathBuf {
        self.home.join(".ssh")
    }

    fn file(&self) -> PathBuf {
        self.folder().join("authorized_keys")
    }

    /// The keys that the owner keeps on this machine; empty if there is no such file.
    ///
    /// # Errors
    /// If the file is there and cannot be read: without it, keys would be lost.
    pub(crate) fn instance_keys(&self) -> Result<String, InstallError> {
        let path = self.folder().join("instance_keys");
        let text = files::read_bounded(&path, MAX_BYTES).map_err(|why| InstallError::System(path, why))?;
        Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
    }

    /// Replaces the file. Returns the path of the copy if another program wrote the old one.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub(crate) fn install(&self, text: &str) -> Result<Option<PathBuf>, InstallError> {
        self.prepare_folders().map_err(|(path, why)| InstallError::System(path, why))?;
        let (folder, file) = (self.folder(), self.file());
        let metadata =
            fs::symlink_metadata(&folder).map_err(|why| InstallError::System(folder.clone(), why))?;
        if !metadata.is_dir() {
            return Err(InstallError::NotAFile(folder));
        }
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(InstallError::NotOurs(folder));
        }
        let old = match fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.is_file() => files::read_bounded(&file, MAX_BYTES)
                .map_err(|why| InstallError::System(file.clone(), why))?,
            Ok(_) => return Err(InstallError::NotAFile(file)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(InstallError::System(file, why)),
        };
        let old = old.filter(|old| !old.is_empty() && old != text.as_bytes());
        let copy = match old.filter(|old| !old.starts_with(FIRST_LINE.as_bytes())) {
            Some(old) => self.keep_once(&old)?,
            None => None,
        };
        files::write_atomic(&file, text.as_bytes(), 0o600).map_err(|why| InstallError::System(file, why))?;
        Ok(copy)
    }

    /// Keeps the file of another program under another name, but only the first one.
    fn keep_once(&self, old: &[u8]) -> Result<Option<PathBuf>, InstallError> {
        let copy = self.folder().join("authorized_keys.before-scw");
        if copy.symlink_metadata().is_ok() {
            return Ok(None);
        }
        match files::write_atomic(&copy, old, 0o600) {
            Ok(()) => Ok(Some(copy)),
            Err(why) => Err(InstallError::System(copy, why)),
        }
    }

    /// sshd reads the file only if nobody else can write to the folders (StrictModes).
    fn prepare_folders(&self) -> Result<(), (PathBuf, io::Error)> {
        let home = self.home.clone();
        let own_uid = nix::unistd::geteuid().as_raw();
        let metadata = fs::metadata(&home).map_err(|why| (home.clone(), why))?;
        if metadata.uid() != own_uid {
            chown(&home, Some(own_uid), None).map_err(|why| (home.clone(), why))?;
        }
        if metadata.mode() & 0o022 != 0 {
            let mode = fs::Permissions::from_mode(metadata.mode() & 0o7755);
            fs::set_permissions(&home, mode).map_err(|why| (home.clone(), why))?;
        }
        match fs::DirBuilder::new().mode(0o700).create(self.folder()) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err((self.folder(), why)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::util::random;

    fn home() -> PathBuf {
        let home = std::env::temp_dir().join(format!("scw-agent-keys-{:x}", random::generator().u64(..)));
        fs::create_dir(&home).expect("made");
        home
    }

    #[test]
    fn file_of_another_program_is_kept_once() {
        let home = home();
        let keys = RootKeys::new(&home);
        assert_eq!(keys.install("first\n").expect("installed"), None);
        let folder = home.join(".ssh");
        assert_eq!(fs::metadata(&folder).expect("made").mode() & 0o777, 0o700);
        fs::write(folder.join("authorized_keys"), "by hand\n").expect("written");
        let own = format!("{FIRST_LINE}\nssh-rsa A\n");
        let copy = keys.install(&own).expect("installed").expect("a copy");
        assert_eq!(fs::read_to_string(copy).expect("read"), "by hand\n");
        assert_eq!(keys.install(&format!("{own}ssh-rsa B\n")).expect("installed"), None, "our own file");
        fs::write(folder.join("authorized_keys"), "by hand again\n").expect("written");
        assert_eq!(keys.install(&own).expect("installed"), None, "one copy is kept");
        let mode = fs::metadata(folder.join("authorized_keys")).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(home).expect("removed");
    }

    #[test]
    fn link_or_folder_in_the_place_of_the_file_is_not_replaced() {
        let home = home();
        let keys = RootKeys::new(&home);
        fs::create_dir(home.join(".ssh")).expect("made");
        symlink("/nowhere", home.join(".ssh/authorized_keys")).expect("linked");
        assert!(matches!(keys.install("x\n"), Err(InstallError::NotAFile(_))));
        fs::remove_file(home.join(".ssh/authorized_keys")).expect("removed");
        fs::create_dir(home.join(".ssh/authorized_keys")).expect("made");
        assert!(matches!(keys.install("x\n"), Err(InstallError::NotAFile(_))));
        fs::remove_dir_all(home.join(".ssh")).expect("removed");
        symlink("/tmp", home.join(".ssh")).expect("linked");
        assert!(matches!(keys.install("x\n"), Err(InstallError::NotAFile(_))));
        fs::remove_dir_all(home).expect("removed");
    }

    #[test]
    fn unreadable_instance_keys_are_an_error() {
        let home = home();
        let keys = RootKeys::new(&home);
        assert_eq!(keys.instance_keys().expect("none"), "");
        fs::create_dir_all(home.join(".ssh/instance_keys")).expect("made");
        assert!(keys.instance_keys().is_err());
        fs::remove_dir_all(home).expect("removed");
    }
}
