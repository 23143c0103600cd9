//! Requests from the daemon's user to a unit that runs as root (invariant D3).
//!
//! The daemon must not start anything as root. It writes an empty file into a request folder, and a path unit starts the service.
//! The folder belongs to the daemon's user, so an entry can be anything: a link, a pipe, a deep folder, a huge file. This module
//! never reads an entry, never follows a link and never recurses. Only the names of valid requests have a meaning.
//!
//! The parent of the folder belongs to root, so the daemon's user cannot replace the folder itself. This matters, because systemd
//! stops watching a path permanently when that path becomes a link to itself.
//!
//! [`RequestFolder::take`] first notes a request in a folder of root, then removes the file. A request stays pending until
//! [`Requests::mark_served`], also when the process is killed. A file that arrives later starts the service again. What is pending does not
//! start the service: the daemon sees it and repeats its request, each time after a longer pause.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::util::{files, random};

/// The number of entries that one run reads, including hidden ones. If there are more, they start the service again.
const MAX_ENTRIES: usize = 1000;

/// The two folders of one service.
#[derive(Clone, Debug)]
pub(crate) struct RequestFolder {
    /// Where the daemon's user writes its requests. A parent of it belongs to root.
    pub requests: PathBuf,
    /// Where root notes pending requests. Everybody may read it.
    pub pending: PathBuf,
}

impl RequestFolder {
    /// Writes a request. This is the daemon's side.
    pub(crate) fn send(&self, name: &str) -> io::Result<()> {
        files::write_atomic(&self.requests.join(name), b"", 0o644)
    }

    /// Whether a request was written and is not served yet.
    pub(crate) fn has_unserved(&self) -> bool {
        let has_entry = |folder: &Path| {
            fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| !is_hidden(&entry.file_name()))
        };
        has_entry(&self.requests) || has_entry(&self.pending)
    }

    /// Takes all requests out of the folder. Requests with a name in `valid` become pending. All other entries are removed.
    ///
    /// Errors do not end it: they are collected in [`Requests::problems`].
    pub(crate) fn take(&self, valid: &[&str]) -> Requests<'_> {
        let pending = valid.iter().filter(|name| self.is_pending(name)).map(|name| (*name).to_owned());
        let mut requests = Requests { folder: self, names: pending.collect(), problems: Vec::new() };
        let mut not_removed = None;
        // Valid requests are looked up by name, so that other entries in the folder cannot delay them.
        for name in valid.iter().filter(|name| self.requests.join(name).symlink_metadata().is_ok()) {
            requests.names.insert((*name).to_owned());
            match self.add_pending(name) {
                Err(why) => {
                    requests.problems.push(format!("cannot write in {}: {why}", self.pending.display()));
                }
                Ok(()) => {
                    if let Err(why) = self.remove(OsStr::new(name)) {
                        not_removed.get_or_insert((OsStr::new(name).to_owned(), why));
                    }
                }
            }
        }
        let entries = match fs::read_dir(&self.requests) {
            Ok(entries) => entries,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return requests,
            Err(why) => {
                requests
                    .problems
                    .push(format!("cannot list the requests in {}: {why}", self.requests.display()));
                return requests;
            }
        };
        for name in entries.flatten().take(MAX_ENTRIES).map(|entry| entry.file_name()) {
            // Hidden entries do not start the service. A valid request that arrived since then starts the service again.
            if is_hidden(&name) || valid.iter().any(|valid| name == **valid) {
                continue;
            }
            if let Err(why) = self.remove(&name) {
                not_removed.get_or_insert((name, why));
            }
        }
        if let Some((name, why)) = not_removed {
            // `{:?}` escapes characters that could control a terminal.
            requests.problems.push(format!("cannot remove {:?}: {why}", self.requests.join(name)));
        }
        requests
    }

    /// Notes a request as pending.
    pub(crate) fn add_pending(&self, name: &str) -> io::Result<()> {
        self.pending.parent().map_or(Ok(()), files::create_public_folder)?;
        files::create_public_folder(&self.pending)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o644).custom_flags(OFlag::O_NOFOLLOW.bits());
        options.open(self.pending.join(name)).map(drop)
    }

    /// Whether a request is pending.
    pub(crate) fn is_pending(&self, name: &str) -> bool {
        self.pending.join(name).symlink_metadata().is_ok()
    }

    /// Removes a pending request.
    pub(crate) fn remove_pending(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.pending.join(name)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }

    /// Removes an entry of any type in one step. A folder that is not empty is renamed to a hidden name instead: its removal would
    /// need a step for each entry in it, and a file descriptor for each level.
    fn remove(&self, name: &OsStr) -> io::Result<()> {
        let path = self.requests.join(name);
        let hide = || {
            let hidden = self.requests.join(format!(".refused-{:016x}", random::generator().u64(..)));
            fs::rename(&path, hidden)
        };
        let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).or_else(|_| hide());
        removed.or_else(|why| if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) })
    }
}

