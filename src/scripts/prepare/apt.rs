//! Keeps apt's daily job from running at the same time as the scripts of a boot. Both need dpkg's locks, and apt's own commands do not wait
//! for them.
//!
//! `apt.systemd.daily` has an exclusive flock(2) on `daily_lock` while it runs, and waits up to an hour for it. So the runner takes this lock.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::util::files::{self, Lock};

/// The daily job. Where this file is missing, apt does nothing by itself.
const DAILY_JOB: &str = "/usr/lib/apt/apt.systemd.daily";
const DAILY_LOCK: &str = "/var/lib/apt/daily_lock";
/// How long the runner waits for a daily job that is running.
const LOCK_TIMEOUT: Duration = Duration::from_secs(300);
/// The time between two attempts to take the lock.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);
/// The file that apt reads in addition to its own configuration when a script calls it. It sets how long apt waits for dpkg's locks.
const CONFIGURATION: &str = "/usr/share/scw-agent/apt.conf";

/// Takes the lock, so that the daily job waits until it is released. None where there is no daily job, if the job
/// still runs after five minutes, or if the lock cannot be taken.
pub(crate) async fn lock_daily_job() -> Option<Lock> {
    if !Path::new(DAILY_JOB).exists() {
        return None;
    }
    let deadline = Instant::now() + LOCK_TIMEOUT;
    let mut has_logged = false;
    loop {
        match try_lock() {
            Ok(lock) => return Some(lock),
            Err(why) if why.kind() != io::ErrorKind::WouldBlock => {
                tracing::warn!(
                    "cannot lock {DAILY_LOCK}: {why}; apt's daily job may run at the same time as the scripts"
                );
                return None;
            }
            Err(_) if Instant::now() >= deadline => {
                tracing::warn!("apt's daily job still runs after five minutes; the scripts start anyway");
                return None;
            }
            Err(_) if !has_logged => {
                tracing::info!("waiting for apt's daily job, at most five minutes ({DAILY_LOCK})");
                has_logged = true;
            }
            Err(_) => {}
        }
        sleep(LOCK_INTERVAL).await;
    }
}

fn try_lock() -> io::Result<Lock> {
    // The file may not exist yet, if the daily job has never run. The job runs as root, so nobody else may open the file and take its lock.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(DAILY_LOCK)?;
    files::try_lock(file)
}

/// The path of the additional configuration, if both it and apt are installed.
pub(crate) fn configuration() -> Option<&'static str> {
    (Path::new(CONFIGURATION).exists() && Path::new("/usr/bin/apt-get").exists()).then_some(CONFIGURATION)
}
