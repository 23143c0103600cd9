//! Keeping apt's daily job away from the scripts of a boot: both want dpkg's locks, and apt's own commands do not wait for them.
//!
//! `apt.systemd.daily` holds an exclusive flock(2) on `daily_lock` while it works, and waits for it for an hour. So the runner takes it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::util::files;
use crate::util::files::Lock;

/// The job itself; where it is not, there is no apt that works by itself.
const DAILY_JOB: &str = "/usr/lib/apt/apt.systemd.daily";
const DAILY_LOCK: &str = "/var/lib/apt/daily_lock";
/// How long the runner waits for a job that is at work.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// What apt reads in addition to its own configuration where a script calls it: how long it waits for dpkg's locks.
const CONFIGURATION: &str = "/usr/share/scw-agent/apt.conf";

/// Takes the lock, while which the daily job waits. None where apt does not work by itself, or when the job still works after five minutes.
pub(crate) async fn hold_off_daily_job() -> Option<Lock> {
    if !Path::new(DAILY_JOB).exists() {
        return None;
    }
    let deadline = Instant::now() + PATIENCE;
    let mut said = false;
    loop {
        match take() {
            Ok(lock) => return Some(lock),
            Err(why) if why.kind() != io::ErrorKind::WouldBlock => {
                tracing::warn!(
                    "cannot lock {DAILY_LOCK}, so apt's daily job may run beside the scripts: {why}"
                );
                return None;
            }
            Err(_) if Instant::now() >= deadline => {
                tracing::warn!(
                    "apt's daily job still runs after five minutes; the scripts start all the same"
                );
                return None;
            }
            Err(_) if !said => {
                tracing::info!("waiting for apt's daily job, at most five minutes ({DAILY_LOCK})");
                said = true;
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}

fn take() -> io::Result<Lock> {
    // Either may be the first. The job is root's: nobody else needs to open the file, and so to hold the lock.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(DAILY_LOCK)?;
    files::try_lock(file)
}

/// Where apt reads how long it waits, if both are installed.
pub(crate) fn configuration() -> Option<&'static str> {
    (Path::new(CONFIGURATION).exists() && Path::new("/usr/bin/apt-get").exists()).then_some(CONFIGURATION)
}
