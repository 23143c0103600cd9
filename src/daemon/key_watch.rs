//! Changes of the key folders and of sshd's configuration, as events (law H4): what is published is looked at again within a second of a
//! change, whoever made it.

use crate::host_keys::sshd::server::{active_links, enablement_folders};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout};

use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::served::ServedKeys;

/// Who remakes keys does it one after the other: look when it has been quiet for so long…
const QUIET: Duration = Duration::from_millis(150);
/// …but no later than this.
const SOON: Duration = Duration::from_millis(600);

/// A watch on the folders.
pub(crate) struct KeyWatch {
    inotify: AsyncFd<OwnedFd>,
    /// Whether the folder is watched in which root's units write what sshd serves. It may not be there yet.
    pub(crate) is_complete: bool,
}

impl KeyWatch {
    /// Watches sshd's folder, which must be there, and as far as they are: its drop-ins, the folders of keys that stand elsewhere,
    /// the word on what is served, and the units of sshd.
    pub(crate) fn on(places: &HostKeyPaths) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(&places.keys, changes)?;
        // Looked at first: what is made meanwhile may not be watched.
        let is_complete = places.served.parent().is_some_and(Path::exists);
        let keys = ServedKeys::read(&places.served).map(|served| served.keys).unwrap_or_default();
        let files = keys.iter().map(|key| &key.path).chain([&places.served]);
        let folders = files.filter_map(|path| path.parent()).map(Path::to_owned);
        for folder in folders.chain([places.keys.join("sshd_config.d")]) {
            // Adding one twice changes nothing.
            let _ = inotify.add_watch(&folder, changes);
        }
        // Whether an OpenSSH server is enabled, by a new link, or stops.
        for folder in enablement_folders(&places.root) {
            let _ = inotify.add_watch(&folder, changes | AddWatchFlags::IN_CREATE);
        }
        for link in active_links(&places.root) {
            let _ = inotify.add_watch(&link, AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_DONT_FOLLOW);
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what makes that so cannot be with an OwnedFd"
        )]
        let watch = AsyncFd::with_interest(OwnedFd::from(inotify), Interest::READABLE)?;
        Ok(Self { inotify: watch, is_complete })
    }

    /// Waits for a change, and then until it seems to be over.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        self.change().await?;
        let until = Instant::now() + SOON;
        while Instant::now() < until {
            match timeout(QUIET, self.change()).await {
                Ok(changed) => changed?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn change(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            let mut buffer = [0; 4096];
            // Which file it was does not matter: all of them are read again.
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
                // More may have come meanwhile; the next call finds the watch readable again.
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => return Err(why),
                Err(_) => {}
            }
        }
    }
}
