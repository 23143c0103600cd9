//! Watches the key folders and sshd's configuration for changes (invariant H4). The daemon checks the
//! published value within a second of a change, or later while changes come one after the other.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout};

use crate::daemon::wake_timer::wait_until;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::server::{active_links, enablement_folders};
use crate::host_keys::store::served::LocalKeys;

/// A change is reported when no further change came for this time, because keys are usually replaced one
/// after the other…
const QUIET_TIME: Duration = Duration::from_millis(150);
/// …but at the latest this long after the first change.
const MAX_DELAY: Duration = Duration::from_millis(600);

/// An inotify watch on the folders.
pub(crate) struct KeyWatch {
    inotify: AsyncFd<OwnedFd>,
    /// Whether the folder of the served keys is watched. It may not exist yet.
    pub(crate) is_complete: bool,
    /// Whether a change came that [`Self::next`] has not reported yet, because it was dropped while it waited for more of them.
    pub(crate) has_unreported: bool,
}

impl KeyWatch {
    /// Watches sshd's folder, which must exist. Also watches these paths where they exist: its drop-in
    /// folder, the folders of keys in other places, the file of served keys, and the unit links of sshd.
    pub(crate) fn new(paths: &HostKeyPaths) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(&paths.keys, changes)?;
        // Checked before the watches are added: a folder that is created meanwhile may not be watched.
        let is_complete = paths.served.parent().is_some_and(Path::exists);
        let keys = LocalKeys::read(&paths.served).map(|served| served.keys).unwrap_or_default();
        let folders = keys.iter().filter_map(|key| key.path.parent()).map(Path::to_owned);
        for folder in folders.chain([paths.keys.join("sshd_config.d")]) {
            // Adding a folder twice has no effect.
            let _ = inotify.add_watch(&folder, changes);
        }
        // The units also make folders there. Only a file that replaces another matters.
        if let Some(folder) = paths.served.parent().filter(|folder| **folder != paths.keys) {
            let _ = inotify.add_watch(
                folder,
                AddWatchFlags::IN_MOVE
                    | AddWatchFlags::IN_DELETE
                    | AddWatchFlags::IN_DELETE_SELF
                    | AddWatchFlags::IN_MOVE_SELF
                    | AddWatchFlags::IN_ONLYDIR,
            );
        }
        // These change when an OpenSSH server is enabled by a new link, or stops.
        for folder in enablement_folders(&paths.root) {
            let _ = inotify.add_watch(&folder, changes);
        }
        for link in active_links(&paths.root) {
            let _ = inotify.add_watch(&link, AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_DONT_FOLLOW);
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what makes that so cannot be with an OwnedFd"
        )]
        let watch = AsyncFd::with_interest(OwnedFd::from(inotify), Interest::READABLE)?;
        Ok(Self { inotify: watch, is_complete, has_unreported: false })
    }

    /// Waits for a change, then until no further changes come, and at least until the time `allowed`.
    pub(crate) async fn next(&mut self, allowed: Option<Instant>) -> io::Result<()> {
        if !self.has_unreported {
            self.wait_for_events().await?;
            self.has_unreported = true;
        }
        let deadline = Instant::now() + MAX_DELAY;
        while Instant::now() < deadline {
            match timeout(QUIET_TIME, self.wait_for_events()).await {
                Ok(changed) => changed?,
                Err(_) => break,
            }
        }
        if let Some(allowed) = allowed {
            wait_until(allowed).await;
        }
        self.has_unreported = false;
        Ok(())
    }

    async fn wait_for_events(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            let mut buffer = [0; 4096];
            // The file's name is not needed: all files are read again.
            let drained = ready.try_io(|inotify| {
                let mut changed = false;
                loop {
                    match nix::unistd::read(inotify, &mut buffer) {
                        Ok(_) => changed = true,
                        Err(Errno::EAGAIN) if changed => return Ok(()),
                        Err(why) => return Err(io::Error::from(why)),
                    }
                }
            });
            match drained {
                // More events may have come meanwhile; then the next call finds the watch readable again.
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => return Err(why),
                Err(_) => {}
            }
        }
    }
}
