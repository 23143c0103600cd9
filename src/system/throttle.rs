//! Limits the rate of the runs of a service that an unprivileged process can start (invariant D3).
//!
//! systemd's start limit cannot be used: if a service reaches it, its path unit fails for the rest of the boot. So the units have no
//! start limit, and each run that comes too early waits. [`BURST`] runs may come at once, then one in each [`INTERVAL`]. A process
//! that writes requests in a loop causes one short run in each interval.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::util::files;

/// The average time between two runs.
const INTERVAL: Duration = Duration::from_secs(5);
/// The number of runs that may come at once. A boot needs two or three.
const BURST: u32 = 5;
/// The time since the kernel started. The wall clock is not used, because it can jump, especially at boot.
const UPTIME_FILE: &str = "/proc/uptime";

/// Waits until the next run may begin. `path` is a file of root in /run. It contains the time up to which earlier runs have reserved
/// their intervals, in milliseconds since the kernel started.
pub(crate) fn wait(path: &Path) {
    let reserved = files::read_bounded(path, 64).ok().flatten();
    let reserved = reserved.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    let (wait, reserved) = match now() {
        Some(now) => next(Duration::from_millis(reserved.unwrap_or_default()), now),
        None => (INTERVAL, Duration::ZERO),
    };
    let written = path
        .parent()
        .map_or(Ok(()), files::create_private_subfolder)
        .and_then(|()| files::write_atomic(path, reserved.as_millis().to_string().as_bytes(), 0o600));
    let wait = match written {
        Ok(()) => wait,
        Err(why) => {
            tracing::warn!("cannot write {}, so this run waits: {why}", path.display());
            INTERVAL
        }
    };
    if !wait.is_zero() {
        tracing::info!("requests come too fast; this run waits for {} s", wait.as_secs());
        std::thread::sleep(wait);
    }
}

/// The wait before this run, and the time up to which the runs have reserved their intervals, including this run.
fn next(reserved: Duration, now: Duration) -> (Duration, Duration) {
    // A wrong value in the file must not cause a long wait.
    let reserved = reserved.clamp(now, now + INTERVAL * BURST);
    (reserved.saturating_sub(now + INTERVAL * (BURST - 1)), reserved + INTERVAL)
}

fn now() -> Option<Duration> {
    let text = fs::read_to_string(UPTIME_FILE).ok()?;
    Duration::try_from_secs_f64(text.split(' ').next()?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_burst_of_runs_then_one_per_interval() {
        let (mut now, mut reserved) = (Duration::from_secs(1000), Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..BURST + 3 {
            let (wait, then) = next(reserved, now);
            (now, reserved) = (now + wait, then);
            waits.push(wait);
        }
        let (burst, rest) = waits.split_at(BURST as usize);
        assert!(
            burst.iter().all(Duration::is_zero) && rest.iter().all(|wait| *wait == INTERVAL),
            "{waits:?}"
        );
        // After a pause, several runs may come at once again.
        assert_eq!(next(reserved, now + INTERVAL * BURST).0, Duration::ZERO);
        assert_eq!(next(Duration::MAX, now).0, INTERVAL, "a wrong value in the file");
    }

    #[test]
    fn d3_uptime_can_be_read() {
        assert!(now().is_some_and(|now| !now.is_zero()));
    }
}
