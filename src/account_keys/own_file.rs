//! The file in which root has keys of its own, as `/root/.ssh/authorized_keys`. It belongs to persons, and is replaced in one step: at any
//! time it has all of the old or all of the new lines (invariant K1).
//!
//! It must not follow a symbolic link or write to a file of another user. It must not replace a file that changed since it was read.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::host_keys::store::make_keys::check_only_root_can_replace;
use crate::util::files;
use crate::util::labels::restore_labels;

/// The most that is read of a file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The file, as it was read.
#[derive(Debug)]
pub(crate) struct OwnFile {
    pub(crate) path: PathBuf,
    /// Empty if there is no file.
    pub(crate) bytes: Vec<u8>,
    stamp: Option<Stamp>,
}

/// What changes when a program writes or replaces a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    length: u64,
    mode: u32,
    group: u32,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
            mode: metadata.mode() & 0o7777,
            group: metadata.gid(),
        }
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl OwnFile {
    /// Reads the file; a file that is not there is an empty one.
    ///
    /// # Errors
    /// The system's error, or that it is a link, no file, another user's, or too large.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let none = Self { path: path.to_owned(), bytes: Vec::new(), stamp: None };
        match path.symlink_metadata() {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                // A link whose target is missing, or hidden by the unit's sandbox, is no missing folder.
                let is_link = path.parent().is_some_and(|folder| folder.is_symlink() && !folder.exists());
                return if is_link { Err(refused("its folder is a link to nowhere")) } else { Ok(none) };
            }
            Ok(metadata) if metadata.is_symlink() => return Err(refused("it is a symbolic link")),
            _ => {}
        }
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(refused("it is no regular file"));
        }
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(refused("it belongs to another user"));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Self { bytes, stamp: Some(Stamp::of(&metadata)), ..none })
    }

    /// Whether there is a file.
    pub(crate) fn exists(&self) -> bool {
        self.stamp.is_some()
    }

    /// Replaces the content. The mode and the group stay.
    ///
    /// # Errors
    /// The system's error, that another program has changed the file, or that others could exchange it. Then the file is as it was.
    pub(crate) fn replace(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if bytes == self.bytes {
            return Ok(());
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let folder = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        if !folder.exists() {
            check_only_root_can_replace(folder.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            DirBuilder::new().mode(0o700).create(folder)?;
            restore_labels(folder);
        }
        check_only_root_can_replace(folder)?;
        let mode = self.stamp.map_or(0o600, |stamp| stamp.mode);
        let group = self.stamp.map(|stamp| stamp.group);
        files::write_atomic_if(&self.path, &bytes, (mode, group), || self.check_unchanged())?;
        restore_labels(&self.path);
        self.stamp = Some(Stamp::of(&self.path.symlink_metadata()?));
        self.bytes = bytes;
        Ok(())
    }

    /// Renames the file.
    ///
    /// # Errors
    /// As [`OwnFile::replace`].
    pub(crate) fn rename(&self, new_path: &Path) -> io::Result<()> {
        self.check_unchanged()?;
        fs::rename(&self.path, new_path)?;
        self.path.parent().map_or(Ok(()), files::sync_folder)
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let now = match self.path.symlink_metadata() {
            Ok(metadata) => Some(Stamp::of(&metadata)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(why),
        };
        if now == self.stamp { Ok(()) } else { Err(refused("another program has changed it meanwhile")) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::util::random;

    #[test]
    fn k1_file_is_replaced_only_as_it_was_read() {
        let home = std::env::temp_dir().join(format!("scw-agent-own-file-{:x}", random::generator().u64(..)));
        fs::create_dir(&home).expect("made");
        let path = home.join(".ssh/authorized_keys");
        let mut file = OwnFile::read(&path).expect("none");
        file.replace(b"a\n".to_vec()).expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(&home.join(".ssh"))), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        let mut file = OwnFile::read(&path).expect("read");
        file.replace(b"b\n".to_vec()).expect("written");
        file.replace(b"c\n".to_vec()).expect("written twice");
        assert_eq!((mode(&path), &*fs::read(&path).expect("read")), (0o640, &b"c\n"[..]));
        fs::write(&path, "another program\n").expect("written");
        let changed = file.replace(b"d\n".to_vec()).expect_err("changed");
        assert!(changed.to_string().contains("another program"), "{changed}");
        assert!(file.rename(&home.join("x")).is_err());
        assert_eq!(fs::read(&path).expect("read"), b"another program\n");

        fs::rename(&path, home.join("elsewhere")).expect("moved");
        symlink(home.join("elsewhere"), &path).expect("linked");
        for (prepare, why) in [(None, "symbolic link"), (Some(()), "no regular file")] {
            if prepare.is_some() {
                fs::remove_file(&path).expect("removed");
                fs::create_dir(&path).expect("made");
            }
            let error = OwnFile::read(&path).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
        fs::remove_dir_all(home).expect("removed");
    }
}
