//! A wait for a time, with one wake-up of the processor (invariant T5). tokio's timers approach a time that is far away in several
//! steps, and each of them wakes it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

/// Shorter waits use tokio's timers, which need no system calls.
const MIN_KERNEL_WAIT: Duration = Duration::from_secs(5);

/// Waits until this time.
pub(crate) async fn wait_until(until: Instant) {
    let wait = until.saturating_duration_since(Instant::now());
    if wait >= MIN_KERNEL_WAIT {
        match wait_in_kernel(wait).await {
            Ok(()) => return,
            Err(why) => tracing::debug!("cannot use a timer of the kernel: {why}"),
        }
    }
    sleep_until(until).await;
}

async fn wait_in_kernel(wait: Duration) -> io::Result<()> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
    timer.set(Expiration::OneShot(wait.into()), TimerSetTimeFlags::empty())?;
    #[expect(deprecated, reason = "its successor is unsafe; what makes that so cannot be with an OwnedFd")]
    let timer = AsyncFd::with_interest(OwnedFd::from(timer), Interest::READABLE)?;
    timer.readable().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn t5_long_wait_is_not_shorter_than_asked() {
        for wait in [MIN_KERNEL_WAIT, Duration::from_millis(20), Duration::ZERO] {
            let start = Instant::now();
            wait_until(start + wait).await;
            assert!(start.elapsed() >= wait, "{wait:?}");
        }
    }
}
