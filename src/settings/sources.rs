//! Where the configuration stands: one file, and drop-ins in three folders with the precedence that systemd's users know.
//!
//! The main file counts first, then the drop-ins in the order of their names, wherever they stand: what is read later wins. Of drop-ins with
//! the same name only one counts: the administrator's, then the one of this boot, then the package's. A link to /dev/null so switches one off.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The administrator's file.
pub const FILE: &str = "/etc/scw-agent.toml";

/// Folders of drop-ins; a later one masks the same names in those before it.
pub const FOLDERS: [&str; 3] =
    ["/usr/lib/scw-agent.toml.d", "/run/scw-agent.toml.d", "/etc/scw-agent.toml.d"];

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The main file; it need not be there.
    pub file: PathBuf,
    /// Folders of drop-ins, the weakest first; none of them need be there.
    pub folders: Vec<PathBuf>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { file: FILE.into(), folders: FOLDERS.map(PathBuf::from).to_vec() }
    }
}

impl Sources {
    /// The files there are, the weakest first, and the folders that cannot be listed.
    pub(crate) fn list(&self) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        let mut bad = Vec::new();
        for folder in &self.folders {
            match drop_ins_of(folder) {
                Ok(paths) => {
                    drop_ins.extend(
                        paths.into_iter().filter_map(|path| Some((path.file_name()?.to_owned(), path))),
                    );
                }
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => bad.push((folder.clone(), why)),
            }
        }
        let unmasked = drop_ins.into_values().filter(|path| !is_mask(path));
        (std::iter::once(self.file.clone()).chain(unmasked).collect(), bad)
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
