//! The daemon's requests to the host-keys units, which run as root: compare the Instance with the identity
//! record, and ask sshd which keys it serves.
//!
//! The first request is sent at once. Changes of sshd's configuration are requested with the distances of
//! [`ChangePace`], and the last change is never lost. A request that was not served is repeated, each time
//! after a longer pause. The host-keys units keep a request pending when the metadata service did not answer,
//! when sshd's configuration is broken, or when another process holds the lock. They do not take a request as
//! proof of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::change_pace::ChangePace;
use crate::host_keys::paths::{HostKeyPaths, INSTANCE_SEEN, SSHD_QUERY_REQUESTED};
use crate::host_keys::store::served::LocalKeys;

/// The time after a request at which the daemon first checks whether it was served.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The maximum pause before a request is repeated.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A file's size and change time. The daemon may have no permission to read its content.
type FileStamp = (u64, i64, i64);

/// The stamps by path. It is text, since the parts of a path are compared one by one.
type FileStamps = BTreeMap<OsString, FileStamp>;

/// The requests that were sent, and when.
#[derive(Debug)]
pub(crate) struct HostKeyRequests {
    /// The stamps of sshd's files at the last request.
    stamps: Option<FileStamps>,
    instance_requested: bool,
    last_sent: Option<Instant>,
    changes: ChangePace,
    /// Whether the last request may still be pending.
    is_pending: bool,
    /// Whether the last request could not be written.
    write_failed: bool,
    /// Whether sshd's files have changed since [`HostKeyRequests::take_new_files`] was called.
    has_new_files: bool,
    pause: Duration,
}

impl HostKeyRequests {
    pub(crate) fn new() -> Self {
        Self {
            stamps: None,
            instance_requested: false,
            last_sent: None,
            changes: ChangePace::default(),
            is_pending: false,
            write_failed: false,
            has_new_files: false,
            pause: FIRST_PAUSE,
        }
    }

    /// Shortens the pause again: the metadata service is reachable again, so requests that were pending
    /// because of that can be served now.
    pub(crate) fn repeat_soon(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// Whether sshd's files have changed since the last call.
    pub(crate) fn take_new_files(&mut self) -> bool {
        std::mem::take(&mut self.has_new_files)
    }

    /// Sends the requests that are due. Returns when to call this again, if that is before the next change.
    pub(crate) fn send(&mut self, paths: &HostKeyPaths, instance_known: bool) -> Option<Instant> {
        let stamps = file_stamps(paths);
        let new_instance = instance_known && !self.instance_requested;
        let files_changed = stamps.is_some() && stamps != self.stamps;
        let is_new = new_instance || files_changed;
        if !is_new && !self.is_pending {
            return None;
        }
        let now = Instant::now();
        let due = match is_new && !self.write_failed {
            true if new_instance => None,
            true => self.changes.allowed(),
            false => self.last_sent.map(|last_sent| last_sent + self.pause),
        };
        if let Some(due) = due.filter(|due| now < *due) {
            return Some(due);
        }
        if !is_new && !paths.requests.has_unserved() {
            (self.is_pending, self.pause) = (false, FIRST_PAUSE);
            return None;
        }
        let repeats = !is_new || self.write_failed;
        self.pause = if repeats { (self.pause * 2).min(MAX_PAUSE) } else { FIRST_PAUSE };
        (self.last_sent, self.is_pending) = (Some(now), true);
        if files_changed {
            self.changes.note();
            self.has_new_files = true;
        }
        // Any request starts the units, which then serve all pending requests.
        let requests = [(new_instance, INSTANCE_SEEN), (files_changed || !is_new, SSHD_QUERY_REQUESTED)];
        let mut wanted = requests.iter().filter(|(wanted, _)| *wanted);
        match wanted.try_for_each(|(_, name)| paths.requests.send(name)) {
            Ok(()) => {
                (self.stamps, self.instance_requested, self.write_failed) = (stamps, instance_known, false)
            }
            Err(why) if !self.write_failed => {
                self.write_failed = true;
                let folder = paths.requests.requests.display();
                tracing::error!("cannot request the host-keys units (writing in {folder}): {why}");
            }
            Err(_) => {}
        }
        Some(now + self.pause)
    }
}

/// The stamps of sshd's configuration and of the key files in all their folders. The daemon only compares
/// stamps, because only root can judge the content. Returns `None` without sshd's folder: then there is
/// nothing to check. The folders have stamps, too. They reveal a file that was created and removed again,
/// which the host-keys units may have read in between.
fn file_stamps(paths: &HostKeyPaths) -> Option<FileStamps> {
    if !paths.keys.exists() {
        return None;
    }
    let keys = LocalKeys::read(&paths.served).map(|served| served.keys).unwrap_or_default();
    let other_folders = keys.iter().filter_map(|key| key.path.parent()).map(Path::to_owned);
    let folders: BTreeSet<_> =
        [paths.keys.clone(), paths.keys.join("sshd_config.d")].into_iter().chain(other_folders).collect();
    let entries = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let files = folders.iter().flat_map(entries).map(|entry| entry.path());
    let stamp = |path: PathBuf| {
        // For a symbolic link, the stamp of its target.
        let metadata = fs::metadata(&path).ok()?;
        let is_watched = metadata.is_file() || folders.contains(&path);
        is_watched
            .then(|| (path.into_os_string(), (metadata.size(), metadata.ctime(), metadata.ctime_nsec())))
    };
    Some(files.chain(folders.iter().cloned()).filter_map(stamp).collect())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::daemon::change_pace::MIN_DISTANCE;
    use crate::system::requests::RequestFolder;
    use crate::util::random;

    const SECOND: Duration = Duration::from_secs(1);

    /// A machine with sshd and a request folder.
    fn machine() -> HostKeyPaths {
        let base =
            std::env::temp_dir().join(format!("scw-agent-host-keys-{:x}", random::generator().u64(..)));
        for folder in ["ssh", "requests"] {
            fs::create_dir_all(base.join(folder)).expect("made");
        }
        let requests = RequestFolder { requests: base.join("requests"), pending: base.join("pending") };
        let paths = HostKeyPaths { keys: base.join("ssh"), requests, ..HostKeyPaths::default() };
        edit(&paths, 0);
        paths
    }

    /// Each edit makes the file longer, because its change time may be the same as before.
    fn edit(paths: &HostKeyPaths, number: usize) {
        fs::write(paths.keys.join("sshd_config"), "#".repeat(number)).expect("written");
    }

    /// Takes all requests, as the host-keys units do, and serves them.
    fn serve(paths: &HostKeyPaths) -> Vec<&'static str> {
        let requests = paths.requests.take(&[INSTANCE_SEEN, SSHD_QUERY_REQUESTED]);
        let found: Vec<_> =
            [INSTANCE_SEEN, SSHD_QUERY_REQUESTED].into_iter().filter(|name| requests.has(name)).collect();
        found.iter().for_each(|name| requests.mark_served(name).expect("served"));
        found
    }

