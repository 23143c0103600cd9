//! The wait between two rounds: a changed key ends it early, and so does a new address or route while the metadata service is
//! unreachable (invariant T6). It only waits; what to do then is decided in [`crate::daemon::rounds`].

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::change_pace::ChangePace;
use crate::daemon::key_watch::KeyWatch;
use crate::daemon::network::NetworkEvents;
use crate::daemon::wake_timer::wait_until;
use crate::host_keys::paths::HostKeyPaths;

/// How often in a row network events may start a round at once and reset the retry delay…
const MAX_NETWORK_WAKEUPS: u32 = 20;
/// …and after how long one more of them is allowed: containers may change routes all day long.
const WAKEUP_REFILL_INTERVAL: Duration = Duration::from_secs(600);

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WakeReason {
    Time,
    Network,
    Keys,
}

/// The wait between two rounds, which network events and key changes can end early.
pub(crate) struct Waiting<'a> {
    paths: &'a HostKeyPaths,
    /// `None` if there is no key folder yet or no watch is possible: then only the time ends the wait.
    keys: Option<KeyWatch>,
    /// The key changes that ended a wait.
    key_changes: ChangePace,
    /// Open only while the service is unreachable: otherwise route changes should not wake the machine.
    network: Option<NetworkEvents>,
    /// How many network events may still end a wait.
    network_wakeups: u32,
    last_refill: Instant,
}

impl<'a> Waiting<'a> {
    /// Subscribes before the first round, so that no event is missed while that round fails.
    pub(crate) fn new(paths: &'a HostKeyPaths) -> Self {
        let keys = KeyWatch::new(paths).ok();
        Self {
            paths,
            keys,
            key_changes: ChangePace::default(),
            network: subscribe(),
            network_wakeups: MAX_NETWORK_WAKEUPS,
            last_refill: Instant::now(),
        }
    }

    /// Watches anew, because a wait that was dropped may have read events. The next round reads the files.
    pub(crate) fn renew_key_watch(&mut self) {
        self.keys = KeyWatch::new(self.paths).ok();
    }

    /// Waits until this time, or until an event.
    pub(crate) async fn wait(&mut self, until: Instant, unreachable: bool) -> WakeReason {
        self.refill();
        if !unreachable || self.network_wakeups == 0 {
            self.network = None;
        } else if self.network.is_none() {
            self.network = subscribe();
        }
        if self.keys.as_ref().is_none_or(|watch| !watch.is_complete) {
            self.keys = KeyWatch::new(self.paths).ok();
        }
        let allowed = self.key_changes.allowed();
        let (mut reason, result) = tokio::select! {
            () = wait_until(until) => (WakeReason::Time, Ok(())),
            result = next_event(&mut self.network, async |network| network.next().await) => (WakeReason::Network, result),
            result = next_event(&mut self.keys, async |keys| keys.next(allowed).await) => (WakeReason::Keys, result),
        };
        if let Err(why) = result {
            tracing::warn!("lost kernel notifications; falling back to polling: {why}");
            (self.network, self.keys) = (None, None);
            wait_until(until).await;
            return WakeReason::Time;
        }
        // The time may be up while more changes of the keys are waited for.
        if reason == WakeReason::Time && self.keys.as_ref().is_some_and(|watch| watch.has_unreported) {
            reason = WakeReason::Keys;
        }
        match reason {
            WakeReason::Time => {}
            WakeReason::Network => self.network_wakeups -= 1,
            // The folder itself may have been replaced: watch the current one.
            WakeReason::Keys => {
                self.renew_key_watch();
                self.key_changes.note();
            }
        }
        reason
    }

    /// Allows one more network event for each interval that has passed.
    fn refill(&mut self) {
        let allowed = self.last_refill.elapsed().as_secs() / WAKEUP_REFILL_INTERVAL.as_secs();
        if allowed > 0 {
            self.last_refill = Instant::now();
            self.network_wakeups = self
                .network_wakeups
                .saturating_add(u32::try_from(allowed).unwrap_or(u32::MAX))
                .min(MAX_NETWORK_WAKEUPS);
        }
    }
}

/// Waits for the next event of a source; without a source, for ever.
async fn next_event<T>(
    source: &mut Option<T>,
    next: impl AsyncFnOnce(&mut T) -> io::Result<()>,
) -> io::Result<()> {
    match source {
        Some(source) => next(source).await,
        None => std::future::pending().await,
    }
}

fn subscribe() -> Option<NetworkEvents> {
    NetworkEvents::subscribe()
        .inspect_err(|why| tracing::info!("cannot subscribe to network events; retrying on a timer: {why}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::util::random;

    #[tokio::test]
    async fn h4_key_change_just_before_the_time_is_up_is_kept() {
        let folder = std::env::temp_dir().join(format!("scw-agent-wait-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let served = folder.join("served.json");
        let paths = HostKeyPaths {
            keys: folder.clone(),
            served: served.clone(),
            root: folder.clone(),
            ..HostKeyPaths::default()
        };
        let mut waiting = Waiting::new(&paths);
        assert!(waiting.keys.is_some());
        let soon = || Instant::now() + Duration::from_millis(20);
        assert_eq!(waiting.wait(soon(), false).await, WakeReason::Time);
        fs::write(served, "").expect("written");
        // More changes are waited for, and that takes longer.
        assert_eq!(waiting.wait(soon(), false).await, WakeReason::Keys);
        fs::remove_dir_all(folder).expect("removed");
    }
}
