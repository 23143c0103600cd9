//! The daemon's requests to the host-keys role, which needs root: compare the Instance with the record, and ask sshd what it serves.
//!
//! The first request goes out at once. A change of sshd's configuration is requested at most once every [`DISTANCE`], and the last change is
//! never lost. A request that was not served is repeated, each time after a longer pause: the role keeps it pending when the service
//! did not answer, when sshd's configuration is broken, or when another process kept the lock. A request proves nothing to the role.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::host_keys::paths::{HostKeyPaths, INSTANCE_SEEN, SURVEY_REQUESTED};
use crate::host_keys::store::served::ServedKeys;

/// The least time between two requests because of changes.
const DISTANCE: Duration = Duration::from_secs(3);
/// How soon it is looked whether a request was served.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause before a request is repeated.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A file's size and change time; what is inside may not be ours to read.
type FileStamp = (u64, i64, i64);

/// What was requested, and when.
#[derive(Debug)]
pub(crate) struct HostKeyRequests {
    /// sshd's files, as they were at the last request.
    stamps: Option<BTreeMap<PathBuf, FileStamp>>,
    instance: bool,
    last: Option<Instant>,
    /// Whether the last request may not be served yet.
    open: bool,
    /// Whether the last one could not be written.
    failed: bool,
    pause: Duration,
}

impl HostKeyRequests {
    pub(crate) fn new() -> Self {
        Self { stamps: None, instance: false, last: None, open: false, failed: false, pause: FIRST_PAUSE }
    }

