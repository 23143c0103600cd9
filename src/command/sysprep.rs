//! `scw-agent sysprep`: makes a disk ready to become the image of other Instances.
//!
//! It removes what the agent recorded of this Instance and, on demand, the host keys; nothing else, and never a configuration. A clone
//! gets keys of its own without it, once the metadata name another Instance; with it, it has none of ours from its first moment on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{complain, print};
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::remove::{Clearing, clearing};
use crate::util::files;
use crate::util::printable;

/// What this Instance's records and scripts' records are below.
const STATE: &str = "/var/lib/scw-agent";

/// Removes them, or says what would be.
pub(crate) fn run(dry_run: bool, host_keys: bool) -> Exit {
    // Looked at first: sshd's answers are kept among the records.
    let keys = if host_keys { clearing(&HostKeyPaths::default()) } else { Clearing::default() };
    let records = match entries(Path::new(STATE), |_| true) {
        Ok(paths) => paths,
        Err(why) => return AGENT.failed(&not_cleared(Path::new(STATE), &why), exit(&why)),
    };
    // One that stays is no reason to leave the others.
    let mut failures = Vec::new();
    for (path, text) in &keys.write {
        let written = if dry_run { Ok(()) } else { files::write_whole(path, text.as_bytes(), 0o644) };
        if let Err(why) = written {
            failures.push((path, why));
            continue;
        }
        let done = if dry_run { "would write" } else { "wrote" };
        print(&format!("{done} {}, from which the next boot knows the type of key\n", shown(path)));
    }
    for path in records.iter().chain(&keys.remove) {
        let removed = if dry_run { Ok(()) } else { remove(path) };
        if let Err(why) = removed {
            failures.push((path, why));
            continue;
        }
        print(&format!("{} {}\n", if dry_run { "would remove" } else { "removed" }, shown(path)));
    }
    if records.is_empty() && keys.remove.is_empty() {
        print("nothing is recorded of an Instance\n");
    }
    for warning in &keys.warnings {
        complain(&AGENT, &format!("warning: {warning}"));
    }
    let exit = failures.first().map_or(Exit::Failure, |(_, why)| exit(why));
    let mut said: Vec<_> = failures.iter().map(|(path, why)| not_cleared(path, why)).collect();
    if !keys.failures.is_empty() {
        said.push(format!("not all keys are removed: {}", keys.failures.join("; ")));
    }
    if said.is_empty() { Exit::Success } else { AGENT.failed(&said.join("; "), exit) }
}

fn shown(path: &Path) -> String {
    printable::line(&path.display().to_string()).to_string()
}

/// What lies in a folder, in order; nothing where there is no folder.
fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let found = match fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let mut paths = found.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_none_or(&wanted));
    paths.sort_unstable();
    Ok(paths)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(why) => Err(why),
    };
    // One file may have had two names.
    removed.or_else(|why| if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) })
}

fn not_cleared(path: &Path, why: &io::Error) -> String {
    format!("cannot clear {}: {why}", path.display())
}

fn exit(why: &io::Error) -> Exit {
    if why.kind() == io::ErrorKind::PermissionDenied { Exit::NotPermitted } else { Exit::Failure }
}
