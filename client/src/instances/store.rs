//! The file of the list. Two runs at once lose nothing: a run reads it again under a lock before it changes it.

use std::io;
use std::path::PathBuf;

use super::list::InstanceList;
use crate::credentials::paths;
use crate::util::files;

/// The file: `scw-known-hosts.json` in the cache folder of Scaleway's tools.
pub(crate) fn path() -> Option<PathBuf> {
    paths::cache_folder().map(|folder| folder.join("scw-known-hosts.json"))
}

/// The list; empty if there is none, or none that can be used. It is only a hint, so this is no error.
pub(crate) fn read() -> InstanceList {
    let content = path().and_then(|path| files::read(&path).ok().flatten());
    content.and_then(|content| InstanceList::parse(&content)).unwrap_or_default()
}

/// Changes the list.
pub(crate) fn change(change: impl FnOnce(&mut InstanceList)) -> io::Result<()> {
    let Some(path) = path() else {
        return Err(io::Error::other("there is no home folder for it"));
    };
    let _lock = files::lock(&path)?;
    let old = read();
    let mut new = old.clone();
    change(&mut new);
    if new == old { Ok(()) } else { files::write(&path, &new.content()) }
}