    #[tokio::test(start_paused = true)]
    async fn h4_changes_are_spaced_and_the_last_is_kept() {
        let paths = machine();
        let mut requests = HostKeyRequests::new();
        assert!(requests.send(&paths, false).is_some());
        assert_eq!(serve(&paths), [SSHD_QUERY_REQUESTED], "the first one at once");
        assert!(requests.send(&paths, true).is_some());
        assert_eq!(serve(&paths), [INSTANCE_SEEN], "the Instance at once, too");
        let (mut served, mut due) = (0, None);
        for number in 1..=20 {
            edit(&paths, number);
            due = requests.send(&paths, true);
            served += serve(&paths).len();
            advance(SECOND / 2).await;
        }
        assert!((3..=5).contains(&served), "{served} requests in ten seconds");
        advance(due.expect("something is left to do") - Instant::now()).await;
        requests.send(&paths, true);
        let last_sent = serve(&paths).len() + served;
        advance(FIRST_PAUSE).await;
        assert_eq!(requests.send(&paths, true), None, "all is served");
        assert_eq!(
            requests.stamps,
            file_stamps(&paths),
            "the last edit was requested, as number {last_sent}"
        );
        fs::remove_dir_all(paths.keys.parent().expect("a parent")).expect("removed");
    }

    #[tokio::test(start_paused = true)]
    async fn h4_created_and_removed_file_is_a_change() {
        let paths = machine();
        let mut requests = HostKeyRequests::new();
        let drop_in = paths.keys.join("sshd_config.d/x.conf");
        fs::create_dir(paths.keys.join("sshd_config.d")).expect("made");
        requests.send(&paths, false);
        fs::write(&drop_in, "").expect("written");
        // The request is not due yet, but the units were started late and read the files now.
        assert!(requests.send(&paths, false).is_some());
        assert_eq!(serve(&paths), [SSHD_QUERY_REQUESTED]);
        fs::remove_file(&drop_in).expect("removed");
        advance(MIN_DISTANCE).await;
        requests.send(&paths, false);
        assert_eq!(serve(&paths), [SSHD_QUERY_REQUESTED]);
        fs::remove_dir_all(paths.keys.parent().expect("a parent")).expect("removed");
    }

    #[tokio::test(start_paused = true)]
    async fn d3_unserved_request_is_repeated_ever_later() {
        let paths = machine();
        let mut requests = HostKeyRequests::new();
        let started = Instant::now();
        let mut due = requests.send(&paths, true);
        let mut sent = 0;
        while started.elapsed() < 24 * MAX_PAUSE {
            // The units take the requests and cannot serve them.
            sent +=
                usize::from(paths.requests.take(&[INSTANCE_SEEN, SSHD_QUERY_REQUESTED]).has(INSTANCE_SEEN));
            advance(due.expect("it is tried again") - Instant::now()).await;
            due = requests.send(&paths, true);
        }
        assert!((24..40).contains(&sent), "{sent} requests in a day");
        serve(&paths);
        advance(MAX_PAUSE).await;
        assert_eq!(requests.send(&paths, true), None);
        fs::remove_dir_all(paths.keys.parent().expect("a parent")).expect("removed");
    }
}
