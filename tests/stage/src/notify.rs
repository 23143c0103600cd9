//! The service manager's end of `NOTIFY_SOCKET`: a real socket in the view, whose messages are kept.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{StageError, Step};
use crate::view;
use crate::world::World;

type Messages = Arc<(Mutex<Vec<String>>, Condvar)>;

/// A socket that collects the messages of a daemon to the service manager.
#[derive(Debug)]
pub struct Notify {
    path: PathBuf,
    socket: UnixDatagram,
    messages: Messages,
    reader: Option<JoinHandle<()>>,
}

impl Notify {
    /// Makes the socket in the world's view. All users may write to it.
    pub fn new(world: &World) -> Result<Notify, StageError> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        world.check_inside().map_err(io::Error::other).step("make a notify socket")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(view::OWN).join(format!("notify-{number}"));
        let socket = UnixDatagram::bind(&path).step("make a notify socket")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
            .step("permit all users to write to the notify socket")?;
        let messages = Messages::default();
        // The kernel queues only ten messages; after that the daemon blocks. So a thread reads all the time.
        let (from, to) = (socket.try_clone().step("share the notify socket")?, Arc::clone(&messages));
        let reader = thread::spawn(move || read(&from, &to));
        Ok(Notify { path, socket, messages, reader: Some(reader) })
    }

    /// The value for `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The messages so far, in order of arrival. Each may have several lines.
    pub fn messages(&self) -> Vec<String> {
        self.messages.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until any message so far has a line that starts with `start`; returns whether there is one.
    pub fn wait_for(&self, start: &str, timeout: Duration) -> bool {
        let has = |messages: &[String]| messages.iter().flat_map(|m| m.lines()).any(|l| l.starts_with(start));
        let (messages, changed) = &*self.messages;
        let guard = messages.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, timeout, |messages| !has(messages));
        has(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// Reads until the socket is shut down. A shutdown looks like an empty message, which no daemon sends.
fn read(socket: &UnixDatagram, (messages, changed): &(Mutex<Vec<String>>, Condvar)) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        messages.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        changed.notify_all();
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        // This wakes the reader.
        drop(self.socket.shutdown(Shutdown::Both));
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}
