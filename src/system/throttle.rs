//! The distance between the runs of a service that an unprivileged process can start (invariant D3).
//!
//! systemd's own limit is of no use here: a service that reaches it takes its path unit down with it, for the rest of the boot. So the
//! units have no start limit, and each run that comes too early waits: [`BURST`] runs may come at once, then one every [`INTERVAL`].
//! A process that makes requests in a loop costs one short run per interval.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::util::files;

/// The time between two runs in the long term.
const INTERVAL: Duration = Duration::from_secs(5);
/// So many runs may come at once. A boot needs two or three.
const BURST: u32 = 5;
/// Since the kernel started. The wall clock can jump, above all at boot.
const CLOCK: &str = "/proc/uptime";

/// Waits until the next run may begin. `path` is a file of root in /run that counts the runs.
pub(crate) fn wait(path: &Path) {
    let reserved = files::read_bounded(path, 64).ok().flatten();
    let reserved = reserved.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    let (wait, reserved) = match now() {
        Some(now) => next(Duration::from_millis(reserved.unwrap_or_default()), now),
        None => (INTERVAL, Duration::ZERO),
    };
    let kept = path
        .parent()
        .map_or(Ok(()), files::private_subfolder)
        .and_then(|()| files::write_whole(path, reserved.as_millis().to_string().as_bytes(), 0o600));
    let wait = match kept {
        Ok(()) => wait,
        Err(why) => {
            tracing::warn!("cannot count the runs in {}, so this one waits: {why}", path.display());
            INTERVAL
        }
    };
    if !wait.is_zero() {
        tracing::info!("requests come too fast; this run waits for {} s", wait.as_secs());
        std::thread::sleep(wait);
    }
}

/// How long to wait, and up to when the runs so far have reserved the time.
fn next(reserved: Duration, now: Duration) -> (Duration, Duration) {
    // A value from nowhere must not make anybody wait for long.
    let reserved = reserved.clamp(now, now + INTERVAL * BURST);
    (reserved.saturating_sub(now + INTERVAL * (BURST - 1)), reserved + INTERVAL)
}

fn now() -> Option<Duration> {
    let text = fs::read_to_string(CLOCK).ok()?;
    Duration::try_from_secs_f64(text.split(' ').next()?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_a_few_runs_come_at_once_and_then_one_per_interval() {
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
        // Rested, it may hurry again.
        assert_eq!(next(reserved, now + INTERVAL * BURST).0, Duration::ZERO);
        assert_eq!(next(Duration::MAX, now).0, INTERVAL, "a value from nowhere");
    }

    #[test]
    fn d3_the_kernel_tells_its_time() {
        assert!(now().is_some_and(|now| !now.is_zero()));
    }
}
