//! The files of the configuration: a main file, and drop-ins in three folders with the same precedence as in systemd.
//!
//! The main file is read first, then the drop-ins of all folders in the order of their names. A later file overrides an earlier one.
//! If several drop-ins have the same name, only one is read: the one in /etc, otherwise the one in /run, otherwise the one in
//! /usr/lib. So a link to /dev/null disables a drop-in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The main file, which the administrator writes.
pub const FILE: &str = "/etc/scw-agent.toml";

/// The folders of drop-ins. A drop-in masks those with the same name in earlier folders.
pub const FOLDERS: [&str; 3] =
    ["/usr/lib/scw-agent.toml.d", "/run/scw-agent.toml.d", "/etc/scw-agent.toml.d"];

/// The paths of the configuration.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The main file. It may be missing.
    pub file: PathBuf,
    /// The folders of drop-ins, the one with the lowest precedence first. Each may be missing.
    pub folders: Vec<PathBuf>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { file: FILE.into(), folders: FOLDERS.map(PathBuf::from).to_vec() }
    }
}

impl Sources {
    /// The files to read, the one with the lowest precedence first, and the folders that cannot be listed.
    pub(crate) fn list(&self) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for folder in &self.folders {
            match drop_ins_of(folder) {
                Ok(paths) => {
                    drop_ins.extend(
                        paths.into_iter().filter_map(|path| Some((path.file_name()?.to_owned(), path))),
                    );
                }
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => unreadable.push((folder.clone(), why)),
            }
        }
        let unmasked = drop_ins.into_values().filter(|path| !is_mask(path));
        (std::iter::once(self.file.clone()).chain(unmasked).collect(), unreadable)
    }
}

fn drop_ins_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_drop_in = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    };
    Ok(paths.into_iter().filter(is_drop_in).collect())
}

fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}