    /// The service can be reached again: what is pending because of that can be served now.
    pub(crate) fn repeat_soon(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// Requests what is to be requested now. Returns when to call this again, if that is before the next change.
    pub(crate) fn send(&mut self, places: &HostKeyPaths, knows_instance: bool) -> Option<Instant> {
        let stamps = stamps(places);
        let new_instance = knows_instance && !self.instance;
        let new_stamps = stamps.is_some() && stamps != self.stamps;
        let is_new = new_instance || new_stamps;
        if !is_new && !self.open {
            return None;
        }
        let now = Instant::now();
        let distance = match is_new && !self.failed {
            true if new_instance => Duration::ZERO,
            true => DISTANCE,
            false => self.pause,
        };
        let due = self.last.map_or(now, |last| last + distance);
        if now < due {
            return Some(due);
        }
        if !is_new && !places.requests.has_unserved() {
            (self.open, self.pause) = (false, FIRST_PAUSE);
            return None;
        }
        let repeats = !is_new || self.failed;
        self.pause = if repeats { (self.pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        (self.last, self.open) = (Some(now), true);
        // Any request starts the role, which then serves all that is pending.
        let names = [(new_instance, INSTANCE_SEEN), (new_stamps || !is_new, SURVEY_REQUESTED)];
        let mut wanted = names.iter().filter(|(wanted, _)| *wanted);
        match wanted.try_for_each(|(_, name)| places.requests.send(name)) {
            Ok(()) => (self.stamps, self.instance, self.failed) = (stamps, knows_instance, false),
            Err(why) if !self.failed => {
                self.failed = true;
                let folder = places.requests.requests.display();
                tracing::error!("cannot request the host-keys role (writing in {folder}): {why}");
            }
            Err(_) => {}
        }
        Some(now + self.pause)
    }
}

/// Of sshd's configuration, and of the keys wherever they stand: only root can see whether those are any good. `None` without sshd's folder:
/// then there is nothing to look at. The folders' own stamps tell of a file that came and went: the role may have looked in between.
fn stamps(places: &HostKeyPaths) -> Option<BTreeMap<PathBuf, FileStamp>> {
    if !places.keys.exists() {
        return None;
    }
    let keys = ServedKeys::read(&places.served).map(|served| served.keys).unwrap_or_default();
    let elsewhere = keys.iter().filter_map(|key| key.path.parent()).map(Path::to_owned);
    let folders: BTreeSet<_> =
        [places.keys.clone(), places.keys.join("sshd_config.d")].into_iter().chain(elsewhere).collect();
    let entries = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let files = folders.iter().flat_map(entries).map(|entry| entry.path());
    let stamp = |path: PathBuf| {
        // Of a link, what it leads to.
        let there = fs::metadata(&path).ok()?;
        let is_counted = there.is_file() || folders.contains(&path);
        is_counted.then(|| (path, (there.size(), there.ctime(), there.ctime_nsec())))
    };
    Some(files.chain(folders.iter().cloned()).filter_map(stamp).collect())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::system::requests::RequestFolder;
    use crate::util::random;

    const SECOND: Duration = Duration::from_secs(1);

    /// A machine with sshd, and a request folder.
    fn machine() -> HostKeyPaths {
        let base =
            std::env::temp_dir().join(format!("scw-agent-host-keys-{:x}", random::generator().u64(..)));
        for folder in ["ssh", "requests"] {
            fs::create_dir_all(base.join(folder)).expect("made");
        }
        let requests = RequestFolder { requests: base.join("requests"), pending: base.join("pending") };
        let places = HostKeyPaths { keys: base.join("ssh"), requests, ..HostKeyPaths::default() };
        edit(&places, 0);
        places
    }

    /// Each edit makes the file longer: its change time may be the same.
    fn edit(places: &HostKeyPaths, number: usize) {
        fs::write(places.keys.join("sshd_config"), "#".repeat(number)).expect("written");
    }

    /// What the role finds; it serves all.
    fn serve(places: &HostKeyPaths) -> Vec<&'static str> {
        let requests = places.requests.take(&[INSTANCE_SEEN, SURVEY_REQUESTED]);
        let found: Vec<_> =
            [INSTANCE_SEEN, SURVEY_REQUESTED].into_iter().filter(|name| requests.has(name)).collect();
        found.iter().for_each(|name| requests.served(name).expect("served"));
        found
    }

    #[tokio::test(start_paused = true)]
    async fn h4_changes_are_requested_apart_and_the_last_one_is_not_lost() {
        let places = machine();
        let mut requests = HostKeyRequests::new();
        assert!(requests.send(&places, false).is_some());
        assert_eq!(serve(&places), [SURVEY_REQUESTED], "the first one at once");
        assert!(requests.send(&places, true).is_some());
        assert_eq!(serve(&places), [INSTANCE_SEEN], "the Instance at once, too");
        let (mut served, mut due) = (0, None);
        for number in 1..=20 {
            edit(&places, number);
            due = requests.send(&places, true);
            served += serve(&places).len();
            advance(SECOND / 2).await;
        }
        assert!((3..=5).contains(&served), "{served} requests in ten seconds");
        advance(due.expect("something is left to do") - Instant::now()).await;
        requests.send(&places, true);
        let last = serve(&places).len() + served;
        advance(FIRST_PAUSE).await;
        assert_eq!(requests.send(&places, true), None, "all is served");
        assert_eq!(requests.stamps, stamps(&places), "the last edit was requested, as number {last}");
        fs::remove_dir_all(places.keys.parent().expect("a parent")).expect("removed");
    }

    #[tokio::test(start_paused = true)]
    async fn h4_file_that_came_and_went_is_a_change() {
        let places = machine();
        let mut requests = HostKeyRequests::new();
        let drop_in = places.keys.join("sshd_config.d/x.conf");
        fs::create_dir(places.keys.join("sshd_config.d")).expect("made");
        requests.send(&places, false);
        fs::write(&drop_in, "").expect("written");
        // Not due yet; the role, which was started late, looks now.
        assert!(requests.send(&places, false).is_some());
        assert_eq!(serve(&places), [SURVEY_REQUESTED]);
        fs::remove_file(&drop_in).expect("removed");
        advance(DISTANCE).await;
        requests.send(&places, false);
        assert_eq!(serve(&places), [SURVEY_REQUESTED]);
        fs::remove_dir_all(places.keys.parent().expect("a parent")).expect("removed");
    }

    #[tokio::test(start_paused = true)]
    async fn d3_what_is_not_served_is_requested_again_ever_more_seldom() {
        let places = machine();
        let mut requests = HostKeyRequests::new();
        let started = Instant::now();
        let mut due = requests.send(&places, true);
        let mut sent = 0;
        while started.elapsed() < 24 * LONGEST_PAUSE {
            // The role takes the requests, and cannot serve one.
            sent += usize::from(places.requests.take(&[INSTANCE_SEEN, SURVEY_REQUESTED]).has(INSTANCE_SEEN));
            advance(due.expect("it is tried again") - Instant::now()).await;
            due = requests.send(&places, true);
        }
        assert!((24..40).contains(&sent), "{sent} requests in a day");
        serve(&places);
        advance(LONGEST_PAUSE).await;
        assert_eq!(requests.send(&places, true), None);
        fs::remove_dir_all(places.keys.parent().expect("a parent")).expect("removed");
    }
}
