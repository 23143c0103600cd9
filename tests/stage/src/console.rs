//! The console of a world: a pseudo-terminal that is mounted over /dev/console.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::error::{StageError, Step};
use crate::world::World;

const CONSOLE: &str = "/dev/console";

/// A console. Nothing reads it until the test calls [`Console::written`].
#[derive(Debug)]
pub struct Console {
    reader: File,
    /// Kept open, so that the terminal exists even while no program has it open for writing.
    writer: File,
}

impl Console {
    /// Makes a new console, and mounts it over the world's.
    pub fn new(_: &World) -> Result<Console, StageError> {
        let reader = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
            .step("open a terminal")?;
        grantpt(&reader).step("open a terminal")?;
        unlockpt(&reader).step("open a terminal")?;
        let path = ptsname_r(&reader).step("open a terminal")?;
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let writer = OpenOptions::new().write(true).custom_flags(flags.bits()).open(&path);
        let writer = writer.step("open a terminal")?;
        Console::put(Path::new(&path))?;
        Ok(Console { reader: File::from(OwnedFd::from(reader)), writer })
    }

    /// Mounts a file over the world's console.
    pub fn put(path: &Path) -> Result<(), StageError> {
        mount(Some(path), CONSOLE, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .step("put a terminal in the place of /dev/console")
    }

    /// The text written to the console since the last call.
    pub fn written(&mut self) -> String {
        let mut bytes = Vec::new();
        let end = self.reader.read_to_end(&mut bytes);
        assert!(end.as_ref().is_err_and(|why| why.kind() == ErrorKind::WouldBlock), "{end:?}");
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    }

    /// Writes until the terminal's buffer is full.
    pub fn fill(&mut self) {
        loop {
            match self.writer.write_all(b"x") {
                Ok(()) => {}
                Err(why) => break assert_eq!(why.kind(), ErrorKind::WouldBlock, "{why}"),
            }
        }
    }
}
