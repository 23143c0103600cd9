//! The file of the list. Two runs at once lose nothing: a run reads it again under a lock before it changes it.

use std::io;
use std::path::PathBuf;

use super::list::{InstanceList, literal};
use crate::credentials::paths;
use crate::util::files;

/// A longer file is ignored. It would have some 100,000 Instances.
const MAX_FILE: u64 = 32 * 1024 * 1024;

/// The file: `scw-known-hosts.json` in the cache folder of Scaleway's tools.
pub(crate) fn path() -> Option<PathBuf> {
    paths::cache_folder().map(|folder| folder.join("scw-known-hosts.json"))
}

/// The list; empty if there is none, or none that can be used. It is only a hint, so this is no error.
pub(crate) fn read() -> InstanceList {
    content().and_then(|content| InstanceList::parse(&content)).unwrap_or_default()
}

/// The list; empty if it has none of these names and addresses. A long list costs too much for each host in the world.
pub(crate) fn read_if_it_names(names: &[String]) -> InstanceList {
    let Some(content) = content() else { return InstanceList::default() };
    let text = String::from_utf8_lossy(&content).to_ascii_lowercase();
    let forms =
        names.iter().flat_map(|name| [Some(name.clone()), literal(name).map(|address| address.to_string())]);
    let is_there = forms.flatten().any(|form| text.contains(&format!("\"{}\"", form.to_ascii_lowercase())));
    if is_there { InstanceList::parse(&content).unwrap_or_default() } else { InstanceList::default() }
}

/// Anything but a file, such as a FIFO, could make each ssh hang.
fn content() -> Option<Vec<u8>> {
    let is_good =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() < MAX_FILE);
    files::read(&path().filter(is_good)?).ok().flatten()
}

/// Changes the list, when no other run does.
pub(crate) fn change(change: impl FnOnce(&mut InstanceList)) -> io::Result<()> {
    let path = path().ok_or_else(|| io::Error::other("there is no home folder for it"))?;
    let _lock = files::lock(&path)?;
    let old = read();
    let mut new = old.clone();
    change(&mut new);
    if new == old { Ok(()) } else { files::write(&path, &new.content()) }
}

/// Removes the file. Returns it, if it existed.
pub(crate) fn remove() -> io::Result<Option<PathBuf>> {
    let Some(path) = path() else { return Ok(None) };
    files::remove_lock(&path);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
