//! `scw-agent sysprep`: prepares a disk to become the image of other Instances.
//!
//! It removes what the agent recorded of this Instance, the SSH keys that the agent manages for its owner and, with
//! `--host-keys`, the host keys. It removes nothing else, and no configuration file but the agent's own drop-in for
//! sshd. Without this command, a clone gets its own keys once the metadata service reports another Instance. With
//! `--host-keys`, a clone never has the keys of this Instance.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::account_keys::forget::forget;
use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{print, print_error};
use crate::command::ssh_keys::with_files;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::remove::{PlannedRemoval, planned_removal};
use crate::util::files;
use crate::util::printable;

/// The folder of this Instance's records and of the scripts' records.
const STATE_FOLDER: &str = "/var/lib/scw-agent";

/// Removes the records, or prints what would be removed.
pub(crate) fn run(dry_run: bool, host_keys: bool) -> Exit {
    // Read first, because sshd's answers are kept among the records.
    let keys = if host_keys { planned_removal(&HostKeyPaths::default()) } else { PlannedRemoval::default() };
    let managed = with_files(|files| forget(files, dry_run));
    let records = match entries(Path::new(STATE_FOLDER)) {
        Ok(paths) => paths,
        Err(why) => return AGENT.fail(&removal_error(Path::new(STATE_FOLDER), &why), exit_code(&why)),
    };
    // A file that cannot be removed does not keep the others from being removed.
    let mut failures = Vec::new();
    for (path, text) in &keys.write {
        let written = if dry_run { Ok(()) } else { files::write_atomic(path, text.as_bytes(), 0o644) };
        if let Err(why) = written {
            failures.push((path, why));
            continue;
        }
        let done = if dry_run { "would write" } else { "wrote" };
        print(&format!("{done} {}, from which the next boot knows the type of key\n", display(path)));
    }
    for path in records.iter().chain(&keys.remove) {
        let removed = if dry_run { Ok(()) } else { remove(path) };
        if let Err(why) = removed {
            failures.push((path, why));
            continue;
        }
        print(&format!("{} {}\n", if dry_run { "would remove" } else { "removed" }, display(path)));
    }
    for path in managed.iter().flatten() {
        let done = if dry_run { "would remove" } else { "removed" };
        print(&format!("{done} the agent's SSH keys of {}\n", display(path)));
    }
    if records.is_empty() && keys.remove.is_empty() && managed.as_ref().is_ok_and(Vec::is_empty) {
        print("there are no records of an Instance\n");
    }
    for warning in &keys.warnings {
        print_error(&AGENT, &format!("warning: {warning}"));
    }
    let exit_code = failures.first().map_or(Exit::Failure, |(_, why)| exit_code(why));
    let mut messages: Vec<_> = failures.iter().map(|(path, why)| removal_error(path, why)).collect();
    if let Err(why) = managed {
        messages.push(format!("not all SSH keys of the agent are removed: {why}"));
    }
    if !keys.failures.is_empty() {
        messages.push(format!("not all keys are removed: {}", keys.failures.join("; ")));
    }
    if messages.is_empty() { Exit::Success } else { AGENT.fail(&messages.join("; "), exit_code) }
}

fn display(path: &Path) -> String {
    printable::line(&path.display().to_string()).to_string()
}

/// The entries of a folder in order; empty if there is no folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(why) => Err(why),
    };
    // The file may be gone already: one file may have had two names.
    removed.or_else(|why| if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) })
}

fn removal_error(path: &Path, why: &io::Error) -> String {
    format!("cannot clear {}: {why}", path.display())
}

fn exit_code(why: &io::Error) -> Exit {
    if why.kind() == io::ErrorKind::PermissionDenied { Exit::NotPermitted } else { Exit::Failure }
}
