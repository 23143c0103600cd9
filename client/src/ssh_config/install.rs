//! Both files in the user's `.ssh` folder.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use super::include::ChangedBlock;
use super::include::{OWN_FILE, with_include, without_include};
use super::own_file::Choices;
use crate::credentials::paths;
use crate::util::files;

/// Why the files were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("{0}")]
    Block(#[from] ChangedBlock),
    #[error("cannot change the configuration of ssh: {0}")]
    Io(#[from] io::Error),
}

/// The files.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those in the home folder; `None` without one.
    pub(crate) fn of_user() -> Option<Self> {
        Some(Self { folder: paths::home()?.join(".ssh") })
    }

    pub(crate) fn own(&self) -> PathBuf {
        self.folder.join(OWN_FILE)
    }

    pub(crate) fn users(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// The choices of an earlier `setup`.
    pub(crate) fn choices(&self) -> io::Result<Choices> {
        Ok(Choices::recorded(&text(&self.own())?.unwrap_or_default()))
    }

    /// Writes our file, then the lines that include it. Returns which of them changed.
    pub(crate) fn install(&self, content: &str) -> Result<Vec<PathBuf>, InstallError> {
        let _lock = files::lock(&self.users())?;
        let old = text(&self.users())?.unwrap_or_default();
        let new = with_include(&old)?;
        let mut changed = Vec::new();
        changed.extend(replace(self.own(), text(&self.own())?.as_deref(), content)?);
        changed.extend(replace(self.users(), Some(&old), &new)?);
        Ok(changed)
    }

    /// Takes the lines out, then removes our file.
    pub(crate) fn remove(&self) -> Result<Vec<PathBuf>, InstallError> {
        let mut changed = Vec::new();
        if let Some(old) = text(&self.users())? {
            let _lock = files::lock(&self.users())?;
            changed.extend(replace(self.users(), Some(&old), &without_include(&old)?)?);
        }
        files::remove_lock(&self.users());
        match std::fs::remove_file(self.own()) {
            Ok(()) => changed.push(self.own()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(changed)
    }
}

fn replace(path: PathBuf, old: Option<&str>, new: &str) -> io::Result<Option<PathBuf>> {
    if old == Some(new) {
        return Ok(None);
    }
    files::write(&path, new.as_bytes())?;
    Ok(Some(path))
}

/// The text of a file. One that is not UTF-8 is not changed.
fn text(path: &Path) -> io::Result<Option<String>> {
    let Some(content) = files::read(path)? else { return Ok(None) };
    let failed = |_| io::Error::other(format!("{} is not UTF-8; it is left as it is", path.display()));
    String::from_utf8(content).map(Some).map_err(failed)
}

/// The path of this program for ssh: the one in `PATH`, which stays the same after an update, or else its real one.
pub(crate) fn program() -> io::Result<String> {
    let real = env::current_exe()?;
    let folders = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&folders).map(|folder| folder.join(crate::command::arguments::NAME));
    let same = in_path
        .filter(|path| path.is_absolute())
        .find(|path| path.canonicalize().is_ok_and(|path| path == real));
    let path = same.unwrap_or(real);
    path.into_os_string().into_string().map_err(|_| io::Error::other("the path of this program is not UTF-8"))
}
