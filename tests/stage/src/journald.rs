//! The real systemd-journald in a world, so that tests can read the fields that a daemon logs.
//! It stores everything in the view's /run. It must never touch the machine's kernel log or audit settings.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::error::{StageError, Step};
use crate::world::World;

const PROGRAM: &str = "/lib/systemd/systemd-journald";
const SOCKETS: [&str; 3] = ["socket", "stdout", "io.systemd.journal"];

/// Write only to /run, read nothing from the machine, and drop no message.
const SETTINGS: &str = "[Journal]\nStorage=volatile\nAudit=\nReadKMsg=no\nForwardToSyslog=no\nForwardToKMsg=no\n\
                        ForwardToConsole=no\nForwardToWall=no\nRateLimitIntervalSec=0\n";

/// A running journald, at the usual sockets in /run/systemd/journal.
#[derive(Debug)]
pub struct Journald {
    daemon: Daemon,
}

impl Journald {
    /// Whether journald is installed on the machine.
    pub fn is_there() -> bool {
        Path::new(PROGRAM).exists()
    }

    /// Starts journald, and waits until its sockets exist.
    pub fn start(world: &World) -> Result<Journald, StageError> {
        let folder = Path::new("/etc/systemd/journald.conf.d");
        fs::create_dir_all(folder).step("make a folder for journald's settings")?;
        fs::write(folder.join("zz-stage.conf"), SETTINGS).step("write journald's settings")?;
        let daemon = Daemon::spawn(&mut world.command(PROGRAM))?;
        let deadline = Instant::now() + Duration::from_secs(300);
        // journald reports its readiness only to PID 1.
        while !SOCKETS.iter().all(|name| Path::new("/run/systemd/journal").join(name).exists()) {
            if Instant::now() > deadline {
                return Err(StageError::NotUp { server: "systemd-journald", said: daemon.output() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Journald { daemon })
    }

    /// The running process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// All entries so far, each as one line of JSON. `matches` are matches of journalctl, such as `SYSLOG_IDENTIFIER=scw-agent`.
    pub fn entries(&self, world: &World, matches: &[&str]) -> Result<Vec<String>, StageError> {
        let journalctl = |arguments: &[&str]| {
            let output = world.command("journalctl").args(arguments).output().step("run journalctl")?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(StageError::Tool { program: "journalctl", said })
        };
        journalctl(&["--sync"])?;
        let read = ["--directory=/run/log/journal", "--output=json", "--all", "--quiet", "--no-pager"];
        let text = journalctl(&[read.as_slice(), matches].concat())?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}
