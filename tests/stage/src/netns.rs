//! Network namespaces as values: make one, run a function in one, configure one with `ip`.
//! Apart from a world's own thread, only threads that start and end in this module change their namespace.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{StageError, Step};

/// The identity of a namespace. It is unique while the namespace exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NsId {
    device: u64,
    inode: u64,
}

impl NsId {
    /// The namespace behind a link such as `/proc/thread-self/ns/net`.
    pub(crate) fn of(link: &str) -> io::Result<NsId> {
        let meta = std::fs::metadata(link)?;
        Ok(NsId { device: meta.dev(), inode: meta.ino() })
    }

    /// The calling thread's network namespace.
    pub(crate) fn net_here() -> io::Result<NsId> {
        NsId::of("/proc/thread-self/ns/net")
    }

    /// The calling thread's mount namespace.
    pub(crate) fn mount_here() -> io::Result<NsId> {
        NsId::of("/proc/thread-self/ns/mnt")
    }
}

/// A network namespace, which exists as long as this value.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// Makes a namespace whose only device is `lo`, which is down. The calling thread stays in its namespace.
    pub(crate) fn new() -> Result<Netns, StageError> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).step("make a network namespace")?;
            Netns::here()
        };
        thread::scope(|scope| scope.spawn(make).join().expect("making a namespace does not panic"))
    }

    /// The calling thread's namespace.
    pub(crate) fn here() -> Result<Netns, StageError> {
        File::open("/proc/thread-self/ns/net").map(Netns).step("open a network namespace")
    }

    /// A path under which other processes can open the namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs `f` in the namespace, on a new thread.
    pub(crate) fn within<T: Send>(
        &self,
        f: impl FnOnce() -> Result<T, StageError> + Send,
    ) -> Result<T, StageError> {
        let enter = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).step("enter a network namespace")?;
            f()
        };
        thread::scope(|scope| scope.spawn(enter).join().expect("setting up a namespace does not panic"))
    }

    /// Runs lines of `ip -batch` in the namespace.
    pub(crate) fn ip(&self, lines: &str) -> Result<(), StageError> {
        if lines.is_empty() { Ok(()) } else { self.within(|| ip(lines)) }
    }
}

/// Runs lines of `ip -batch` in the calling thread's namespace.
pub(crate) fn ip(lines: &str) -> Result<(), StageError> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().step("run ip (package iproute2)")?;
    let mut input = child.stdin.take().expect("stdin is piped");
    // If `ip` ended early, its own message below says more than "broken pipe".
    drop(input.write_all(lines.as_bytes()));
    drop(input);
    let output = child.wait_with_output().step("wait for ip")?;
    if output.status.success() {
        return Ok(());
    }
    Err(StageError::Tool { program: "ip", said: String::from_utf8_lossy(&output.stderr).into_owned() })
}
