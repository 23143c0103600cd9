//! Replaces root's `authorized_keys` in one step. On an error, the file stays as it was.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::account_keys::content::is_unedited;
use crate::host_keys::store::make_keys::check_only_root_can_replace;
use crate::util::files;
use crate::util::labels::restore_labels;
use crate::util::time::Moment;

/// The most that is read of a file in the folder.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why the file is not replaced.
#[derive(Debug, Error)]
pub(crate) enum InstallError {
    /// A file is something that this program does not replace.
    #[error("{} is no regular file, so it is not changed", .0.display())]
    NotAFile(PathBuf),
    /// Another user can write to it.
    #[error("{} can be changed by another user than root, so it is not used", .0.display())]
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

    /// The home folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
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
        // A link whose target is missing is no missing file.
        if path.symlink_metadata().is_err_and(|why| why.kind() == io::ErrorKind::NotFound) {
            return Ok(String::new());
        }
        let failed = |why| InstallError::System(path.clone(), why);
        let real = path.canonicalize().map_err(failed)?;
        // sshd would refuse a file that others can write to or replace, so root must not copy its content.
        if !is_only_roots(&real) {
            return Err(InstallError::NotOurs(path));
        }
        let text = files::read_bounded(&real, MAX_BYTES).map_err(failed)?;
        Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
    }

    /// Replaces the file. Returns the path of the copy if another program or a person wrote the old one.
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
        if metadata.mode() & 0o022 != 0 {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&folder, mode).map_err(|why| InstallError::System(folder.clone(), why))?;
        }
        // The command may run twice at the same time.
        let _lock = files::lock(&folder).map_err(|why| InstallError::System(folder.clone(), why))?;
        let old = match fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.is_file() => files::read_bounded(&file, MAX_BYTES)
                .map_err(|why| InstallError::System(file.clone(), why))?,
            Ok(_) => return Err(InstallError::NotAFile(file)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(InstallError::System(file, why)),
        };
        let old = old.filter(|old| !old.is_empty() && old != text.as_bytes() && !is_unedited(old));
        let copy = match old {
            Some(old) => {
                let copy = self.folder().join(format!("authorized_keys.before-{}", Moment::now()));
                files::write_atomic(&copy, &old, 0o600)
                    .map_err(|why| InstallError::System(copy.clone(), why))?;
                Some(copy)
            }
            None => None,
        };
        files::write_atomic(&file, text.as_bytes(), 0o600).map_err(|why| InstallError::System(file, why))?;
        restore_labels(&folder);
        Ok(copy)
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

/// Whether only root can change a file and replace it, as sshd requires (StrictModes). The path has no links.
pub(crate) fn is_only_roots(file: &Path) -> bool {
    let is_own = |metadata: fs::Metadata| {
        metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0
    };
    let folder = file.parent().unwrap_or(Path::new("/"));
    file.metadata().is_ok_and(is_own)
        && folder.metadata().is_ok_and(is_own)
        && check_only_root_can_replace(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::account_keys::content::content;
    use crate::metadata::api::owner_data::OwnerData;
    use crate::util::random;

    fn home() -> PathBuf {
        let home = std::env::temp_dir().join(format!("scw-agent-keys-{:x}", random::generator().u64(..)));
        fs::create_dir(&home).expect("made");
        home
    }

    #[test]
    fn file_that_somebody_edited_is_kept() {
        let home = home();
        let keys = RootKeys::new(&home);
        let own = |account: &str| {
            content(&OwnerData { account_keys: vec![account.to_owned()], tags: vec![] }, "").text
        };
        assert_eq!(keys.install(&own("a")).expect("installed"), None);
        let file = home.join(".ssh/authorized_keys");
        assert_eq!(fs::metadata(home.join(".ssh")).expect("made").mode() & 0o777, 0o700);
        assert_eq!(keys.install(&own("b")).expect("installed"), None, "our own file");
        for edited in [format!("{}by hand\n", own("b")), "of another program\n".to_owned()] {
            fs::write(&file, &edited).expect("written");
            let copy = keys.install(&own("c")).expect("installed").expect("a copy");
            assert_eq!(fs::read_to_string(copy).expect("read"), edited);
        }
        assert_eq!(fs::read_to_string(&file).expect("read"), own("c"));
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
        fs::remove_dir_all(home).expect("removed");
    }

    #[test]
    fn folder_that_others_can_write_to_is_closed() {
        let home = home();
        let folder = home.join(".ssh");
        fs::create_dir(&folder).expect("made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("changed");
        RootKeys::new(&home).install("x\n").expect("installed");
        assert_eq!(fs::metadata(&folder).expect("there").mode() & 0o777, 0o700);
        fs::write(folder.join("instance_keys"), "ssh-rsa A\n").expect("written");
        fs::set_permissions(folder.join("instance_keys"), fs::Permissions::from_mode(0o666))
            .expect("changed");
        assert!(matches!(RootKeys::new(&home).instance_keys(), Err(InstallError::NotOurs(_))));
        // A link to a file in a folder in which others can replace it.
        let open = home.join("open");
        fs::create_dir(&open).expect("made");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("changed");
        fs::write(open.join("keys"), "ssh-rsa A\n").expect("written");
        fs::remove_file(folder.join("instance_keys")).expect("removed");
        symlink(open.join("keys"), folder.join("instance_keys")).expect("linked");
        assert!(matches!(RootKeys::new(&home).instance_keys(), Err(InstallError::NotOurs(_))));
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("changed");
        assert_eq!(RootKeys::new(&home).instance_keys().expect("read"), "ssh-rsa A\n");
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