/// The requests that one run has to serve.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    folder: &'a RequestFolder,
    names: BTreeSet<String>,
    /// The errors that occurred when they were taken.
    pub problems: Vec<String>,
}

impl Requests<'_> {
    /// Whether there is a request with this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Marks a request as served.
    pub(crate) fn mark_served(&self, name: &str) -> io::Result<()> {
        self.folder.remove_pending(name)
    }
}

/// Whether an entry is hidden. systemd ignores hidden entries when it checks whether a folder is empty.
fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const VALID: [&str; 2] = ["one", "two"];

    fn folder() -> RequestFolder {
        let base = std::env::temp_dir().join(format!("scw-agent-requests-{:x}", random::generator().u64(..)));
        fs::create_dir_all(base.join("requests")).expect("made");
        RequestFolder { requests: base.join("requests"), pending: base.join("pending") }
    }

    fn remove(folder: &RequestFolder) {
        fs::remove_dir_all(folder.requests.parent().expect("a parent")).expect("removed");
    }

    #[test]
    fn d3_request_stays_pending_until_it_is_served() {
        let folder = folder();
        assert!(!folder.has_unserved());
        folder.send("one").expect("sent");
        // The first run ends before it has served the request.
        assert!(folder.take(&VALID).has("one") && folder.has_unserved());
        folder.send("two").expect("sent");
        let requests = folder.take(&VALID);
        assert!(requests.has("one") && requests.has("two") && requests.problems.is_empty());
        // A request arrives during the run.
        folder.send("one").expect("sent");
        VALID.iter().for_each(|name| requests.mark_served(name).expect("served"));
        assert!(folder.take(&VALID).has("one"));
        folder.remove_pending("one").expect("forgotten");
        assert!(!folder.has_unserved());
        remove(&folder);
    }

    #[test]
    fn d3_any_entry_is_removed_and_nothing_outside() {
        let folder = folder();
        let outside = folder.pending.with_file_name("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("kept"), "kept").expect("written");
        let entry = |name: &str| folder.requests.join(name);
        symlink(&outside, entry("one")).expect("linked");
        symlink("loop", entry("loop")).expect("linked");
        fs::create_dir_all(entry("two/deep/deeper")).expect("made");
        fs::create_dir(entry("empty")).expect("made");
        fs::write(entry("evil\n\u{202e}name"), "x").expect("written");
        nix::unistd::mkfifo(&entry("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let requests = folder.take(&VALID);
        assert_eq!(requests.problems, [""; 0]);
        assert!(requests.has("one") && requests.has("two"));
        let remaining: Vec<_> = fs::read_dir(&folder.requests).expect("listed").flatten().collect();
        assert!(remaining.len() == 1 && is_hidden(&remaining[0].file_name()), "{remaining:?}");
        assert_eq!(fs::read_to_string(outside.join("kept")).expect("read"), "kept");
        remove(&folder);
    }

    #[test]
    fn d3_many_entries_are_removed_in_several_runs() {
        let folder = folder();
        (0..=MAX_ENTRIES)
            .for_each(|number| fs::write(folder.requests.join(number.to_string()), "").expect("written"));
        folder.take(&VALID);
        assert_eq!(fs::read_dir(&folder.requests).expect("listed").count(), 1);
        folder.take(&VALID);
        assert!(!folder.has_unserved());
        remove(&folder);
    }

    #[test]
    fn d3_hidden_entries_are_bounded_and_delay_no_request() {
        let folder = folder();
        for number in 0..MAX_ENTRIES {
            fs::create_dir(folder.requests.join(format!(".{number}"))).expect("made");
            fs::write(folder.requests.join(number.to_string()), "").expect("written");
        }
        folder.send("one").expect("sent");
        assert!(folder.take(&VALID).has("one"));
        assert!(!folder.requests.join("one").exists(), "its position in the folder does not matter");
        let remaining = fs::read_dir(&folder.requests).expect("listed").flatten();
        let remaining = remaining.filter(|entry| !is_hidden(&entry.file_name())).count();
        assert!(remaining > 0 && folder.has_unserved(), "one run reads at most {MAX_ENTRIES} entries");
        remove(&folder);
    }
}
