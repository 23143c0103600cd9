//! `scw-agent sysprep`: makes a disk ready to become the image of other Instances.
//!
//! It removes what the agent recorded of this Instance and, on demand, the host keys; nothing else, and never a configuration. A clone
//! gets keys of its own without it, once the metadata name another Instance; with it, it has none of ours from its first moment on.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::help::AGENT;
use super::process::print;
use crate::host_keys::{KeyType, Places, known_served};
use crate::printable;

/// What this Instance's records and scripts' records are below.
const STATE: &str = "/var/lib/scw-agent";

/// Removes them, or says what would be.
pub(super) fn run(dry_run: bool, host_keys: bool) -> Exit {
    let mut paths = entries(Path::new(STATE), |_| true);
    if host_keys {
        paths = paths.and_then(|mut paths| {
            paths.extend(key_files(&Places::default())?);
            Ok(paths)
        });
    }
    let paths = match paths {
        Ok(paths) => paths,
        Err(why) => return failed(Path::new(STATE), &why),
    };
    for path in &paths {
        let removed = if dry_run { Ok(()) } else { remove(path) };
        if let Err(why) = removed {
            return failed(path, &why);
        }
        let shown = path.display().to_string();
        let shown = printable::line(&shown);
        print(&format!("{} {shown}\n", if dry_run { "would remove" } else { "removed" }));
    }
    if paths.is_empty() {
        print("nothing is recorded of an Instance\n");
    }
    Exit::Success
}

/// The private and public keys that are in sshd's folder under its names, and those that sshd's configuration names.
fn key_files(places: &Places) -> io::Result<Vec<PathBuf>> {
    let is_key =
        |name: &str| name.starts_with("ssh_host_") && name.trim_end_matches(".pub").ends_with("_key");
    let mut keys: BTreeSet<_> = entries(&places.keys, is_key)?.into_iter().collect();
    for (folder, types) in known_served(places).wanted(&places.keys, &KeyType::ALL) {
        keys.extend(types.iter().flat_map(|kind| [kind.private_path(&folder), kind.public_path(&folder)]));
    }
    keys.retain(|path| path.symlink_metadata().is_ok());
    Ok(keys.into_iter().collect())
}

/// What lies in a folder, in order; nothing where there is no folder.
fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let found = match fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let mut paths = found.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_none_or(&wanted));
    paths.sort();
    Ok(paths)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn failed(path: &Path, why: &io::Error) -> Exit {
    let denied = why.kind() == io::ErrorKind::PermissionDenied;
    let exit = if denied { Exit::NotPermitted } else { Exit::Failure };
    AGENT.failed(&format!("cannot clear {}: {why}", path.display()), exit)
}
